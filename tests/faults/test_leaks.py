"""Promise 25: nothing leaks after 1,000 predictions of all kinds."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import random
import threading
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.faults.conftest import OpenFaulty
from tests.house import House, children, descendants, descriptors

CLIENTS = 16

# (share, how)
KINDS = {
    "ok": 30,
    "upload": 15,
    "large": 10,
    "bytes": 5,
    "fail": 10,
    "refused": 5,
    "broken": 5,
    "litter": 5,
    "print": 5,
    "die": 2,
    "kill": 2,
    "exit": 2,
    "late": 2,
    "cancelled": 2,
}


def state(house: House) -> dict[str, Any]:
    """What could leak."""
    gc.collect()
    return {
        "files": sorted(str(path) for path in (house.home / "run").rglob("*") if path.is_file()),
        "scratch": house.scratch(),
        "descriptors": descriptors(),
        "threads": threading.active_count(),
        "tasks": len(asyncio.all_tasks()),
        "children": len(children(zombies=True)),
        "descendants": len(descendants()),
        "in flight": house.server.predictions.in_flight,
    }


def upload(size: int) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(b"x" * size), filename="a.bin")
    return form


STATUS = {"refused": 422, "broken": 400, "late": 504, "fail": 500, "die": 500, "kill": 500, "exit": 500}


async def one(house: House, kind: str, size: int) -> None:
    if kind == "upload":
        request = house.predict({"mode": "size"}, data=upload(size))
    elif kind == "refused":
        request = house.predict({"number": "many"}, data=upload(size))
    elif kind == "broken":
        request = house.predict(data=b"x", headers={"Content-Type": "multipart/form-data; boundary=b"})
    elif kind in ("late", "cancelled"):
        request = house.predict({"mode": "sleep"}, data=upload(size))
    else:
        request = house.predict({"mode": kind, "size": str(size)}, data=upload(100))
    task = asyncio.create_task(request)
    if kind == "cancelled":
        await asyncio.wait({task}, timeout=size / 2_000_000 * 0.2)
        task.cancel()
        await asyncio.wait({task})
    else:
        answer = await task
        # Any call may be late while others sleep.
        assert answer.status in (STATUS.get(kind, 200), 504), (kind, answer.text[:200])


async def wait_no_more(house: House, name: str, number: int) -> None:
    """Until there are no more of these than before."""
    end = time.monotonic() + 10
    while (now := state(house)[name]) > number:
        assert time.monotonic() < end, f"{now} {name}, {number} before"
        await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("calls", [200, pytest.param(1000, marks=pytest.mark.thorough)])
async def test_many_mixed_predictions_leave_nothing_behind(faulty: OpenFaulty, calls: int) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")
    draw = random.Random(seed)
    others = set(descendants())  # such as the browser of other tests
    house = await faulty(workers=2, predict_timeout_s=0.5)
    # The pools of threads and connections that stay for good are there before the first look.
    await asyncio.gather(*(one(house, "upload", 3_000_000) for _ in range(CLIENTS)))
    await asyncio.gather(*(asyncio.to_thread(threading.Event().wait, 0.05) for _ in range(64)))
    before = state(house)

    kinds = draw.choices(list(KINDS), weights=list(KINDS.values()), k=calls)
    sizes = [draw.choice([10, 10_000, 2_000_000]) for _ in kinds]
    todo = list(zip(kinds, sizes, strict=True))

    async def client() -> None:
        while todo:
            await one(house, *todo.pop())

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(client())

    await house.wait_workers(2)
    # Connections that were cut by their client are closed, not kept.
    assert house.session.connector is not None
    for name in ("descriptors", "children", "descendants", "tasks", "threads"):
        await wait_no_more(house, name, before[name])
    after = state(house)
    leaked = {name: (before[name], after[name]) for name in ("scratch", "in flight") if after[name] != before[name]}
    assert not leaked, f"seed {seed}: {leaked}"
    # What the model itself drops into its temporary folder stays until the server ends, and no longer.
    own = {file for file in after["files"] if "/deployments/" in file}
    assert set(after["files"]) - own == set(before["files"])
    await house.server.stop(0)
    assert list((house.home / "run").iterdir()) == []
    assert set(descendants()) <= others


async def test_the_home_holds_nothing_after_the_end(faulty: OpenFaulty, tmp_path: Path) -> None:
    house = await faulty()
    await house.predict({"mode": "litter"})
    await house.server.stop(0)
    assert list((house.home / "run").iterdir()) == []
