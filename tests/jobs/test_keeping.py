"""Over restarts, and how long jobs are kept."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from modelport.contract.job import Job
from modelport.contract.prediction import Call, InputFile, Status
from modelport.deployments.deployments import DeploymentRow
from modelport.errors import Cancelled, Conflict, Interrupted, InvalidArguments, LoadFailed, NotFound
from modelport.jobs import state
from modelport.server import Server
from modelport.settings import Settings
from modelport.store import Store
from modelport.store import file as store_file
from modelport.store.job_upkeep import forget_deployment
from modelport.store.values import get_value, set_value
from tests.house import alive, open_house, wait_until
from tests.jobs.conftest import SOURCE, Desk, OpenDesk


async def finish(opened: Desk, **arguments: Any) -> Job:
    return await opened.ended(await opened.submit(**arguments))


async def gone(opened: Desk, job: Job) -> None:
    """Until it is no more."""
    for _ in range(5000):
        try:
            await opened.jobs.get(job.id)
        except NotFound:
            return
        await asyncio.sleep(0.005)
    raise TimeoutError(f"{job} is still there")


# Restarts


async def test_a_store_that_is_locked_keeps_no_server_from_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_file, "BUSY_TIMEOUT_S", 0.1)
    async with open_house(tmp_path / "1", SOURCE, **home(tmp_path)) as house:
        await finish(Desk(house, tmp_path), text="x")
        processes = house.server.deployments.get("x").processes()
        other = sqlite3.connect(tmp_path / "home" / "store.sqlite")
        other.execute("BEGIN IMMEDIATE")
    other.close()
    assert processes and not any(map(alive, processes))


def home(tmp_path: Path, **settings: Any) -> dict[str, Any]:
    return {"home": str(tmp_path / "home"), "start_method": "fork", **settings}


async def test_a_server_that_stops_loses_no_job(tmp_path: Path) -> None:
    """What ran waits again, as if it had not begun; what waited, waits; what has ended is kept, with all it has."""
    gate, trace = tmp_path / "gate", tmp_path / "trace"
    async with open_house(tmp_path / "1", SOURCE, **home(tmp_path)) as house:
        opened = Desk(house, tmp_path)
        ended = await finish(opened, text="ended")
        running, _ = await opened.take(opened.make_call({"file": b"input"}, gate=str(gate), trace=str(trace)))
        waiting = [await opened.submit(text=str(each), order=str(tmp_path / "order")) for each in range(3)]
        process = await opened.begun(trace)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    gate.touch()
    async with open_house(tmp_path / "1", SOURCE, **home(tmp_path)) as house:
        opened = Desk(house, tmp_path)
        assert await opened.text(ended) == '"ended"' and await opened.jobs.log(ended.id) == b"mode \n"
        again = await opened.ended(running)
        assert (again.status, again.attempt, again.losses) == (Status.SUCCEEDED, 2, 0)
        for number, each in enumerate(waiting):
            assert await opened.text(each) == f'"{number}"'
        assert (tmp_path / "order").read_text().split() == ["0", "1", "2"]
        new = await opened.submit()
        assert new.id > max(each.id for each in [ended, running, *waiting])
        assert await opened.jobs.count(["x"]) == 6


async def test_what_ends_within_the_grace_has_ended(tmp_path: Path) -> None:
    gate, trace = tmp_path / "gate", tmp_path / "trace"
    async with open_house(tmp_path / "1", SOURCE, **home(tmp_path)) as house:
        opened = Desk(house, tmp_path)
        job = await opened.submit(gate=str(gate), trace=str(trace), text="just so")
        waiting = await opened.submit(text="later")
        await opened.begun(trace)
        stopping = asyncio.create_task(house.server.stop(20.0))
        with pytest.raises(Cancelled):
            while True:  # until it takes no more
                opened.jobs.check_room()
                await asyncio.sleep(0)
        gate.touch()
        await stopping
    async with open_house(tmp_path / "1", SOURCE, **home(tmp_path)) as house:
        opened = Desk(house, tmp_path)
        job = await opened.jobs.get(job.id)
        assert (job.status, job.attempt) == (Status.SUCCEEDED, 1)
        assert await opened.text(waiting) == '"later"'


async def test_a_training_that_a_stop_interrupts_is_not_run_again(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    async with open_house(tmp_path / "1", SOURCE, **home(tmp_path)) as house:
        opened = Desk(house, tmp_path)
        training, _ = await opened.take(opened.make_call(method="train", gate="/never", trace=str(trace)))
        waiting, _ = await opened.take(opened.make_call(method="train", text="trained"))
        await opened.begun(trace)
    async with open_house(tmp_path / "1", SOURCE, **home(tmp_path)) as house:
        opened = Desk(house, tmp_path)
        training = await opened.jobs.get(training.id)
        assert (training.status, training.attempt) == (Status.FAILED, 1)
        assert isinstance(training.error, Interrupted)
        assert await opened.text(waiting) == '"trained"'
        assert len(trace.read_text().split()) == 1


async def test_jobs_of_what_is_not_served_wait_for_it_for_a_while(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with open_house(tmp_path / "1", {"x": SOURCE, "y": SOURCE}, **home(tmp_path)) as house:
        opened = Desk(house, tmp_path)
        await opened.submit(gate=str(gate))
        await opened.submit({"name": "y"}, gate=str(gate))
        both = [await opened.submit({"name": name}, text=name) for name in "xy"]
    gate.touch()
    async with open_house(tmp_path / "2", {"x": SOURCE}, **home(tmp_path)) as house:
        opened = Desk(house, tmp_path)
        assert await opened.text(both[0]) == '"x"'
        assert (await opened.jobs.get(both[1].id)).status is Status.QUEUED
    async with open_house(tmp_path / "2", {"x": SOURCE}, **home(tmp_path, job_unserved_s=0.05)) as house:
        opened = Desk(house, tmp_path)
        ended = await opened.ended(both[1])
        assert ended.status is Status.FAILED and isinstance(ended.error, LoadFailed)
        assert ended.error.message == "y has not been served for 0.05 s"
        assert opened.jobs.counts()["queued"] == {}


async def test_a_server_that_died_while_it_undeployed_is_finished_by_the_next(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with open_house(tmp_path / "1", {"x": SOURCE, "y": SOURCE}, **home(tmp_path)) as house:
        opened = Desk(house, tmp_path)
        kept = await opened.submit({"name": "x"}, gate=str(gate))
        job, _ = await opened.take(opened.make_call({"file": b"x"}, gate=str(gate)), name="y")
        assert house.server.store is not None
        await house.server.store.write(forget_deployment, "y")
    async with open_house(tmp_path / "2", {"x": SOURCE}, **home(tmp_path)) as house:
        opened = Desk(house, tmp_path)
        with pytest.raises(NotFound):
            await opened.jobs.get(job.id)
        assert (await opened.jobs.get(kept.id)).status is not Status.FAILED
        assert opened.folders() == []


async def test_folders_of_no_job_are_swept_and_no_others(tmp_path: Path) -> None:
    async with open_house(tmp_path / "1", SOURCE, **home(tmp_path)) as house:
        opened = Desk(house, tmp_path)
        kept, _ = await opened.take(opened.make_call({"file": b"x"}))
        await opened.ended(kept)
    root = tmp_path / "home" / "jobs"
    orphan = f"{kept.id[:14]}{0:018x}"
    for name in (orphan, "not-ours", "f" * 32):
        (root / name).mkdir()
        (root / name / "file").touch()
    async with open_house(tmp_path / "1", SOURCE, **home(tmp_path)) as house:
        opened = Desk(house, tmp_path)
        await wait_until(lambda: orphan not in opened.folders())
        assert opened.folders() == sorted([kept.id, "not-ours", "f" * 32])


# How long


async def test_so_many_that_have_ended_are_kept(desk: OpenDesk) -> None:
    opened = await desk(kept_jobs=2)
    gate = opened.folder / "gate"
    jobs = [await finish(opened, text=str(number)) for number in range(5)]
    running = await opened.submit(gate=str(gate))
    await gone(opened, jobs[2])
    assert [(await opened.jobs.get(job.id)).status for job in jobs[3:]] == [Status.SUCCEEDED] * 2
    assert (await opened.jobs.get(running.id)).status is Status.RUNNING
    gate.touch()
    await gone(opened, jobs[3])
    assert await opened.jobs.count(["x"]) == 2


async def test_what_has_ended_is_kept_so_long(desk: OpenDesk) -> None:
    opened = await desk(job_kept_s=0.2)
    gate = opened.folder / "gate"
    job, _ = await opened.take(opened.make_call({"file": b"x"}))
    await opened.ended(job)
    held, _ = await opened.take(opened.make_call({"file": b"x"}, gate=str(gate)))
    await gone(opened, job)
    await wait_until(lambda: opened.folders() == [held.id])
    gate.touch()
    await gone(opened, held)
    await wait_until(lambda: opened.folders() == [])


async def test_what_is_to_be_delivered_is_kept_until_it_is(desk: OpenDesk) -> None:
    opened = await desk(kept_jobs=0)
    assert opened.house.server.deliveries is not None
    go_on = asyncio.Event()

    async def deliver(job: Job) -> None:
        await go_on.wait()

    opened.house.server.deliveries.deliverers["test"] = deliver
    job = await opened.submit({"deliver": ["test"]})
    await gone(opened, await opened.submit())  # it may be gone before anybody sees that it has ended
    assert (await opened.ended(job)).status is Status.SUCCEEDED
    go_on.set()
    await gone(opened, job)


async def test_setting_the_wall_clock_makes_no_job_old(tmp_path: Path) -> None:
    """Over a restart, a year that seems to have passed counts as a day; backwards counts as nothing."""
    settings = home(tmp_path, job_kept_s=3 * 86400.0)
    async with open_house(tmp_path / "1", SOURCE, **settings) as house:
        old = await finish(Desk(house, tmp_path))
        await house.gateway.jobs.stop()
    store_file = tmp_path / "home" / "store.sqlite"
    for passed_s, kept in ((365 * 86400.0, True), (-365 * 86400.0, True), (86400.0, True), (86400.0, False)):
        async with await Store.open(store_file) as store:
            kept_clock = await store.read(get_value, state.CLOCK)
            seconds, wall = json.loads(kept_clock or "")
            await store.write(set_value, state.CLOCK, f"[{seconds}, {wall - passed_s}]")
        async with open_house(tmp_path / "1", SOURCE, **settings) as house:
            opened = Desk(house, tmp_path)
            if kept:
                await finish(opened)
                assert (await opened.jobs.get(old.id)).status is Status.SUCCEEDED
            else:
                await gone(opened, old)


async def test_one_that_has_ended_is_deleted_and_one_that_has_not_is_not(desk: OpenDesk) -> None:
    opened = await desk()
    for content in (b"x", b""):
        job, _ = await opened.take(opened.make_call({"file": content}))
        await opened.ended(job)
        assert opened.folders() == [job.id]
        await opened.jobs.delete(job.id)
        assert opened.folders() == []
    with pytest.raises(NotFound):
        await opened.jobs.delete(job.id)
    running = await opened.submit(gate="/never")
    waiting = await opened.submit()
    for each in (running, waiting):
        with pytest.raises(Conflict, match="has not ended"):
            await opened.jobs.delete(each.id)


async def test_those_that_have_ended_so_are_deleted_together(desk: OpenDesk) -> None:
    opened = await desk({"x": SOURCE, "y": SOURCE})
    for owner in ("", "me"):
        for mode in ("", "fail"):
            await opened.ended(await opened.submit({"owner": owner}, mode=mode))
    await opened.ended(await opened.submit({"name": "y"}))
    waiting = [await opened.submit(gate="/never") for _ in range(2)]
    assert await opened.jobs.delete_ended("x", [Status.FAILED], "me") == 1
    assert await opened.jobs.delete_ended("x", [Status.FAILED, Status.QUEUED]) == 1
    assert await opened.jobs.delete_ended("x", [], "me") == 1
    assert await opened.jobs.delete_ended("x", []) == 1
    assert await opened.jobs.count(["x"]) == len(waiting)
    assert await opened.jobs.count(["y"]) == 1


async def test_pages_lead_through_all_jobs(desk: OpenDesk) -> None:
    opened = await desk()
    jobs = [await opened.submit(text=str(number)) for number in range(12)]
    found: list[str] = []
    before = ""
    while True:
        page, before = await opened.jobs.list(["x"], before=before, limit=5)
        found += [each.id for each in page]
        if not before:
            break
    assert found == [job.id for job in reversed(jobs)]
    assert (await opened.jobs.list(["x"], limit=12))[1] == ""
    with pytest.raises(InvalidArguments, match="not a position in a list"):
        await opened.jobs.list(["x"], before="nowhere")


async def test_a_server_without_a_store_of_its_own_has_jobs_too(tmp_path: Path) -> None:
    """As the commands that stand in for DEEPaaS's: they keep nothing."""
    (tmp_path / "plugin.py").write_text(SOURCE)
    settings = Settings(**home(tmp_path, listen_port=0))
    server = Server(settings, [DeploymentRow("x", str(tmp_path / "plugin.py"))], lasting=False, frontends=["deepaas"])
    try:
        await server.start(warm_first=True)
        assert server.gateway is not None
        jobs, scratch = server.gateway.jobs, server.predictions.scratch()
        (scratch.make() / "f").write_bytes(b"sent")
        files = [InputFile("file", str(scratch.path / "f"), "file")]
        call = Call(scratch.id, arguments={"mode": "spoil"}, files=files, scratch=scratch.folder)
        job, _ = await jobs.submit(server.deployments.get("x"), call, source="test")
        await jobs.wait(job.id, 30)
        assert not (tmp_path / "home" / "jobs").exists()
        assert not (tmp_path / "home" / "store.sqlite").exists()
    finally:
        await server.stop(0)
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["run"]


