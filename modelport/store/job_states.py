"""How jobs change: each statement checks the state that it leaves, and of a running one whose attempt it is.

`lease` is the number of this server's run on the store. It and the number of the attempt say who may end a running
job: what a lost worker or an earlier server still has to say finds no row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from sqlite3 import Connection
from typing import Any, NamedTuple

from modelport.contract.job import Job, JobArtifact
from modelport.contract.prediction import TRANSITIONS, Status
from modelport.errors import Interrupted, ModelportError, WorkerLost
from modelport.store.jobs import COLUMNS, WHOLE, JobRow, encode, encode_error, encode_some, number_of, to_row

LEASE = "jobs/lease"


def _from(target: Status, *among: Status) -> str:
    """SQL: the states that may become `target`."""
    legal = [status for status in among or Status if target in TRANSITIONS[status]]
    assert legal == list(among or legal), f"{among} may not become {target}"
    return f"status IN ({', '.join(repr(status.value) for status in legal)})"


_WAITING = f"SELECT {COLUMNS} FROM {WHOLE} WHERE deployment = ? AND method = ? AND status = 'queued'"
_MINE = "number = ? AND attempt = ? AND lease = ?"
# The texts are made of ours alone.
_CLAIM = (
    "UPDATE jobs SET status = 'running', attempt = attempt + 1, lease = ?, started = ?, fraction = NULL, message = ''"
    f" WHERE number = ? AND {_from(Status.RUNNING)}"
)
_END = (
    "UPDATE jobs SET status = ?, finished = ?, ended = ?, error = ?, losses = ?, media_type = ?,"
    " size_bytes = ?, filename = ?, stored = ?, timings = ?, log_bytes = ?, fraction = ?, message = ?, metrics = ?,"
    " use = ?,"
    f" bytes = bytes + ? WHERE {_MINE} AND "
)
_CLOSE = "UPDATE jobs SET status = ?, finished = ?, ended = ?, error = ? WHERE number = ? AND "
# The end of a running job, by the state that it gets, and of one that waits.
_END_RUNNING, _END_QUEUED = (
    {target: sql + _from(target, source) for target in TRANSITIONS[source] if target.final}
    for sql, source in ((_END, Status.RUNNING), (_CLOSE, Status.QUEUED))
)
_REQUEUE = (
    "UPDATE jobs SET status = 'queued', losses = losses + ?, fraction = NULL, message = '', log_bytes = ?"
    f" WHERE {_MINE} AND {_from(Status.QUEUED)}"
)
_NOTE = f"UPDATE jobs SET fraction = ?, message = ?, log_bytes = ?, metrics = ? WHERE {_MINE} AND status = 'running'"
_KEEP_CURVES = (
    "INSERT INTO job_curves (number, curves) VALUES (?, ?) ON CONFLICT (number) DO UPDATE SET curves = excluded.curves"
)
_KEEP_ARTIFACTS = f"UPDATE jobs SET artifacts = ?, bytes = bytes + ? WHERE {_MINE} AND status = 'running'"
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
        if connection.execute(_CLAIM, (lease, started, number_of(row.job.id))).rowcount == 1:
            claimed.append(row)
    return claimed


def end_running(connection: Connection, /, attempt: Attempt, ending: Ending, deliver: Iterable[str] = ()) -> bool:
    """Whether it was this attempt's to end. deliver: kinds of the deliveries to be made."""
    if connection.execute(_END_RUNNING[ending.job.status], (*_ending(ending), *attempt)).rowcount != 1:
        return False
    _add_bodies(connection, attempt.number, ending)
    _keep_curves(connection, attempt.number, ending.job.metrics, ending.curves)
    _add_deliveries(connection, attempt.number, deliver)
    return True


def end_queued(connection: Connection, /, number: int, ending: Ending) -> bool:
    """Whether it still waited. What its last attempt printed stays."""
    job = ending.job
    values = (job.status.value, job.finished, ending.ended, encode_error(job.error), number)
    if connection.execute(_END_QUEUED[ending.job.status], values).rowcount != 1:
        return False
    deliver = connection.execute("SELECT deliver FROM jobs WHERE number = ?", (number,)).fetchone()[0]
    _add_deliveries(connection, number, deliver.split())
    return True


def _ending(ending: Ending) -> tuple[object, ...]:
    job, result = ending.job, ending.job.result
    return (
        job.status.value,
        job.finished,
        ending.ended,
        encode_error(job.error),
        job.losses,
        *((None,) * 4 if result is None else (result.media_type, result.size_bytes, result.filename, result.stored)),
        encode_some(job.timings),
        len(ending.log),
        job.fraction,
        job.message,
        encode_some(job.metrics),
        encode_some(job.use),
        ending.added_bytes,
    )


def keep_artifacts(
    connection: Connection, /, attempt: Attempt, artifacts: Iterable[JobArtifact], added_bytes: int
) -> bool:
    """All that the job has from now on. Whether it was this attempt's. added_bytes: what came into the job's folder."""
    return connection.execute(_KEEP_ARTIFACTS, (encode(list(artifacts)), added_bytes, *attempt)).rowcount == 1


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
    if connection.execute(_REQUEUE, (losses, len(log), *attempt)).rowcount != 1:
        return False
    connection.execute(_KEEP_LOG, (attempt.number, log or None))
    return True


def note(connection: Connection, /, all_progress: Iterable[Progress]) -> None:
    """How far the running jobs are; of one that has ended meanwhile, nothing."""
    for progress in all_progress:
        metrics = encode_some(progress.metrics)
        values = (progress.fraction, progress.message, len(progress.log), metrics, *progress.attempt)
        if connection.execute(_NOTE, values).rowcount == 1:
            _keep_curves(connection, progress.attempt.number, progress.metrics, progress.curves)
            connection.execute(_KEEP_LOG, (progress.attempt.number, progress.log or None))


def recover(connection: Connection, /, attempts: int, finished: float, ended: float) -> tuple[int, int]:
    """What ran when the server before this one ended: (back in the queue, failed).

    A lost server is a loss, and `attempts` of them are the end. A training is not run again.
    """
    sql = f"SELECT {COLUMNS}, jobs.lease FROM {WHOLE} WHERE deployment = ? AND method = ? AND status = 'running'"
    groups = connection.execute("SELECT DISTINCT deployment, method FROM jobs").fetchall()
    rows = [values for group in groups for values in connection.execute(sql, group).fetchall()]
    failed = 0
    for *values, old_lease in rows:
        row = to_row(values)
        attempt = Attempt(number_of(row.job.id), row.job.attempt, old_lease)
        error = _recovery_error(row.job, attempts)
        log = connection.execute("SELECT log FROM job_bodies WHERE number = ?", (attempt.number,)).fetchone()
        kept = bytes(log[0] or b"") if log else b""
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
