"""What was acknowledged is there, whatever happened next."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelport.store import Store
from modelport.store.values import get_value

KILLS = 10


def run_until_killed(path: Path, prefix: str, acknowledgements: int, wait_s: float) -> list[str]:
    """Kill a writing process so long after so many acknowledgements. Returns all that it gave."""
    command = [sys.executable, "-m", "tests.store.scripts", "write_for_ever", str(path), prefix]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        lines = [server.stdout.readline() for _ in range(acknowledgements)]
        time.sleep(wait_s)
        server.kill()
        lines += server.stdout.readlines()
    return [line.decode().strip() for line in lines if line.endswith(b"\n")]


@pytest.mark.slow
async def test_acknowledged_writes_survive_sigkill_at_any_moment(path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    acknowledged: list[str] = []
    for kill in range(KILLS):
        # Up to some checkpoints (every 1,000 pages of the log), and up to the length of some commits later.
        some, wait_s = int(10 ** chance.uniform(0, 3.5)), chance.uniform(0, 0.003)
        acknowledged += await asyncio.to_thread(run_until_killed, path, str(kill), some, wait_s)
    async with await Store.open(path) as store:
        kept = await store.read(lambda connection: dict(connection.execute("SELECT name, value FROM kv")))
    assert len(acknowledged) >= KILLS
    assert not set(acknowledged) - kept.keys()
    # Nothing was done by halves, not even what was never acknowledged.
    assert all((f"{each}+" in kept) for each in kept if not each.endswith("+"))
    assert len(kept) % 2 == 0


@pytest.mark.slow
@pytest.mark.parametrize("limit", [100_000, 300_000, 5_000_000])
async def test_a_full_disk_is_an_answer_and_works_again_when_there_is_room(path: Path, limit: int) -> None:
    """Files of this process may not grow beyond the limit: the log hits it, or the database at a checkpoint."""
    command = [sys.executable, "-m", "tests.store.scripts", "fill", str(path), str(limit)]
    run = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60)
    acknowledged = run.stdout.decode().split("\n")[:-1]
    assert run.returncode == 0, run.stderr.decode()
    assert acknowledged[-2:] == ["full", "after"]
    acknowledged.remove("full")
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    async with await Store.open(path) as store:
        for name in acknowledged:
            assert await store.read(get_value, name) == "x" * 20_000
        # A failed group is wholly absent: all that is there was acknowledged.
        names = await store.read(lambda connection: connection.execute("SELECT name FROM kv").fetchall())
        assert {name for (name,) in names} == set(acknowledged)
