"""Where deepaas-cli's --deepaas_method_output goes."""

from __future__ import annotations

import json
import logging
import mimetypes
import os
import shutil
from pathlib import Path

from modelport.commands.shell.files import replaced
from modelport.contract.prediction import Outcome

JSON_EXTENSION = ".json"

logger = logging.getLogger("deepaas.cmd.cli")


def write_answer(outcome: Outcome, accept: str | None, file: str) -> str:
    """Write an answer to `file`; returns its name, to which an extension may have been added. Raises OSError.

    accept: the media type asked for; None: the model has no such argument, and the answer's own type decides.
    """
    named = _named(file, _extension(outcome, accept))
    if outcome.path is not None:
        _write(named, Path(outcome.path))
    elif outcome.is_json:
        # Escaped as the original has it, so that it reads the same in every locale.
        body = outcome.body if outcome.body.isascii() else json.dumps(json.loads(outcome.body)).encode()
        _write(named, body)
    else:
        _write(named, outcome.body)
    return named


def save_text(text: str, file: str) -> None:
    """Raises OSError."""
    _write(file, text.encode())


def _extension(outcome: Outcome, accept: str | None) -> str | None:
    """None: the name stays as it is, as for image/*."""
    if accept is None and outcome.is_json:
        return JSON_EXTENSION
    return mimetypes.guess_extension((accept or outcome.media_type).partition(";")[0].strip())


def _named(file: str, extension: str | None) -> str:
    own = os.path.splitext(file)[1]
    if extension is None or extension == own:
        return file
    logger.warning(
        "You are trying to store %s type data in the file with %s extension!\n===================> New output is %s",
        extension,
        own,
        file + extension,
    )
    return file + extension


def _write(name: str, content: bytes | Path) -> None:
    Path(os.path.realpath(name)).parent.mkdir(parents=True, exist_ok=True)
    with replaced(name) as file:
        if isinstance(content, Path):
            with content.open("rb") as source:
                shutil.copyfileobj(source, file)
        else:
            file.write(content)
