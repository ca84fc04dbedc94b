"""One attempt of a job: the call, what it says while it runs, and what follows from how it ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from modelport.contract.job import Job, JobResult
from modelport.contract.prediction import Outcome, Status
from modelport.errors import (
    BucketUnavailable,
    Cancelled,
    DeadlineExceeded,
    Interrupted,
    LoadFailed,
    ModelportError,
    Overloaded,
    Starting,
    StorageFull,
    WorkerLost,
)
from modelport.intake.scratch import open_answer
from modelport.jobs.artifacts import Artifacts
from modelport.jobs.curves import Curves, Rows, of_result
from modelport.jobs.files import JobFolders
from modelport.jobs.progressbars import LogTail, ProgressBars
from modelport.jobs.state import JobState
from modelport.store.job_states import Attempt, Ending, Progress
from modelport.store.jobs import JobRow, number_of

# What could not begin is tried again after 1 s, 2 s, 4 s … at most every half minute.
PAUSE_FIRST_S = 1.0
PAUSE_LAST_S = 30.0

# Not now, through no fault of the job.
NOT_NOW = (Overloaded, Starting, StorageFull, BucketUnavailable)


@dataclass(frozen=True)
class Verdict:
    """What follows from the end of an attempt: an end of the job, or its return to the queue.

    status: None: back to the queue. losses: more of them. pause_s: nothing more is begun for so long.
    not_now: it could not begin; the pause grows each time that this happens.
    """

    status: Status | None
    error: ModelportError | None = None
    losses: int = 0
    pause_s: float = 0.0
    not_now: bool = False


# Its result, and its bytes where they do not lie in the job's folder.
Answer = tuple[JobResult, bytes | None]


class RunningJob:
    """One attempt: the watcher of its call, and the task that works on it.

    prepared: its call has been made. begun: that was on its way to a worker. stopped: why it was told to end before its
    time. left: its end is being written, and another may take its place. kept: its answer, durable or to be so with the
    job's end. unwritten: why that could not be written so far. news: set when that is so, and at the task's end.
    changed: called when there is something new to note.
    """

    def __init__(self, row: JobRow, state: JobState, changed: Callable[[], None]) -> None:
        self.row = row
        self.prepared = False
        self.begun = False
        self.left = False
        self.stopped = ""
        self.kept: Answer | None = None
        self.unwritten: ModelportError | None = None
        self.news = asyncio.Event()
        self.work: asyncio.Task[Outcome] | None = None
        self.task: asyncio.Task[None] | None = None
        self.noted = True
        self._changed = changed
        self._state = state
        self.fraction: float | None = None
        self.message = ""
        self._explicit = False
        self._bars = ProgressBars()
        self._log = LogTail(state.settings.log_tail_bytes)
        self.curves = Curves(state.settings.job_metric_points)
        self._rows = Rows() if row.job.method == "train" else None
        self.artifacts = Artifacts(row, self.attempt, state, self.printed)

    @property
    def attempt(self) -> Attempt:
        return Attempt(number_of(self.row.job.id), self.row.job.attempt, self._state.lease)

    @property
    def log(self) -> bytes:
        return self._log.read()

    def live(self, job: Job) -> Job:
        """The job as it is now."""
        if job.status is not Status.RUNNING or job.attempt != self.row.job.attempt:
            return job
        job = replace(job, fraction=self.fraction, message=self.message, log_bytes=len(self._log))
        return replace(job, metrics=dict(self.curves.last), artifacts=self.artifacts.all)

    def so_far(self) -> Progress:
        self.noted = True
        return Progress(
            self.attempt, self.fraction, self.message, self.log, dict(self.curves.last), self.curves.document()
        )

    def stop(self, why: str) -> None:
        """End the work, if it has not ended; the first reason counts."""
        self.stopped = self.stopped or why
        if self.work is not None:
            self.work.cancel()

    def cannot_end(self, error: ModelportError) -> None:
        self.unwritten = error
        self.news.set()

    # As a watcher

    def progress(self, fraction: float | None, message: str) -> None:
        self._explicit = True
        self._progressed(fraction, message)

    def printed(self, chunk: bytes) -> None:
        self._log.add(chunk)
        self._note()
        job = self.row.job
        deployment = self._state.deployments.by_name.get(job.runs_on)
        if deployment is not None and (job.method == "train" or not deployment.runs_together):
            deployment.printed.label(chunk, job.id)
        self._state.tell(job, "log", chunk)
        for row in self._rows.feed(chunk) if self._rows is not None else ():
            self.metrics(row)
        # A model that says itself how far it is knows better than its progress bars.
        if not self._explicit and (news := self._bars.feed(chunk)) is not None:
            self._progressed(*news)

    def metrics(self, values: Mapping[str, float]) -> None:
        self.curves.add(values)
        self._note()
        self._state.tell(self.row.job, "metrics", dict(values))

    def artifact(self, path: str, name: str) -> None:
        self.artifacts.take(path, name)

    def value(self, body: bytes) -> None:
        """Nobody waits: who follows a job slowly misses values, which are in its result."""
        self._state.values.add(self.row.job.id, self.row.job.attempt, body)
        self._state.tell(self.row.job, "value")

    def _progressed(self, fraction: float | None, message: str) -> None:
        self.fraction, self.message = fraction, message
        self._note()
        self._state.tell(self.row.job, "progress", (fraction, message))

    def _note(self) -> None:
        if self.noted:
            self.noted = False
            self._changed()

    # The end

    def verdict(self, outcome: Outcome | None, attempts: int) -> Verdict:
        """outcome: None: it was stopped. attempts: so many losses are the end."""
        error = None if outcome is None else outcome.error
        train = self.row.job.method == "train"
        if outcome is not None and error is None:
            return Verdict(Status.SUCCEEDED)
        if self.stopped == "cancel":
            return Verdict(Status.CANCELLED, Cancelled("the job was cancelled"))
        if error is None or isinstance(error, Cancelled):
            if train:
                return Verdict(Status.FAILED, Interrupted("the server ended while this training ran"))
            return Verdict(None)
        if isinstance(error, NOT_NOW) and not (self.begun and isinstance(error, StorageFull)):
            return Verdict(None, pause_s=error.retry_after_s or 0.0, not_now=True)
        # Another call of its batch may have taken the worker, or all the time; the next attempt has no others with it.
        taken = outcome is not None and outcome.batch > 1 and isinstance(error, DeadlineExceeded)
        lost = taken or isinstance(error, (WorkerLost, LoadFailed))
        if lost and not train and self.row.job.losses + 1 < attempts:
            # Another worker is there at once; what does not load may need a while.
            pause_s = PAUSE_FIRST_S * 2**self.row.job.losses if isinstance(error, LoadFailed) else 0.0
            return Verdict(None, losses=1, pause_s=pause_s)
        return Verdict(Status.FAILED, error, losses=int(lost))


async def keep(run: RunningJob, outcome: Outcome, state: JobState) -> Answer:
    """In memory if it is small, else durable in the job's folder. Raises StorageFull."""
    inline_bytes = state.settings.job_inline_bytes
    if outcome.path is None and len(outcome.body) <= inline_bytes:
        return _answer(outcome, len(outcome.body)), outcome.body
    return await state.in_thread(_keep, run.row.job, outcome, state.folders, inline_bytes)


