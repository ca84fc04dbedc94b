"""Jobs, while the server is killed just before a system call: at each step of accepting, beginning and ending one."""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter, deque
from pathlib import Path

import pytest

from tests.faults.jobs import SEED, SETTINGS, SOURCE, WITH_FILE, Clients, Reader, check_own_answers, job_folders, kill
from tests.house import Spawned, alive, launched, listening, wait_until, wait_until_now

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

CALLS = ("fdatasync", "pwrite64", "fsync")

# A server gets so many. The store syncs twice for a job, with some 12 writes; one with a file syncs that and its
# folders, some 4 times.
JOBS = 6
LIVES = {"fdatasync": 7, "pwrite64": 6, "fsync": 5}


def strace(output: Path | str, *options: str) -> list[str]:
    """-D: what is run stays our child. (With --seccomp-bpf it would be faster, but strace 6.1 injects nothing then.)"""
    return ["strace", "-D", "-f", "-o", str(output), *options]


def killing(call: str, number: int) -> list[str]:
    """The command that kills what it runs just before the `number`-th such call of any of its threads."""
    return strace("/dev/null", "-qq", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}")


def why_not() -> str:
    """Why strace is of no use here; empty where it is."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    syncs = [sys.executable, "-c", "import os, sys; os.fdatasync(os.open(sys.executable, os.O_RDONLY))"]
    run = subprocess.run([*killing("fdatasync", 1), *syncs], capture_output=True, text=True)
    return "" if run.returncode == -signal.SIGKILL else f"strace may not trace here: {run.stderr.strip()[:200]}"


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Counter[str]]:
    """The folder of a server that has been there before, and how many such calls a thread of its next one makes until
    it listens."""
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("begun")
    trace = folder / "trace"
    for command in ([], strace(trace, "-q", "-e", f"trace={','.join(CALLS)}")):
        with launched(folder, SOURCE, command=command, **SETTINGS) as server:
            assert listening(server), server.log.read_text()[-3000:]
            kill(server)
    wait_until_now(lambda: re.search(rf"^{server.pid} .*killed by SIGKILL", trace.read_text(), re.M))
    by_thread = Counter(re.findall(r"^(\d+) +(\w+)\(", trace.read_text(), re.M))
    most = Counter({call: max([0, *(by_thread[each] for each in by_thread if each[1] == call)]) for call in CALLS})
    print(f"until it listens: {dict(most)}")
    return folder, most


def points(call: str, at_start: int) -> list[int]:
    """One while it starts, the others while it has jobs."""
    seed = int(os.environ.get(SEED) or random.randrange(1 << 32))
    print(f"{SEED}={seed}")
    chance = random.Random(seed)
    some = chance.sample(range(1, 40), LIVES[call] - 1) if call == "pwrite64" else range(1, LIVES[call])
    return [chance.randint(1, max(1, at_start)), *(at_start + each for each in some)]


async def live(server: Spawned, clients: Clients) -> bool:
    """Whether the server died by itself, at its start or while it had jobs."""
    if not await asyncio.to_thread(listening, server):
        return True
    below = server.descendants()
    before = len(clients.acknowledged)
    clients.let(server.url, JOBS)
    await wait_until(lambda: server.process.poll() is not None or len(clients.acknowledged) >= before + JOBS)
    by_itself = True
    if server.process.poll() is None:
        waiting = asyncio.create_task(Reader().wait_final(server.url, 60))
        ended = asyncio.create_task(asyncio.to_thread(server.process.wait))
        await asyncio.wait({waiting, ended}, return_when=asyncio.FIRST_COMPLETED)
        by_itself = ended.done()
        await asyncio.to_thread(kill, server)
        await asyncio.gather(waiting, ended, return_exceptions=True)
    await wait_until(lambda: not any(map(alive, below)))
    return by_itself


@pytest.mark.parametrize("call", CALLS)
async def test_a_server_that_dies_at_any_step_loses_no_job_and_doubles_none(
    begun: tuple[Path, Counter[str]], tmp_path: Path, call: str
) -> None:
    shutil.copytree(begun[0], tmp_path, dirs_exist_ok=True)
    chosen = points(call, begun[1][call])
    # Where files are synced, each job has one.
    step = WITH_FILE if call == "fsync" else 1
    clients = Clients(deque(range(0, step * JOBS * len(chosen), step)))
    sending = asyncio.create_task(clients.run(2))
    died = []
    for each in chosen:
        with launched(tmp_path, SOURCE, command=killing(call, each), **SETTINGS) as server:
            if await live(server, clients):
                died.append(each)
            print(f"{call} {each}: {len(clients.acknowledged)} acknowledged so far")
    assert len(died) > len(chosen) // 2, f"of {chosen} only {died}"
    with launched(tmp_path, SOURCE, **SETTINGS) as server:
        assert await asyncio.to_thread(listening, server), server.log.read_text()[-3000:]
        clients.let(server.url, len(clients.numbers))
        await asyncio.wait_for(sending, 60)
        reader = Reader()
        rows = await reader.wait_final(server.url, 60)
        results = await reader.results(server.url, [row["id"] for row in rows])
        check_own_answers(clients, rows, results)
        assert clients.refused == []
        with_files = {row["id"] for row in rows if int(row["arguments"]["number"]) % WITH_FILE == 0}
        await wait_until(lambda: job_folders(server.home) == with_files)
