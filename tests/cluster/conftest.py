"""A cluster on this machine: a head without processors, and nodes of one processor each."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from modelport_ray.executor import RayExecutor

from modelport.extending import Call, Card, ExecutorSpec, InputFile, Outcome, Watcher
from tests.forked import mothers
from tests.house import alive, command

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from ray.cluster_utils import Cluster

MODULE = Path(__file__).with_name("module.py")
PATIENCE_S = 60.0
# As an operator sets them at the head who wants to know of a dead node soon.
HEALTH = {"health_check_period_ms": 1000, "health_check_timeout_ms": 1000, "health_check_failure_threshold": 3}


def new_cluster(nodes: int = 2) -> Any:
    cluster = Cluster()
    cluster.add_node(num_cpus=0, include_dashboard=False, _system_config=HEALTH)
    for _ in range(nodes):
        cluster.add_node(num_cpus=1)
    return cluster


def marked(mark: str) -> list[str]:
    """The processes in whose environment `mark` is, by what they are called; not those that tests fork theirs from."""
    processes = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            pid = int(folder.name)
            if mark.encode() in (folder / "environ").read_bytes() and alive(pid) and pid not in mothers():
                processes.append(f"{pid} {command(pid)}")
    return processes


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    cluster = new_cluster()
    yield cluster
    cluster.shutdown()


@dataclass
class Bench:
    """An executor at work, and what its processes wrote."""

    executor: RayExecutor
    folder: Path
    card: Card
    output: list[tuple[int, bytes]] = field(default_factory=list)
    numbers: count[int] = field(default_factory=count)

    async def run(
        self,
        mode: str = "where",
        *,
        file: Path | None = None,
        watcher: Watcher | None = None,
        timeout_s: float | None = None,
        method: str = "predict",
        **arguments: Any,
    ) -> Outcome:
        number = next(self.numbers)
        scratch = self.folder / f"call-{number}"
        files = [] if file is None else [InputFile("file", str(file), "file")]
        arguments = {"mode": mode, **arguments} if method == "predict" else {}
        call = Call(f"{number}", method, arguments, files, scratch=str(scratch), timeout_s=timeout_s)
        return await self.executor.run(call, watcher)

    async def wait(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0.01)


OpenBench = Callable[..., Awaitable[Bench]]


@pytest_asyncio.fixture
async def bench(cluster: Any, tmp_path: Path) -> AsyncIterator[OpenBench]:
    """`await bench(workers=2, ray_gpus=1, …)`: one that has started; fields of the spec and settings."""
    async with AsyncExitStack() as stack:

        async def open_bench(**spec: Any) -> Bench:
            options = {"ray_address": cluster.address}
            options |= {name: spec.pop(name) for name in list(spec) if name.startswith("ray_")}
            own = {"module": str(MODULE), "name": "x", "folder": str(tmp_path), "options": options}
            output: list[tuple[int, bytes]] = []
            executor = RayExecutor(ExecutorSpec(**{**own, **spec}), lambda pid, chunk: output.append((pid, chunk)))
            stack.push_async_callback(executor.stop)
            return Bench(executor, tmp_path, await executor.start(), output)

        yield open_bench
