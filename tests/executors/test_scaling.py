"""Workers come when calls wait, up to the most, and go when idle, down to the least."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from modelport.errors import LoadFailed, ModelFailed
from tests.executors.conftest import OpenBench
from tests.house import wait_until

SLOW_WARM = """
import os, time
def get_predict_args(): return {}
def warm(): time.sleep(0.3)
def predict(**_): time.sleep(0.05); return os.getpid()
"""
MEMORY = """
def get_predict_args(): return {}
def predict(**_): return len(bytearray(512 << 20))
"""


async def test_no_worker_until_the_first_call_and_none_after_the_idle_time(bench: OpenBench) -> None:
    opened = await bench("fork", workers=2, min_workers=0, idle_s=0.2)
    assert opened.executor.counts().workers == 0
    assert (await opened.run(value=1)).body == b"1"
    await opened.wait_workers(0)
    assert opened.executor.counts().restarts == 0
    assert (await opened.run(value=2)).body == b"2"


async def test_fifty_cold_calls_wake_as_many_workers_as_allowed(bench: OpenBench) -> None:
    opened = await bench("fork", SLOW_WARM, workers=3, min_workers=0)
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            counts = opened.executor.counts()
            most = max(most, counts.workers + counts.starting)
            await asyncio.sleep(0.005)

    watching = asyncio.create_task(watch())
    outcomes = await asyncio.gather(*(opened.run() for _ in range(50)))
    watching.cancel()
    assert all(outcome.error is None for outcome in outcomes)
    assert most == 3 and len({outcome.body for outcome in outcomes}) == 3


async def test_calls_one_after_the_other_need_one_worker(bench: OpenBench) -> None:
    opened = await bench("fork", workers=3, min_workers=0)
    for _ in range(10):
        await opened.run()
    assert opened.executor.counts().workers == 1


async def test_the_least_stay(bench: OpenBench) -> None:
    opened = await bench("fork", workers=3, min_workers=1, idle_s=0.1)
    running = [opened.start(seconds=60) for _ in range(3)]
    await opened.wait_busy(3)
    for each in running:
        each.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    restarts = opened.executor.counts().restarts
    for _ in range(3):
        # Those that are more than the least go when their idle time is over; the last has been idle as long.
        assert len(await asyncio.gather(*(opened.run(value=1) for _ in range(3)))) == 3
        await opened.wait_workers(1)
        assert len(opened.workers()) >= 1 and opened.executor.counts().restarts == restarts


async def test_without_a_kept_template_nothing_is_left_and_the_next_call_loads_again(bench: OpenBench) -> None:
    opened = await bench("fork", min_workers=0, idle_s=0.1, keep_template=False)
    assert json.loads((await opened.run("state")).body)["calls"] == 1
    await wait_until(lambda: not opened.executor.counts().loaded)
    assert (await opened.run(value=1)).body == b"1"


async def test_a_training_that_is_refused_leaves_no_template_and_one_that_may_begin_finds_it(bench: OpenBench) -> None:
    opened = await bench("fork", min_workers=0, idle_s=0.1, keep_template=False)
    await wait_until(lambda: opened.executor.counts().loaded)
    assert (await opened.run("echo", method="train", number="3", only_validate=True)).error is None
    assert opened.executor.counts().loaded
    assert (await opened.run("echo", method="train", number="x", only_validate=True)).error is not None
    assert not opened.executor.counts().loaded


@pytest.mark.slow
async def test_a_training_goes_on_when_the_last_worker_goes(bench: OpenBench, tmp_path: Path) -> None:
    opened = await bench("fork", min_workers=0, idle_s=0.1, keep_template=False)
    training = opened.start("sleep", method="train", path=str(tmp_path / "pid"), value=1.5)
    await wait_until((tmp_path / "pid").exists)
    assert (await opened.run(value=1)).body == b"1"
    assert (await training).error is None
    await wait_until(lambda: not opened.executor.counts().loaded)


async def test_shrink_ends_idle_workers_at_once(bench: OpenBench) -> None:
    opened = await bench("fork", workers=2, min_workers=0, idle_s=3600)
    await opened.run()
    assert await opened.executor.shrink() == 1
    assert opened.executor.counts().workers == 0
    busy = opened.start(seconds=60)
    await opened.wait_busy()
    assert await opened.executor.shrink() == 0
    busy.cancel()


async def test_a_call_that_comes_while_the_last_worker_goes_is_answered(bench: OpenBench) -> None:
    opened = await bench("fork", min_workers=0, idle_s=0.0)
    for number in range(50):
        assert (await opened.run(value=number)).body == str(number).encode()
        await asyncio.sleep(0)


async def test_a_model_that_cannot_start_is_tried_again_by_a_later_call(bench: OpenBench, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    source = f"def warm(): open({str(weights)!r})\ndef get_predict_args(): return {{}}\ndef predict(): return 1\n"
    opened = await bench("fork", source, min_workers=0)
    assert type((await opened.run()).error) is LoadFailed
    weights.touch()
    async with asyncio.timeout(20):
        while (await opened.run()).error is not None:
            await asyncio.sleep(0.05)


async def test_a_worker_gets_no_more_memory_than_allowed(bench: OpenBench) -> None:
    opened = await bench("fork", MEMORY, memory_bytes=256 << 20)
    error = (await opened.run()).error
    assert type(error) is ModelFailed and "MemoryError" in error.message
    opened = await bench("fork", MEMORY, memory_bytes=1 << 30)
    assert (await opened.run()).body == str(512 << 20).encode()
