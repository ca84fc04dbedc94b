"""From the queue to an end: attempts, time limits, cancelling, files, and the right of way of synchronous calls."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import pytest

from modelport.contract.job import Job
from modelport.contract.prediction import Call, Status
from modelport.errors import (
    Cancelled,
    Conflict,
    DeadlineExceeded,
    InvalidArguments,
    LoadFailed,
    ModelFailed,
    NotFound,
    Overloaded,
    WorkerLost,
)
from modelport.intake.scratch import Scratch
from tests.house import PATIENCE_S, alive, wait_until
from tests.jobs.conftest import SOURCE, OpenDesk


async def test_a_job_is_accepted_runs_and_its_answer_and_log_are_kept(desk: OpenDesk) -> None:
    opened = await desk()
    before = time.time()
    job = await opened.submit({"owner": "me", "origin": {"key": "inputs/a"}}, text="hello")
    assert (job.deployment, job.method, job.source, job.owner, job.origin) == (
        *("x", "predict", "test", "me"),
        {"key": "inputs/a"},
    )
    assert job.arguments == {"text": "hello"}
    job = await opened.ended(job)
    assert (job.status, job.attempt, job.losses, job.error) == (Status.SUCCEEDED, 1, 0, None)
    assert job.started is not None and job.finished is not None
    assert before <= job.created <= job.started <= job.finished <= time.time()
    assert {"validate", "predict", "encode"} <= job.timings.keys()
    assert job.result is not None and (job.result.media_type, job.result.size_bytes) == ("application/json", 7)
    assert await opened.text(job) == '"hello"'
    assert await opened.jobs.log(job.id) == b"mode \n" and job.log_bytes == 6
    assert await opened.jobs.get(job.id) == job
    await wait_until(lambda: opened.house.scratch() == [])
    assert opened.folders() == []


async def test_jobs_of_a_deployment_run_in_the_order_in_which_they_came(desk: OpenDesk) -> None:
    opened = await desk(workers=2)
    gate = opened.folder / "gate"
    first = [await opened.submit(gate=str(gate)) for _ in range(2)]
    others = [await opened.submit(text=str(number)) for number in range(5)]
    for each in first:
        await opened.reach(each, Status.RUNNING)
    positions = [(await opened.jobs.get(each.id, position=True)).position for each in [*first, *others]]
    assert positions == [None, None, 0, 1, 2, 3, 4]
    assert opened.jobs.counts() == {"queued": {"x": 5}, "running": {"x": 2}}
    figures = (await opened.house.get("/metrics")).text
    assert 'modelport_jobs{deployment="x",status="queued"} 5.0' in figures
    assert 'modelport_jobs{deployment="x",status="running"} 2.0' in figures
    gate.touch()
    ended = [await opened.ended(each) for each in others]
    starts = [each.started or 0 for each in ended]
    assert starts == sorted(starts)
    await wait_until(lambda: opened.jobs.counts() == {"queued": {}, "running": {"x": 0}})


async def test_a_failing_model_is_asked_once(desk: OpenDesk) -> None:
    opened = await desk()
    trace = opened.folder / "trace"
    job = await opened.ended(await opened.submit(mode="fail", text="no idea", trace=str(trace)))
    assert (job.status, job.attempt, job.losses) == (Status.FAILED, 1, 0)
    assert isinstance(job.error, ModelFailed) and "no idea" in job.error.message
    assert (await opened.jobs.outcome(job)).log.startswith(b"mode fail\n")
    job = await opened.ended(await opened.submit(number="x"))
    assert isinstance(job.error, InvalidArguments) and list(job.error.fields) == ["number"]
    assert len(trace.read_text().split()) == 1


async def test_a_lost_worker_is_another_attempt(desk: OpenDesk) -> None:
    opened = await desk()
    job = await opened.ended(await opened.submit(mode="kill once", text="there", trace=str(opened.folder / "trace")))
    assert (job.status, job.attempt, job.losses) == (Status.SUCCEEDED, 2, 1)
    assert await opened.text(job) == '"there"'


async def test_a_poisonous_job_ends_after_three_workers_and_the_rest_goes_on(desk: OpenDesk) -> None:
    opened = await desk()
    trace = opened.folder / "trace"
    poison = await opened.submit(mode="kill", trace=str(trace))
    good = await opened.submit(text="good")
    job = await opened.ended(poison)
    assert (job.status, job.attempt, job.losses) == (Status.FAILED, 3, 3)
    assert isinstance(job.error, WorkerLost) and "SIGKILL" in job.error.message
    assert len(set(trace.read_text().split())) == 3
    assert await opened.text(good) == '"good"'
    assert await opened.jobs.log(job.id) == b"mode kill\n"


async def test_a_passed_time_limit_is_the_end_and_its_process_is_gone(desk: OpenDesk) -> None:
    opened = await desk()
    trace = opened.folder / "trace"
    call = opened.make_call(gate="/never", trace=str(trace))
    call.timeout_s = 0.3
    job, _ = await opened.take(call)
    ended = await opened.ended(job)
    assert (ended.status, ended.attempt, ended.timeout_s) == (Status.FAILED, 1, 0.3)
    assert isinstance(ended.error, DeadlineExceeded)
    assert not alive(int(trace.read_text()))


# Cancelling


async def test_one_that_waits_is_cancelled_and_never_runs(desk: OpenDesk) -> None:
    opened = await desk()
    gate, trace = opened.folder / "gate", opened.folder / "trace"
    running = await opened.submit(gate=str(gate))
    waiting = await opened.submit(trace=str(trace))
    job = await opened.jobs.cancel(waiting.id)
    assert (job.status, job.attempt) == (Status.CANCELLED, 0)
    assert isinstance(job.error, Cancelled) and job.finished is not None
    gate.touch()
    await opened.ended(running)
    assert await opened.text(await opened.submit(text="next")) == '"next"'
    assert not trace.exists()
    with pytest.raises(Conflict, match="has ended: it is cancelled"):
        await opened.jobs.cancel(waiting.id)
    with pytest.raises(NotFound):
        await opened.jobs.cancel("0" * 32)


async def test_one_that_runs_is_stopped_when_cancel_returns(desk: OpenDesk) -> None:
    opened = await desk()
    trace = opened.folder / "trace"
    job = await opened.submit(mode="family", gate="/never", trace=str(trace))
    process = await opened.begun(trace)
    ended = await opened.jobs.cancel(job.id)
    assert ended.status is Status.CANCELLED
    assert not alive(process)
    assert await opened.jobs.log(job.id) == b"mode family\n"
    assert await opened.text(await opened.submit(text="next")) == '"next"'
    assert (await opened.jobs.get(job.id)).finished == ended.finished
    await wait_until(lambda: opened.house.scratch() == [])


async def test_cancelling_at_any_moment_ends_every_job_once(desk: OpenDesk) -> None:
    opened = await desk(workers=2)
    jobs = [await opened.submit(text="x") for _ in range(40)]

    async def cancel(job: Job) -> bool:
        try:
            return (await opened.jobs.cancel(job.id)).status is Status.CANCELLED
        except Conflict:
            return False

    cancelled = await asyncio.gather(*(cancel(each) for each in jobs))
    ended = [await opened.ended(each) for each in jobs]
    assert [each.status is Status.CANCELLED for each in ended] == cancelled
    assert all(each.status in (Status.CANCELLED, Status.SUCCEEDED) for each in ended)
    await wait_until(lambda: opened.jobs.counts() == {"queued": {}, "running": {"x": 0}})


# What is seen meanwhile


async def test_progress_and_log_are_seen_while_it_runs(desk: OpenDesk) -> None:
    opened = await desk()
    gate = opened.folder / "gate"
    job = await opened.submit(mode="half", gate=str(gate))
    while (now := await opened.jobs.get(job.id)).fraction is None or not now.log_bytes:
        await asyncio.sleep(0.005)
    assert (now.status, now.fraction, now.message) == (Status.RUNNING, 0.5, "half way")
    assert await opened.jobs.log(job.id) == b"mode half\n"
    (listed,), _ = await opened.jobs.list(["x"])
    assert listed == now
    gate.touch()
    ended = await opened.ended(job)
    assert (ended.fraction, ended.message) == (0.5, "half way")


async def test_waiting_for_an_end_gives_up_in_time(desk: OpenDesk) -> None:
    opened = await desk()
    gate = opened.folder / "gate"
    job = await opened.submit(gate=str(gate))
    assert (await opened.jobs.wait(job.id, 0.05)).status is Status.RUNNING
    waiting = asyncio.create_task(opened.jobs.wait(job.id, 30))
    gate.touch()
    assert (await asyncio.wait_for(waiting, 10)).status is Status.SUCCEEDED
    with pytest.raises(NotFound):
        await opened.jobs.wait("0" * 32, 1)
    with pytest.raises(Conflict, match="has not ended"):
        await opened.jobs.outcome(await opened.submit(gate="/never"))


async def test_who_begins_to_wait_while_the_server_stops_is_told_what_has_become_of_the_job(desk: OpenDesk) -> None:
    opened = await desk()
    job = await opened.submit(gate="/never")
    await wait_until(lambda: opened.jobs.counts()["running"])
    opened.jobs.close()  # what runs may go on for a while
    waiting = asyncio.create_task(opened.jobs.wait(job.id, PATIENCE_S))
    await asyncio.sleep(0)
    await opened.jobs.stop()
    assert (await waiting).status is Status.QUEUED


# Files and answers


async def test_a_jobs_files_are_kept_for_every_attempt_whatever_a_model_does_to_them(desk: OpenDesk) -> None:
    opened = await desk()
    call = opened.make_call({"file": b"as it was sent"}, mode="spoil", trace=str(opened.folder / "trace"))
    job, _ = await opened.take(call)
    assert not os.path.exists(call.files[0].path)
    assert [(file.argument, file.name, file.content_type, file.filename) for file in job.files] == [
        ("file", "file", "text/plain", "file.txt")
    ]
    assert await opened.text(job) == '"as it was sent"'
    assert (await opened.jobs.get(job.id)).attempt == 2
    assert opened.folders() == [job.id]
    await wait_until(lambda: opened.house.scratch() == [])
    again = await opened.jobs.again(job.id)
    assert (await opened.text(again), again.files) == ('"as it was sent"', job.files)
    await opened.jobs.delete(job.id)
    assert opened.folders() == [again.id]
    assert await opened.text(await opened.jobs.again(again.id)) == '"as it was sent"'


@pytest.mark.parametrize(("mode", "media_type"), [("large", "application/json"), ("bytes", "application/octet-stream")])
async def test_a_large_answer_is_kept_in_a_file(desk: OpenDesk, mode: str, media_type: str) -> None:
    """From memory, and from a file of its own beyond inline_limit_bytes."""
    opened = await desk(job_inline_bytes=1000, inline_limit_bytes=50_000)
    for size, inline in ((900, True), (2000, False), (200_000, False)):
        call = opened.make_call(mode=mode, size=size, accept=media_type)
        call = Call(**{**vars(call), "accept": media_type})
        job = await opened.ended((await opened.take(call))[0])
        outcome = await opened.jobs.outcome(job)
        assert outcome.error is None and outcome.media_type == media_type
        body = outcome.body if outcome.path is None else Path(outcome.path).read_bytes()
        expected = json.dumps("x" * size).encode() if mode == "large" else b"\0" * size
        assert (body, outcome.path is None) == (expected, inline)
        assert job.result is not None and job.result.size_bytes == len(body)
        assert (job.id in opened.folders()) is not inline
    await opened.jobs.delete_ended("x", [Status.SUCCEEDED])
    assert opened.folders() == []
    await wait_until(lambda: opened.house.scratch() == [])


async def test_what_was_asked_for_besides_is_kept(desk: OpenDesk) -> None:
    opened = await desk()
    call = opened.make_call(mode="accept", accept="application/json")
    call = Call(**{**vars(call), "accept": "application/json", "text": True})
    outcome = await opened.outcome((await opened.take(call))[0])
    assert (outcome.body, outcome.text) == (b'"application/json"', "application/json")


async def test_a_source_makes_its_calls_when_their_turn_comes(desk: OpenDesk) -> None:
    opened = await desk()
    tries: list[str] = []

    async def prepare(job: Job, scratch: Scratch) -> Call:
        tries.append(job.id)
        if job.arguments.get("text") == "bad":
            raise InvalidArguments("the object cannot be read")
        if len(tries) == 1:
            raise OSError("the bucket does not answer")
        path = scratch.make() / "it"
        path.write_text("fetched")
        return Call(scratch.id, arguments={"text": path.read_text()}, scratch=scratch.folder)

    opened.jobs.prepare["far"] = prepare
    job = await opened.submit({"source": "far"}, text="")
    # What cannot be fetched now holds up nobody else, and costs no attempt's right to be lost.
    assert await opened.text(await opened.submit(text="near")) == '"near"'
    assert await opened.text(job) == '"fetched"'
    assert (await opened.jobs.get(job.id)).losses == 0
    bad = await opened.ended(await opened.submit({"source": "far"}, text="bad"))
    assert bad.status is Status.FAILED and isinstance(bad.error, InvalidArguments)


# Right of way


async def test_synchronous_calls_never_wait_behind_the_queue(desk: OpenDesk) -> None:
    """With one worker: the job that runs is waited for, those that wait are not."""
    opened = await desk()
    gate, trace, order = (opened.folder / each for each in ("gate", "trace", "order"))
    await opened.submit(gate=str(gate), trace=str(trace))
    await opened.begun(trace)
    jobs = [await opened.submit(text=str(number), order=str(order)) for number in range(20)]
    calls = [asyncio.create_task(opened.house.predict({"text": "sync", "order": str(order)})) for _ in range(3)]
    await opened.house.wait_queued(3)
    gate.touch()
    assert {each.status for each in await asyncio.gather(*calls)} == {200}
    for job in jobs:
        await opened.ended(job)
    assert order.read_text().split() == ["sync"] * 3 + [str(number) for number in range(20)]


async def test_jobs_take_only_the_workers_that_they_may(desk: OpenDesk) -> None:
    opened = await desk(workers=3, job_workers=1)
    gate, trace = opened.folder / "gate", opened.folder / "trace"
    jobs = [await opened.submit(gate=str(gate), trace=str(trace)) for _ in range(3)]
    await opened.begun(trace)
    answers = await asyncio.gather(*(opened.house.predict({"text": "sync"}) for _ in range(10)))
    assert {answer.status for answer in answers} == {200}
    assert len(trace.read_text().split()) == 1
    gate.touch()
    assert [(await opened.ended(job)).status for job in jobs] == [Status.SUCCEEDED] * 3


async def test_jobs_leave_the_workers_to_synchronous_calls(desk: OpenDesk) -> None:
    opened = await desk(workers=2)
    gate, other_gate = opened.folder / "gate", opened.folder / "other"
    calls = [asyncio.create_task(opened.house.predict({"gate": str(gate)})) for _ in range(2)]
    await opened.house.wait_running(2)
    job = await opened.submit(text="at last")
    waiting = asyncio.create_task(opened.house.predict({"gate": str(other_gate)}))
    await opened.house.wait_queued(1)
    assert (await opened.jobs.get(job.id)).status is Status.QUEUED
    other_gate.touch()
    gate.touch()
    assert {each.status for each in await asyncio.gather(*calls, waiting)} == {200}
    assert await opened.text(job) == '"at last"'


# Models that do not load


BROKEN = """
import os
from marshmallow import fields
if os.path.exists(os.environ["JOBS_BROKEN"]):
    raise ImportError("no such library")