def _keep(job: Job, outcome: Outcome, folders: JobFolders, inline_bytes: int) -> Answer:
    size = len(outcome.body)
    if outcome.path is not None:
        with open_answer(outcome.path) as file:
            size = file.seek(0, 2)
            if size <= inline_bytes:
                file.seek(0)
                return _answer(outcome, size), file.read()
    return _answer(outcome, size, folders.keep_answer(job.id, job.attempt, outcome.path or outcome.body)), None


def _answer(outcome: Outcome, size_bytes: int, stored: str | None = None) -> JobResult:
    return JobResult(outcome.media_type, size_bytes, outcome.filename, stored, outcome.text)


def ending(run: RunningJob, outcome: Outcome | None, verdict: Verdict, now: float) -> Ending:
    """What is written of the end of a job. now: by the store's clock."""
    assert verdict.status is not None
    result, body = run.kept if run.kept is not None and verdict.status is Status.SUCCEEDED else (None, None)
    log = run.log
    told, use = of_result(body) if run.row.job.method == "train" and body else ({}, {})
    job = replace(
        run.row.job,
        status=verdict.status,
        finished=time.time(),
        error=verdict.error,
        losses=run.row.job.losses + verdict.losses,
        result=result,
        timings={} if outcome is None else outcome.timings,
        fraction=run.fraction,
        message=run.message,
        log_bytes=len(log),
        metrics={**run.curves.last, **told, **run.curves.last},  # what was reported stands first, and counts
        artifacts=run.artifacts.all,
        use=use,
    )
    added_bytes = result.size_bytes if result is not None and result.stored else 0
    return Ending(job, now, body, added_bytes, log, run.curves.document())
