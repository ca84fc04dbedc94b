"""The outbox: what the end of a job makes due is done, whatever fails and whoever dies."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from modelport.contract.job import Job
from modelport.contract.prediction import Status
from modelport.errors import Overloaded
from modelport.jobs import deliveries
from modelport.jobs.deliveries import Deliveries, GiveUp, Later
from modelport.store import StoreFailed
from modelport.store.deliveries import list_deliveries
from tests.house import open_house, wait_until
from tests.jobs.conftest import SOURCE, Desk, OpenDesk


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "BACKOFF_FIRST_S", 0.01)


def outbox(opened: Desk) -> Deliveries:
    assert opened.house.server.deliveries is not None
    return opened.house.server.deliveries


async def none_pending(opened: Desk, job: Job) -> None:
    while await outbox(opened).pending(job.id):
        await asyncio.sleep(0.005)


async def test_every_end_is_delivered_once(desk: OpenDesk) -> None:
    opened = await desk()
    heard: list[tuple[str, Status]] = []

    async def deliver(job: Job) -> None:
        heard.append((job.id, job.status))

    outbox(opened).deliverers["test"] = deliver
    options = {"deliver": ["test"]}
    good, bad = await opened.submit(options, text="x"), await opened.submit(options, mode="fail")
    await opened.ended(bad)
    running, waiting = await opened.submit(options, gate="/never"), await opened.submit(options)
    await opened.submit(text="of no interest")
    for each in (waiting, running):
        await opened.jobs.cancel(each.id)
    for each in (good, bad, running, waiting):
        await none_pending(opened, each)
    assert sorted(heard) == sorted(
        [
            (good.id, Status.SUCCEEDED),
            (bad.id, Status.FAILED),
            (running.id, Status.CANCELLED),
            (waiting.id, Status.CANCELLED),
        ]
    )


async def test_what_is_done_while_the_outbox_is_read_is_not_done_again(
    desk: OpenDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "READ_AGAIN_S", 0.01)
    opened = await desk()
    store = opened.house.server.store
    assert store is not None
    heard: list[str] = []
    read, failures, has_read, go_on = store.read, [StoreFailed("no page")], asyncio.Event(), asyncio.Event()

    async def deliver(job: Job) -> None:
        heard.append(job.id)

    async def read_slowly(function: Any, *arguments: Any) -> Any:
        answer = await read(function, *arguments)
        if function is list_deliveries:
            if failures:
                raise failures.pop()
            has_read.set()
            await go_on.wait()
        return answer

    later = Deliveries(store, opened.jobs)
    later.deliverers["test"] = deliver
    job = await opened.ended(await opened.submit({"deliver": ["test"]}))
    monkeypatch.setattr(store, "write", held := Held(store.write))
    monkeypatch.setattr(store, "read", read_slowly)
    later.start()
    await has_read.wait()
    held.go_on.set()
    await none_pending(opened, job)
    go_on.set()
    await wait_until(lambda: not later.tasks._tasks)
    assert heard == [job.id]


class Held:
    """Writes that begin later."""

    def __init__(self, write: Any) -> None:
        self.go_on = asyncio.Event()
        self._write = write

    async def __call__(self, *arguments: Any) -> Any:
        await self.go_on.wait()
        return await self._write(*arguments)


@pytest.mark.parametrize("error", [Later("not now"), OSError("no route"), Overloaded("busy"), ValueError("a bug")])
async def test_what_fails_is_tried_again(desk: OpenDesk, error: Exception) -> None:
    opened = await desk()
    tries = 0

    async def deliver(job: Job) -> None:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise error

    outbox(opened).deliverers["test"] = deliver
    job = await opened.submit({"deliver": ["test"]})
    await opened.ended(job)
    await none_pending(opened, job)
    assert tries == 4


async def test_what_will_never_be_done_is_given_up(desk: OpenDesk) -> None:
    opened = await desk()
    tries = {"hopeless": 0, "limited": 0}

    async def hopeless(job: Job) -> None:
        tries["hopeless"] += 1
        raise GiveUp("nobody is there")

    async def limited(job: Job) -> None:
        tries["limited"] += 1
        raise Later("not now")

    outbox(opened).deliverers.update(hopeless=hopeless, limited=limited)
    outbox(opened).attempts_limit["limited"] = 3
    job = await opened.submit({"deliver": ["hopeless", "limited"]})
    await opened.ended(job)
    await none_pending(opened, job)
    assert tries == {"hopeless": 1, "limited": 3}


async def test_deliveries_and_their_failures_are_known_to_the_next_server(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"home": str(tmp_path / "home"), "start_method": "fork"}
    tries: list[str] = []
    done: list[str] = []

    async def fail(job: Job) -> None:
        tries.append(job.id)
        raise Later("not now")

    async def succeed(job: Job) -> None:
        done.append(job.id)

    async with open_house(tmp_path / "1", SOURCE, **settings) as house:
        opened = Desk(house, tmp_path)
        outbox(opened).deliverers["test"] = fail
        jobs = [await opened.submit({"deliver": ["test", "unknown"]}) for _ in range(3)]
        await wait_until(lambda: len(tries) >= 6)
        assert [await outbox(opened).pending(each.id) for each in jobs] == [["test", "unknown"]] * 3
    async with open_house(tmp_path / "1", SOURCE, **settings) as house:
        opened = Desk(house, tmp_path)
        outbox(opened).attempts_limit["test"] = 1
        outbox(opened).deliverers["test"] = fail
        outbox(opened).wake("test")
        await none_pending_of_kind(opened, jobs[0], "test")
        outbox(opened).deliverers["unknown"] = succeed
        outbox(opened).wake("unknown")
        for each in jobs:
            await none_pending(opened, each)
    assert sorted(done) == sorted(each.id for each in jobs)


async def none_pending_of_kind(opened: Desk, job: Job, kind: str) -> None:
    while kind in await outbox(opened).pending(job.id):
        await asyncio.sleep(0.005)


async def test_waking_a_kind_tries_it_now(desk: OpenDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "BACKOFF_FIRST_S", 600.0)
    opened = await desk()
    there = asyncio.Event()
    tries = 0

    async def deliver(job: Job) -> None:
        nonlocal tries
        tries += 1
        if not there.is_set():
            raise Later("the bucket has gone")

    outbox(opened).deliverers["test"] = deliver
    job = await opened.submit({"deliver": ["test"]})
    await wait_until(lambda: tries == 1)
    there.set()
    outbox(opened).wake("other")
    outbox(opened).wake("test")
    await none_pending(opened, job)
    assert tries == 2


async def test_a_few_are_tried_at_once_and_no_more(desk: OpenDesk) -> None:
    opened = await desk(workers=2)
    now = most = 0
    go_on = asyncio.Event()

    async def deliver(job: Job) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await go_on.wait()
        now -= 1

    outbox(opened).deliverers["test"] = deliver
    jobs = [await opened.submit({"deliver": ["test"]}) for _ in range(20)]
    for each in jobs:
        await opened.ended(each)
    await wait_until(lambda: now == deliveries.AT_ONCE)
    go_on.set()
    for each in jobs:
        await none_pending(opened, each)
    assert most == deliveries.AT_ONCE


async def test_a_deleted_jobs_delivery_is_not_made(desk: OpenDesk) -> None:
    opened = await desk()
    job = await opened.submit({"deliver": ["test"]})
    await opened.ended(job)
    await opened.jobs.delete(job.id)
    heard: list[str] = []

    async def deliver(job: Job) -> None:
        heard.append(job.id)

    outbox(opened).deliverers["test"] = deliver
    outbox(opened).wake("test")
    other = await opened.submit({"deliver": ["test"]})
    await opened.ended(other)
    await none_pending(opened, other)
    assert heard == [other.id]
