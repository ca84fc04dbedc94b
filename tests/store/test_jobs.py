"""Jobs in the store: legal moves only, one attempt's end only, lists by pages, and what may be deleted."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import pytest

from modelport.contract.job import Job, JobFile, JobResult
from modelport.contract.prediction import TRANSITIONS, Status
from modelport.errors import Conflict, Interrupted, InvalidArguments, ModelFailed, NotFound, WorkerLost
from modelport.store import Store
from modelport.store.deliveries import delete_delivery, list_deliveries, note_failure, pending_kinds
from modelport.store.job_states import (
    Attempt,
    Ending,
    Progress,
    claim_jobs,
    end_queued,
    end_running,
    note,
    recover,
    requeue,
    take_lease,
)
from modelport.store.job_upkeep import (
    delete_before,
    delete_ended,
    delete_largest,
    delete_numbers,
    delete_oldest,
    delete_some_of,
    first_end,
    forget_deployment,
    get_forgotten,
    get_totals,
    known_ids,
    last_end,
    note_forgotten,
)
from modelport.store.jobs import (
    LISTED_ARGUMENTS_BYTES,
    NUMBER_LIMIT,
    JobQuery,
    JobRow,
    add_job,
    count_jobs,
    get_bodies,
    get_job,
    get_log,
    get_position,
    list_jobs,
    number_of,
    to_values,
)
from tests.store.test_file import VERSION_1
from tests.store.test_file import make as make_file

LEASE = 7


def make(count: int, *, deployment: str = "x", method: str = "predict", **more: Any) -> JobRow:
    """The job of this number. more: fields of the row, or of its job."""
    of_row = {field.name for field in dataclasses.fields(JobRow)} - {"job"}
    arguments = more.pop("arguments", {"n": count})
    job = {key: more.pop(key) for key in list(more) if key not in of_row}
    id = f"{(LEASE << 32) + count:014x}{count:018x}"
    values = {"source": "plain", "created": 1000.0 + count, "status": Status.QUEUED, "arguments": arguments, **job}
    return JobRow(Job(id=id, deployment=deployment, method=method, **values), arguments, **more)


def number(row: JobRow) -> int:
    return number_of(row.job.id)


def ending(status: Status = Status.SUCCEEDED, ended: float = 10.0, **more: Any) -> Ending:
    own = {key: more.pop(key) for key in list(more) if key in ("body", "added_bytes", "log")}
    job = dataclasses.replace(make(0).job, status=status, finished=2000.0 + ended, **more)
    return Ending(job, ended, **own)


async def add(store: Store, *rows: JobRow) -> None:
    for row in rows:
        await store.write(add_job, row, to_values(row))


async def claim(store: Store, deployment: str = "x", method: str = "predict", limit: int = 1) -> list[JobRow]:
    return await store.write(claim_jobs, deployment, method, limit, LEASE, 1500.0)


async def end(store: Store, row: JobRow, of: Ending | None = None, deliver: Sequence[str] = ()) -> None:
    """Let it run and end."""
    (claimed,) = await claim(store, row.job.deployment, row.job.method)
    assert claimed.job.id == row.job.id
    attempt = Attempt(number(row), claimed.job.attempt, LEASE)
    assert await store.write(end_running, attempt, of or ending(), deliver)


async def status(store: Store, row: JobRow) -> Status:
    return (await store.read(get_job, row.job.id)).job.status


FULL = make(
    1,
    owner="62bb11b4@egi.eu",
    origin={"bucket": "x", "key": "inputs/ü.jpg"},
    arguments={"a": 1, "b": [1.5, None, "ä"], "c": {"d": 2**70}},
    files=(JobFile("image", "0-abc", "image", "image/png", "bear.png"), JobFile("other", "1-def", "o", None, None)),
    accept="image/png",
    timeout_s=12.5,
    webhook="https://example.org/hook",
    text=True,
    deliver=("bucket", "webhook"),
    key="a key",
    digest=b"\0\xff",
    folder_bytes=12345,
)


async def test_a_job_is_given_back_as_it_was_put_in(store: Store) -> None:
    bare = make(2)
    shown = make(3, arguments={"raw": "1"})
    shown = dataclasses.replace(shown, job=dataclasses.replace(shown.job, arguments={"raw": 1}))
    await add(store, FULL, bare, shown)
    for each in (FULL, bare, shown):
        assert await store.read(get_job, each.job.id) == each
    assert await store.read(get_log, FULL.job.id) == b""


@pytest.mark.parametrize("odd", ["\ud800", "a\0b", "\U0001f43b", "x" * 100_000])
async def test_odd_text_is_kept_as_it_is(store: Store, odd: str) -> None:
    row = make(1, arguments={odd: odd}, files=(JobFile("a", "0-x", "a", None, odd),))
    await add(store, row)
    assert await store.read(get_job, row.job.id) == row


async def test_what_is_not_there_is_not_found(store: Store) -> None:
    await add(store, FULL)
    for id in ("", "x", "0" * 32, FULL.job.id[:-1] + "e", FULL.job.id.upper() + "\n", "é" * 32, FULL.job.id + "0"):
        for look in (get_job, get_log, get_bodies):
            with pytest.raises(NotFound):
                await store.read(look, id)


async def test_a_store_of_version_1_takes_jobs(path: Path) -> None:
    make_file(path, VERSION_1)
    async with await Store.open(path) as store:
        await add(store, FULL)
        assert await store.read(get_job, FULL.job.id) == FULL
        assert await store.write(take_lease) == 1


# Moves


async def to_queued(store: Store, row: JobRow) -> Attempt:
    return Attempt(number(row), 0, 0)


async def to_running(store: Store, row: JobRow) -> Attempt:
    (claimed,) = await claim(store)
    return Attempt(number(row), claimed.job.attempt, LEASE)


def to_final(status: Status) -> Callable[[Store, JobRow], Any]:
    async def reach(store: Store, row: JobRow) -> Attempt:
        attempt = await to_running(store, row)
        assert await store.write(end_running, attempt, ending(status))
        return attempt

    return reach


@pytest.mark.parametrize("now", list(Status))
async def test_only_legal_moves_are_made(store: Store, now: Status) -> None:
    """Every statement that changes a status, tried in every status."""
    row = make(1)
    await add(store, row)
    reach = {Status.QUEUED: to_queued, Status.RUNNING: to_running}.get(now) or to_final(now)
    attempt = await reach(store, row)
    before = await store.read(get_job, row.job.id)

    class Undone(Exception):
        pass

    def try_to(connection: Connection, target: Status) -> None:
        if target is Status.QUEUED:
            requeue(connection, attempt, 1)
        elif target is Status.RUNNING:
            claim_jobs(connection, "x", "predict", 1, LEASE + 1, 1.0)
        else:
            end_running(connection, attempt, ending(target))
            if target in TRANSITIONS[Status.QUEUED]:
                end_queued(connection, attempt.number, ending(target))
        after = get_job(connection, row.job.id)
        changed = after != before
        assert changed == (target in TRANSITIONS[now]), target
        assert after.job.status is (target if changed else now)
        raise Undone

    for target in Status:
        with pytest.raises(Undone):
            await store.write(try_to, target)


async def test_only_the_attempt_that_runs_ends_a_job(store: Store) -> None:
    """A worker that was given up, and a server that is no more, find nothing to end."""
    row = make(1)
    await add(store, row)
    first = await to_running(store, row)
    assert await store.write(requeue, first, 1, b"lost")
    second = await to_running(store, row)
    assert second.attempt == 2
    for wrong in (first, second._replace(lease=LEASE - 1), second._replace(number=1)):
        assert not await store.write(end_running, wrong, ending(body=b"wrong", result=JobResult("text/plain", 5)))
        assert not await store.write(requeue, wrong, 1)
        await store.write(note, [Progress(wrong, 0.5, "wrong", b"wrong")])
    assert await store.read(get_bodies, row.job.id) == (b"", None, b"lost")
    result = JobResult("text/plain", 5, text="RIGHT")
    right = ending(body=b"right", result=result, log=b"log", timings={"predict": 1.5}, losses=1)
    assert await store.write(end_running, second, right)
    assert not await store.write(end_running, second, ending(body=b"again"))
    kept = await store.read(get_job, row.job.id)
    assert kept.job.result == JobResult("text/plain", 5, None, None, "RIGHT")
    assert (kept.job.timings, kept.job.attempt, kept.job.losses, kept.job.log_bytes) == ({"predict": 1.5}, 2, 1, 3)
    assert await store.read(get_bodies, row.job.id) == (b"right", "RIGHT", b"log")


async def test_an_error_is_kept_with_what_it_says(store: Store) -> None:
    rows = make(1), make(2), make(3)
    await add(store, *rows)
    errors = (
        InvalidArguments("n: no", fields={"n": ["Not a valid integer."]}),
        ModelFailed("m" * 100_000, status=418, detail="t" * 100_000 + "the end"),
        ModelFailed("\ud800", fields={"x": [object()]}),
    )
    for row, error in zip(rows, errors, strict=True):
        await end(store, row, ending(Status.FAILED, error=error))
    kept = [(await store.read(get_job, each.job.id)).job.error for each in rows]
    assert kept[0] is not None and kept[0].to_plain() == errors[0].to_plain()
    assert kept[1] is not None and kept[1].status == 418
    assert len(kept[1].message) < 30_000 and kept[1].detail.endswith("the end") and len(kept[1].detail) < 30_000
    assert kept[2] is not None and kept[2].message == "\ud800"


async def test_the_oldest_is_claimed_first_and_each_once(store: Store) -> None:
    rows = [make(each) for each in range(1, 6)]
    await add(store, *rows, make(6, method="train"), make(7, deployment="y"), make(8, source="bucket"))
    claimed = await asyncio.gather(*(claim(store, limit=2) for _ in range(4)))
    assert [each.job.id[:14] for some in claimed for each in some] == [make(n).job.id[:14] for n in (1, 2, 3, 4, 5, 8)]
    assert claimed[0][0].job == dataclasses.replace(rows[0].job, status=Status.RUNNING, attempt=1, started=1500.0)
    assert await claim(store, "y") and await claim(store, method="train")
    assert not await claim(store, "z")


async def test_sources_can_be_passed_over(store: Store) -> None:
    await add(store, make(1, source="bucket"), make(2), make(3, source="bucket"))
    assert [each.job.source for each in await store.write(claim_jobs, "x", "predict", 5, LEASE, 1.0, ["bucket"])] == [
        "plain"
    ]
    assert len(await claim(store, limit=5)) == 2


async def test_notes_show_how_far_a_job_is_until_its_next_attempt(store: Store) -> None:
    row = make(1)
    await add(store, row)
    attempt = await to_running(store, row)
    await store.write(note, [Progress(attempt, 0.25, "a quarter", b"log so far")])
    job = (await store.read(get_job, row.job.id)).job
    assert (job.fraction, job.message, job.log_bytes) == (0.25, "a quarter", 10)
    await store.write(requeue, attempt, 0, b"log so far")
    job = (await store.read(get_job, row.job.id)).job
    assert (job.fraction, job.message, job.log_bytes) == (None, "", 10)
    assert await store.write(end_queued, number(row), ending(Status.CANCELLED))
    assert await store.read(get_log, row.job.id) == b"log so far"


# Keys


async def test_a_key_is_one_job_of_its_owner_and_deployment(store: Store) -> None:
    first = make(1, key="k", digest=b"1")
    same, other = make(2, key="k", digest=b"1"), make(3, key="k", digest=b"2")
    elsewhere = make(4, key="k", digest=b"2", deployment="y"), make(5, key="k", digest=b"2", owner="me")
    assert await store.write(add_job, first, to_values(first)) is first
    assert (await store.write(add_job, same, to_values(same))).job.id == first.job.id
    with pytest.raises(Conflict, match="key has been used"):
        await store.write(add_job, other, to_values(other))
    for each in elsewhere:
        assert await store.write(add_job, each, to_values(each)) is each
    await end(store, first)
    assert (await store.write(add_job, same, to_values(same))).job.status is Status.SUCCEEDED
    await store.write(delete_numbers, [number(first)])
    assert await store.write(add_job, other, to_values(other)) is other


# Lists


async def listed(store: Store, wanted: JobQuery, before: int = NUMBER_LIMIT, limit: int = 100) -> list[int]:
    jobs = await store.read(list_jobs, wanted, before, limit)
    assert len(jobs) == min(limit, await store.read(count_jobs, wanted)) or before != NUMBER_LIMIT
    return [number_of(job.id) & 0xFFFF for job in jobs]


async def test_jobs_behind_many_younger_ones_of_others_are_found(store: Store) -> None:
    await add(store, make(1), make(2, deployment="y"), *(make(each, deployment="z") for each in range(3, 30)))
    assert await listed(store, JobQuery(["x", "y"]), limit=1) == [2]
    assert await listed(store, JobQuery(["x", "y"]), before=number(make(2)), limit=1) == [1]
    assert await listed(store, JobQuery(["x", "y", "z"]), limit=3) == [29, 28, 27]


async def test_a_list_has_what_is_wanted_newest_first(store: Store) -> None:
    await add(
        store,
        make(1),
        make(2, deployment="y", owner="me"),
        make(3, owner="me", source="bucket"),
        make(4, method="train"),
        make(5, deployment="z"),
        make(6, deployment="y", source="bucket"),
    )
    await end(store, make(1))
    both = ["x", "y"]
    assert await listed(store, JobQuery(both)) == [6, 4, 3, 2, 1]
    assert await listed(store, JobQuery(["x"])) == [4, 3, 1]
    assert await listed(store, JobQuery(both, [Status.SUCCEEDED])) == [1]
    assert await listed(store, JobQuery(both, [Status.QUEUED, Status.RUNNING])) == [6, 4, 3, 2]
    assert await listed(store, JobQuery(both, method="train")) == [4]
    assert await listed(store, JobQuery(both, source="bucket")) == [6, 3]
    assert await listed(store, JobQuery(both, owner="me")) == [3, 2]
    assert await listed(store, JobQuery(["x"], owner="me", source="bucket")) == [3]
    assert await listed(store, JobQuery(["x"], [Status.FAILED], owner="me")) == []
    assert await listed(store, JobQuery(both, owner="")) == [6, 4, 1]
    assert await listed(store, JobQuery([])) == []


async def test_pages_have_every_job_once_while_others_come(store: Store) -> None:
    await add(store, *(make(each, deployment="xyz"[each % 3]) for each in range(1, 31)))
    found: list[int] = []
    before = NUMBER_LIMIT
    while page := await store.read(list_jobs, JobQuery(["x", "y"]), before, 7):
        found += [number_of(each.id) & 0xFFFF for each in page]
        before = number_of(page[-1].id)
        await add(store, make(100 + len(found), deployment="x"))
    assert found == [each for each in range(30, 0, -1) if each % 3 != 2]


async def test_a_list_leaves_out_arguments_that_are_very_large(store: Store) -> None:
    small, large = make(1, arguments={"a": "b" * 1000}), make(2, arguments={"a": "b" * LISTED_ARGUMENTS_BYTES})
    await add(store, small, large)
    jobs = await store.read(list_jobs, JobQuery(["x"]), NUMBER_LIMIT, 10)
    assert [job.arguments for job in jobs] == [{}, small.arguments]
    assert (await store.read(get_job, large.job.id)) == large
    assert [each.arguments for each in await claim(store, limit=2)] == [small.arguments, large.arguments]


async def test_the_position_counts_those_ahead(store: Store) -> None:
    rows = [make(each) for each in range(1, 5)]
    await add(store, *rows, make(5, deployment="y"), make(6, method="train"))
    await claim(store)
    assert [await store.read(get_position, row.job) for row in rows[1:]] == [0, 1, 2]
    assert await store.read(get_position, make(6).job) == 3


# Starting again


async def test_what_ran_when_the_server_died_waits_again_or_has_failed(store: Store) -> None:
    once, lost_twice, waits, ended = make(1), make(2), make(3), make(4, deployment="y")
    training = make(5, method="train", deliver=("webhook",))
    await add(store, lost_twice, once, waits, ended, training)
    await end(store, ended)
    for _ in range(2):
        rows = await claim(store, limit=2)
        again = Attempt(number(lost_twice), rows[-1].job.attempt, LEASE)
        await store.write(requeue, again, 1)
        await store.write(requeue, Attempt(number(once), rows[0].job.attempt, LEASE), 0)
    rows = await claim(store, limit=2)
    await store.write(note, [Progress(Attempt(number(once), 3, LEASE), 0.5, "half", b"half way")])
    await claim(store, method="train")
    assert await store.write(recover, 3, 3000.0, 50.0) == (1, 2)
    jobs = [(await store.read(get_job, each.job.id)).job for each in (once, lost_twice, waits, ended, training)]
    assert [(job.status, job.losses) for job in jobs] == [
        (Status.QUEUED, 1),
        (Status.FAILED, 3),
        (Status.QUEUED, 0),
        (Status.SUCCEEDED, 0),
        (Status.FAILED, 1),
    ]
    assert isinstance(jobs[1].error, WorkerLost) and isinstance(jobs[4].error, Interrupted)
    assert await store.read(get_log, once.job.id) == b"half way"
    assert await store.read(pending_kinds, number(training)) == ["webhook"]
    assert await store.write(recover, 3, 3000.0, 50.0) == (0, 0)


async def test_each_server_has_a_lease_of_its_own(path: Path) -> None:
    taken = []
    for _ in range(3):
        async with await Store.open(path) as store:
            taken.append(await store.write(take_lease))
    assert taken == [1, 2, 3]


# Upkeep


async def test_totals_are_what_there_is(store: Store) -> None:
    rows = make(1, folder_bytes=10), make(2, folder_bytes=5), make(3, method="train"), make(4, deployment="y")
    await add(store, *rows)
    await end(store, rows[0], ending(added_bytes=100))
    totals = await store.read(get_totals)
    assert totals.waiting == {("x", "predict"): 1, ("x", "train"): 1, ("y", "predict"): 1}
    assert (totals.ended, totals.bytes) == (1, 115)
    assert (await store.read(last_end), await store.read(first_end)) == (10.0, 10.0)


async def test_the_oldest_ends_are_deleted_and_nothing_that_waits_runs_or_is_to_be_delivered(store: Store) -> None:
    rows = [make(each) for each in range(1, 8)]
    for row, ended in zip(rows[:5], (5.0, 4.0, 3.0, 2.0, 1.0), strict=True):
        await add(store, row)
        await end(store, row, ending(ended=ended, body=b"x", result=JobResult("a/b", 1)), ["bucket"] * (ended == 1.0))
    await add(store, *rows[5:])
    await claim(store)
    assert [each.id for each in await store.write(delete_before, 2.5)] == [rows[3].job.id]
    assert [each.id for each in await store.write(delete_oldest, 1)] == [rows[2].job.id]
    assert [each.id for each in await store.write(delete_oldest, 100)] == [rows[1].job.id, rows[0].job.id]
    assert [await status(store, each) for each in rows[4:]] == [Status.SUCCEEDED, Status.RUNNING, Status.QUEUED]
    assert await store.read(first_end) is None
    await store.write(delete_delivery, number(rows[4]), "bucket")
    (gone,) = await store.write(delete_before, 100.0)
    assert (gone.status, gone.ended, gone.deployment, gone.method) == ("succeeded", True, "x", "predict")
    assert await store.read(lambda connection: connection.execute("SELECT count(*) FROM job_bodies").fetchone()) == (0,)


async def test_room_is_made_by_the_oldest_that_have_files(store: Store) -> None:
    rows = [make(each, folder_bytes=size) for each, size in enumerate((0, 100, 0, 50, 500), 1)]
    for ended, row in enumerate(rows):
        await add(store, row)
        await end(store, row, ending(ended=float(ended)))
    assert [each.folder_bytes for each in await store.write(delete_largest, 120)] == [100, 50]
    assert [each.folder_bytes for each in await store.write(delete_largest, 10_000)] == [500]
    assert await store.write(delete_largest, 1) == []


async def test_one_is_deleted_only_if_it_has_ended(store: Store) -> None:
    row = make(1)
    await add(store, row)
    assert await store.write(delete_ended, number(row)) == []
    await end(store, row)
    assert len(await store.write(delete_ended, number(row))) == 1
    with pytest.raises(NotFound):
        await store.read(get_job, row.job.id)


async def test_a_deployments_jobs_are_deleted_whatever_they_do(store: Store) -> None:
    rows = [make(1), make(2), make(3, deployment="y"), make(4)]
    await add(store, *rows)
    await end(store, rows[0])
    await claim(store)
    await store.write(forget_deployment, "x")
    assert await store.read(get_forgotten) == ["x"]
    assert {each.status for each in await store.write(delete_some_of, "x")} == {"succeeded", "running", "queued"}
    assert await store.write(delete_some_of, "x") == []
    await store.write(note_forgotten, "x")
    assert await store.read(get_forgotten) == []
    ids = [row.job.id for row in rows]
    assert await store.read(known_ids, ids) == {rows[2].job.id}


# Deliveries


async def test_deliveries_come_with_the_end_and_go_when_they_are_done(store: Store) -> None:
    rows = [make(each, deliver=("bucket", "webhook")) for each in range(1, 4)]
    await add(store, *rows)
    await end(store, rows[0], deliver=rows[0].deliver)
    await store.write(end_queued, number(rows[1]), ending(Status.CANCELLED))
    kinds = [(each.job_id, each.kind) for each in await store.read(list_deliveries, (0, ""), 100)]
    assert kinds == [(row.job.id, kind) for row in rows[:2] for kind in ("bucket", "webhook")]
    page = await store.read(list_deliveries, (number(rows[0]), "bucket"), 2)
    assert [(each.job_id, each.kind) for each in page] == kinds[1:3]
    await store.write(note_failure, number(rows[0]), "webhook")
    await store.write(delete_delivery, number(rows[0]), "bucket")
    await store.write(delete_delivery, number(rows[0]), "bucket")
    assert [each.attempts for each in await store.read(list_deliveries, (0, ""), 1)] == [1]
    assert await store.read(pending_kinds, number(rows[0])) == ["webhook"]
    await store.write(delete_numbers, [number(row) for row in rows])
    assert await store.read(list_deliveries, (0, ""), 100) == []
