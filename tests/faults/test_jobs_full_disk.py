"""A full disk is an answer (promise 17), for jobs too: they are refused, those that are there are kept."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.faults.jobs import SETTINGS, SOURCE, Reader, content, job_folders
from tests.house import PATIENCE_S, Spawned, spawned_house, wait_until

pytestmark = pytest.mark.slow

# So much fits into any file of the server: not even the log of the store can grow.
FULL_BYTES = 100


@contextmanager
def full_disk(server: Spawned, limit_bytes: int = FULL_BYTES) -> Iterator[None]:
    """Meanwhile no file of the server may be larger: writing more fails as on a full disk (EFBIG)."""
    unlimited = resource.RLIM_INFINITY
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (limit_bytes, unlimited))
    try:
        yield
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))


class Asker:
    """Asks one server."""

    def __init__(self, server: Spawned, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        async with self.session.request(method, self.server.url + path, **options) as response:
            return response.status, await response.text()

    async def submit(self, number: int, *, file: bool = False, **query: Any) -> tuple[int, str]:
        form = aiohttp.FormData()
        if file:
            form.add_field("file", content(number), filename="f")
        path, headers = "/v2/models/x/predict/", {"Prefer": "respond-async"}
        return await self.ask("POST", path, params={"number": number, **query}, headers=headers, data=form)

    async def predict(self, number: int) -> tuple[int, Any]:
        status, text = await self.ask("POST", "/v2/models/x/predict/", params={"number": number})
        return status, json.loads(text)["predictions"] if status == 200 else text

    async def until(self, job_id: str, status: str) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            while (job := json.loads((await self.ask("GET", f"/jobs/{job_id}"))[1]))["status"] != status:
                await asyncio.sleep(0.02)
        return job


async def test_jobs_are_refused_while_there_is_no_room_and_those_that_run_are_kept(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with spawned_house(tmp_path, SOURCE, **SETTINGS) as server:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE_S)) as session:
            asker = Asker(server, session)
            status, text = await asker.submit(1, gate=str(gate))
            assert status == 202, text
            running = json.loads(text)["id"]
            await asker.until(running, "running")
            with full_disk(server):
                for file in (False, True):
                    status, text = await asker.submit(2, file=file)
                    assert status == 507, text
                gate.touch()
                # The answer is there and cannot be written: the job runs, for all that anybody can know.
                for number in range(5):
                    assert await asker.predict(number) == (200, {"number": number})
                assert (await asker.ask("GET", "/health"))[0] == 200
                status, text = await asker.ask("GET", f"/jobs/{running}")
                assert (status, json.loads(text)["status"]) == (200, "running")
                assert (await asker.submit(3))[0] == 507
            await asker.until(running, "succeeded")
            assert json.loads((await asker.ask("GET", f"/jobs/{running}/result"))[1]) == {"number": 1}
            status, text = await asker.submit(4, file=True)
            assert status == 202, text
            await asker.until(json.loads(text)["id"], "succeeded")
            rows = await Reader().listed(server.url)
            assert [int(row["arguments"]["number"]) for row in rows] == [4, 1]
            assert job_folders(server.home) == {rows[0]["id"]}
            assert list(server.home.glob("run/*/scratch/*")) == []
        assert server.process.poll() is None


async def test_a_result_too_large_for_the_disk_waits_for_room(tmp_path: Path) -> None:
    """The store has room, the file of the answer has not."""
    source = "def get_predict_args(): return {}\ndef predict(): return 'x' * 3_000_000\n"
    with spawned_house(tmp_path, source, inline_limit_bytes=64 << 20, **SETTINGS) as server:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE_S)) as session:
            asker = Asker(server, session)
            with full_disk(server, 1 << 20):
                _, text = await asker.submit(1)
                job_id = json.loads(text)["id"]
                status, answer = await asker.ask("POST", "/v2/models/x/predict/")
                assert (status, len(json.loads(answer)["predictions"])) == (200, 3_000_000)  # it needs no disk
                await wait_until(lambda: "its end cannot be written" in server.log.read_text())
                assert json.loads((await asker.ask("GET", f"/jobs/{job_id}"))[1])["status"] == "running"
            await asker.until(job_id, "succeeded")
            assert len((await asker.ask("GET", f"/jobs/{job_id}/result"))[1]) == 3_000_002


async def test_many_clients_on_a_full_disk_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with spawned_house(tmp_path, SOURCE, **SETTINGS) as server:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE_S)) as session:
            asker = Asker(server, session)
            clients: dict[int, str] = {}

            async def send(numbers: range) -> None:
                for number in numbers:
                    status, text = await asker.submit(number)
                    assert status in (202, 507), text
                    if status == 202:
                        clients[number] = json.loads(text)["id"]

            sending = asyncio.gather(*(send(range(first, 400, 8)) for first in range(8)))
            for _ in range(3):
                acknowledged = len(clients)
                with full_disk(server):
                    await asker.ask("GET", "/health")
                    await asyncio.sleep(0.1)
                while not sending.done() and len(clients) < acknowledged + 50:
                    await asyncio.sleep(0.01)
            await sending
            reader = Reader()
            rows = await reader.wait_final(server.url, 60)
            results = await reader.results(server.url, [row["id"] for row in rows])
            assert {number: results[job_id] for number, job_id in clients.items()} == {
                number: {"number": number} for number in clients
            }
            assert len(rows) == len(clients)
            assert all(row["attempt"] == 1 for row in rows)
            print(f"{len(clients)} of 400 accepted")