def get_predict_args():
    return {}
def predict(**k):
    return "loaded"
"""


async def deploy(opened: object, source: str, **values: object) -> str:
    from modelport.store.deployments import DeploymentRow
    from tests.jobs.conftest import Desk

    assert isinstance(opened, Desk)
    file = opened.folder / "deployed.py"
    file.write_text(source)
    gateway = opened.house.server.gateway
    assert gateway is not None
    row = await gateway.services.deploy(DeploymentRow(name="deployed", module=str(file), **values))  # type: ignore[arg-type]
    return row.name


async def test_a_model_that_does_not_load_is_given_some_time(desk: OpenDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = await desk()
    broken = opened.folder / "broken"
    broken.touch()
    name = await deploy(opened, BROKEN, environment={"JOBS_BROKEN": str(broken)})
    job = await opened.submit({"name": name})
    while not (job := await opened.jobs.get(job.id)).losses:
        await asyncio.sleep(0.005)
    broken.unlink()
    ended = await opened.ended(job)
    assert (ended.status, ended.losses) == (Status.SUCCEEDED, 1)


@pytest.mark.slow
async def test_a_model_that_never_loads_fails_its_jobs(desk: OpenDesk) -> None:
    opened = await desk()
    name = await deploy(opened, "raise ImportError('never')")
    jobs = [await opened.submit({"name": name}) for _ in range(2)]
    for job in jobs:
        ended = await opened.ended(job)
        assert (ended.status, ended.losses) == (Status.FAILED, 3)
        assert isinstance(ended.error, LoadFailed) and "never" in ended.error.message


async def test_a_deployment_that_has_scaled_to_zero_wakes_for_a_job(desk: OpenDesk) -> None:
    opened = await desk()
    name = await deploy(opened, SOURCE, min_workers=0)
    assert await opened.text(await opened.submit({"name": name}, text="woken")) == '"woken"'


async def test_a_stopped_worker_hurts_only_its_own_job(desk: OpenDesk) -> None:
    """A worker that gives no sign any more: its job ends at its time limit, the other one goes on."""
    opened = await desk(workers=2)
    trace = opened.folder / "trace"
    call = opened.make_call(gate="/never", trace=str(trace))
    call.timeout_s = 1.0
    silent, _ = await opened.take(call)
    os.kill(await opened.begun(trace), signal.SIGSTOP)
    assert await opened.text(await opened.submit(text="other")) == '"other"'
    assert isinstance((await opened.ended(silent)).error, DeadlineExceeded)


async def test_a_queue_that_is_full_of_calls_costs_a_job_nothing(desk: OpenDesk) -> None:
    opened = await desk(queue_limit=0)
    gate = opened.folder / "gate"
    call = asyncio.create_task(opened.house.predict({"gate": str(gate)}))
    await opened.house.wait_running(1)
    job = await opened.submit(text="later")
    with pytest.raises(Overloaded):
        opened.house.server.predictions.check_room(opened.deployment())
    gate.touch()
    assert (await call).status == 200
    ended = await opened.ended(job)
    assert (ended.status, ended.losses, ended.attempt) == (Status.SUCCEEDED, 0, 1)
