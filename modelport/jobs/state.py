"""The state of jobs: what this server knows of them by heart, and whom it tells what has become of one.

The store is the truth; here are the counts that must be at hand at once, the clock by which jobs age, and the ids.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from sqlite3 import Connection
from typing import ParamSpec, TypeVar
from weakref import WeakValueDictionary

from modelport.contract.job import Event, Job
from modelport.contract.prediction import Call, Outcome
from modelport.deployments.deployments import Deployments
from modelport.deployments.predictions import Predictions
from modelport.intake.scratch import Scratch
from modelport.jobs.events import Hub
from modelport.jobs.files import JobFolders
from modelport.jobs.values import KeptValues
from modelport.settings import Settings
from modelport.store import Store
from modelport.store.job_upkeep import Gone, Totals, last_end
from modelport.store.jobs import COUNT_BITS, NUMBER_DIGITS, JobRow
from modelport.store.values import get_value, set_value
from modelport.tasks import Tasks

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

# The call, or its outcome where there is nothing to run.
Prepare = Callable[[Job, Scratch], Awaitable[Call | Outcome]]

# At work on the files of jobs at once; most of their time they wait for the disk.
FILE_THREADS = 4

CLOCK = "jobs/clock"

# While no server runs, nobody can say how much time has really passed: a restart adds at most a day.
ABSENCE_LIMIT_S = 86400.0


class StoreClock:
    """Seconds that have passed for the store, as its servers have seen them pass: what is kept for so long ages by it.

    It goes on with the machine's time since boot, so that setting the wall clock moves it not at all, and over a
    restart it believes the wall clock for a day at most: with a wrong one, things are kept too long, never too short.
    """

    def __init__(self) -> None:
        self._base = 0.0
        self._since = _boot_time()

    def now(self) -> float:
        return self._base + _boot_time() - self._since

    def restore(self, connection: Connection) -> None:
        """Go on where the last server left off."""
        kept = get_value(connection, CLOCK)
        seconds, wall = json.loads(kept) if kept else (0.0, time.time())
        absence = min(max(0.0, time.time() - wall), ABSENCE_LIMIT_S)
        self._base = max(seconds + absence, last_end(connection))
        self._since = _boot_time()

    def keep(self, connection: Connection) -> None:
        set_value(connection, CLOCK, json.dumps([self.now(), time.time()]))


def _boot_time() -> float:
    # Unlike the monotonic clock, it goes on while the machine sleeps.
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class JobState:
    """waiting: jobs in the queue by (deployment, method). bytes: in the folders of all jobs. ended: jobs that have.

    ends: told of the end of each, and of the kinds of deliveries that it has made.
    """

    def __init__(
        self, settings: Settings, store: Store, deployments: Deployments, predictions: Predictions, folders: JobFolders
    ) -> None:
        self.settings = settings
        self.store = store
        self.deployments = deployments
        self.predictions = predictions
        self.folders = folders
        self.prepare: dict[str, Prepare] = {}
        self.hub = Hub()
        self.values = KeptValues(settings.job_values_bytes)
        self.clock = StoreClock()
        self.lease = 0
        self.waiting: dict[tuple[str, str], int] = {}
        self.ended = 0
        self.bytes = 0
        self.ends: list[Callable[[Job, tuple[str, ...]], None]] = []
        # Of its own: syncs may take long, and synchronous calls with files need the other threads.
        self._threads = ThreadPoolExecutor(FILE_THREADS, thread_name_prefix="job-files")
        self._count = 0
        self._ends: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()
        self._closed = False
        self.tasks = Tasks("jobs")  # what one that is cancelled has not done is done by the next server

    def begin(self, lease: int, totals: Totals) -> None:
        """With what the store holds at the start."""
        self.lease = lease
        self.waiting = dict(totals.waiting)
        self.ended, self.bytes = totals.ended, totals.bytes

    def new_id(self) -> str:
        """See `store.jobs`: ids are in the order of acceptance, over restarts, too."""
        self._count += 1
        return f"{(self.lease << COUNT_BITS) + self._count:0{NUMBER_DIGITS}x}{secrets.token_hex(9)}"

    # What has become of a job, once it is in the store

    def added(self, row: JobRow, *, waits: bool) -> None:
        self.bytes += row.folder_bytes
        if waits:
            self._count_waiting(row.job, 1)
        self.tell(row.job)

    def claimed(self, rows: Iterable[JobRow]) -> None:
        for row in rows:
            self._count_waiting(row.job, -1)
            self.tell(row.job)

    def requeued(self, job: Job) -> None:
        self._count_waiting(job, 1)
        self.tell(job)

    def closed(self, job: Job, *, waited: bool, deliver: tuple[str, ...] = (), added_bytes: int = 0) -> None:
        """It has ended. waited: it was in the queue until then."""
        if waited:
            self._count_waiting(job, -1)
        self.ended += 1
        self.bytes += added_bytes
        self.tell(job)
        self._tell_waiters(job.id)
        for tell in self.ends:
            tell(job, deliver)

    async def gone(self, deleted: Iterable[Gone]) -> None:
        """They have been deleted: their folders go, too."""
        with_files = []
        for job in deleted:
            if job.status == "queued":
                self._count_waiting(job, -1)
            self.ended -= job.ended
            self.bytes -= job.folder_bytes
            self._tell_waiters(job.id)
            self.values.forget(job.id)
            if job.folder_bytes:
                with_files.append(job.id)
        if with_files:
            await self.in_thread(self.folders.remove, *with_files)

    def _count_waiting(self, job: Job | Gone, more: int) -> None:
        line = job.deployment, job.method
        if number := self.waiting.get(line, 0) + more:
            self.waiting[line] = number
        else:
            self.waiting.pop(line, None)

    def tell(self, job: Job, kind: str = "state", data: object = None) -> None:
        """Those who listen. data: see `Event`; of a state it is the job."""
        if self.hub.heard:
            self.hub.publish(Event(kind, job.id, job.deployment, job.owner, job if kind == "state" else data))

    # Waiting for the end of a job

    def end_of(self, job_id: str) -> asyncio.Event:
        """Is set when the job has ended or gone, or the server stops; kept for as long as whoever asks keeps it."""
        if (end := self._ends.get(job_id)) is None:
            end = self._ends[job_id] = asyncio.Event()
        if self._closed:
            end.set()
        return end

    def _tell_waiters(self, job_id: str) -> None:
        if (end := self._ends.pop(job_id, None)) is not None:
            end.set()

    async def in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """For what waits for the disk."""
        run = functools.partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    async def close(self) -> None:
        """Nobody waits any more, nobody is told any more."""
        self._closed = True
        for job_id in list(self._ends):
            self._tell_waiters(job_id)
        self.hub.close()
        await self.tasks.end()
        await asyncio.to_thread(self._threads.shutdown)
