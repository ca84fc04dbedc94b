"""Trainings: accepted, waiting for their turn, ended, forgotten."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from modelport.errors import Cancelled, InvalidArguments, NotFound, Overloaded
from modelport.prediction import Call, Status
from modelport.trainings import Training
from tests.conftest import OpenHouse
from tests.house import House, wait_until

SOURCE = """
import os, time
import modelport
from marshmallow import fields
def get_train_args():
    return {"gate": fields.Str(load_default=""), "n": fields.Int(), "mode": fields.Str(load_default="")}
def train(gate, mode, **k):
    modelport.progress(0.5, "half way")
    while gate and not os.path.exists(gate):
        time.sleep(0.01)
    if mode == "fail":
        raise ValueError("diverged")
    if mode == "large":
        return "x" * 3_000_000
    if mode == "die":
        os._exit(3)
    return {"accuracy": 0.5}
"""


async def start(house: House, **arguments: Any) -> Training:
    scratch = house.server.predictions.scratch()
    scratch.make()
    call = Call(scratch.id, method="train", arguments=arguments, scratch=str(scratch.path))
    return await house.server.trainings.start(house.server.deployments.get("x"), call, scratch)


async def ended(training: Training) -> Training:
    await wait_until(lambda: training.status.final)
    return training


async def test_a_training_runs_tells_its_progress_and_succeeds(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE)
    gate = tmp_path / "gate"
    training = await start(opened, gate=str(gate), n="3")
    assert json.loads(training.arguments) == {"gate": str(gate), "n": 3, "mode": ""}
    await wait_until(lambda: training.fraction == 0.5)
    assert (training.status, training.message) == (Status.RUNNING, "half way")
    gate.touch()
    await ended(training)
    assert (training.status, training.error, training.finished is not None) == (Status.SUCCEEDED, None, True)
    assert training.result == b'{"accuracy": 0.5}'
    assert training.duration_s > 0
    await wait_until(lambda: opened.scratch() == [])


@pytest.mark.parametrize(("mode", "told"), [("fail", "ValueError: diverged"), ("die", "exit status 3")])
async def test_a_training_that_fails_says_why(house: OpenHouse, mode: str, told: str) -> None:
    opened = await house(SOURCE)
    training = await ended(await start(opened, mode=mode))
    assert training.status is Status.FAILED and training.error is not None
    assert told in training.error.message
    await wait_until(lambda: opened.scratch() == [])


async def test_a_large_result_is_kept_though_it_came_by_a_file(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    training = await ended(await start(opened, mode="large"))
    assert training.result == b'"' + b"x" * 3_000_000 + b'"'


async def test_refused_arguments_start_nothing_and_leave_nothing(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    with pytest.raises(InvalidArguments):
        await start(opened, n="x")
    assert opened.server.trainings.list("x") == []
    assert opened.scratch() == []


async def test_they_take_turns_in_order(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE, max_trainings=2)
    gate = tmp_path / "gate"
    three = [await start(opened, gate=str(gate)) for _ in range(3)]
    await wait_until(lambda: [each.status for each in three] == [Status.RUNNING, Status.RUNNING, Status.QUEUED])
    gate.touch()
    for each in three:
        assert (await ended(each)).status is Status.SUCCEEDED
    assert opened.server.trainings.list("x") == three


async def test_more_than_may_run_or_wait_are_refused(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE, queue_limit=1)
    gate = tmp_path / "gate"
    two = [await start(opened, gate=str(gate)) for _ in range(2)]
    with pytest.raises(Overloaded):
        await start(opened)
    gate.touch()
    for each in two:
        await ended(each)
    await start(opened)
    await wait_until(lambda: opened.scratch() == [])


async def test_cancelled_means_stopped_and_forgotten(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    running, waiting = await start(opened, gate="/never"), await start(opened, gate="/never")
    await wait_until(lambda: running.fraction == 0.5)
    for training in (waiting, running):
        assert await opened.server.trainings.cancel("x", training.uuid) is training
        assert training.status is Status.CANCELLED and isinstance(training.error, Cancelled)
        with pytest.raises(NotFound):
            opened.server.trainings.get("x", training.uuid)
    await wait_until(lambda: opened.scratch() == [])
    at_once = await start(opened, gate="/never")
    await opened.server.trainings.cancel("x", at_once.uuid)
    assert at_once.status is Status.CANCELLED
    await wait_until(lambda: opened.scratch() == [])


async def test_the_oldest_ended_ones_are_forgotten_but_none_that_runs(house: OpenHouse) -> None:
    opened = await house(SOURCE, kept_trainings=2, max_trainings=2)
    running = await start(opened, gate="/never")
    others = [await ended(await start(opened)) for _ in range(4)]
    assert opened.server.trainings.list("x") == [running, *others[-2:]]


async def test_stop_cancels_all_and_takes_no_more(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    both = [await start(opened, gate="/never") for _ in range(2)]
    await asyncio.wait_for(opened.server.trainings.stop(), 10)
    assert [each.status for each in both] == [Status.CANCELLED] * 2
    with pytest.raises(Cancelled):
        await start(opened)
