"""Calls that run together: each is answered as if it were alone."""

from __future__ import annotations

import asyncio

import pytest

from tests.batches.conftest import OpenQueue
from tests.house import PATIENCE_S, Answer, wait_until


def told(answer: Answer) -> tuple[object, object]:
    """The value, and with how many it ran; "predict" where it ran by that."""
    assert answer.status == 200, answer.text
    result = answer.json()["result"]
    return result["value"], result["by"]


def lost(answer: Answer) -> bool:
    return answer.status == 500 and "the worker process ended during the call" in answer.json()["detail"]


async def test_what_waits_runs_together_and_no_more_than_the_plugin_takes(line: OpenQueue) -> None:
    opened = await line()
    answers = await opened.together(*["echo"] * 10)
    assert [told(answer) for answer in answers] == [(str(n), 4) for n in range(8)] + [("8", 2), ("9", 2)]
    alone = await opened.house.predict()
    assert (alone.json()["predictions"]["by"], alone.headers["Server-Timing"].split(", ")[0]) == (1, 'batch;desc="1"')


async def test_a_bad_call_fails_alone(line: OpenQueue) -> None:
    opened = await line(batch_size=8)
    good, refused, exception, cls, shapeless, last = await opened.together(
        "echo", "echo", "exception", "class", "object", "echo", number=1
    )
    assert (told(good), told(refused), told(last)) == (("0", 6), ("1", 6), ("5", 6))
    assert (exception.status, exception.json()["detail"][0]["msg"]) == (422, "not this one")
    assert (cls.status, shapeless.status) == (500, 500)
    assert "KeyError" in cls.text


async def test_arguments_that_are_refused_never_reach_the_batch(line: OpenQueue) -> None:
    opened = await line()
    held = await opened.hold()
    good = opened.start(value="good")
    await opened.house.wait_queued(1)
    bad = opened.start(number="many")
    await opened.house.wait_queued(2)
    opened.release()
    assert (await bad).status == 422
    assert (told(await good), told(await held)) == (("good", 1), ("held", 1))


@pytest.mark.parametrize("mode", ["raise", "short", "dict"])
async def test_a_batch_that_fails_is_run_by_predict_one_by_one(line: OpenQueue, mode: str) -> None:
    opened = await line()
    answers = await opened.together("echo", mode, "echo")
    assert [told(answer) for answer in answers] == [(str(n), "predict") for n in range(3)]
    # What a call is answered does not depend on which others came with it.
    assert told(await opened.start(mode, value="alone")) == ("alone", "predict")


async def test_of_a_batch_that_fails_the_bad_one_is_named(line: OpenQueue) -> None:
    opened = await line()
    first, bad, last = await opened.together("echo", "refuse", "echo")
    assert (told(first), told(last)) == (("0", "predict"), ("2", "predict"))
    assert bad.status == 422


async def test_a_lost_worker_is_told_to_each_call_of_its_batch_and_to_no_other(line: OpenQueue) -> None:
    opened = await line()
    answers = await opened.together("echo", "kill", "echo", "echo", "echo")
    assert all(lost(answer) for answer in answers[:4])
    assert told(answers[4]) == ("4", 1)


async def test_what_was_answered_before_the_worker_was_lost_is_kept(line: OpenQueue) -> None:
    opened = await line()
    first, bad, last = await opened.together("echo", "kill singly", "echo")
    assert told(first) == ("0", "predict")
    assert lost(bad) and lost(last)


async def test_a_client_that_leaves_costs_the_others_nothing(line: OpenQueue) -> None:
    opened = await line()
    held = await opened.hold()
    second = opened.gate.with_name("second")
    leaving, *staying = await opened.wait("wait", "echo", "echo", path=second)
    opened.release()
    await held
    await opened.house.wait_queued(0)
    leaving.cancel()
    await asyncio.wait({leaving})
    workers = opened.house.workers()
    second.touch()
    assert [told(await task) for task in staying] == [("1", 3), ("2", 3)]
    assert opened.house.workers() == workers


async def test_a_batch_that_nobody_waits_for_is_stopped(line: OpenQueue) -> None:
    opened = await line()
    held = await opened.hold()
    tasks = await opened.wait("wait", "wait", path=opened.gate.with_name("never"))
    workers = opened.house.workers()
    opened.release()
    await held
    await wait_until(opened.gate.with_name("never.awaited").exists)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await wait_until(lambda: opened.house.workers() and opened.house.workers() != workers)
    assert told(await opened.start(value="next")) == ("next", 1)


async def test_one_that_waits_can_leave(line: OpenQueue) -> None:
    opened = await line()
    held = await opened.hold()
    first, leaving, last = await opened.wait("echo", "echo", "echo")
    leaving.cancel()
    await opened.house.wait_queued(2)
    opened.release()
    assert (told(await held), told(await first), told(await last)) == (("held", 1), ("0", 2), ("2", 2))


async def test_a_time_limit_is_that_of_its_call(line: OpenQueue) -> None:
    opened = await line()
    held = await opened.hold()
    second = opened.gate.with_name("second")
    (patient,) = await opened.wait("wait", path=second)
    # The plain endpoint has no time limit of a call's own; the road has.
    deployment = opened.house.server.deployments.get("x")
    deployment.timeout_s = 0.5
    hurried = opened.start(value="hurried")
    await opened.house.wait_queued(2)
    opened.release()
    late = await asyncio.wait_for(hurried, PATIENCE_S)
    assert late.status == 504
    assert not patient.done()
    second.touch()
    assert (told(await patient), told(await held)) == (("0", 2), ("held", 1))


async def test_a_batch_whose_time_is_over_for_all_is_stopped(line: OpenQueue) -> None:
    opened = await line(predict_timeout_s=1)
    never = opened.gate.with_name("never")
    answers = await asyncio.gather(*(opened.start("wait", path=never) for _ in range(3)))
    assert [answer.status for answer in answers] == [504] * 3
    await wait_until(lambda: opened.house.server.predictions.in_flight == 0)
    assert told(await opened.start(value="next")) == ("next", 1)
