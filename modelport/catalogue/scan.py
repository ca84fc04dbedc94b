"""Asks interpreters what modules they have, and folders, by a child process each."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from modelport import child
from modelport.catalogue.processes import said_by

BOOT = str(Path(child.__file__).with_name("boot.py"))
# Some thousand modules with their READMEs.
OUTPUT_LIMIT_BYTES = 64 << 20
# So much of what an interpreter complains of is shown.
COMPLAINT_CHARS = 500


@dataclass(frozen=True)
class Source:
    """Where modules may be.

    interpreter: that is asked. label: for people. python: with which a deployment of what is found there runs; None:
    the server's. folder: looked at instead of what is installed; or a file. versions: of a repository.
    """

    interpreter: str
    label: str
    python: str | None = None
    folder: str | None = None
    versions: tuple[str, ...] = ()


Rows = list[tuple[Source, dict[str, Any]]]


async def scan(sources: Sequence[Source], timeout_s: float) -> tuple[Rows, list[str], list[str]]:
    """(modules with their sources, paths to watch, sources that cannot be asked with their reasons)."""
    answers = await asyncio.gather(*(_ask(source, timeout_s) for source in sources))
    rows: Rows = []
    watched: list[str] = []
    problems = []
    for source, answer in zip(sources, answers, strict=True):
        watched.append(source.folder or source.interpreter)
        if isinstance(answer, str):
            problems.append(f"{source.label}: {answer}")
            continue
        rows += [(source, module) for module in answer["modules"]]
        watched += answer["watched"]
    return rows, watched, problems


async def _ask(source: Source, timeout_s: float) -> dict[str, Any] | str:
    """What it says, or what went wrong."""
    arguments = [source.folder] if source.folder is not None else []
    try:
        said = await said_by([source.interpreter, BOOT, "scan", *arguments], timeout_s, OUTPUT_LIMIT_BYTES)
    except TimeoutError:
        return f"it did not answer within scan_timeout_s, {timeout_s:g} s"
    except OSError as error:
        return f"it cannot be started: {error.strerror or error}"
    try:
        answer = msgspec.json.decode(said.out)
        return answer if isinstance(answer, dict) else "its answer cannot be read"
    except msgspec.DecodeError:
        return said.complaint[-COMPLAINT_CHARS:] or "its answer cannot be read"


def stamps(paths: Iterable[str]) -> dict[str, int]:
    """By path, when it was changed; 0 where there is none. Looks at the disk: call it in a thread."""
    return {path: _stamp(path) for path in paths}


def _stamp(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
