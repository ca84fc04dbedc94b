"""What a call costs on a Ray cluster, beside the same call on this machine and on Ray Serve; and where the server ends.

    .venv/bin/python benchmarks/cluster.py [--rounds 5] [--peers rayserve]

The cluster is on this machine: a head without processors, and two nodes. The times have no network in them. Ray Serve
has an environment and a cluster of its own, of the same shape; the clusters take turns, one in each round.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import callers
from load import PEERS, environment, processor_s
from modelport_ray.executor import RayExecutor
from ray.cluster_utils import Cluster

from modelport.extending import Call, ExecutorSpec, InputFile, LocalExecutor

WORKERS, SLEEP_S = (1, 2, 4), 0.05
FILE_MB = 8
REPORTS = 200
NODES, NODE_WORKERS = 100, 4
SOURCE = """
import time
import modelport
from marshmallow import fields
def get_predict_args():
    return {
        "seconds": fields.Float(load_default=0.0), "reports": fields.Int(load_default=0),
        "file": fields.Raw(metadata={"type": "file", "location": "form"}),
    }
def predict(seconds, reports, file=None):
    for number in range(reports):
        modelport.progress(number / reports)
        time.sleep(0.005)
    time.sleep(seconds)
    return 1
"""


class Bench:
    """An executor at work in this process, as in a server's."""

    def __init__(self, executor: Any, folder: Path) -> None:
        self.executor = executor
        self._folder = folder
        self._numbers = count()

    async def call(self, seconds: float, files: tuple[str, ...] = (), **arguments: Any) -> None:
        number = f"{next(self._numbers)}"
        given = [InputFile("file", path, "file") for path in files]
        call = Call(
            number, arguments={"seconds": seconds, **arguments}, files=given, scratch=str(self._folder / number)
        )
        outcome = await self.executor.run(call, self)
        assert outcome.body == b"1", outcome

    def progress(self, fraction: float | None, message: str) -> None: ...

    def printed(self, chunk: bytes) -> None: ...

    async def processor_ms(self, work: Any, calls: int) -> tuple[float, float]:
        """Of this process and of the driver, for each of the calls that `work` makes."""
        driver = self.executor._link._process.pid
        before = time.process_time(), processor_s(driver)
        await work
        after = time.process_time(), processor_s(driver)
        return tuple(1000 * (late - early) / calls for early, late in zip(before, after, strict=True))


@asynccontextmanager
async def bench(kind: str, address: str, folder: Path, workers: int = 2) -> AsyncIterator[Bench]:
    (folder / "quick.py").write_text(SOURCE)
    own = Path(tempfile.mkdtemp(dir=folder))
    options = {"ray_address": address}
    spec = ExecutorSpec(str(folder / "quick.py"), "quick", str(own), workers=workers, options=options)
    executor = {"local": LocalExecutor, "ray": RayExecutor}[kind](spec, lambda pid, chunk: None)
    try:
        await executor.start()
        await executor.wait_ready()
        yield Bench(executor, own)
    finally:
        await executor.stop()


async def compared(address: str, folder: Path) -> dict[str, dict[str, float]]:
    """local and ray, one after the other."""
    figures = {}
    for kind in ("local", "ray"):
        async with bench(kind, address, folder) as opened:
            figures[kind] = await callers.measured(opened.call)
    return figures


async def scaled(address: str, folder: Path) -> dict[str, float]:
    """A model that sleeps needs no processor: so a node may have more workers than processors."""
    figures = {}
    for workers in WORKERS:
        async with bench("ray", address, folder, workers) as opened:
            rate = await callers.together(opened.call, SLEEP_S, callers=4 * workers, calls=20)
            ideal = workers / SLEEP_S
            figures[f"{workers} workers, a model of {1000 * SLEEP_S:g} ms, calls/s"] = rate
            figures[f"{workers} workers, of what they could do"] = rate / ideal
    return figures


