"""The one road: admission, the account of how calls end, and the drain."""

from __future__ import annotations

import asyncio
import time

import pytest

from modelport.contract.prediction import Call, Outcome
from modelport.errors import Cancelled, DeadlineExceeded, Overloaded
from tests.conftest import OpenHouse
from tests.house import SOON_S, House

SOURCE = """
import time
from marshmallow import fields
def get_predict_args(): return {"seconds": fields.Float(load_default=0.0)}
def predict(seconds):
    time.sleep(seconds)
    return "done"
"""


def call(house: House, seconds: float = 0.0, timeout_s: float | None = None) -> Call:
    scratch = house.server.predictions.scratch()
    return Call(scratch.id, arguments={"seconds": seconds}, scratch=str(scratch.path), timeout_s=timeout_s)


async def run(house: House, seconds: float = 0.0, timeout_s: float | None = None) -> Outcome:
    deployment = house.server.deployments.get("x")
    return await house.server.predictions.run(deployment, call(house, seconds, timeout_s))


def sample(house: House, name: str, **labels: str) -> float:
    return house.server.metrics.registry.get_sample_value(name, {"deployment": "x", **labels}) or 0.0


async def test_more_than_may_run_or_wait_are_refused_at_once(house: OpenHouse) -> None:
    opened = await house(SOURCE, workers=2, queue_limit=1)
    running = [asyncio.create_task(run(opened, 600)) for _ in range(3)]
    await opened.wait_running(2)
    await opened.wait_queued(1)
    assert opened.server.predictions.in_flight == 3
    with pytest.raises(Overloaded) as caught:
        await run(opened)
    assert caught.value.retry_after_s == 1.0
    for each in running:
        each.cancel()
    await asyncio.wait(running)
    assert opened.server.predictions.in_flight == 0
    assert (await run(opened)).body == b'"done"'
    assert sample(opened, "modelport_predictions_total", result="overloaded") == 1
    assert sample(opened, "modelport_predictions_total", result="cancelled") == 3
    assert sample(opened, "modelport_predictions_total", result="succeeded") == 1


async def test_the_servers_time_limit_holds_where_the_call_has_none(house: OpenHouse) -> None:
    opened = await house(SOURCE, predict_timeout_s=0.3)
    assert type((await run(opened, 600)).error) is DeadlineExceeded
    assert (await run(opened, 0.6, timeout_s=30)).error is None
    assert sample(opened, "modelport_predictions_total", result="deadline_exceeded") == 1


async def test_phases_are_measured(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    outcome = await run(opened, 0.1)
    assert 0.1 <= outcome.timings["predict"] < 1
    assert sample(opened, "modelport_phase_seconds_count", phase="predict") == 1
    assert sample(opened, "modelport_phase_seconds_sum", phase="predict") == pytest.approx(outcome.timings["predict"])


async def test_the_median_is_that_of_the_last_calls_with_all_that_they_took(house: OpenHouse) -> None:
    generator = SOURCE.replace('time.sleep(seconds)\n    return "done"', "yield 1\n    time.sleep(seconds)")
    opened = await house(generator)
    assert opened.server.metrics.median_s("x") is None
    assert opened.server.metrics.registry.get_sample_value("modelport_call_p50_seconds", {"deployment": "x"}) is None
    took = [sum((await run(opened, seconds)).timings.values()) for seconds in (0.11, 0.0, 0.3)]
    assert sorted(took)[1] > 0.11  # a generator works while its answer is encoded
    await run(opened, "refused")  # type: ignore[arg-type]
    assert opened.server.metrics.median_s("x") == sorted(took)[1]
    assert sample(opened, "modelport_call_p50_seconds") == sorted(took)[1]


async def test_drain_waits_for_what_runs_and_admits_nothing_more(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    running = asyncio.create_task(run(opened, 0.5))
    await opened.wait_running(1)
    drain = asyncio.create_task(opened.server.predictions.drain(30))
    await asyncio.sleep(0)
    with pytest.raises(Cancelled):
        await run(opened)
    await drain
    assert (await running).body == b'"done"'


async def test_drain_waits_for_answers_on_their_way(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    predictions = opened.server.predictions
    with predictions.answering():
        drain = asyncio.create_task(predictions.drain(30))
        done, _ = await asyncio.wait({drain}, timeout=0.05)
        assert not done
    await asyncio.wait_for(drain, SOON_S)


async def test_drain_waits_no_longer_than_the_grace(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    running = asyncio.create_task(run(opened, 600))
    await opened.wait_running(1)
    started = time.monotonic()
    await opened.server.predictions.drain(0.2)
    assert 0.2 <= time.monotonic() - started < 0.2 + SOON_S
    assert not running.done()
    await opened.server.stop(0)
    assert type((await running).error) is Cancelled
