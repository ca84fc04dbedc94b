"""Accepting: keys, limits, and clients who leave."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from modelport.contract.job import Job
from modelport.contract.prediction import Call, InputFile, Status
from modelport.errors import Cancelled, Conflict, InvalidArguments, NotFound, Overloaded, StorageFull
from modelport.store.deployments import DeploymentRow
from tests.house import wait_until
from tests.jobs.conftest import SOURCE, Desk, OpenDesk

# Keys


async def test_the_same_key_and_content_is_the_same_job(desk: OpenDesk) -> None:
    opened = await desk()

    async def ask(content: bytes = b"a", **arguments: Any) -> tuple[Job, bool]:
        return await opened.take(opened.make_call({"file": content}, **arguments), key="k", owner="me")

    first, new = await ask(text="x", number=1)
    assert new
    again, new = await ask(number=1, text="x")  # the order of arguments says nothing
    assert (again.id, new) == (first.id, False)
    for other in ({"content": b"b", "text": "x", "number": 1}, {"text": "y", "number": 1}, {"text": "x"}):
        with pytest.raises(Conflict, match="key has been used with another request"):
            await ask(**other)
    assert (await opened.take(opened.make_call(text="z"), key="k", owner="you"))[1]
    assert (await opened.take(opened.make_call(text="z"), key="", owner="me"))[1]
    await opened.ended(first)
    assert (await ask(number=1, text="x"))[0].status is Status.SUCCEEDED
    await wait_until(lambda: opened.folders() == [first.id])


async def test_requests_with_one_key_at_one_moment_are_one_job(desk: OpenDesk) -> None:
    opened = await desk()
    trace = opened.folder / "trace"
    taken = await asyncio.gather(
        *(opened.take(opened.make_call({"file": b"a"}, trace=str(trace)), key="k") for _ in range(20))
    )
    assert len({job.id for job, _ in taken}) == 1
    assert sum(new for _, new in taken) == 1
    await opened.ended(taken[0][0])
    assert len(trace.read_text().split()) == 1
    assert await opened.jobs.count(["x"]) == 1
    await wait_until(lambda: opened.folders() == [taken[0][0].id])


# Limits


async def test_more_than_may_wait_are_refused(desk: OpenDesk) -> None:
    opened = await desk(job_limit=2)
    gate = opened.folder / "gate"
    jobs = [await opened.submit(gate=str(gate)) for _ in range(3)]
    for refused in (opened.jobs.check_room, lambda: None):
        with pytest.raises(Overloaded, match=r"2 jobs are waiting, which is the limit \(job_limit\)") as refusal:
            refused()
            await opened.submit({}, text="x")
        assert refusal.value.retry_after_s
    gate.touch()
    for job in jobs:
        await opened.ended(job)
    await opened.ended(await opened.submit())


@pytest.mark.parametrize("files", [{}, {"file": b"x" * 4000}], ids=["without files", "with files"])
async def test_of_many_that_come_at_once_no_more_wait_than_may(desk: OpenDesk, files: dict[str, bytes]) -> None:
    opened = await desk(job_limit=2)
    gate = opened.folder / "gate"
    held = await opened.submit(gate=str(gate))
    calls = [opened.make_call(files, text=str(number)) for number in range(10)]
    taken = await asyncio.gather(*map(opened.take, calls), return_exceptions=True)
    jobs = [answer[0] for answer in taken if not isinstance(answer, BaseException)]
    assert len(jobs) == 2
    assert sum(isinstance(answer, Overloaded) for answer in taken) == 8
    assert len(opened.folders()) == (2 if files else 0)
    gate.touch()
    for job in (held, *jobs):
        await opened.ended(job)


async def test_files_beyond_the_room_for_jobs_are_refused_once_the_oldest_have_gone(desk: OpenDesk) -> None:
    opened = await desk(job_bytes=10_000)
    ended = [await opened.take(opened.make_call({"file": b"x" * 4000})) for _ in range(2)]
    for job, _ in ended:
        await opened.ended(job)
    gate = opened.folder / "gate"
    held = [await opened.take(opened.make_call({"file": b"x" * 4000}, gate=str(gate))) for _ in range(2)]
    assert opened.folders() == [job.id for job, _ in held]
    with pytest.raises(StorageFull, match="10000 bytes, and do"):
        await opened.take(opened.make_call({"file": b"x" * 4000}))
    assert opened.folders() == [job.id for job, _ in held]
    await opened.submit(text="without files")
    gate.touch()
    for job, _ in held:
        await opened.ended(job)
    await opened.take(opened.make_call({"file": b"x" * 4000}))


async def test_large_answers_make_the_oldest_go(desk: OpenDesk) -> None:
    opened = await desk(job_bytes=10_000, job_inline_bytes=1000)
    for _ in range(5):
        last = await opened.ended(await opened.submit(mode="large", size=4000))
    await wait_until(lambda: len(opened.folders()) == 2)
    assert last.id in opened.folders()
    assert await opened.jobs.count(["x"]) == 2


# Who leaves


async def test_a_client_that_leaves_meanwhile_leaves_a_whole_job_or_none(desk: OpenDesk) -> None:
    """Cancelled after each of the first turns of the event loop: before, while and after it is written."""
    opened = await desk(workers=2)
    for turns in range(25):
        call = opened.make_call({"file": b"x"} if turns % 2 else None, text=str(turns))
        submitting = asyncio.create_task(opened.take(call))
        for _ in range(turns):
            await asyncio.sleep(0)
        submitting.cancel()
        await asyncio.wait({submitting})
    jobs, _ = await opened.jobs.list(["x"], limit=100)
    await wait_until(lambda: opened.jobs.counts() == {"queued": {}, "running": {"x": 0}})
    jobs, _ = await opened.jobs.list(["x"], limit=100)
    assert {job.status for job in jobs} <= {Status.SUCCEEDED}
    await wait_until(lambda: opened.folders() == sorted(job.id for job in jobs if job.files))
    assert await opened.text(await opened.submit(text="next")) == '"next"'
    await wait_until(lambda: opened.house.scratch() == [])


async def test_a_job_that_the_store_has_as_running_is_counted_as_running(desk: OpenDesk, tmp_path: Path) -> None:
    """Asked at each turn of the event loop, of a connection of our own: nothing is between the two."""
    opened = await desk()
    gate = tmp_path / "gate"
    path = opened.house.home / "store.sqlite"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        submitting = asyncio.create_task(opened.submit(gate=str(gate)))
        written = 0
        while not submitting.done() or not written:
            [[written]] = store.execute("SELECT count(*) FROM jobs WHERE status = 'running'")
            assert opened.jobs.counts()["running"].get("x", 0) >= written
            await asyncio.sleep(0)
    gate.touch()
    await opened.ended(submitting.result())


async def test_a_stopping_server_takes_no_job(desk: OpenDesk) -> None:
    opened = await desk()
    opened.jobs.close()
    with pytest.raises(Cancelled, match="stopping"):
        await opened.submit()


# What is sent


async def test_odd_names_and_text_are_taken(desk: OpenDesk) -> None:
    opened = await desk()
    call = opened.make_call({"file": b"x"}, text="\udcff\0é\u2028")
    call.files[0] = dataclasses.replace(call.files[0], filename="../../\udcff/..\0")
    job, _ = await opened.take(call)
    kept = await opened.jobs.get(job.id)
    assert (kept.files[0].filename, kept.arguments) == ("../../\udcff/..\0", {"text": "\udcff\0é\u2028"})
    assert (await opened.ended(job)).status is Status.SUCCEEDED
    with pytest.raises(InvalidArguments, match="not valid text"):
        await opened.submit({"owner": "\udcff"})


async def test_files_of_one_name_and_files_elsewhere_are_told_apart(desk: OpenDesk, tmp_path: Path) -> None:
    """Two arguments may share a file; one that does not lie in the call's folder is copied, and stays."""
    opened = await desk()
    call = opened.make_call({"file": b"one"}, mode="spoil", trace="")
    elsewhere = tmp_path / "file.in"
    elsewhere.write_bytes(b"two")
    shared = InputFile("other", call.files[0].path, "other")
    call.files.extend([InputFile("third", str(elsewhere), "third"), shared])
    gate = tmp_path / "gate"
    call.arguments["gate"] = str(gate)
    job, _ = await opened.take(call)
    assert [file.stored for file in job.files] == ["0-file.in", "1-file.in", "0-file.in"]
    assert elsewhere.read_bytes() == b"two"
    (folder,) = opened.folders()
    stored = {path.name: path.read_bytes() for path in (opened.house.home / "jobs" / folder).iterdir()}
    assert stored == {"0-file.in": b"one", "1-file.in": b"two"}


