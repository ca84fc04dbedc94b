"""A process with an executor, which prints where a call ran, and then waits to be killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from modelport_ray.executor import RayExecutor

from modelport.extending import Call, ExecutorSpec


async def main(address: str, folder: str) -> None:
    spec = ExecutorSpec(
        module=str(Path(__file__).with_name("module.py")),
        name="x",
        folder=folder,
        options={"ray_address": address},
    )
    executor = RayExecutor(spec, lambda pid, chunk: None)
    await executor.start()
    outcome = await executor.run(Call("1", scratch=f"{folder}/call"))
    print(outcome.body.decode(), flush=True)
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
