"""Deliveries: what the end of a job makes due somewhere else, such as a report or an object in a bucket.

They are written with the job's end, in one transaction, and tried until they are done: over restarts, at growing
distances, a few of each kind at once. A delivery may be done twice, where the server dies in between; never not at all.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace

from modelport.contract.job import Job
from modelport.errors import Cancelled, ModelportError, NotFound
from modelport.jobs import Jobs
from modelport.store import Store
from modelport.store.deliveries import DeliveryRow, delete_delivery, list_deliveries, note_failure, pending_kinds
from modelport.store.failures import STORE_TROUBLE
from modelport.store.jobs import number_of
from modelport.tasks import Tasks

logger = logging.getLogger(__name__)

AT_ONCE = 8

# Tried again after 1 s, 2 s, 4 s … up to a quarter of an hour, each up to half as much longer: after an outage not all
# come back at one moment.
BACKOFF_FIRST_S = 1.0
BACKOFF_LAST_S = 900.0
JITTER = 0.5

# What is tried only so often goes farther each time: 1 s · (2.75^11 - 1) / 1.75 and jitter are half a day for twelve.
LIMITED_GROWTH = 2.75
LIMITED_LAST_S = 12 * 3600.0

# So many are read from the store at once when the server starts.
PAGE = 1000
READ_AGAIN_S = 5.0


class Later(Exception):
    """A delivery could not be done; it is tried again."""


class GiveUp(Exception):
    """A delivery will never be done: it is dropped."""


class _Queue:
    """The deliveries of one kind, a few at once: a receiver that takes its time holds up no other kind."""

    def __init__(self, outbox: Deliveries) -> None:
        self._outbox = outbox
        self._waiting: list[tuple[float, int, DeliveryRow]] = []  # when they are tried, on the monotonic clock
        self._working = 0
        self._timer: asyncio.TimerHandle | None = None

    def put(self, row: DeliveryRow, after_s: float) -> None:
        heapq.heappush(self._waiting, (time.monotonic() + after_s, row.number, row))

    def wake(self) -> None:
        """All are due now."""
        now = time.monotonic()
        self._waiting = [(min(at, now), number, row) for at, number, row in self._waiting]
        heapq.heapify(self._waiting)
        self.look()

    def look(self) -> None:
        """Begin what is due, and come back when the next one is."""
        self.stop()
        while self._outbox.running and self._waiting and self._working < AT_ONCE:
            wait_s = self._waiting[0][0] - time.monotonic()
            if wait_s > 0:
                self._timer = asyncio.get_running_loop().call_later(wait_s, self.look)
                return
            self._working += 1
            work = self._outbox.attempt(heapq.heappop(self._waiting)[2])
            self._outbox.tasks.spawn(work, cancel=True).add_done_callback(self._done)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._working -= 1
        self.look()


class Deliveries:
    """The outbox of a server. `start` after every deliverer is there; `stop` leaves the rest to the next server.

    deliverers: by kind; each returns when it is done (True: it has deleted the delivery itself, in a transaction of its
        own), raises Later (or any ModelportError or OSError) to be called again, GiveUp to be not. Kinds without one
        wait.
    attempts_limit: by kind, after so many failures it is given up; none: never.
    """

    def __init__(self, store: Store, jobs: Jobs) -> None:
        self.deliverers: dict[str, Callable[[Job], Awaitable[bool | None]]] = {}
        self.attempts_limit: dict[str, int] = {}
        self._store = store
        self._jobs = jobs
        self._known: set[tuple[int, str]] = set()  # waiting or being tried
        self._done: set[tuple[int, str]] | None = set()  # until all are read: what was read before may have them
        self._queues: dict[str, _Queue] = defaultdict(lambda: _Queue(self))  # by kind
        self.tasks = Tasks("deliveries")
        self.running = False
        jobs.state.ends.append(self._add)

    def start(self) -> None:
        """Take what earlier servers have left, and what ends from now on."""
        self.running = True
        for queue in self._queues.values():
            queue.look()
        self.tasks.spawn(self._read(), cancel=True)

    async def stop(self) -> None:
        """What is being tried is broken off, and tried again by the next server."""
        self.running = False
        for queue in self._queues.values():
            queue.stop()
        await self.tasks.end()

    async def pending(self, job_id: str) -> list[str]:
        """The kinds of a job's deliveries that are not done yet."""
        return await self._store.read(pending_kinds, number_of(job_id))

    def wake(self, kind: str) -> None:
        """Try those of this kind now: what was in their way may have gone."""
        self._queues[kind].wake()

    # When

    def _add(self, job: Job, kinds: tuple[str, ...]) -> None:
        for kind in kinds:
            self._learn(DeliveryRow(number_of(job.id), job.id, kind))

    async def _read(self) -> None:
        """Those that there are. What ends meanwhile comes by `_add`, perhaps as well."""
        after: tuple[int, str] | None = (0, "")
        while after is not None:
            try:
                rows = await self._store.read(list_deliveries, after, PAGE)
            except STORE_TROUBLE as error:
                logger.warning("deliveries of earlier servers cannot be read: %s", error.message)
                await asyncio.sleep(READ_AGAIN_S)
                continue
            for row in rows:
                self._learn(row)
            after = (rows[-1].number, rows[-1].kind) if rows else None
        self._known -= self._done or set()
        self._done = None

    def _learn(self, row: DeliveryRow) -> None:
        if (row.number, row.kind) not in self._known:
            self._known.add((row.number, row.kind))
            self._put(row, 0.0)
            self._queues[row.kind].look()

    def _put(self, row: DeliveryRow, after_s: float) -> None:
        self._queues[row.kind].put(row, after_s)

    # What

    async def attempt(self, row: DeliveryRow) -> None:
        deliver = self.deliverers.get(row.kind)
        if deliver is None:
            return self._put(row, BACKOFF_LAST_S)
        try:
            deleted = await deliver(await self._jobs.get(row.job_id))
        except NotFound as error:
            await self._drop(row, error.message)
        except GiveUp as error:
            await self._drop(row, str(error))
        except Cancelled:
            self._put(row, BACKOFF_FIRST_S)  # the server is stopping
        except (Later, ModelportError, OSError) as error:
            await self._failed(row, str(error) or type(error).__name__)
        except Exception:
            logger.exception("delivery %s of job %s", row.kind, row.job_id)
            await self._failed(row, "the server failed")
        else:
            await self._forget(row, deleted=bool(deleted))

    async def _failed(self, row: DeliveryRow, why: str) -> None:
        limit = self.attempts_limit.get(row.kind)
        if limit is not None and row.attempts + 1 >= limit:
            return await self._drop(row, f"{why}; that was the last of {limit} attempts")
        backoff_s = self._backoff_s(row)
        logger.info("delivery %s of job %s: %s; again in %.0f s", row.kind, row.job_id, why, backoff_s)
        self._put(replace(row, attempts=row.attempts + 1), backoff_s)
        try:
            await self._store.write(note_failure, row.number, row.kind)
        except ModelportError as error:
            logger.warning("a failed delivery could not be noted: %s", error.message)
        return None

    def _backoff_s(self, row: DeliveryRow) -> float:
        jitter = 1 + JITTER * random.random()
        if row.kind in self.attempts_limit:
            return min(BACKOFF_FIRST_S * LIMITED_GROWTH ** min(row.attempts, 20), LIMITED_LAST_S) * jitter
        return min(BACKOFF_FIRST_S * 2.0 ** min(row.attempts, 20), BACKOFF_LAST_S) * jitter

    async def _drop(self, row: DeliveryRow, why: str) -> None:
        logger.warning("delivery %s of job %s is given up: %s", row.kind, row.job_id, why)
        await self._forget(row)

    async def _forget(self, row: DeliveryRow, *, deleted: bool = False) -> None:
        """It is done, or given up. Where the store cannot take that now, it is done again."""
        try:
            if not deleted:
                await self._store.write(delete_delivery, row.number, row.kind)
            if self._done is None:
                self._known.discard((row.number, row.kind))
            else:
                self._done.add((row.number, row.kind))
            self._jobs.released()
        except Cancelled:
            pass
        except ModelportError as error:
            logger.warning("a delivery that is done could not be noted: %s", error.message)
            self._put(row, BACKOFF_FIRST_S * 5)
