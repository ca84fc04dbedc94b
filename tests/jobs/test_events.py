"""News of jobs: in their order, to those whom they concern, and never at the cost of the server."""

from __future__ import annotations

import asyncio
import sys
import tracemalloc
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any

from modelport.contract.job import Event, Job
from modelport.contract.prediction import Status
from modelport.jobs import events
from modelport.jobs.events import Hub, Subscription
from modelport.jobs.values import VALUE_BYTES, KeptValues, Values
from tests.house import SOON_S
from tests.jobs.conftest import OpenDesk


def state(status: Status, job_id: str = "1") -> Event:
    return Event("state", job_id, "x", "", Job(job_id, "x", "predict", status, "test", 0.0))


def log(text: bytes = b"line") -> Event:
    return Event("log", "1", "x", "", text)


def everything(event: Event) -> bool:
    return True


async def read(subscription: Subscription) -> list[Event]:
    """What it holds, after its end."""
    subscription.end()
    return [each async for each in subscription]


async def test_the_life_of_a_job_is_told_in_order(desk: OpenDesk) -> None:
    opened = await desk()
    gate = opened.folder / "gate"
    blocker = await opened.submit(gate=str(gate))
    async with opened.jobs.events.subscribe(lambda event: event.job_id != blocker.id) as subscription:
        job = await opened.submit({"owner": "me"}, mode="half", text="x")
        gate.touch()
        heard: list[Event] = []
        async for event in subscription:
            heard.append(event)
            if event.kind == "state" and event.data.status.final:
                break
    assert {(each.job_id, each.deployment, each.owner) for each in heard} == {(job.id, "x", "me")}
    states = [each.data.status for each in heard if each.kind == "state"]
    assert states == [Status.QUEUED, Status.RUNNING, Status.SUCCEEDED]
    assert [each.kind for each in heard][:2] == ["state", "state"] and heard[-1].kind == "state"
    assert [each.data for each in heard if each.kind == "progress"] == [(0.5, "half way")]
    assert b"".join(each.data for each in heard if each.kind == "log") == b"mode half\n"
    assert heard[-1].data == await opened.jobs.get(job.id)


async def test_a_lost_attempt_and_a_cancelled_job_are_told(desk: OpenDesk) -> None:
    opened = await desk()

    async def states_of(act: Callable[[], Coroutine[Any, Any, Job]]) -> list[tuple[Status, int]]:
        async with opened.jobs.events.subscribe(lambda event: event.kind == "state") as subscription:
            found = []
            acting = asyncio.create_task(act())
            async for event in subscription:
                found.append((event.data.status, event.data.losses))
                if event.data.status.final:
                    break
            await acting
            return found

    trace = str(opened.folder / "trace")
    assert await states_of(lambda: opened.submit(mode="kill once", trace=trace)) == [
        (Status.RUNNING, 0),
        (Status.QUEUED, 1),
        (Status.RUNNING, 1),
        (Status.SUCCEEDED, 1),
    ]
    running = await opened.submit(gate="/never")
    waiting = await opened.submit()
    assert await states_of(lambda: opened.jobs.cancel(waiting.id)) == [(Status.CANCELLED, 0)]
    assert await states_of(lambda: opened.jobs.cancel(running.id)) == [(Status.CANCELLED, 0)]


async def test_events_go_to_those_who_want_them_from_when_they_listen() -> None:
    hub = Hub()
    assert not hub.heard
    hub.publish(log())
    async with hub.subscribe(everything) as all_of_it, hub.subscribe(lambda event: event.kind == "state") as states:
        assert hub.heard
        for each in (log(), state(Status.RUNNING)):
            hub.publish(each)
        assert [each.kind for each in await read(all_of_it)] == ["log", "state"]
        assert [each.kind for each in await read(states)] == ["state"]
    assert not hub.heard


async def test_a_slow_reader_loses_lines_first_then_states_and_never_an_end() -> None:
    hub = Hub()
    async with hub.subscribe(everything) as subscription:
        for number in range(3 * events.BEHIND_LIMIT):
            for each in (log(), state(Status.RUNNING, str(number)), state(Status.SUCCEEDED, str(number))):
                hub.publish(each)
        kept = await read(subscription)
    finals = [each.job_id for each in kept if each.data == state(Status.SUCCEEDED, each.job_id).data]
    assert finals == [str(number) for number in range(3 * events.BEHIND_LIMIT)]
    assert subscription.missed == 9 * events.BEHIND_LIMIT - len(kept) > 0
    assert len(kept) < 8 * events.BEHIND_LIMIT
    assert not subscription.lost


async def test_a_reader_that_sleeps_is_let_go() -> None:
    hub = Hub()
    async with hub.subscribe(everything) as subscription:
        for number in range(3 * events.LOST_LIMIT):
            hub.publish(state(Status.FAILED, str(number)))
        assert subscription.lost
        heard = [each.job_id async for each in subscription]
    assert heard[:100] == [str(number) for number in range(100)]
    assert len(heard) <= 2 * events.LOST_LIMIT


async def test_the_end_of_the_server_ends_the_listening() -> None:
    hub = Hub()
    async with hub.subscribe(everything) as subscription:
        hub.publish(state(Status.SUCCEEDED))
        listening = asyncio.create_task(_all(subscription))
        await asyncio.sleep(0)
        hub.close()
        assert len(await asyncio.wait_for(listening, SOON_S)) == 1
    async with hub.subscribe(everything) as late:
        assert await asyncio.wait_for(_all(late), SOON_S) == []


async def _all(subscription: Subscription) -> list[Event]:
    return [each async for each in subscription]


def test_dropping_values_takes_the_same_however_many_jobs_have_had_some() -> None:
    def steps(jobs: int) -> int:
        """Lines of code that a hundred more values take."""
        values = KeptValues(VALUE_BYTES + 1)
        for name in (*(f"job {number}" for number in range(jobs)), "the last"):
            values.add(name, 1, b"1")
        count = 0

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal count
            count += event == "line"
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        for _ in range(100):
            values.add("the last", 1, b"1")
        sys.settrace(before)
        return count

    assert steps(1000) <= 2 * steps(10)


def test_following_many_values_costs_no_more_than_the_news() -> None:
    values = Values(1)
    values.bodies.extend([b"1"] * 100_000)
    assert values.since(0) == [b"1"] * 100_000 and values.since(200_000) == []
    tracemalloc.start()
    try:
        assert values.since(99_998) == [b"1"] * 2
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()
