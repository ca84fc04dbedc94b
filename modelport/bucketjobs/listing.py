"""Objects that nobody has told of: found by going through a bucket, at the start, and on an external store for ever."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from modelport.bucketjobs.claims import Claims
from modelport.bucketjobs.marks import RESULT, content, is_known, is_of, is_other
from modelport.contract.job import Job
from modelport.errors import Cancelled, ModelportError, NotFound, Overloaded, StorageFull
from modelport.objectstore import Locks, ObjectInfo, ObjectStore
from modelport.objectstore.names import INPUTS, LOG, is_input, output, stems
from modelport.settings import Settings
from modelport.store import Store
from modelport.store.objects import (
    ArrivalRow,
    arrivals_between,
    count_waiting,
    forget_arrivals,
    get_arrivals,
    note_content,
    note_done,
)
from modelport.tasks import Tasks, wait_event

logger = logging.getLogger(__name__)

# Behind the key of any object under inputs/: what an event has told of elsewhere is not in the list.
BEHIND_INPUTS = f"{INPUTS}\U0010ffff"
# So many new objects of a page are looked at side by side.
AT_ONCE = 16

# A store that does not answer is asked again after a second, or the interval of listing, then twice that, …
BACKOFF_FIRST_S = 1.0
BACKOFF_LAST_S = 60.0
# While no more jobs are taken, and nobody says when.
FULL_PAUSE_S = 5.0


@dataclass(eq=False)
class Listing:
    """Goes through one bucket: what has come is taken up as there is room, what has gone is forgotten.

    take: makes the job of one that has none yet; raises what refuses one.
    recovered: called when the store answers again.
    claims: of an external store, which is gone through again and again; None: once is enough.
    window: so many jobs of the bucket may wait before more of a list are taken, so that several servers share; 0: as
        many as there is room for.
    passes: so often through all of it.
    """

    bucket: str
    settings: Settings
    store: Store
    objects: ObjectStore
    take: Callable[[ObjectInfo], Awaitable[Job | None]]
    recovered: Callable[[], None]
    claims: Claims | None = None
    window: int = 0
    passes: int = 0

    def __post_init__(self) -> None:
        self._made = False
        self._coming = 0  # objects that are about to become jobs
        self._locks = Locks()
        self._room = asyncio.Event()
        self._tasks = Tasks(self.bucket)

    def start(self) -> None:
        self._tasks.spawn(self._run(), cancel=True)
        if self.claims is not None:
            self._tasks.spawn(self._beat(self.claims), cancel=True)

    async def stop(self) -> None:
        await self._tasks.end()

    def wake(self) -> None:
        """There may be room for another."""
        self._room.set()
        self._room = asyncio.Event()

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                await self._look()
                if failures:
                    self.recovered()
                self.passes, failures = self.passes + 1, 0
                if self.claims is None:
                    return
            except Cancelled:
                return
            except (ModelportError, OSError) as error:
                failures += 1
                if failures == 1:
                    logger.warning("the bucket %s cannot be looked through: %s", self.bucket, error)
            except Exception:
                failures += 1
                logger.exception("the bucket %s", self.bucket)
            await asyncio.sleep(self._pause_s(failures))

    def _pause_s(self, failures: int) -> float:
        interval_s = self.settings.bucket_list_s if self.claims is not None else BACKOFF_FIRST_S
        if failures:
            interval_s = min(interval_s * 2 ** min(failures, 10), max(interval_s, BACKOFF_LAST_S))
        # So that servers that share a store do not ask in step.
        return interval_s * random.uniform(0.8, 1.2)

    async def _beat(self, claims: Claims) -> None:
        while True:
            with contextlib.suppress(ModelportError):  # seen by whoever works on the bucket
                if await self.store.read(count_waiting, self.bucket):
                    await claims.beat(self.bucket)
            await asyncio.sleep(self.settings.bucket_list_s)

    # Going through

    async def _look(self) -> None:
        if not self._made:
            await self.objects.make_bucket(self.bucket)
            self._made = True
        after, ordered = INPUTS, True
        async for page in self.objects.pages_unread(self.bucket, INPUTS):
            keys = [info.key for info in page if info.key != INPUTS]  # the marker of the folder
            ordered = ordered and all(first < second for first, second in itertools.pairwise([after, *keys]))
            rows = await self._rows(after, keys, ordered)
            after = keys[-1] if keys else after
            await self._take_new([info for info in page if is_input(info.key)], rows)
        if ordered:
            gone = await self.store.read(arrivals_between, self.bucket, after, BEHIND_INPUTS)
            await self._forget(gone)

    async def _rows(self, after: str, keys: Sequence[str], ordered: bool) -> dict[str, ArrivalRow]:
        """What is known of these objects. What is known of others between them has gone."""
        if not keys:
            return {}
        if not ordered:
            return await self.store.read(get_arrivals, self.bucket, keys)
        rows = await self.store.read(arrivals_between, self.bucket, after, keys[-1])
        await self._forget(rows.keys() - set(keys))
        return rows

    async def _forget(self, keys: Iterable[str]) -> None:
        if gone := list(keys):
            await self.store.write(forget_arrivals, self.bucket, gone)

    async def _take_new(self, page: Sequence[ObjectInfo], rows: dict[str, ArrivalRow]) -> None:
        """Raises the first failure, when no other is being worked on any more."""
        new = iter([info for info in page if not is_known(rows.get(info.key), info)])
        failures: list[Exception] = []

        async def work() -> None:
            for info in new:
                if failures:
                    return
                try:
                    # In their order, those that may want the same name for their outputs.
                    async with self._locks.of(self.bucket, next(stems(info.key))):
                        await self._consider(info, rows.get(info.key))
                except Exception as error:
                    failures.append(error)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        if failures:
            raise failures[0]

    async def _consider(self, info: ObjectInfo, row: ArrivalRow | None) -> None:
        if not info.etag:
            try:
                info = await self.objects.head(self.bucket, info.key)
            except NotFound:
                return  # deleted since, or a file whose name is no key
            if row is not None and is_known(replace(row, modified=0), info):
                await self.store.write(note_content, content(self.bucket, info))
                return
        if row is None and await self._is_done(info):
            return
        await self._wait_room()
        self._coming += 1
        try:
            if self.claims is None:
                await self._take_up(info)
            elif await self.claims.take(self.bucket, info) and not await self._take_up(info):
                await self.claims.release(self.bucket, info.key)
                self.wake()
        finally:
            self._coming -= 1

    async def _is_done(self, info: ObjectInfo) -> bool:
        """Whether the bucket has the log of this content: another server's, or ours of before our store was lost."""
        # Who had one of its other stems before has another source in it.
        for stem in itertools.islice(stems(info.key), 3):
            try:
                log = await self.objects.head(self.bucket, output(stem, LOG))
            except NotFound:
                return False
            if is_other(log, info):
                continue
            if not is_of(log, info):
                return False
            row = content(self.bucket, info, stem=stem, result=log.metadata.get(RESULT, ""), done=True)
            if await self.store.write(note_done, row):
                return True
        return False

    async def _wait_room(self) -> None:
        """What is about to become a job counts: else one server would claim all, and the others nothing."""
        while self.window:
            room = self._room  # that of before the look, or what comes meanwhile would be missed
            if await self.store.read(count_waiting, self.bucket) + self._coming < self.window:
                return
            await wait_event(room, FULL_PAUSE_S)

    async def _take_up(self, info: ObjectInfo) -> bool:
        """Whether it has a job by us; it may have got one meanwhile."""
        while True:
            room = self._room
            try:
                return await self.take(info) is not None
            except (Overloaded, StorageFull) as error:
                pause_s = error.retry_after_s or FULL_PAUSE_S
            await wait_event(room, pause_s * random.uniform(0.5, 1))
