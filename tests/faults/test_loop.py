"""The event loop never waits: not for a model, a disk or a lock (D-14)."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from modelport.server import Server
from modelport.settings import Settings
from tests.faults.conftest import OpenFaulty
from tests.house import open_house, write_plugins

BLOCKED_S = 0.25


def kept_waiting_s() -> float:
    """How long this thread could have run so far while others did, as the kernel counts it."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


@asynccontextmanager
async def heartbeat() -> AsyncIterator[None]:
    """Fails if the loop could not run anything for longer than BLOCKED_S of this process's own time.

    The time that other processes take from us does not count: it is the loop's thread that must not be busy or asleep.
    """
    worst = 0.0

    async def beat() -> None:
        nonlocal worst
        while True:
            before, used, kept = time.monotonic(), time.thread_time(), kept_waiting_s()
            await asyncio.sleep(0.01)
            late = time.monotonic() - before - 0.01 - (kept_waiting_s() - kept)
            # Late because we computed, or because we slept in a call; a starved thread does neither.
            busy = time.thread_time() - used
            worst = max(worst, busy if late - busy < 2 * BLOCKED_S else late)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert task.cancelled()
    assert worst < BLOCKED_S, f"the event loop was blocked for {worst:.3f} s"


async def test_d14_a_get_metadata_that_sleeps_blocks_nobody(tmp_path: Path) -> None:
    slow = (
        "import time\ndef get_metadata():\n    time.sleep(3)\n    return {'name': 'slow'}\ndef predict(**k): return 1\n"
    )
    sources = {"slow": slow, "x": "def predict(**k): return 1\n"}
    settings = Settings(listen_port=0, home=str(tmp_path / "home"))
    server = Server(settings, write_plugins(tmp_path / "plugins", sources))
    async with heartbeat(), aiohttp.ClientSession() as session:
        await server.start()
        try:
            started = time.monotonic()
            asking = asyncio.create_task(session.get(server.url + "/v2/models/slow/"))
            async with session.post(server.url + "/v2/models/x/predict/") as response:
                assert (await response.json())["predictions"] == 1
            for _ in range(10):
                async with session.get(server.url + "/health") as response:
                    assert response.status == 200
            assert not asking.done() and time.monotonic() - started < 3
            async with await asking as response:
                assert (await response.json())["name"] == "slow"
            # It is called when the model is loaded, not at each request.
            started = time.monotonic()
            async with session.get(server.url + "/v2/models/slow/") as response:
                assert response.status == 200
            assert time.monotonic() - started < 2
        finally:
            await server.stop(0)


async def test_large_bodies_and_answers_block_nobody(faulty: OpenFaulty) -> None:
    house = await faulty()
    content = io.BytesIO(b"x" * 50_000_000)
    async with heartbeat():
        form = aiohttp.FormData()
        form.add_field("file", content, filename="large")
        assert (await house.predict({"mode": "size"}, data=form)).json()["predictions"] == 50_000_000
        assert len((await house.predict({"mode": "bytes", "size": "50000000"})).body) == 50_000_000


async def test_start_and_stop_block_nobody(tmp_path: Path) -> None:
    async with heartbeat(), open_house(tmp_path, "def predict(**k): return 1\n", workers=3) as house:
        assert (await house.predict()).status == 200
