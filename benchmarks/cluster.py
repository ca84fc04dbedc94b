"""What a call costs on a Ray cluster, beside the same call on this machine, interleaved.

    .venv/bin/python benchmarks/cluster.py

The cluster is on this machine: a head without processors, and two nodes of one processor each. The times have no
network in them.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from modelport_ray.executor import RayExecutor
from ray.cluster_utils import Cluster

from modelport.extending import Call, ExecutorSpec, LocalExecutor

ROUNDS, CALLS, CALLERS = 5, 60, 8
SOURCE = """
import time
from marshmallow import fields
def get_predict_args():
    return {"seconds": fields.Float(load_default=0.0)}
def predict(seconds):
    time.sleep(seconds)
    return 1
"""


async def alone(executor: Any, folder: Path) -> float:
    """Median seconds of a call, one after the other."""
    times = []
    for number in range(CALLS):
        begun = time.perf_counter()
        outcome = await executor.run(Call(f"{number}", scratch=str(folder / "call")))
        times.append(time.perf_counter() - begun)
        assert outcome.body == b"1", outcome
    return statistics.median(times)


async def together(executor: Any, folder: Path, seconds: float) -> float:
    """Calls a second, from several callers."""

    async def caller(name: int) -> None:
        for number in range(CALLS):
            call = Call(f"{name}-{number}", arguments={"seconds": seconds}, scratch=str(folder / f"call-{name}"))
            assert (await executor.run(call)).body == b"1"

    begun = time.perf_counter()
    await asyncio.gather(*(caller(name) for name in range(CALLERS)))
    return CALLERS * CALLS / (time.perf_counter() - begun)


async def main() -> None:
    cluster = Cluster()
    cluster.add_node(num_cpus=0, include_dashboard=False)
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    executors: dict[str, Any] = {}
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "quick.py").write_text(SOURCE)
            for kind, cls, options in (
                ("local", LocalExecutor, {}),
                ("ray", RayExecutor, {"ray_address": cluster.address}),
            ):
                (folder / kind).mkdir()
                spec = ExecutorSpec(str(folder / "quick.py"), "quick", str(folder / kind), workers=2, options=options)
                executors[kind] = cls(spec, lambda pid, chunk: None)
                await executors[kind].start()
                await executors[kind].wait_ready()
            figures: dict[str, list[float]] = {}
            for _ in range(ROUNDS):
                for kind, executor in executors.items():
                    figures.setdefault(f"one call, ms, {kind}", []).append(1000 * await alone(executor, folder))
                    for seconds in (0.0, 0.05):
                        rate = await together(executor, folder, seconds)
                        what = f"calls/s, {CALLERS} callers, a model of {1000 * seconds:g} ms, 2 workers, {kind}"
                        figures.setdefault(what, []).append(rate)
            for what, values in figures.items():
                print(f"{what}: {statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})")
            for executor in executors.values():
                await executor.stop()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
