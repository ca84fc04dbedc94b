"""How jobs change: each statement checks the state that it leaves, and of a running one whose attempt it is.

`lease` is the number of this server's run on the store. It and the number of the attempt say who may end a running
job: what a lost worker or an earlier server still has to say finds no row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from sqlite3 import Connection
from typing import Any, NamedTuple

from modelport.contract.job import Job, JobArtifact
from modelport.contract.prediction import TRANSITIONS, Status
from modelport.errors import Interrupted, ModelportError, WorkerLost
from modelport.store.jobs import COLUMNS, WHOLE, JobRow, encode, encode_error, encode_some, number_of, to_row

LEASE = "jobs/lease"

_WAITING = f"SELECT {COLUMNS} FROM {WHOLE} WHERE deployment = ? AND method = ? AND status = 'queued'"
_KEEP_CURVES = (
    "INSERT INTO job_curves (number, curves) VALUES (?, ?) ON CONFLICT (number) DO UPDATE SET curves = excluded.curves"
)
_KEEP_LOG = "INSERT INTO job_bodies (number, log) VALUES (?, ?) ON CONFLICT (number) DO UPDATE SET log = excluded.log"


class Attempt(NamedTuple):
    """One run of a job by one server."""

    number: int
    attempt: int
    lease: int


@dataclass(frozen=True)
class Ending:
    """What is kept when a job ends. job: as it is then. ended: by the store's own clock.

    body: the answer, where it lies in the store. added_bytes: what came into the job's folder with it.
    curves: the points of its metrics; None: they stay as they are.
    """

    job: Job
    ended: float
    body: bytes | None = None
    added_bytes: int = 0
    log: bytes = b""
    curves: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Progress:
    """How far a running job is."""

    attempt: Attempt
    fraction: float | None
    message: str
    log: bytes
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Any] = field(default_factory=dict)


def _change(
    connection: Connection, leaves: Status, job: int | Attempt, columns: Mapping[str, object], **more: int
) -> bool:
    """Whether the job was in the state that it leaves and, where it ran, it was this attempt's to change.

    job: its number, of one that waits. more: what is added to a column.
    """
    keys = (job,) if isinstance(job, int) else job
    values = (*columns.values(), *more.values(), *keys, leaves.value)
    sql = _update(leaves, columns.get("status"), tuple(columns), tuple(more), len(keys))
    return connection.execute(sql, values).rowcount == 1


@cache
def _update(leaves: Status, target: object, columns: tuple[str, ...], more: tuple[str, ...], keys: int) -> str:
    """Of names that are ours alone. target: the state that it gets; None: it stays."""
    assert target is None or Status(target) in TRANSITIONS[leaves], f"{leaves} may not become {target}"
    changes = ", ".join([*(f"{name} = ?" for name in columns), *(f"{name} = {name} + ?" for name in more)])
    mine = " AND ".join(f"{name} = ?" for name in Attempt._fields[:keys])
    return f"UPDATE jobs SET {changes} WHERE {mine} AND status = ?"


def take_lease(connection: Connection, /) -> int:
    """The number of this run of a server: one more than the last."""
    sql = "INSERT INTO kv (name, value) VALUES (?, '1') ON CONFLICT (name) DO UPDATE SET value = value + 1"
    connection.execute(sql, (LEASE,))
    return int(connection.execute("SELECT value FROM kv WHERE name = ?", (LEASE,)).fetchone()[0])


def claim_jobs(
    connection: Connection,
    /,
    deployment: str,
    method: str,
    limit: int,
    lease: int,
    started: float,
    without: Collection[str] = (),
) -> list[JobRow]:
    """The oldest that wait, running from now on. without: none of these sources."""
    others = f" AND source NOT IN ({', '.join('?' * len(without))})" if without else ""
    sql = f"{_WAITING}{others} ORDER BY number LIMIT ?"
    claimed = []
    for values in connection.execute(sql, (deployment, method, *without, limit)).fetchall():
        row = to_row(values, started=started)
        begun = {"status": Status.RUNNING.value, "lease": lease, "started": started, "fraction": None, "message": ""}
        if _change(connection, Status.QUEUED, number_of(row.job.id), begun, attempt=1):
            claimed.append(row)
    return claimed


def end_running(connection: Connection, /, attempt: Attempt, ending: Ending, deliver: Iterable[str] = ()) -> bool:
    """Whether it was this attempt's to end. deliver: kinds of the deliveries to be made."""
    job = ending.job
    columns = {
        **_end(ending),
        "losses": job.losses,
        "timings": encode_some(job.timings),
        "log_bytes": len(ending.log),
        "fraction": job.fraction,
        "message": job.message,
        "metrics": encode_some(job.metrics),
        "use": encode_some(job.use),
    }
    if job.result is not None:
        columns |= {name: getattr(job.result, name) for name in ("media_type", "size_bytes", "filename", "stored")}
    if not _change(connection, Status.RUNNING, attempt, columns, bytes=ending.added_bytes):
        return False
    _add_bodies(connection, attempt.number, ending)
    _keep_curves(connection, attempt.number, job.metrics, ending.curves)
    _add_deliveries(connection, attempt.number, deliver)
    return True


