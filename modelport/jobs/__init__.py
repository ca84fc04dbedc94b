"""Jobs: predictions and trainings that outlive the request that asked for them, and the server.

Accepted is kept: when `submit` returns, the job and its files are on the disk, and it ends in a final state whatever
dies. Each change is one transaction that checks the state it leaves; only one attempt's result is ever kept.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from sqlite3 import Connection
from typing import Any, TypedDict, Unpack

from modelport.contract.job import Job, JobArtifact, JobFile
from modelport.contract.prediction import Call, Outcome, Status
from modelport.deployments.deployments import Deployment, Deployments
from modelport.deployments.predictions import Predictions
from modelport.errors import Cancelled, Conflict, InvalidArguments, LoadFailed, ModelportError, NotFound, StorageFull
from modelport.jobs.attempt import RunningJob
from modelport.jobs.files import JobFolders
from modelport.jobs.queues import InTransaction, Queues
from modelport.jobs.retention import Retention, sweep
from modelport.jobs.state import JobState, Prepare
from modelport.settings import Settings
from modelport.store import Store
from modelport.store import job_upkeep as upkeep
from modelport.store import jobs as rows
from modelport.store.failures import STORE_TROUBLE
from modelport.store.job_states import Ending, end_queued, recover, take_lease
from modelport.store.jobs import JobQuery, JobRow, get_job, number_of
from modelport.tasks import wait_event

__all__ = ["Jobs", "Prepare"]

logger = logging.getLogger(__name__)

# So many jobs are read at once where all are gone through.
PAGE = 200
# While a full disk keeps jobs from beginning, it is looked at so often.
ROOM_AGAIN_S = 1.0


class Filters(TypedDict, total=False):
    """Which jobs are meant; see `JobQuery`."""

    statuses: Collection[Status]
    method: str
    source: str
    owner: str | None


class Jobs:
    """All jobs of a server. `restore`, then `start`; `close` begins the end, `stop` ends it.

    prepare: makes the call of a job from such a source when its turn comes, into the scratch folder of the attempt.
        It raises Overloaded, Starting, StorageFull or OSError for "not now"; any other ModelportError is the job's end.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        deployments: Deployments,
        predictions: Predictions,
        folder: Path | None = None,
    ) -> None:
        """folder: for the files; None: `jobs` in the home folder."""
        self._settings = settings
        self._store = store
        self._folders = JobFolders(folder or settings.home_path / "jobs")
        self.state = JobState(settings, store, deployments, predictions, self._folders)
        self.prepare = self.state.prepare
        self._retention = Retention(self.state)
        self.released = self._retention.released
        self._queues = Queues(self.state, self._retention)
        self.check_room, self.check_kept = self._queues.check_room, self._queues.check_kept
        self.again = self._queues.again
        self.events, self.values = self.state.hub, self.state.values.of

    # Life

    async def restore(self) -> None:
        """What the last server left: what ran waits again, or has failed. Put off while the disk is full: till then
        jobs can only be read."""
        try:
            await self._take_over()
        except StorageFull as error:
            self._queues.waits = error
            logger.error("jobs wait until there is room on the disk: %s", error.message)

    async def _take_over(self) -> None:
        lease, totals, forgotten = await self._store.write(self._restore)
        self.state.begin(lease, totals)
        for name in forgotten:
            await self.forget(name)
        self._queues.waits = None

    def _restore(self, connection: Connection, /) -> tuple[int, upkeep.Totals, list[str]]:
        clock = self.state.clock
        clock.restore(connection)
        lease = take_lease(connection)
        recover(connection, self._settings.job_attempts, time.time(), clock.now())
        clock.keep(connection)
        return lease, upkeep.get_totals(connection), upkeep.get_forgotten(connection)

    def start(self) -> None:
        """Begin with what waits, once everything is there that `prepare` needs."""
        if self._queues.waits is None:
            self._begin()
        else:
            self.state.tasks.spawn(self._begin_later(), cancel=True)

    async def _begin_later(self) -> None:
        while self._queues.waits is not None:
            await asyncio.sleep(ROOM_AGAIN_S)
            with contextlib.suppress(StorageFull):
                await self._take_over()
        logger.info("there is room on the disk again: jobs go on")
        if not self._queues.closed:
            self._begin()

    def _begin(self) -> None:
        self._queues.start()
        if self._queues.unserved():
            self.state.tasks.spawn(self._fail_unserved(), cancel=True)
        self._retention.start()
        self.state.tasks.spawn(sweep(self.state), cancel=True)

    def close(self) -> None:
        """Take and begin nothing more. What runs may go on until `stop`."""
        self._queues.close()

    async def stop(self) -> None:
        """End what runs: predictions wait for the next server, as if they had not begun; trainings have failed."""
        self.close()
        await self._queues.stop()
        await self.state.close()
        if self._queues.waits is None:
            with contextlib.suppress(Cancelled, *STORE_TROUBLE):
                await self._store.write(self.state.clock.keep)

    def counts(self) -> dict[str, dict[str, int]]:
        """How many wait and run now, by status and deployment."""
        queued: dict[str, int] = {}
        for (deployment, _), number in self.state.waiting.items():
            queued[deployment] = queued.get(deployment, 0) + number
        return {"queued": queued, "running": self._queues.running}

    # Accepting

    async def submit(
        self,
        deployment: Deployment,
        call: Call,
        *,
        source: str,
        owner: str = "",
        origin: Mapping[str, Any] | None = None,
        key: str = "",
        webhook: str = "",
        deliver: Sequence[str] = (),
        shown: Mapping[str, Any] | None = None,
        in_transaction: InTransaction | None = None,
        version: Deployment | None = None,
    ) -> tuple[Job, bool]:
        """Accept a job: (it, True), durable, its files moved out of the call's scratch folder.

        With the key of an earlier job of the same deployment and owner it is that one, and False.
        deliver: kinds of deliveries that its end makes. shown: arguments as people see them, where the call's are not.
        in_transaction: what else is written of a new job, in the same transaction. version: that runs it; None: itself.
        Raises Conflict where the key's job was made of something else; Overloaded, StorageFull, InvalidArguments,
        Cancelled; NotFound for a deployment that has gone.
        """
        job = Job(
            id=self.state.new_id(),
            deployment=deployment.name,
            method=call.method,
            status=Status.QUEUED,
            source=source,
            created=time.time(),
            owner=owner,
            origin=origin or {},
            arguments=call.arguments if shown is None else shown,
            accept=call.accept,
            timeout_s=call.timeout_s,
            webhook=webhook,
            version="" if version is None or version is deployment else version.name,
        )
        row = JobRow(job, call.arguments, call.text, tuple(deliver), key)
        return await self._queues.take(deployment, call, row, in_transaction)

    # Reading

    async def get(self, job_id: str, *, position: bool = False) -> Job:
        """position: with it. Raises NotFound."""
        return self._queues.live(await self._store.read(_get, job_id, position))

    async def list(
        self, deployments: Collection[str], *, before: str = "", limit: int = 50, **filters: Unpack[Filters]
    ) -> tuple[builtins.list[Job], str]:
        """The newest jobs, newest first, and what to give as `before` for the next page; "" at the end.

        Arguments that are very large are left out. Raises InvalidArguments for a `before` that is none.
        """
        query = JobQuery(deployments, **filters)
        jobs = await self._store.read(rows.list_jobs, query, _before(before), limit + 1)
        page = [self._queues.live(job) for job in jobs[:limit]]
        return page, page[-1].id if page and len(jobs) > limit else ""

    async def pages(self, deployment: str, **filters: Unpack[Filters]) -> AsyncIterator[builtins.list[Job]]:
        """All of them, the newest first; what comes or goes meanwhile may be missed."""
        before, more = "", True
        while more:
            jobs, before = await self.list([deployment], before=before, limit=PAGE, **filters)
            yield jobs
            more = bool(before)

    async def count(self, deployments: Collection[str], **filters: Unpack[Filters]) -> int:
        return await self._store.read(rows.count_jobs, JobQuery(deployments, **filters))

    async def wait(self, job_id: str, timeout_s: float | None) -> Job:
        """The job when it has ended, or as it is after so long (None: however long), or when the server stops.

        Raises NotFound.
        """
        end = self.state.end_of(job_id)
        job = await self.get(job_id)
        if job.status.final:
            return job
        await wait_event(end, timeout_s)
        return await self.get(job_id)

    async def outcome(self, job: Job) -> Outcome:
        """How a job ended: its answer, in memory or in a file that stays where it is, or its error; and its log.

        Raises NotFound, and Conflict where it has not ended.
        """
        if not job.status.final:
            raise Conflict(f"job {job.id} has not ended: it is {job.status.value}")
        body, text, log = await self._store.read(rows.get_bodies, job.id)
        outcome = Outcome(error=job.error, log=log, timings=dict(job.timings))
        if (result := job.result) is not None:
            outcome.media_type, outcome.filename = result.media_type, result.filename
            outcome.text, outcome.body = text, body
            outcome.path = str(self._folders.path(job.id, result.stored)) if result.stored else None
        return outcome

    def input_path(self, job: Job, number: int) -> Path:
        """Where the file lies that came with it as this one, from 0. It goes with the job. Raises NotFound."""
        if not 0 <= number < len(job.files):
            raise NotFound(f"the job came with {len(job.files)} files; there is none with the number {number}")
        return self.path(job, job.files[number])

    def path(self, job: Job, kept: JobFile | JobArtifact) -> Path:
        return self._folders.path(job.id, kept.stored)

    async def log(self, job_id: str) -> bytes:
        """What it has printed: so far, or all, from its end so much as is kept. Raises NotFound."""
        if (run := self._queues.run_of(job_id)) is not None:
            return run.log
        return await self._store.read(rows.get_log, job_id)

    async def curves(self, job_id: str) -> dict[str, Any]:
        """The points of its metrics, as `Curves.document`: so far, or all. Raises NotFound."""
        if (run := self._queues.run_of(job_id)) is not None:
            return run.curves.document()
        return await self._store.read(rows.get_curves, job_id)

    # Ending

    async def cancel(self, job_id: str) -> Job:
        """End a job; when this returns its work has ended. Raises NotFound, Conflict where it had ended by itself."""
        self._queues.check_begun()
        while True:
            job = await self.get(job_id)
            if job.status.final:
                raise Conflict(f"job {job_id} has ended: it is {job.status.value}")
            ended = None
            if job.status is Status.QUEUED:
                ended = await self._close_waiting(job, Status.CANCELLED, Cancelled("the job was cancelled"))
            elif (run := self._queues.run_of(job_id)) is not None:
                ended = await self._stop_run(run)
            if ended is not None:
                return ended

    async def _stop_run(self, run: RunningJob) -> Job | None:
        """None: it has ended otherwise, or waits again. Raises StorageFull where its end cannot be written."""
        run.stop("cancel")
        assert run.task is not None
        while not run.task.done():
            if run.unwritten is not None:
                raise run.unwritten
            run.news.clear()
            await run.news.wait()
        job = await self.get(run.row.job.id)
        return job if job.status is Status.CANCELLED else None

    async def _close_waiting(self, job: Job, status: Status, error: ModelportError) -> Job | None:
        """The job, ended; None where it does not wait any more."""
        row = await self._store.read(get_job, job.id)
        ended = replace(row.job, status=status, finished=time.time(), error=error)
        if not await self._store.write(end_queued, number_of(job.id), Ending(ended, self.state.clock.now())):
            return None
        self.state.closed(ended, waited=True, deliver=row.deliver)
        return ended

    async def delete(self, job_id: str) -> None:
        """Forget a job that has ended: its files, result and log go. Raises NotFound, Conflict."""
        self._queues.check_begun()
        job = await self.get(job_id)
        gone = await self._store.write(upkeep.delete_ended, number_of(job.id))
        if not gone:
            job = await self.get(job_id)  # somebody else may have deleted it meanwhile
            raise Conflict(f"job {job_id} has not ended: it is {job.status.value}")
        await self.state.gone(gone)

    async def delete_ended(self, deployment: str, statuses: Collection[Status], owner: str | None = None) -> int:
        """Forget those that have ended so. Returns how many."""
        self._queues.check_begun()
        deleted = 0
        if final := [status for status in statuses or Status if status.final]:
            async for jobs in self.pages(deployment, statuses=final, owner=owner):
                gone = await self._store.write(upkeep.delete_numbers, [number_of(job.id) for job in jobs])
                await self.state.gone(gone)
                deleted += len(gone)
        return deleted

    async def forget(self, deployment: str) -> None:
        """It has been undeployed: end its jobs and forget them all."""
        await self._queues.forget(deployment)
        while gone := await self._store.write(upkeep.delete_some_of, deployment):
            await self.state.gone(gone)
        await self._store.write(upkeep.note_forgotten, deployment)

    async def _fail_unserved(self) -> None:
        """Jobs of deployments that this server has not had for so long will not be run."""
        await asyncio.sleep(self._settings.job_unserved_s)
        for name in [] if self._queues.closed else self._queues.unserved():
            error = LoadFailed(f"{name} has not been served for {self._settings.job_unserved_s:g} s")
            async for jobs in self.pages(name, statuses=[Status.QUEUED]):
                await asyncio.gather(*(self._close_waiting(job, Status.FAILED, error) for job in jobs))


def _get(connection: Connection, /, job_id: str, position: bool) -> Job:
    job = get_job(connection, job_id).job
    if position and job.status is Status.QUEUED:
        job = replace(job, position=rows.get_position(connection, job))
    return job


def _before(job_id: str) -> int:
    if not job_id:
        return rows.NUMBER_LIMIT
    try:
        return number_of(job_id)
    except NotFound as error:
        raise InvalidArguments(f"{job_id[:64]!r} is not a position in a list of jobs") from error
