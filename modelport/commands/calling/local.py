"""A model in processes of our own, for the time of one command."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any

from modelport.client.calls import Answer, CallArguments, Progress
from modelport.commands.shell import names
from modelport.commands.shell.output import WithoutTracebacks
from modelport.contract.card import Card
from modelport.contract.prediction import Call, InputFile, Outcome
from modelport.deployments.deployments import Deployment, DeploymentRow
from modelport.errors import ModelportError
from modelport.intake.calls import choose_answer_type
from modelport.intake.scratch import RunFolder, Scratch
from modelport.settings import Settings

READ_BYTES = 1 << 20


class LocalModel:
    """As `RemoteModel`, on this machine. What the model prints goes to stderr."""

    def __init__(self, settings: Settings, module: str, timeout_s: float | None) -> None:
        # One process is enough: the one that imports the module, where it cannot be forked.
        method = "once" if settings.start_method == "auto" else settings.start_method
        workers = min(settings.workers, 1)
        self._settings = dataclasses.replace(
            settings, start_method=method, workers=workers, train_in_pool=True, spare_worker=False
        )
        self._spec = DeploymentRow(name=names.default_name(module), module=module)
        self._timeout_s = timeout_s
        self._output = WithoutTracebacks(show_all=settings.debug)

    async def __aenter__(self) -> LocalModel:
        self._run_folder = RunFolder(self._settings.home_path)
        folder = self._run_folder.folder("deployment")
        self._deployment = Deployment(self._spec, self._settings, folder, self._output)
        try:
            self.card: Card = await self._deployment.start()
        except BaseException:
            await self._close(failed=True)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close(failed=isinstance(error, ModelportError))

    async def _close(self, *, failed: bool) -> None:
        try:
            await self._deployment.stop()
        finally:
            if failed:
                self._output.drop()
            self._output.flush()
            await asyncio.to_thread(self._run_folder.close)

    @contextlib.asynccontextmanager
    async def ask(self, method: str, given: CallArguments, progress: Progress | None = None) -> AsyncIterator[Answer]:
        await self._deployment.wait_ready()
        async with self._run_folder.scratch() as scratch:
            files = await asyncio.to_thread(_copies, given, scratch)
            call = self._call(method, dict(given.values), files, scratch)
            watcher = None if progress is None else _Told(progress)
            outcome = await self._deployment.executor.run(call, watcher)
            if outcome.error is not None:
                raise outcome.error
            yield Answer(outcome.media_type, _chunks(outcome))

    def _call(self, method: str, values: dict[str, Any], files: list[InputFile], scratch: Scratch) -> Call:
        default_s = self._settings.train_timeout_s if method == "train" else self._settings.predict_timeout_s
        accept = None
        if method == "predict" and self.card.accept is not None:
            accept = choose_answer_type(self.card, values.get("accept"))
            if accept is not None and ("accept" in values or not self.card.accept.required):
                values["accept"] = accept
        return Call(
            id=scratch.id,
            method=method,
            arguments=values,
            files=files,
            accept=accept,
            scratch=str(scratch.path),
            timeout_s=self._timeout_s or default_s or None,
        )


class _Told:
    """A watcher that passes progress on; what is printed goes to stderr by itself."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def printed(self, chunk: bytes) -> None:
        pass


def _copies(given: CallArguments, scratch: Scratch) -> list[InputFile]:
    """The files in the scratch folder: a plugin may change or move what it is given."""
    input_files = []
    for number, each in enumerate(given.files):
        # No extension, as an upload has none.
        copy = scratch.make() / f"{number}"
        assert isinstance(each.content, Path)
        shutil.copyfile(each.content, copy)
        input_files.append(
            InputFile(each.argument.name, str(copy), each.argument.wire_name, each.content_type, each.name)
        )
    return input_files


async def _chunks(outcome: Outcome) -> AsyncIterator[bytes]:
    if outcome.path is None:
        yield outcome.body
        return
    with Path(outcome.path).open("rb") as file:  # noqa: ASYNC230 (opened here, read in a thread)
        while chunk := await asyncio.to_thread(file.read, READ_BYTES):
            yield chunk