def end_queued(connection: Connection, /, number: int, ending: Ending) -> bool:
    """Whether it still waited. What its last attempt printed stays."""
    if not _change(connection, Status.QUEUED, number, _end(ending)):
        return False
    deliver = connection.execute("SELECT deliver FROM jobs WHERE number = ?", (number,)).fetchone()[0]
    _add_deliveries(connection, number, deliver.split())
    return True


def _end(ending: Ending) -> dict[str, object]:
    job = ending.job
    error = encode_error(job.error)
    return {"status": job.status.value, "finished": job.finished, "ended": ending.ended, "error": error}


def keep_artifacts(
    connection: Connection, /, attempt: Attempt, artifacts: Iterable[JobArtifact], added_bytes: int
) -> bool:
    """All that the job has from now on. Whether it was this attempt's. added_bytes: what came into the job's folder."""
    kept = {"artifacts": encode(list(artifacts))}
    return _change(connection, Status.RUNNING, attempt, kept, bytes=added_bytes)


def _keep_curves(connection: Connection, number: int, metrics: object, curves: Mapping[str, Any] | None) -> None:
    if metrics and curves:
        connection.execute(_KEEP_CURVES, (number, encode(curves)))


def _add_bodies(connection: Connection, number: int, ending: Ending) -> None:
    text = None if ending.job.result is None else ending.job.result.text
    if ending.body or ending.log or text is not None:
        sql = "INSERT OR REPLACE INTO job_bodies (number, result, text, log) VALUES (?, ?, ?, ?)"
        connection.execute(sql, (number, ending.body or None, text, ending.log or None))
    else:
        connection.execute("DELETE FROM job_bodies WHERE number = ?", (number,))


def _add_deliveries(connection: Connection, number: int, kinds: Iterable[str]) -> None:
    for kind in kinds:
        connection.execute("INSERT INTO deliveries (number, kind) VALUES (?, ?)", (number, kind))


def requeue(connection: Connection, /, attempt: Attempt, losses: int, log: bytes = b"") -> bool:
    """Back to the queue. Whether it was this attempt's. losses: more of them."""
    waits = {"status": Status.QUEUED.value, "fraction": None, "message": "", "log_bytes": len(log)}
    if not _change(connection, Status.RUNNING, attempt, waits, losses=losses):
        return False
    connection.execute(_KEEP_LOG, (attempt.number, log or None))
    return True


def note(connection: Connection, /, all_progress: Iterable[Progress]) -> None:
    """How far the running jobs are; of one that has ended meanwhile, nothing."""
    for progress in all_progress:
        columns = {
            "fraction": progress.fraction,
            "message": progress.message,
            "log_bytes": len(progress.log),
            "metrics": encode_some(progress.metrics),
        }
        if _change(connection, Status.RUNNING, progress.attempt, columns):
            _keep_curves(connection, progress.attempt.number, progress.metrics, progress.curves)
            connection.execute(_KEEP_LOG, (progress.attempt.number, progress.log or None))


def recover(connection: Connection, /, attempts: int, finished: float, ended: float) -> tuple[int, int]:
    """What ran when the server before this one ended: (back in the queue, failed).

    A lost server is a loss, and `attempts` of them are the end. A training is not run again.
    """
    tables = f"{WHOLE} LEFT JOIN job_bodies USING (number)"
    which = "deployment = ? AND method = ? AND status = 'running'"
    groups = connection.execute("SELECT DISTINCT deployment, method FROM jobs").fetchall()
    sql = f"SELECT {COLUMNS}, jobs.lease, log FROM {tables} WHERE {which}"
    rows = [values for group in groups for values in connection.execute(sql, group).fetchall()]
    failed = 0
    for *values, old_lease, log in rows:
        row, kept = to_row(values), log or b""
        attempt = Attempt(number_of(row.job.id), row.job.attempt, old_lease)
        error = _recovery_error(row.job, attempts)
        if error is None:
            requeue(connection, attempt, 1, kept)
        else:
            failed += 1
            losses = row.job.losses + 1
            job = replace(row.job, status=Status.FAILED, finished=finished, error=error, losses=losses)
            job = replace(job, fraction=None, message="", log_bytes=len(kept))
            end_running(connection, attempt, Ending(job, ended, log=kept), row.deliver)
    return len(rows) - failed, failed


def _recovery_error(job: Job, attempts: int) -> ModelportError | None:
    if job.method == "train":
        return Interrupted("the server ended while this training ran")
    if job.losses + 1 >= attempts:
        return WorkerLost(f"the server ended during the last of {attempts} attempts")
    return None
