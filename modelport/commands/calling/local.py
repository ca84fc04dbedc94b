"""A model in processes of our own, for the time of one command."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

from modelport.client.calls import Answer, CallArguments, Progress
from modelport.commands.shell import names
from modelport.commands.shell.output import WithoutTracebacks
from modelport.contract.card import Card
from modelport.contract.prediction import Call, InputFile, Outcome
from modelport.deployments.deployments import Deployment, DeploymentRow, Listener
from modelport.deployments.streaming import CallStream
from modelport.intake.calls import make_call
from modelport.intake.scratch import RunFolder, Scratch
from modelport.settings import Settings

READ_BYTES = 1 << 20


@contextlib.asynccontextmanager
async def local_model(settings: Settings, row: DeploymentRow, listener: Listener) -> AsyncIterator[LocalModel]:
    """The model, loaded; its processes end with the block. listener: gets what it prints."""
    settings = _for_one_call(settings)
    run_folder = RunFolder(settings.home_path)
    deployment = Deployment(row, settings, run_folder.folder("deployment"), listener)
    try:
        yield LocalModel(settings, run_folder, deployment, await deployment.start())
    finally:
        try:
            await deployment.stop()
        finally:
            await asyncio.to_thread(run_folder.close)


def _for_one_call(settings: Settings) -> Settings:
    """One process is enough: the one that imports the module, where it cannot be forked."""
    method = "once" if settings.start_method == "auto" else settings.start_method
    in_pool = settings.workers > 0
    return replace(
        settings, start_method=method, workers=min(settings.workers, 1), train_in_pool=in_pool, spare_worker=False
    )


@contextlib.asynccontextmanager
async def named_model(settings: Settings, module: str, timeout_s: float | None) -> AsyncIterator[LocalModel]:
    """The same by its name on a command line. What it prints goes to stderr."""
    with WithoutTracebacks(show_all=settings.debug) as output:
        async with local_model(settings, DeploymentRow(names.default_name(module), module), output) as model:
            yield replace(model, timeout_s=timeout_s)


@dataclass(frozen=True)
class LocalModel:
    """As `RemoteModel`, on this machine."""

    settings: Settings
    run_folder: RunFolder
    deployment: Deployment
    card: Card
    timeout_s: float | None = None

    @contextlib.asynccontextmanager
    async def ask(
        self, method: str, arguments: CallArguments, progress: Progress | None = None
    ) -> AsyncIterator[Answer]:
        async with self.run_folder.scratch() as scratch:
            call = await self._call(method, arguments, scratch)
            # What is printed goes to stderr by itself.
            watcher = SimpleNamespace(progress=progress, printed=_ignored, value=_ignored) if progress else None
            outcome = await self.deployment.executor.run(call, watcher)
            if outcome.error is not None:
                raise outcome.error
            yield Answer(outcome.media_type, _chunks(outcome))

    async def stream(self, arguments: CallArguments) -> AsyncGenerator[bytes, None]:
        async with self.run_folder.scratch() as scratch:
            call = await self._call("predict", arguments, scratch)
            limit_bytes = self.settings.stream_ahead_bytes
            async with CallStream(self.deployment.executor.run, call, limit_bytes) as values:
                async for value in values:
                    yield value

    async def _call(self, method: str, arguments: CallArguments, scratch: Scratch) -> Call:
        await self.deployment.wait_ready()
        files = await asyncio.to_thread(lambda: copies(arguments, scratch.make())) if arguments.files else []
        default_s = self.settings.train_timeout_s if method == "train" else self.settings.predict_timeout_s
        timeout_s = self.timeout_s or default_s or None
        return make_call(self.card, method, dict(arguments.values), files, scratch, timeout_s=timeout_s)


def _ignored(chunk: bytes) -> None:
    pass


def copies(arguments: CallArguments, folder: Path) -> list[InputFile]:
    """The files in the call's own folder: a plugin may change or move what it is given."""
    input_files = []
    for number, file in enumerate(arguments.files):
        copy = folder / f"{number}"  # no extension, as an upload has none
        assert isinstance(file.content, Path)
        shutil.copyfile(file.content, copy)
        input_files.append(
            InputFile(file.argument.name, str(copy), file.argument.wire_name, file.content_type, file.name)
        )
    return input_files


async def _chunks(outcome: Outcome) -> AsyncIterator[bytes]:
    if outcome.path is None:
        yield outcome.body
        return
    with Path(outcome.path).open("rb") as file:  # noqa: ASYNC230 (opened here, read in a thread)
        while chunk := await asyncio.to_thread(file.read, READ_BYTES):
            yield chunk
