"""Which plugins have batches, and how many calls are in one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from modelport.child.plugin import Plugin
from modelport.contract.card import Card
from modelport.deployments.deployments import DeploymentRow
from modelport.errors import InvalidArguments
from tests.batches.conftest import SOURCE, OpenQueue
from tests.batches.test_calls import told
from tests.conftest import OpenHouse
from tests.house import write_plugins

ECHO = """
from marshmallow import fields
def get_predict_args(): return {"mode": fields.Str(load_default=""), "value": fields.Str(load_default="")}
def predict(mode, value): return {"value": value, "by": "predict"}
"""


def card(**functions: Any) -> Card:
    return Plugin("x", SimpleNamespace(predict=lambda: 1, **functions)).describe()


def together(calls: Any) -> Any:
    return calls


def test_the_card_says_how_many_calls_a_plugin_takes_at_once() -> None:
    assert (card().batch_size, card().capabilities) == (0, ["predict"])
    assert (card(predict_batch=together).batch_size, card(predict_batch=together).capabilities) == (
        16,
        ["predict", "predict_batch"],
    )
    assert card(predict_batch=together, BATCH_SIZE=3).batch_size == 3


@pytest.mark.parametrize("size", [0, -1, "many", 2.5, True])
def test_a_size_that_is_none_is_told(size: object) -> None:
    described = card(predict_batch=together, BATCH_SIZE=size)
    assert described.batch_size == 16
    assert described.warnings == [f"BATCH_SIZE is {size!r}, which is not used; give a whole number, at least 1"]


@pytest.mark.parametrize(
    "function", [lambda: 1, lambda images: 1, lambda calls, more: 1, lambda *calls, **more: 1, dict]
)
def test_another_function_of_that_name_is_left_alone(function: Callable[..., Any]) -> None:
    described = card(predict_batch=function)
    assert (described.batch_size, described.capabilities) == (0, ["predict"])
    assert described.warnings == ["predict_batch() is not used: it must have one parameter, `calls`"]


def test_a_batch_needs_predict_beside_it() -> None:
    described = Plugin("x", SimpleNamespace(train=lambda: 1, predict_batch=together)).describe()
    assert (described.batch_size, described.capabilities) == (0, ["train"])


def test_arguments_that_a_batch_shares_are_arguments() -> None:
    described = card(predict_batch=together, BATCH_SAME=["model_name"])
    assert described.warnings == [
        "BATCH_SAME is ['model_name'], so no two calls run together; give a list of arguments' names"
    ]


async def test_calls_that_differ_in_what_a_batch_shares_do_not_meet(line: OpenQueue) -> None:
    opened = await line(SOURCE + "\nBATCH_SAME = ['number']\n")
    held = await opened.hold()
    tasks = []
    for place, number in enumerate((7, 8, 7, 8, 8)):
        tasks.append(opened.start(value=place, number=number))
        await opened.house.wait_queued(place + 1)
    opened.release()
    assert [told(await task) for task in tasks] == [("0", 2), ("1", 3), ("2", 2), ("3", 3), ("4", 3)]
    assert told(await held) == ("held", 1)


async def test_the_settings_decide(line: OpenQueue) -> None:
    opened = await line(batch_size=1)
    assert [told(answer) for answer in await opened.together("echo", "echo")] == [("0", "predict"), ("1", "predict")]


async def test_a_service_may_have_a_size_of_its_own(line: OpenQueue, tmp_path: Path) -> None:
    opened = await line(batch_size=1)
    (row,) = write_plugins(tmp_path / "own", SOURCE)
    services = opened.house.gateway.services
    own = DeploymentRow("own", row.module, min_workers=1, environment={"MODELPORT_BATCH_SIZE": "2"})
    await services.deploy(own)
    token = {"Authorization": f"Bearer {opened.house.server.deployments.get('own').token}"}
    assert told(await opened.house.post("/own", params={"value": "a"}, headers=token)) == ("a", 1)
    assert opened.house.server.deployments.get("own").batch_size == 2
    bad = replace(own, name="bad", environment={"MODELPORT_BATCH_SIZE": "two"})
    with pytest.raises(InvalidArguments, match="MODELPORT_BATCH_SIZE: 'two' is not a whole number"):
        await services.deploy(bad)


async def test_a_wait_gathers_calls_that_come_one_after_the_other(line: OpenQueue) -> None:
    opened = await line(batch_wait_s=600)
    tasks = [opened.start(value=place) for place in range(4)]
    assert sorted([told(await task) for task in tasks]) == [(str(place), 4) for place in range(4)]


async def test_a_wait_ends(line: OpenQueue) -> None:
    opened = await line(batch_wait_s=0.05)
    assert told(await opened.start(value="alone")) == ("alone", 1)


async def test_a_plugin_without_takes_the_usual_road(house: OpenHouse) -> None:
    opened = await house({"plain": ECHO, "batches": SOURCE})
    plain, batches = (opened.server.deployments.get(name) for name in ("plain", "batches"))
    assert type(plain.executor).__name__ == "LocalExecutor" and plain.can_stop
    assert not batches.can_stop and (plain.batch_size, batches.batch_size) == (1, 4)
