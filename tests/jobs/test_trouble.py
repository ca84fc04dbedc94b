"""A full disk, a store that takes nothing, a server that is killed: no accepted job is lost."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import aiohttp
import pytest

from modelport.contract.prediction import Status
from modelport.errors import ModelportError, StorageFull
from modelport.jobs import attempt
from modelport.store import Store
from tests.house import Spawned, spawned_house, wait_until
from tests.jobs.conftest import SOURCE, Desk, OpenDesk

JOBS = 40


def pragma(connection: Connection, text: str) -> int:
    return int(connection.execute(f"PRAGMA {text}").fetchone()[0])


def store(opened: Desk) -> Store:
    assert opened.house.server.store is not None
    return opened.house.server.store


async def fill(opened: Desk) -> None:
    """From now on the store may not grow."""
    await store(opened).write(pragma, f"max_page_count={await store(opened).write(pragma, 'page_count')}")


async def make_room(opened: Desk) -> None:
    await store(opened).write(pragma, "max_page_count=1000000")


async def test_a_full_disk_refuses_jobs_and_keeps_what_it_has(desk: OpenDesk) -> None:
    opened = await desk()
    gate = opened.folder / "gate"
    running = await opened.submit(gate=str(gate))
    accepted = [await opened.submit(text=str(each)) for each in range(5)]
    await fill(opened)
    for size in (100_000, 50_000, 20_000, 10_000):
        with pytest.raises(StorageFull):
            await opened.take(opened.make_call({"file": b"x"}, text="x" * size))
    assert opened.folders() == []
    assert await opened.jobs.count(["x"]) == 6
    await make_room(opened)
    gate.touch()
    for number, each in enumerate(accepted):
        assert await opened.text(each) == f'"{number}"'
    assert (await opened.ended(running)).status is Status.SUCCEEDED
    assert await opened.text(await opened.submit(text="again")) == '"again"'


async def test_an_answer_that_finds_no_room_waits_for_it(desk: OpenDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "PAUSE_FIRST_S", 0.01)
    opened = await desk()
    gate, trace = opened.folder / "gate", opened.folder / "trace"
    job = await opened.submit(mode="large", size=60_000, gate=str(gate), trace=str(trace))
    waiting = await opened.submit(text="next")
    await opened.begun(trace)
    await fill(opened)
    gate.touch()
    run = opened.jobs._queues.run_of(job.id)
    assert run is not None
    await wait_until(lambda: run.unwritten is not None)
    assert (await opened.jobs.get(job.id)).status is Status.RUNNING
    with pytest.raises(StorageFull):
        await opened.jobs.cancel(job.id)
    answer = await opened.house.predict({"text": "sync"})
    assert answer.status == 200
    await make_room(opened)
    ended = await opened.ended(job)
    assert (ended.status, ended.attempt) == (Status.SUCCEEDED, 1)
    assert await opened.text(job) == f'"{"x" * 60_000}"'
    assert await opened.text(waiting) == '"next"'
    assert len(trace.read_text().split()) == 1


async def test_an_answer_file_that_finds_no_room_waits_for_it(desk: OpenDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "PAUSE_FIRST_S", 0.01)
    opened = await desk(job_inline_bytes=100, inline_limit_bytes=1000)
    root = opened.house.home / "jobs"
    root.touch()
    gate = opened.folder / "gate"
    jobs = [await opened.submit(mode="large", size=size, gate=str(gate)) for size in (500, 5000)]
    with pytest.raises(StorageFull):
        await opened.take(opened.make_call({"file": b"x"}))
    gate.touch()
    run = await wait_until(lambda: opened.jobs._queues.run_of(jobs[0].id))
    await wait_until(lambda: run.unwritten is not None)
    root.unlink()
    for job, size in zip(jobs, (500, 5000), strict=True):
        assert len(await opened.text(job)) == size + 2
    await wait_until(lambda: opened.house.scratch() == [])  # they go in a thread, and nobody waits for it


async def test_a_server_that_stops_while_its_store_is_full_stops(desk: OpenDesk) -> None:
    opened = await desk()
    gate, trace = opened.folder / "gate", opened.folder / "trace"
    job = await opened.submit(mode="large", size=60_000, gate=str(gate), trace=str(trace))
    await opened.begun(trace)
    await fill(opened)
    gate.touch()
    run = opened.jobs._queues.run_of(job.id)
    assert run is not None
    await wait_until(lambda: run.unwritten is not None)
    await asyncio.wait_for(opened.jobs.stop(), 10)


async def test_inputs_that_have_gone_fail_their_job(desk: OpenDesk) -> None:
    opened = await desk()
    gate = opened.folder / "gate"
    await opened.submit(gate=str(gate))
    job, _ = await opened.take(opened.make_call({"file": b"x"}))
    (opened.house.home / "jobs" / job.id / job.files[0].stored).unlink()
    gate.touch()
    ended = await opened.ended(job)
    assert ended.status is Status.FAILED and isinstance(ended.error, ModelportError)
    assert ended.error.message == "a file that came with the job has gone"
    with pytest.raises(ModelportError, match="have gone"):
        await opened.jobs.again(job.id)
    assert opened.folders() == [job.id]


# Killed


async def send(server: Spawned, session: aiohttp.ClientSession, **arguments: Any) -> str:
    """The path of the job, once it has been accepted."""
    url = f"http://127.0.0.1:{server.port}/v2/models/x/predict/"
    form = aiohttp.FormData()
    form.add_field("file", b"content", filename="f")
    async with session.post(url, params=arguments, data=form, headers={"Prefer": "respond-async"}) as response:
        assert response.status == 202, await response.text()
        return response.headers["Location"]


@pytest.mark.thorough
@pytest.mark.slow
async def test_every_accepted_job_ends_though_the_server_is_killed(tmp_path: Path) -> None:
    accepted: list[str] = []
    order = tmp_path / "order"

    async def keep_sending(server: Spawned, session: aiohttp.ClientSession) -> None:
        try:
            while len(accepted) < JOBS:
                accepted.append(await send(server, session, text=str(len(accepted)), order=str(order)))
        except aiohttp.ClientError:
            pass  # it was killed

    async with aiohttp.ClientSession() as session:
        for kill in (JOBS // 4, JOBS // 2):
            with spawned_house(tmp_path, SOURCE, start_method="fork", workers=2) as server:
                sending = [asyncio.create_task(keep_sending(server, session)) for _ in range(4)]
                while len(accepted) < kill:
                    await asyncio.sleep(0)
                os.kill(server.pid, signal.SIGKILL)
                await asyncio.gather(*sending)
        with spawned_house(tmp_path, SOURCE, start_method="fork", workers=2) as server:
            await asyncio.gather(*(keep_sending(server, session) for _ in range(4)))
            for each in accepted:
                url = f"http://127.0.0.1:{server.port}{each}"
                while True:
                    async with session.get(url) as response:
                        job = await response.json()
                    if job["status"] not in ("queued", "running"):
                        break
                assert job["status"] == "succeeded", job
        folders = [path.name for path in (server.home / "jobs").iterdir()]
        assert {each.rpartition("/")[2] for each in accepted} <= set(folders)
        print(f"{len(accepted)} accepted, {len(order.read_text().split())} runs, {len(folders)} kept")