async def test_a_link_in_a_calls_folder_is_no_way_to_move_other_files(desk: OpenDesk, tmp_path: Path) -> None:
    opened = await desk()
    secret = tmp_path / "secret"
    secret.write_text("s")
    call = opened.make_call({"file": b""})
    os.unlink(call.files[0].path)
    os.symlink(secret, call.files[0].path)
    job, _ = await opened.take(call)
    assert secret.read_text() == "s"
    assert not (opened.house.home / "jobs" / job.id / job.files[0].stored).is_symlink()


# Undeployed


async def deploy(opened: Desk, **values: Any) -> str:
    file = opened.folder / "deployed.py"
    file.write_text(SOURCE)
    row = await opened.house.gateway.services.deploy(DeploymentRow(name="deployed", module=str(file), **values))
    return row.name


async def test_what_is_undeployed_takes_its_jobs_with_it(desk: OpenDesk) -> None:
    opened = await desk()
    name = await deploy(opened)
    trace = opened.folder / "trace"
    kept, _ = await opened.take(opened.make_call({"file": b"x"}))
    ended = await opened.ended((await opened.take(opened.make_call({"file": b"x"}), name=name))[0])
    running, _ = await opened.take(opened.make_call({"file": b"x"}, gate="/never", trace=str(trace)), name=name)
    await opened.begun(trace)
    waiting = await opened.submit({"name": name})
    stale = opened.deployment(name)
    await opened.house.gateway.services.undeploy(name)
    for each in (ended, running, waiting):
        with pytest.raises(NotFound):
            await opened.jobs.get(each.id)
    assert opened.folders() == [kept.id]
    assert opened.jobs.counts()["queued"] == {}
    # An upload for it that ends only now, and another of that name.
    with pytest.raises(NotFound):
        await opened.jobs.submit(stale, Call("late"), source="test")
    await deploy(opened)
    with pytest.raises(NotFound):
        await opened.jobs.submit(stale, Call("late"), source="test")
    assert (await opened.jobs.list([name])) == ([], "")
    assert await opened.text(await opened.submit({"name": name}, text="new")) == '"new"'
