"""On a node: an actor that hosts the local executor, with one worker. Only plain data comes and goes."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import ray

import modelport
from modelport.extending import Call, Cancelled, ExecutorSpec, LoadFailed, LocalExecutor, ModelportError, Outcome

# An object of Ray's for each line that a model prints would cost more than the call.
GATHER_S = 0.05
# A generator is so many values ahead of those that have left the node.
AHEAD_VALUES = 1000
CHUNK_BYTES = 4 << 20
SPOKEN = 64 << 10

Item = tuple[str, Any]


class News:
    """What happens, in order, until somebody takes it; a watcher of calls, which keeps what jobs give away.

    shared: the server sees the files of this node.
    """

    def __init__(self, *, shared: bool = False) -> None:
        self._shared = shared
        self._items: list[Item] = []
        self._room: asyncio.Future[None] | None = None
        self.come = asyncio.Event()

    def add(self, kind: str, value: Any) -> None:
        self._items.append((kind, value))
        self.come.set()

    def progress(self, fraction: float | None, message: str) -> None:
        if self._items and self._items[-1][0] == "progress":
            self._items.pop()  # nobody has seen it, and it is out of date
        self.add("progress", (fraction, message))

    def metrics(self, values: Mapping[str, float]) -> None:
        self.add("metrics", dict(values))

    def artifact(self, path: str, name: str) -> None:
        if self._shared:
            self.add("artifact", (path, name))
        else:
            self.printed(f"modelport: {name} is not kept: that needs ray_shared_home\n".encode())

    def printed(self, chunk: bytes) -> None:
        if self._items and self._items[-1][0] == "printed" and len(self._items[-1][1]) < SPOKEN:
            chunk = self._items.pop()[1] + chunk
        self.add("printed", chunk)

    def value(self, body: bytes) -> asyncio.Future[None] | None:
        if not self._items or self._items[-1][0] != "values":
            self.add("values", [])
        values = self._items[-1][1]
        values.append(body)
        if len(values) < AHEAD_VALUES:
            return None
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()
        return self._room

    @property
    def urgent(self) -> bool:
        return any(kind == "values" for kind, _ in self._items)

    def take(self) -> list[Item]:
        items, self._items = self._items, []
        self.come.clear()
        return items

    def taken(self) -> None:
        """What was taken has left: a generator may go on."""
        if self._room is not None:
            self._room.set_result(None)
            self._room = None


class Host:
    """`live` first, whose items last as long as the worker; then `run`, once for each call."""

    def __init__(self) -> None:
        # They open the cluster, and models see this process's environment. Ray has read them.
        for name in [name for name in os.environ if name.startswith("RAY_AUTH_")]:
            del os.environ[name]
        self._folder = tempfile.mkdtemp(prefix="modelport-ray-")
        self._executor: LocalExecutor | None = None
        self._output = News()
        self._running: dict[int, asyncio.Task[Outcome]] = {}
        self._unwanted: set[int] = set()  # calls that were ended before they ran
        self._shared = False

    async def live(self, version: str, spec: dict[str, Any], shared: bool) -> AsyncIterator[Item]:
        """("placed", [node's address, pid]), then ("card", …) and ("ready", None), or ("failed", …).

        ("output", …) at any time.
        """
        node = str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]
        yield "placed", (node, os.getpid())
        news = self._output
        starting = asyncio.create_task(self._start(version, spec, shared, node))
        try:
            while True:
                await news.come.wait()
                for item in news.take():
                    yield item
                    if item[0] == "failed":
                        return
        finally:
            starting.cancel()

    async def _start(self, version: str, plain: dict[str, Any], shared: bool, node: str) -> None:
        self._shared = shared
        try:
            if version != modelport.__version__:
                raise LoadFailed(
                    f"the node {node} has modelport {modelport.__version__}, the server {version}; install the same"
                )
            self._executor = LocalExecutor(self._spec(plain, node), self._say)
            self._output.add("card", (await self._executor.start()).to_plain())
            await self._executor.wait_ready()
            self._output.add("ready", None)
        except ModelportError as error:
            self._output.add("failed", error.to_plain())
        except Exception as error:  # whatever a node may lack: nobody waits for a worker that does not come
            told = LoadFailed(f"the node {node} cannot start a worker: {type(error).__name__}: {error}")
            self._output.add("failed", told.to_plain())

    def _say(self, pid: int, chunk: bytes) -> None:
        self._output.add("output", (pid, chunk))

    def _spec(self, plain: dict[str, Any], node: str) -> ExecutorSpec:
        """As the server's, but for one worker, with folders of this node's own where it does not see the server's."""
        python = plain["python"]
        if python is not None and shutil.which(python) is None:
            raise LoadFailed(f"there is no {python} on the node {node}, where the module's Python should be")
        own: dict[str, Any] = {"folder": self._folder, "workers": 1, "options": {}}
        if not self._shared:
            own["work"] = str(Path(self._folder, "work"))
            own["environment"] = {**plain["environment"], "TMPDIR": self._folder}
            Path(own["work"]).mkdir(exist_ok=True)
        return ExecutorSpec(**{**plain, **own})

    async def run(self, number: int, plain: dict[str, Any], contents: list[Any]) -> AsyncIterator[Item]:
        """("printed", …), ("progress", …), ("metrics", …), ("artifact", …), ("values", …) while it runs; ("bytes", …)
        of a large answer; ("outcome", …).

        number: by which `end` names it. contents: of each file: its bytes, or references to its pieces; None where the
        path leads to it on this node.
        """
        scratch = plain["scratch"] if self._shared else tempfile.mkdtemp(dir=self._folder)
        try:
            call = Call.from_plain({**plain, "scratch": scratch})
            for place, (file, content) in enumerate(zip(call.files, contents, strict=True)):
                if content is not None:
                    path = Path(scratch, f"input-{place}")
                    await _save(path, content)
                    object.__setattr__(file, "path", str(path))
            news = News(shared=self._shared)
            task = asyncio.create_task(self._call(number, call, news))
            task.add_done_callback(lambda _: news.come.set())
            self._running[number] = task
            try:
                ended = False
                while not ended:
                    await news.come.wait()
                    if not task.done() and not news.urgent:
                        await asyncio.wait({task}, timeout=GATHER_S)
                    ended = task.done()  # whatever it said has come by then
                    for item in news.take():
                        yield item
                    news.taken()
            finally:
                await self.end(number)
                del self._running[number]
            outcome = Outcome(error=Cancelled("the call was cancelled")) if task.cancelled() else task.result()
            if outcome.path is not None and not self._shared:
                with await asyncio.to_thread(open, outcome.path, "rb") as answer:
                    while chunk := await asyncio.to_thread(answer.read, CHUNK_BYTES):
                        yield "bytes", chunk
            yield "outcome", plain_of(outcome)
        finally:
            if not self._shared:
                await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)

    async def _call(self, number: int, call: Call, news: News) -> Outcome:
        assert self._executor is not None
        if number in self._unwanted:
            self._unwanted.discard(number)
            return Outcome(error=Cancelled("the call was cancelled"))
        return await self._executor.run(call, news)

    async def end(self, number: int) -> None:
        """When this returns, nothing works on that call."""
        if (task := self._running.get(number)) is None:
            self._unwanted.add(number)
        elif not task.done():
            task.cancel()
            await asyncio.wait({task})

    async def stop(self) -> None:
        if self._executor is not None:
            await self._executor.stop()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)


async def _save(path: Path, content: Any) -> None:
    pieces = [content] if isinstance(content, bytes) else content
    with path.open("wb") as file:
        for piece in pieces:
            # References that lie in a list are not resolved by Ray.
            data = piece if isinstance(piece, bytes) else await piece
            await asyncio.to_thread(file.write, data)


def plain_of(outcome: Outcome) -> dict[str, Any]:
    error = None if outcome.error is None else outcome.error.to_plain()
    return {**{name: value for name, value in vars(outcome).items() if name != "error"}, "error": error}
