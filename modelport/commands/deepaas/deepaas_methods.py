"""The methods of deepaas-cli, each on a model in a process of its own.

The model's fields validate what it is given, and it is warm before it predicts or trains. What it prints, and log
lines, go to stdout; usage errors to stderr.
"""

from __future__ import annotations

import asyncio
import json
import logging
import mimetypes
import os
import re
import shutil
import sys
import tempfile
import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from modelport.client.calls import CallArguments
from modelport.commands.calling.local import LocalModel, copies, local_model
from modelport.commands.deepaas import deepaas_arguments, deepaas_logs
from modelport.commands.deepaas.deepaas_options import Options
from modelport.commands.shell import names
from modelport.commands.shell.files import replaced
from modelport.contract.prediction import Call, Outcome
from modelport.contract.visible import visible
from modelport.errors import InvalidArguments, LoadFailed, ModelportError, NotImplementedByModel
from modelport.settings import Settings
from modelport.store.deployments import DeploymentRow

PROG = "deepaas-cli"
JSON_EXTENSION = ".json"
ANY_TYPE = "*/*"

# Values are shown as text, whole; what is larger than a gibibyte nobody reads.
TEXT_LIMIT_BYTES = 1 << 30

# The original waits for a model as long as it takes; so do we, within reason.
PATIENCE_S = 7 * 24 * 3600.0

FAILED, USAGE = 1, 2

logger = logging.getLogger("deepaas.cmd.cli")


async def call(options: Options, module: str) -> int:
    """Call the method that the options name; returns the exit status."""
    method, argv = (options.rest[0], options.rest[1:]) if options.rest else (None, ())
    # Where nothing is predicted, no worker needs to start; a training has a process of its own.
    needs_worker = method in ("predict", "warm") and not {"-h", "--help"} & set(argv)
    with tempfile.TemporaryDirectory(prefix="deepaas-cli-", ignore_cleanup_errors=True) as home:
        try:
            row = DeploymentRow(*names.split(module))
            settings = _settings(options, home, int(needs_worker))
            async with local_model(settings, row, lambda name, pid, chunk: deepaas_logs.pass_on(chunk)) as model:
                arguments = CallArguments()
                if method:
                    arguments = deepaas_arguments.read(PROG, model.card, method, argv)
                logger.info("%s was called.", method)
                await _Command(model, arguments, Path(home), options["deepaas_method_output"]).run(method)
            return 0
        except InvalidArguments as error:
            sys.stderr.write(visible(f"{PROG} {method}: error: {_as_typed(error)}\n"))
            return USAGE
        except (ModelportError, OSError) as error:
            _report(error)
            return FAILED


def _as_typed(error: InvalidArguments) -> str:
    """The message with each argument as the command line has it: `--count`."""
    names = "|".join(re.escape(name) for name in sorted(error.fields, key=len, reverse=True))
    return re.sub(rf"(^|; )(?=(?:{names})[:\[.])", r"\1--", error.message) if names else error.message


def _settings(options: Options, home: str, workers: int) -> Settings:
    return Settings(
        home=home,
        python=os.environ.get("MODELPORT_PYTHON", ""),
        workers=workers,
        # Asking for the method is asking for it, whatever the option says.
        warm=options["warm"] or bool(options.rest and options.rest[0] == "warm"),
        load_timeout_s=PATIENCE_S,
        start_wait_s=PATIENCE_S,
        inline_limit_bytes=TEXT_LIMIT_BYTES,
        debug=options["debug"],
    )


def _text(outcome: Outcome) -> str:
    whole = outcome.body if outcome.path is None else Path(outcome.path).read_bytes()
    return whole.decode(errors="surrogateescape")


def _report(error: ModelportError | OSError) -> None:
    told = error.message if isinstance(error, ModelportError) else f"{type(error).__name__}: {error}"
    logger.critical("Unhandled error: %s", told)
    if isinstance(error, LoadFailed) and error.detail:
        # Of other failures the worker has printed the traceback already.
        deepaas_logs.pass_on(error.detail.rstrip().encode() + b"\n")


