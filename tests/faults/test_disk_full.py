"""A server whose disk is full says so, still predicts, and starts again."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from modelport.objectstore.disk import THREADS
from modelport.store import Store
from tests.conftest import OpenHouse
from tests.disks import fill, small_disk
from tests.house import PATIENCE_S, House, Spawned, spawned_house, wait_until

SOURCE = "def get_predict_args(): return {}\ndef predict(): return 1\n"
SIZE_BYTES = 24 << 20


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", SIZE_BYTES, request.param) as folder:
        yield folder


class Client:
    """Of one server, as its owner."""

    def __init__(self, server: Spawned, session: aiohttp.ClientSession) -> None:
        self._server = server
        self._session = session

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        token = json.loads((self._server.home / "server.json").read_text())["token"]
        headers = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}
        async with self._session.request(method, self._server.url + path, headers=headers, **options) as response:
            text = await response.text()
            return response.status, json.loads(text) if text.startswith(("{", "[")) else text

    async def predict(self) -> tuple[int, Any]:
        return await self.ask("POST", "/v2/models/x/predict/")

    async def submit(self) -> tuple[int, Any]:
        return await self.ask("POST", "/v2/models/x/predict/", headers={"Prefer": "respond-async"})

    async def upload(self) -> int:
        return (await self.ask("PUT", "/files/x/inputs/a", data=b"{}"))[0]

    async def deploy(self, name: str) -> int:
        module = str(self._server.log.parent / "plugins" / "plugin_0.py")
        return (await self.ask("POST", "/deployments", json={"name": name, "module": module}))[0]

    async def until_ready(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while (await self.ask("GET", "/ready"))[0] != 200:
                await asyncio.sleep(0.05)


async def test_what_is_refused_with_507_makes_ready_false_and_says_why(disk: Path, tmp_path: Path) -> None:
    with spawned_house(tmp_path, SOURCE, home=str(disk / "home")) as server:
        async with aiohttp.ClientSession() as session:
            client = Client(server, session)
            assert (await client.ask("GET", "/ready"))[0] == 200
            filler = fill(disk, leave_bytes=500_000)
            status, document = await client.ask("GET", "/ready")
            while status == 200:  # an answer may be a second old
                status, document = await client.ask("GET", "/ready")
            assert (status, document["ready"]) == (503, False)
            assert "the disk is full" in document["reason"] and "least_room_bytes" in document["reason"]
            assert [(await client.submit())[0], await client.upload(), await client.deploy("y")] == [507, 507, 507]
            assert await client.predict() == (200, {"status": "OK", "predictions": 1})
            assert (await client.ask("GET", "/health")) == (200, "Ok")
            filler.unlink()
            await client.until_ready()
            assert [(await client.submit())[0], await client.upload(), await client.deploy("y")] == [202, 201, 201]


@pytest.mark.slow
async def test_a_server_killed_on_a_full_disk_starts_again_as_often_as_need_be(disk: Path, tmp_path: Path) -> None:
    with spawned_house(tmp_path, SOURCE, home=str(disk / "home")) as server:
        async with aiohttp.ClientSession() as session:
            client = Client(server, session)
            assert (await client.submit())[0] == 202
            await client.deploy("y")
            await wait_until(lambda: list(server.home.glob("run/*/reserve")))
            filler = fill(disk)
            os.kill(server.pid, signal.SIGKILL)
            await server.wait()
    for _ in range(3):
        with spawned_house(tmp_path, SOURCE, home=str(disk / "home")) as server:
            async with aiohttp.ClientSession() as session:
                client = Client(server, session)
                assert await client.predict() == (200, {"status": "OK", "predictions": 1})
                assert (await client.ask("GET", "/ready"))[0] == 503
                assert len((await client.ask("GET", "/jobs"))[1]["jobs"]) == 1
                await wait_until(lambda: list(server.home.glob("run/*/reserve")))
                fill(disk)
            os.kill(server.pid, signal.SIGKILL)
            await server.wait()
    filler.unlink()
    with spawned_house(tmp_path, SOURCE, home=str(disk / "home")) as server:
        async with aiohttp.ClientSession() as session:
            client = Client(server, session)
            await client.until_ready()
            assert (await client.submit())[0] == 202


async def test_jobs_that_cannot_even_begin_are_read_and_go_on_when_there_is_room(tmp_path: Path) -> None:
    """The store does not take a byte more than it has: a new server cannot note that the jobs are its own now."""
    with spawned_house(tmp_path, SOURCE, buckets=False) as server:
        async with aiohttp.ClientSession() as session:
            client = Client(server, session)
            _, job = await client.submit()
            assert (await client.deploy("y")) == 201
        server.signal(signal.SIGKILL)
        await server.wait()
    largest = max(each.stat().st_size for each in server.home.glob("store.sqlite*"))

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))

    with spawned_house(tmp_path, SOURCE, buckets=False, limit=full) as server:
        async with aiohttp.ClientSession() as session:
            client = Client(server, session)
            assert await client.predict() == (200, {"status": "OK", "predictions": 1})
            assert [each["id"] for each in (await client.ask("GET", "/jobs"))[1]["jobs"]] == [job["id"]]
            for method, path in (("DELETE", ""), ("POST", "/cancel"), ("POST", "/run-again")):
                status, _ = await client.ask(method, f"/jobs/{job['id']}{path}")
                assert status == 507, (method, path)
            assert (await client.submit())[0] == 507
            status, document = await client.ask("GET", "/ready")
            assert (status, document["reason"]) == (503, "the store cannot be written: the disk is full, or fails")
            assert "jobs wait until there is room" in server.log.read_text()
            unlimited = resource.RLIM_INFINITY
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
            await client.until_ready()
            status, text = await client.submit()
            assert status == 202
            status, _ = await client.ask("DELETE", f"/jobs/{text['id']}")
            assert status in (200, 204)  # cancelled, or deleted where it had ended


async def test_a_store_that_hangs_makes_ready_false_and_nothing_else_waits(house: OpenHouse) -> None:
    opened = await house(SOURCE, ready_timeout_s=0.3)
    other = sqlite3.connect(opened.home / "store.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        answer = await _until(opened, 503)
        assert answer["reason"] == "the store does not answer within 0.3 s (ready_timeout_s)"
        assert (await opened.predict()).status == 200
    finally:
        other.execute("ROLLBACK")
        other.close()
    await _until(opened, 200)


async def test_an_object_store_that_hangs_makes_ready_false(house: OpenHouse) -> None:
    """As where its disk does: all its threads wait for it."""
    opened = await house(SOURCE, ready_timeout_s=0.3, s3_port=0)
    bucket_jobs = opened.gateway.bucket_jobs
    assert bucket_jobs is not None and bucket_jobs.tree is not None
    go_on = threading.Event()
    hanging = [asyncio.create_task(bucket_jobs.tree.in_thread(go_on.wait)) for _ in range(THREADS)]
    try:
        answer = await _until(opened, 503)
        assert answer["reason"] == "the object store does not answer within 0.3 s (ready_timeout_s)"
        assert (await opened.predict()).status == 200
    finally:
        go_on.set()
    await asyncio.gather(*hanging)
    await _until(opened, 200)


async def test_who_has_no_token_is_not_told_why_it_is_not_ready(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE, token="secret", least_room_bytes=1 << 60)
    answer = await opened.get("/ready")
    assert (answer.status, answer.json()) == (503, {"ready": False})
    answer = await opened.get("/ready", headers={"Authorization": "Bearer secret"})
    assert "least_room_bytes" in answer.json()["reason"]


async def _until(house: House, status: int) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        while (answer := await house.get("/ready")).status != status:
            await asyncio.sleep(0.05)
    return answer.json()


async def test_an_empty_store_file_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with await Store.open(tmp_path / "new.sqlite"):
        pass
    assert "empty" not in caplog.text
    (tmp_path / "cut.sqlite").touch()
    async with await Store.open(tmp_path / "cut.sqlite"):
        pass
    assert f"{tmp_path / 'cut.sqlite'} is an empty file: this server begins with nothing" in caplog.text
