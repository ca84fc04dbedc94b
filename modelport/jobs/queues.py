"""Accepting jobs, and their way into the queues: a queue for each deployment and method that has had a job."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable
from dataclasses import replace
from sqlite3 import Connection
from typing import Any

from modelport.contract.job import Job
from modelport.contract.prediction import Call, Status
from modelport.deployments.deployments import Deployment
from modelport.errors import Cancelled, InvalidArguments, NotFound, Overloaded, StorageFull
from modelport.jobs.attempt import RunningJob
from modelport.jobs.files import digest
from modelport.jobs.queue import Queue
from modelport.jobs.retention import Retention
from modelport.jobs.state import JobState
from modelport.store.jobs import METHODS, JobRow, Values, add_job, encode, get_job, has_job, number_of, to_values
from modelport.tasks import to_its_end

# What is written of a job in_transaction it.
InTransaction = Callable[[Connection, Job], Any]

# What a job is asked for; all else becomes of it.
ASKED = "deployment", "method", "source", "owner", "origin", "arguments", "files", "accept", "timeout_s", "webhook"

# When too many jobs wait, a client is asked to stay away so long.
RETRY_AFTER_S = 10.0


class Queues:
    """Takes jobs until it is closed. `start` begins with what waits.

    waits: why none can be taken yet.
    """

    def __init__(self, state: JobState, retention: Retention) -> None:
        self.started = False
        self.closed = False
        self._adding = 0  # jobs that are being written, and will wait
        self.waits: StorageFull | None = None
        self._state = state
        self._retention = retention
        self._deployments = state.deployments
        self._queues: dict[tuple[str, str], Queue] = {}
        self._full = False

    def of(self, deployment: str, method: str) -> Queue:
        queue = self._queues.get((deployment, method))
        if queue is None:
            queue = self._queues[deployment, method] = Queue(deployment, method, self._state)
        return queue

    def run_of(self, job_id: str) -> RunningJob | None:
        for queue in self._queues.values():
            if (run := queue.running.get(job_id)) is not None:
                return run
        return None

    def live(self, job: Job) -> Job:
        """With what is known of a running job since it was written."""
        queue = self._queues.get((job.deployment, job.method))
        run = None if queue is None else queue.running.get(job.id)
        return job if run is None else run.live(job)

    @property
    def running(self) -> dict[str, int]:
        """How many run, by deployment; with those that may be in the store as running and are about to begin."""
        counts: dict[str, int] = {}
        for (deployment, _), queue in self._queues.items():
            counts[deployment] = counts.get(deployment, 0) + len(queue.running) + queue.reserved
        return counts

    def start(self) -> None:
        self.started = True
        self._deployments.added.append(self._watch)
        for deployment in self._deployments:
            self._watch(deployment)

    def _watch(self, deployment: Deployment) -> None:
        deployment.changed.append(self._wake)
        self._wake(deployment)

    def _wake(self, deployment: Deployment) -> None:
        for method in METHODS:
            if (deployment.name, method) in self._state.waiting:
                self.of(deployment.name, method).wake()

    def unserved(self) -> list[str]:
        """Deployments that jobs wait for, and that this server does not have."""
        return sorted({name for name, _ in self._state.waiting if not self._is_served(name)})

    def _is_served(self, name: str) -> bool:
        if name not in self._deployments:
            return False
        deployment = self._deployments.get(name)
        # Nobody will try again to load a module that is named on the command line.
        return deployment.row is not None or deployment.card is not None or deployment.failure is None

    def close(self) -> None:
        self.closed = True
        for queue in self._queues.values():
            queue.close()

    async def stop(self) -> None:
        await asyncio.gather(*(queue.stop() for queue in self._queues.values()))

    async def forget(self, deployment: str) -> None:
        for method in METHODS:
            if (queue := self._queues.pop((deployment, method), None)) is not None:
                await queue.stop()

    # Accepting

    def check_room(self) -> None:
        """Refuse before a long upload what would be refused after it. Raises Overloaded, StorageFull, Cancelled."""
        self.check_kept()
        self._check_number()

    def _check_number(self) -> None:
        limit = self._state.settings.job_limit
        if sum(self._state.waiting.values()) + self._adding >= limit:
            raise Overloaded(f"{limit} jobs are waiting, which is the limit (job_limit)", retry_after_s=RETRY_AFTER_S)

    def check_kept(self) -> None:
        """The same, however many wait. Raises StorageFull, Cancelled."""
        if self.closed:
            raise Cancelled("the server is stopping")
        self.check_begun()
        if self._full and self._state.bytes >= self._state.settings.job_bytes:
            raise self._no_room()

    def check_begun(self) -> None:
        """Raises StorageFull where the disk was too full even for what earlier servers have kept."""
        if self.waits is not None:
            raise copy.copy(self.waits)

    def _no_room(self) -> StorageFull:
        return StorageFull(f"the files of jobs may take {self._state.settings.job_bytes} bytes, and do (job_bytes)")

    async def take(
        self, deployment: Deployment, call: Call, row: JobRow, in_transaction: InTransaction | None = None
    ) -> tuple[Job, bool]:
        """See `Jobs.submit`. row: without files and digest."""
        self.check_room()
        if row.key:
            row = replace(row, digest=await self._state.in_thread(_digest, call))
        if call.files:
            row = await self._take_files(row, call)
        return await self._add(deployment, row, in_transaction)

    async def again(self, job_id: str) -> Job:
        """A new job of the same call. Raises NotFound, and what `Jobs.submit` raises."""
        row = await self._state.store.read(get_job, job_id)
        self.check_room()
        old = row.job
        deployment = self._deployments.get(old.deployment)
        asked = {name: getattr(old, name) for name in ASKED}
        if old.method == "predict" and (version := self._deployments.version(deployment)) is not deployment:
            asked["version"] = version.name
        job = Job(id=self._state.new_id(), status=Status.QUEUED, created=time.time(), **asked)
        size = 0
        if old.files:
            size = await self._state.in_thread(self._state.folders.link, old.id, job.id, old.files)
        return (await self._add(deployment, replace(row, job=job, key="", digest=None, folder_bytes=size)))[0]

    async def _take_files(self, row: JobRow, call: Call) -> JobRow:
        try:
            # The thread goes on, whoever leaves.
            files, size = await to_its_end(self._state.in_thread(self._state.folders.take, row.job.id, call))
            if not await self._retention.make_room(size):
                self._full = True
                raise self._no_room()
        except BaseException:
            await self._state.in_thread(self._state.folders.remove, row.job.id)
            raise
        return replace(row, job=replace(row.job, files=files), folder_bytes=size)

    async def _add(
        self, deployment: Deployment, row: JobRow, in_transaction: InTransaction | None = None
    ) -> tuple[Job, bool]:
        """Write it; where a worker is free for it, as one that runs already: that is one commit less to wait for."""
        try:
            self._check_there(deployment)
        except NotFound:
            await self._withdraw(row)
            raise
        queue = self.of(deployment.name, row.job.method)
        if self.started and queue.reserve(row.job.source):
            running = replace(row.job, status=Status.RUNNING, attempt=1, started=row.job.created)
            row = replace(row, job=running)
        try:
            kept = await self._write(row, in_transaction)
        except asyncio.CancelledError:
            self._state.tasks.spawn(self._find_out(queue, row))
            raise
        except BaseException as error:
            await self._withdraw(row, queue)
            if isinstance(error, UnicodeEncodeError):
                raise InvalidArguments("the request has characters that are not valid text") from error
            raise
        if kept is not row:
            await self._withdraw(row, queue)
            return kept.job, False
        self._accepted(queue, row)
        return row.job, True

    async def _write(self, row: JobRow, in_transaction: InTransaction | None) -> JobRow:
        waits = not row.job.attempt
        if waits:
            self._check_number()  # again: others may have come while its files were taken
        self._adding += waits
        try:
            values = to_values(row, 0 if waits else self._state.lease)
            return await self._state.store.add(_add, row, values, in_transaction)
        finally:
            self._adding -= waits

    def _check_there(self, deployment: Deployment) -> None:
        """What is undeployed from now on forgets this job, too; what has been would not. Raises NotFound."""
        if deployment.name not in self._deployments or self._deployments.get(deployment.name) is not deployment:
            raise NotFound(f"there is no service called {deployment.name}")

    def _accepted(self, queue: Queue, row: JobRow) -> None:
        self._full = False
        self._state.added(row, waits=not row.job.attempt)
        if row.job.attempt:
            queue.reserved -= 1
            queue.begin(row)
        elif self.started:
            queue.wake()

    async def _withdraw(self, row: JobRow, queue: Queue | None = None) -> None:
        """It has not been written. queue: where it may have had a place."""
        if queue is not None and row.job.attempt:
            queue.give_back()
        if row.folder_bytes:
            await self._state.in_thread(self._state.folders.remove, row.job.id)

    async def _find_out(self, queue: Queue, row: JobRow) -> None:
        """Whoever sent it has left while it was being written: it is there, or it never was."""
        if await self._state.store.write(has_job, number_of(row.job.id)):
            self._accepted(queue, row)
        else:
            await self._withdraw(row, queue)


def _add(connection: Connection, /, row: JobRow, values: Values, in_transaction: InTransaction | None) -> JobRow:
    kept = add_job(connection, row, values)
    if in_transaction is not None and kept is row:
        in_transaction(connection, row.job)
    return kept


def _digest(call: Call) -> bytes:
    files = [(file.argument, file.name, file.filename, file.content_type, file.value) for file in call.files]
    content = encode([call.method, call.arguments, call.accept, call.text, files], sort=True)
    return digest(content, call)
