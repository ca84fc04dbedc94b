"""LocalExecutor for tests. What holds for every executor is in modelport/testing/executors.py, and test_contract.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from modelport.contract.card import Card
from modelport.contract.prediction import Call, InputFile, Outcome
from modelport.executors import Executor, ExecutorSpec, Watcher
from modelport.executors.local import LocalExecutor
from tests.house import children, leads_session, wait_until

ZOO = Path(__file__).with_name("zoo.py")
EXECUTORS = {"fork": LocalExecutor, "spawn": LocalExecutor}


class Seen:
    """A watcher that keeps what it is told, and tells when."""

    def __init__(self) -> None:
        self.told: list[tuple[float | None, str]] = []
        self.chunks: list[bytes] = []

    def progress(self, fraction: float | None, message: str) -> None:
        self.told.append((fraction, message))

    def printed(self, chunk: bytes) -> None:
        self.chunks.append(chunk)

    def value(self, body: bytes) -> asyncio.Future[None] | None:
        return None

    @property
    def text(self) -> str:
        return b"".join(self.chunks).decode(errors="replace")


@dataclass
class Bench:
    """An executor at work."""

    executor: Executor
    folder: Path
    card: Card
    output: list[tuple[int, bytes]] = field(default_factory=list)
    numbers: count[int] = field(default_factory=count)

    async def run(
        self,
        mode: str = "echo",
        *,
        method: str = "predict",
        watcher: Watcher | None = None,
        files: list[InputFile] | None = None,
        accept: str | None = None,
        timeout_s: float | None = None,
        text: bool = False,
        only_validate: bool = False,
        stream: str = "",
        **arguments: Any,
    ) -> Outcome:
        call = Call(
            id=f"call-{next(self.numbers)}",
            method=method,
            arguments={"mode": mode, **arguments},
            files=files or [],
            accept=accept,
            scratch=str(self.folder / f"scratch-{next(self.numbers)}"),
            text=text,
            only_validate=only_validate,
            timeout_s=timeout_s,
            stream=stream,
        )
        return await self.executor.run(call, watcher)

    def start(self, mode: str = "sleep", **options: Any) -> asyncio.Task[Outcome]:
        """A call that runs while the test goes on."""
        return asyncio.create_task(self.run(mode, **options))

    async def wait_busy(self, number: int = 1) -> None:
        await wait_until(lambda: self.executor.counts().busy == number)

    async def wait_workers(self, number: int = 1) -> None:
        await wait_until(lambda: self.executor.counts().workers == number)

    # Its own: a server that other tests share may have some, too.

    def templates(self) -> list[int]:
        return self.executor.processes()

    def workers(self) -> list[int]:
        return [pid for template in self.templates() for pid in children(template) if leads_session(pid)]

    def printed(self) -> str:
        return b"".join(chunk for _, chunk in self.output).decode(errors="replace")


OpenBench = Callable[..., Awaitable[Bench]]


@asynccontextmanager
async def open_bench(
    folder: Path, start_method: str, source: str | Path = ZOO, *, ready: bool = True, **spec: Any
) -> AsyncIterator[Bench]:
    """source: the plugin's text, or its file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = source if isinstance(source, Path) else folder / "plugin.py"
    if isinstance(source, str):
        file.write_text(source)
    output: list[tuple[int, bytes]] = []
    spec = {"module": str(file), "name": "x", "folder": str(folder), "start_method": start_method, **spec}
    cls = EXECUTORS.get(start_method, LocalExecutor)
    executor = cls(ExecutorSpec(**spec), lambda pid, chunk: output.append((pid, chunk)))
    try:
        card = await executor.start()
        if ready:
            await executor.wait_ready()
        yield Bench(executor, folder, card, output)
    finally:
        await executor.stop()


@pytest.fixture(params=list(EXECUTORS))
def start_method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[OpenBench]:
    """`await bench(start_method, source, workers=2, …)`: an executor, ended after the test."""
    async with AsyncExitStack() as stack:
        number = count()

        async def open_another(start_method: str = "fork", source: str | Path = ZOO, **spec: Any) -> Bench:
            folder = tmp_path / f"bench-{next(number)}"
            return await stack.enter_async_context(open_bench(folder, start_method, source, **spec))

        yield open_another


@pytest_asyncio.fixture(params=list(EXECUTORS), scope="module", loop_scope="module")
async def zoo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """One executor for all tests of a module, with the plugin of many modes and one worker."""
    async with open_bench(tmp_path_factory.mktemp("zoo"), str(request.param)) as found:
        yield found
