"""What the tests of jobs that must survive share: a plugin, clients that never give up, and what must hold."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.house import PATIENCE_S, Spawned

SOURCE = """
import hashlib, os, time
from marshmallow import fields
def get_predict_args():
    return {
        "number": fields.Int(load_default=0),
        "gate": fields.Str(load_default=""),
        "file": fields.Raw(metadata={"type": "file", "location": "form"}),
    }
def predict(number, gate, file=None):
    time.sleep(0.002)
    while gate and not os.path.exists(gate):
        time.sleep(0.01)
    found = {"number": number}
    if file is not None:
        with open(file.filename, "rb") as opened:
            found["sha"] = hashlib.sha256(opened.read()).hexdigest()
    return found
"""

# Where a server is killed on purpose, again and again, a job may be so unlucky as to be lost by more than three.
SETTINGS: dict[str, Any] = {"start_method": "fork", "job_attempts": 1000, "workers": 2, "buckets": False}

# To repeat a run: MODELPORT_TEST_SEED=<what it printed>.
SEED = "MODELPORT_TEST_SEED"

# A job with a file every so many.
WITH_FILE = 10


def content(number: int) -> bytes:
    """Of the file that comes with the job of this number, of some sizes around 10 KB."""
    return f"{number} ".encode() * (1000 + number)


def has_key(number: int) -> bool:
    """Half of the jobs are sent with an idempotency key: sent twice, they are one."""
    return number % 2 == 0


@dataclass
class Clients:
    """Several connections that send numbered jobs, each until it is acknowledged, to whichever server is there.

    acknowledged: the ids that were given for a number; more than one only where the server died before its answer.
    allowed: so many more may be begun.
    """

    numbers: deque[int]
    url: str = ""
    allowed: int = 0
    acknowledged: dict[int, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def let(self, url: str, more: int = 0) -> None:
        """A server is there; begin so many more jobs."""
        self.url = url
        self.allowed += more
        self.changed.set()
        self.changed = asyncio.Event()

    async def run(self, connections: int) -> None:
        """Until every number has been acknowledged."""
        await asyncio.gather(*(self._send_all() for _ in range(connections)))

    async def _send_all(self) -> None:
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(PATIENCE_S)) as session:
            while self.numbers:
                if not self.allowed:
                    await self.changed.wait()
                    continue
                self.allowed -= 1
                await self._send(session, self.numbers.popleft())

    async def _send(self, session: aiohttp.ClientSession, number: int) -> None:
        while number not in self.acknowledged:
            url, changed = self.url, self.changed
            try:
                await self._try(session, url, number)
            except (aiohttp.ClientError, TimeoutError, ConnectionError):
                if url == self.url:
                    await changed.wait()  # that server is dead; another will come

    async def _try(self, session: aiohttp.ClientSession, url: str, number: int) -> None:
        headers = {"Prefer": "respond-async"}
        if has_key(number):
            headers["Idempotency-Key"] = f"job-{number}"
        form = aiohttp.FormData()
        if number % WITH_FILE == 0:
            form.add_field("file", content(number), filename="f")
        path = f"{url}/v2/models/x/predict/"
        async with session.post(path, params={"number": number}, headers=headers, data=form) as response:
            text = await response.text()
            if response.status == 202:
                self.acknowledged[number] = json.loads(text)["id"]
            else:
                self.refused.append(f"{response.status} {text}")


class Reader:
    """Looks at the jobs of a server. final: the documents of those that have been seen in their final state."""

    def __init__(self) -> None:
        self.final: dict[str, Any] = {}

    async def get(self, url: str) -> tuple[int, Any]:
        timeout = aiohttp.ClientTimeout(PATIENCE_S)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            return response.status, await response.json(content_type=None)

    async def listed(self, url: str) -> list[Any]:
        """All jobs, the newest first."""
        found, path = [], "/jobs?limit=1000"
        while path:
            status, page = await self.get(url + path)
            assert status == 200, page
            found += page["jobs"]
            path = page["next"]
        return found

    async def look(self, url: str) -> list[Any]:
        """All jobs; what was final before is so still, and as it was."""
        rows = await self.listed(url)
        by_id = {row["id"]: row for row in rows}
        assert len(by_id) == len(rows), "a job is listed twice"
        for job_id, before in self.final.items():
            assert by_id.get(job_id) == before
        self.final.update((row["id"], row) for row in rows if row["finished"])
        return rows

    async def wait_final(self, url: str, within_s: float) -> list[Any]:
        """Until all jobs have ended."""
        async with asyncio.timeout(within_s):
            while True:
                status, page = await self.get(f"{url}/jobs?limit=1&status=queued,running")
                assert status == 200, page
                if not page["jobs"]:
                    return await self.look(url)
                await asyncio.sleep(0.05)

    async def results(self, url: str, ids: Iterable[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        waiting = deque(ids)

        async def fetch() -> None:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE_S)) as session:
                while waiting:
                    job_id = waiting.popleft()
                    async with session.get(f"{url}/jobs/{job_id}/result") as response:
                        assert response.status == 200, await response.text()
                        found[job_id] = await response.json()

        await asyncio.gather(*(fetch() for _ in range(8)))
        return found


def check_own_answers(clients: Clients, rows: list[Any], results: dict[str, Any]) -> None:
    """Each acknowledged job is there once and has its own answer, and so has each that was not acknowledged."""
    by_id = {each["id"]: each for each in rows}
    lost = {number: job_id for number, job_id in clients.acknowledged.items() if job_id not in by_id}
    assert not lost, f"{len(lost)} acknowledged jobs have gone: {lost}"
    numbers: dict[int, list[str]] = {}
    for row in rows:
        assert row["status"] == "succeeded", row
        number = int(row["arguments"]["number"])
        numbers.setdefault(number, []).append(row["id"])
        wanted: dict[str, Any] = {"number": number}
        if number % WITH_FILE == 0:
            wanted["sha"] = hashlib.sha256(content(number)).hexdigest()
        assert results[row["id"]] == wanted
    for number, job_id in clients.acknowledged.items():
        assert int(by_id[job_id]["arguments"]["number"]) == number
        assert len(numbers[number]) == 1 or not has_key(number), f"the key of {number} has made several jobs"


def kill(server: Spawned) -> None:
    server.signal(signal.SIGKILL)
    server.process.wait()


def job_folders(home: Path) -> set[str]:
    return {path.name for path in (home / "jobs").glob("*")}