async def costs(address: str, folder: Path) -> dict[str, float]:
    """Milliseconds of processor time."""
    file = folder / "file"
    file.write_bytes(bytes(FILE_MB << 20))
    calls, reported, sent = 8 * callers.CALLS, 4, 8

    async def repeat(number: int, **arguments: Any) -> None:
        for _ in range(number):
            await opened.call(0.0, **arguments)

    async with bench("ray", address, folder) as opened:
        await opened.call(0.0)
        server, driver = await opened.processor_ms(callers.together(opened.call, 0.0), calls)
        report = await opened.processor_ms(repeat(reported, reports=REPORTS), reported)
        stored = await opened.processor_ms(repeat(sent, files=(str(file),)), sent)
    return {
        "server, a call": server,
        "driver, a call": driver,
        # A call of a second, of which most is watching.
        f"server, {REPORTS} reports in a second": report[0] - server,
        f"driver, {REPORTS} reports in a second": report[1] - driver,
        "server, a MB of a file": (stored[0] - server) / FILE_MB,
        "driver, a MB of a file": (stored[1] - driver) / FILE_MB,
    }


def calculation(cost: dict[str, float]) -> str:
    """Where one process comes to a whole processor; the HTTP side of the server adds what load.py measures."""
    busiest = max(("server", "driver"), key=lambda process: cost[f"{process}, a call"])
    rate = 1000 / cost[f"{busiest}, a call"]
    workers = NODES * NODE_WORKERS
    lines = [
        f"{busiest} is the first to need a whole processor: at {rate:.0f} calls/s",
        f"{NODES} nodes of {NODE_WORKERS} workers reach that with calls of {1000 * workers / rate:.0f} ms; "
        f"with calls of 1 s, {rate / NODE_WORKERS:.0f} nodes do",
    ]
    reports = max(cost[f"{process}, {REPORTS} reports in a second"] for process in ("server", "driver"))
    if reports > 0:
        lines.append(f"calls that report all the time: {1000 / reports:.0f} at once need a whole processor")
    stored = max(cost[f"{process}, a MB of a file"] for process in ("server", "driver"))
    if stored > 0:
        lines.append(f"files through the object store: {1000 / stored:.0f} MB/s need a whole processor")
    return "\n".join(lines)


def new_cluster(cpus: int) -> Any:
    cluster = Cluster()
    cluster.add_node(num_cpus=0, include_dashboard=False)
    for _ in range(2):
        cluster.add_node(num_cpus=cpus)
    return cluster


def on_cluster(cpus: int, work: Any, folder: Path) -> Any:
    cluster = new_cluster(cpus)
    try:
        return asyncio.run(work(cluster.address, folder))
    finally:
        cluster.shutdown()


def served(name: str) -> dict[str, float]:
    """By a peer, in its own environment and on its own cluster."""
    command = [str(environment(name) / "python"), "app.py"]
    printed = subprocess.run(command, cwd=PEERS / name, capture_output=True, text=True, check=True).stdout
    # Ray and Serve print, too.
    figures: dict[str, float] = json.loads(next(line for line in printed.splitlines() if line.startswith("{")))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default="rayserve", help="empty: none")
    options = parser.parse_args()
    rounds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(options.rounds):
            print(f"round {number + 1}", file=sys.stderr, flush=True)
            figures = on_cluster(1, compared, folder)
            figures |= {peer: served(peer) for peer in options.peers.split(",") if peer}
            figures["ray, scaled"] = on_cluster(max(WORKERS) // 2, scaled, folder)
            figures["ray, processor ms"] = on_cluster(1, costs, folder)
            for kind, values in figures.items():
                for what, value in values.items():
                    rounds.setdefault(f"{kind}: {what}", []).append(value)
    for what, values in rounds.items():
        print(f"{what}: {statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})")
    prefix = "ray, processor ms: "
    cost = {what.removeprefix(prefix): statistics.median(values) for what, values in rounds.items() if prefix in what}
    print(calculation(cost))


if __name__ == "__main__":
    main()
