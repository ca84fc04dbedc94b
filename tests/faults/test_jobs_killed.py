"""Accepted is kept (promises 1 to 3): jobs, while the server is killed again and again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections import deque
from pathlib import Path

import aiohttp
import pytest

from tests.faults.jobs import SEED, SETTINGS, SOURCE, WITH_FILE, Clients, Reader, check_own_answers, job_folders, kill
from tests.house import Spawned, alive, launched, listening, wait_until

CONNECTIONS = 8

# How long a server lives after it listens, at most: as long as its share of the jobs takes on a slow machine.
LIFE_S = 0.7
# One in so many is killed before that, while it starts.
EARLY = 5
START_S = 1.5


async def die_at_work(server: Spawned, reader: Reader, number: int, gate: Path) -> None:
    """Killed while it runs the job of this number, which does not end before the gate is open."""
    assert await asyncio.to_thread(listening, server), server.log.read_text()[-3000:]
    query = {"number": str(number), "gate": str(gate)}
    async with aiohttp.ClientSession() as session:
        path = f"{server.url}/v2/models/x/predict/"
        async with session.post(path, params=query, headers={"Prefer": "respond-async"}) as response:
            assert response.status == 202
    while not (await reader.get(f"{server.url}/jobs?status=running"))[1]["jobs"]:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(kill, server)
    gate.touch()


async def live_and_die(server: Spawned, clients: Clients, reader: Reader, chance: random.Random, share: int) -> None:
    """share: so many jobs more may be sent to it."""
    below: list[int] = []
    if chance.randrange(EARLY) == 0:
        await asyncio.sleep(chance.uniform(0, START_S))
    else:
        assert await asyncio.to_thread(listening, server), server.log.read_text()[-3000:]
        below = server.descendants()
        clients.let(server.url, share)
        looking = asyncio.create_task(reader.look(server.url))
        await asyncio.sleep(chance.uniform(0, LIFE_S))
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
    await asyncio.to_thread(kill, server)
    await wait_until(lambda: not any(map(alive, below)))


@pytest.mark.slow
@pytest.mark.parametrize(("jobs", "kills"), [(200, 6), pytest.param(1000, 20, marks=pytest.mark.thorough)])
async def test_every_acknowledged_job_ends_once_however_often_the_server_is_killed(
    tmp_path: Path, jobs: int, kills: int
) -> None:
    seed = int(os.environ.get(SEED) or random.randrange(1 << 32))
    print(f"{SEED}={seed}")
    chance = random.Random(seed)
    clients, reader = Clients(deque(range(jobs))), Reader()
    with launched(tmp_path, SOURCE, **SETTINGS) as server:
        await die_at_work(server, reader, jobs + 1, tmp_path / "gate")
    sending = asyncio.create_task(clients.run(CONNECTIONS))
    for _ in range(kills - 1):
        with launched(tmp_path, SOURCE, **SETTINGS) as server:
            await live_and_die(server, clients, reader, chance, jobs // (kills - kills // EARLY))
    acknowledged_before = len(clients.acknowledged)
    with launched(tmp_path, SOURCE, **SETTINGS) as server:
        assert await asyncio.to_thread(listening, server), server.log.read_text()[-3000:]
        restarted = time.monotonic()
        clients.let(server.url, jobs)
        await asyncio.wait_for(sending, 60)
        rows = await reader.wait_final(server.url, 60)
        print(f"{acknowledged_before} of {jobs} acknowledged before the last kill, {len(rows)} jobs in all, ", end="")
        print(f"final after {time.monotonic() - restarted:.1f} s; most losses: {max(e['losses'] for e in rows)}")
        results = await reader.results(server.url, [row["id"] for row in rows])
        check_own_answers(clients, rows, results)
        assert clients.refused == []
        # The kills met jobs at work, or this test shows nothing.
        assert any(row["losses"] for row in rows)
        assert job_folders(server.home) <= {row["id"] for row in rows}
        assert len(job_folders(server.home)) >= jobs // WITH_FILE
        await asyncio.to_thread(kill, server)
    with launched(tmp_path, SOURCE, **SETTINGS) as server:
        assert await asyncio.to_thread(listening, server)
        assert await reader.look(server.url) == rows
        assert await reader.results(server.url, [row["id"] for row in rows]) == results
        assert len(list((server.home / "run").iterdir())) == 1


@pytest.mark.slow
async def test_what_killed_servers_leave_in_folders_goes_with_the_next_start(tmp_path: Path) -> None:
    """Files of a job that was never accepted, and of one that was being deleted."""
    with launched(tmp_path, SOURCE, **SETTINGS) as server:
        assert await asyncio.to_thread(listening, server)
        clients, reader = Clients(deque([0])), Reader()
        clients.let(server.url, 1)
        await clients.run(1)
        (row,) = await reader.wait_final(server.url, 30)
        await asyncio.to_thread(kill, server)
    kept, stray = tmp_path / "home" / "jobs" / row["id"], tmp_path / "home" / "jobs" / (row["id"][:14] + "f" * 18)
    stray.mkdir()
    (stray / "0-x").write_bytes(b"x" * 1000)
    with launched(tmp_path, SOURCE, **SETTINGS) as server:
        assert await asyncio.to_thread(listening, server)
        await wait_until(lambda: not stray.exists())
        assert [path.read_bytes() for path in kept.iterdir()] != []