async def test_a_server_whose_model_does_not_load_costs_waiting_jobs_nothing(tmp_path: Path) -> None:
    """It ends, and may be started again and again until the mistake is found."""
    gate = tmp_path / "gate"
    async with open_house(tmp_path / "1", SOURCE, **home(tmp_path)) as house:
        opened = Desk(house, tmp_path)
        await opened.submit(gate=str(gate))
        job = await opened.submit(text="patient")
    for _ in range(4):
        with pytest.raises(LoadFailed):
            async with open_house(tmp_path / "2", "raise ImportError('oops')", **home(tmp_path)):
                pass
    gate.touch()
    async with open_house(tmp_path / "1", SOURCE, **home(tmp_path)) as house:
        opened = Desk(house, tmp_path)
        ended = await opened.ended(job)
        assert (ended.status, ended.attempt, ended.losses) == (Status.SUCCEEDED, 1, 0)


SLOW = """
import os, pathlib, time
from marshmallow import fields
here = pathlib.Path(__file__).parent
(here / "loading").touch()
while not (here / "gate").exists():
    time.sleep(0.005)
def get_predict_args():
    return {"gate": fields.Str(load_default=""), "text": fields.Str(load_default="")}
def predict(gate, text):
    while gate and not os.path.exists(gate):
        time.sleep(0.005)
    return text
"""


async def test_a_server_that_still_loads_stops_at_once_and_keeps_its_jobs(tmp_path: Path) -> None:
    plugins = tmp_path / "1" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "gate").touch()
    async with open_house(tmp_path / "1", SLOW, **home(tmp_path)) as house:
        opened = Desk(house, tmp_path)
        await opened.submit(gate="/never")
        job = await opened.submit(text="kept")
    for each in ("gate", "loading"):
        (plugins / each).unlink()
    server = Server(
        Settings(**home(tmp_path, listen_port=0, s3_port=0)), [DeploymentRow("x", str(plugins / "plugin_0.py"))]
    )
    await server.start()
    await wait_until((plugins / "loading").exists)
    assert server.gateway is not None
    new, _ = await server.gateway.jobs.submit(
        server.deployments.get("x"), Call("a", arguments={"text": "new"}), source="t"
    )
    assert new.status is Status.QUEUED
    await asyncio.wait_for(server.stop(0), 10)
    (plugins / "gate").touch()
    async with open_house(tmp_path / "1", SLOW, **home(tmp_path, workers=2)) as house:
        opened = Desk(house, tmp_path)
        assert [await opened.text(each) for each in (job, new)] == ['"kept"', '"new"']
