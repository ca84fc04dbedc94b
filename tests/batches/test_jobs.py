"""Jobs in batches: they take what room the calls leave whose clients wait, and a bad one does not take others along."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from modelport.contract.job import Job
from modelport.contract.prediction import Status
from modelport.errors import DeadlineExceeded, WorkerLost
from tests.batches.conftest import SOURCE
from tests.batches.test_calls import told
from tests.conftest import OpenHouse
from tests.house import wait_until
from tests.jobs.conftest import Desk


async def open_desk(house: OpenHouse, folder: Path, source: str = SOURCE, **settings: Any) -> Desk:
    return Desk(await house(source, workers=1, **settings), folder)


async def hold(desk: Desk) -> asyncio.Task[Any]:
    """A call at work until the file `gate` is there."""
    gate = {"mode": "wait", "path": str(desk.folder / "gate"), "value": "held"}
    held = asyncio.create_task(desk.house.post("/x", params=gate))
    await desk.house.wait_running(1)
    return held


async def answers(desk: Desk, jobs: list[Job]) -> list[Any]:
    return [json.loads(await desk.text(job)) for job in jobs]


async def test_jobs_run_together(house: OpenHouse, tmp_path: Path) -> None:
    desk = await open_desk(house, tmp_path)
    held = await hold(desk)
    jobs = [await desk.submit(value=number) for number in range(8)]
    (tmp_path / "gate").touch()
    results = await answers(desk, jobs)
    assert [result["value"] for result in results] == list(range(8))
    assert max(result["by"] for result in results) > 1
    assert told(await held) == ("held", 1)


async def test_clients_that_wait_go_first(house: OpenHouse, tmp_path: Path) -> None:
    desk = await open_desk(house, tmp_path)
    held = await hold(desk)
    jobs = [await desk.submit(value=number) for number in range(3)]
    # As many jobs have begun as there is room, and wait for the next batch.
    await desk.house.wait_queued(3)
    calls = []
    for number in range(3):
        calls.append(asyncio.create_task(desk.house.post("/x", params={"value": number})))
        await desk.house.wait_queued(4 + number)
    (tmp_path / "gate").touch()
    assert [told(await call) for call in calls] == [(str(number), 4) for number in range(3)]
    assert [result["by"] for result in await answers(desk, jobs)] == [4, 2, 2]
    await held


async def test_what_a_batch_prints_is_of_no_single_job(house: OpenHouse, tmp_path: Path) -> None:
    desk = await open_desk(house, tmp_path)
    printed, second = desk.deployment().printed, str(tmp_path / "second gate")
    for number in (2, 1):
        held = await hold(desk)
        jobs = [await desk.submit(mode="wait and print", path=second) for _ in range(number)]
        await desk.house.wait_queued(number)
        (tmp_path / "gate").touch()
        await held
        (tmp_path / "gate").unlink()
        # The first of the pieces has been heard when the second comes, which says nothing of the batch.
        await wait_until(lambda: printed.pieces()[-1].text.startswith(b"None"))
        Path(second).touch()
        await answers(desk, jobs)
        Path(second).unlink()
        await wait_until(lambda: printed.pieces()[-1].text == b"waited\n")
        assert printed.pieces()[-1].job == (jobs[0].id if number == 1 else "")


async def test_no_more_jobs_are_begun_than_there_is_room_for(house: OpenHouse, tmp_path: Path) -> None:
    desk = await open_desk(house, tmp_path)
    held = await hold(desk)
    jobs = [await desk.submit(value=number) for number in range(12)]
    await desk.house.wait_queued(3)
    assert [(await desk.jobs.get(job.id)).status for job in jobs[3:]] == [Status.QUEUED] * 9
    (tmp_path / "gate").touch()
    await answers(desk, jobs)
    await held


async def test_a_job_that_kills_its_worker_fails_alone(house: OpenHouse, tmp_path: Path) -> None:
    desk = await open_desk(house, tmp_path, job_attempts=3)
    held = await hold(desk)
    modes = ("echo", "kill", "echo", "echo")
    jobs = [await desk.submit(value=number, mode=mode) for number, mode in enumerate(modes)]
    await desk.house.wait_queued(3)
    (tmp_path / "gate").touch()
    ended = [await desk.ended(job) for job in jobs]
    assert [job.status for job in ended] == [Status.SUCCEEDED, Status.FAILED, Status.SUCCEEDED, Status.SUCCEEDED]
    assert type(ended[1].error) is WorkerLost and ended[1].losses == 3
    assert ended[0].losses == 1
    # After a lost worker a job has no others with it.
    assert json.loads(await desk.text(jobs[0])) == {"value": 0, "by": 1}
    await held


async def test_a_job_that_takes_all_the_time_fails_alone(house: OpenHouse, tmp_path: Path) -> None:
    desk = await open_desk(house, tmp_path, predict_timeout_s=1)
    held = await hold(desk)
    never = str(tmp_path / "never")
    modes = ("echo", "wait", "echo")
    jobs = [await desk.submit(value=number, mode=mode, path=never) for number, mode in enumerate(modes)]
    await desk.house.wait_queued(3)
    (tmp_path / "gate").touch()
    ended = [await desk.ended(job) for job in jobs]
    assert [job.status for job in ended] == [Status.SUCCEEDED, Status.FAILED, Status.SUCCEEDED]
    assert type(ended[1].error) is DeadlineExceeded
    await held


async def test_a_job_of_a_batch_can_be_cancelled(house: OpenHouse, tmp_path: Path) -> None:
    desk = await open_desk(house, tmp_path)
    held = await hold(desk)
    second = tmp_path / "second"
    jobs = [await desk.submit(value=number, mode="wait", path=str(second)) for number in range(2)]
    await desk.house.wait_queued(2)
    (tmp_path / "gate").touch()
    await held
    await desk.house.wait_queued(0)
    run = desk.jobs._queues.run_of(jobs[0].id)
    assert run is not None
    cancelling = asyncio.create_task(desk.jobs.cancel(jobs[0].id))
    await wait_until(lambda: run.stopped)
    second.touch()
    await cancelling
    assert (await desk.ended(jobs[0])).status is Status.CANCELLED
    assert json.loads(await desk.text(jobs[1])) == {"value": 1, "by": 2}