@dataclass(frozen=True)
class _Command:
    """One method of one model. output: --deepaas_method_output, or empty."""

    model: LocalModel
    arguments: CallArguments
    folder: Path
    output: str

    async def run(self, method: str | None) -> None:
        """Raises ModelportError, OSError."""
        if method is None:
            logger.warning("No Method was requested! Return get_metadata()")
            self.get_metadata(output="")
        elif method == "get_metadata":
            self.get_metadata(self.output)
        else:
            if method not in self.model.card.capabilities:
                raise NotImplementedByModel(f"AttributeError: {self.model.card.origin} has no {method}()")
            await {"warm": self.warm, "predict": self.predict, "train": self.train}[method]()

    def get_metadata(self, output: str) -> None:
        if self.model.card.metadata_error:
            raise ModelportError(self.model.card.metadata_error)
        if not self.model.card.metadata:
            raise NotImplementedByModel(f"{self.model.card.origin} has no get_metadata(), or it returns nothing")
        text = json.dumps(self.model.card.metadata)
        if output:
            _write(output, text.encode())
        logger.info("return: %s", text)

    async def warm(self) -> None:
        await self.model.deployment.wait_ready()
        logger.info("return: Finished warm() method")

    async def predict(self) -> None:
        accept = self._accept()
        outcome = await self._call("predict", accept=accept, text_only=not self.output)
        if self.output:
            named = _named(self.output, _extension(outcome, accept))
            content = outcome.body if outcome.path is None else Path(outcome.path)
            if outcome.path is None and outcome.is_json and not outcome.body.isascii():
                # Escaped as the original has it, so that it reads the same in every locale.
                content = json.dumps(json.loads(outcome.body)).encode()
            _write(named, content)
            logger.info("return: Output is saved in %s", named)
        else:
            logger.info("return: %s", await asyncio.to_thread(_text, outcome))

    def _accept(self) -> str | None:
        """The media type of the answer; a model is never given a wildcard that it does not offer itself."""
        if self.model.card.accept is None:
            return None
        accept = self.arguments.values.get("accept")
        if accept == ANY_TYPE and ANY_TYPE not in (self.model.card.accept.choices or ()):
            del self.arguments.values["accept"]
            accept = None
        return accept or self.model.card.default_answer_type

    async def train(self) -> None:
        """Validated, and shown as they were understood, before anything is started."""
        checked = await self._call("train", only_validate=True)
        outcome = await self._call("train", text=True)
        finished = datetime.now()
        took = timedelta(seconds=outcome.timings["predict"])
        body = outcome.body if outcome.path is None else await asyncio.to_thread(Path(outcome.path).read_bytes)
        record = {
            "date": str(finished - took),
            "args": json.loads(checked.body),
            "status": "done",
            "uuid": uuid.uuid4().hex,
            "result": {
                "finish_date": str(finished),
                "duration": str(took),
                "output": json.loads(body) if outcome.is_json else outcome.text,
            },
        }
        logger.info("Elapsed time:  %s", took)
        text = json.dumps(record)
        if self.output:
            _write(self.output, text.encode())
            logger.info("return: Output is saved in %s", self.output)
        else:
            logger.info("return: %s", text)

    async def _call(self, method: str, **more: Any) -> Outcome:
        """Raises the outcome's error, and OSError for a file that cannot be read."""
        call = Call(
            id=method, method=method, arguments=self.arguments.values, scratch=str(self.folder / "scratch"), **more
        )
        files = await asyncio.to_thread(copies, self.arguments, self.folder)
        outcome = await self.model.deployment.executor.run(replace(call, files=files))
        if outcome.error is None:
            return outcome
        if isinstance(outcome.error, InvalidArguments) and "validate" in outcome.timings:
            # The values were fine; it is the method that has raised a ValidationError.
            raise ModelportError(outcome.error.message)
        raise outcome.error


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
    """Raises OSError."""
    with replaced(name, parents=True) as file:
        if isinstance(content, Path):
            with content.open("rb") as source:
                shutil.copyfileobj(source, file)
        else:
            file.write(content)
