"""How long jobs are kept: by age, by number, by the room that their files take."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from sqlite3 import Connection
from typing import Any

from modelport.jobs.state import JobState
from modelport.store.failures import STORE_TROUBLE
from modelport.store.job_upkeep import Gone, delete_before, delete_largest, delete_oldest, first_end, known_ids
from modelport.store.jobs import COUNT_BITS, ID, number_of
from modelport.tasks import wait_event

logger = logging.getLogger(__name__)

# However far away the next end of a time is, the clock is kept so often.
LONGEST_WAIT_S = 3600.0
SHORTEST_WAIT_S = 0.05
# … and after a failure of the store.
TROUBLE_WAIT_S = 10.0

# Where many are kept, so many more may be for a moment: then they go by the hundred, and not one with each end.
SLACK = 0.01


class Retention:
    """Deletes the oldest jobs that have ended; none that waits, runs or has a delivery to come."""

    def __init__(self, state: JobState) -> None:
        self._state = state
        self._settings = state.settings
        self._stuck_at = -1  # so many had ended when there was nothing more to delete
        self._clock_kept = 0.0
        self._news = asyncio.Event()
        self._idle = False  # no job has ended, so nothing is due
        state.ends.append(lambda job, deliver: self.look())

    def look(self) -> None:
        """Another job has ended: see to it that no more are kept than may be."""
        full = self._state.ended > self._settings.kept_jobs * (1 + SLACK) or self._too_large
        if self._idle or (full and self._state.ended != self._stuck_at):
            self._news.set()

    def start(self) -> None:
        """With what earlier servers have kept, and until the end."""
        self._state.tasks.spawn(self._keep_few(), cancel=True)

    def released(self) -> None:
        """A job that was kept for its delivery need not be any more."""
        self._stuck_at = -1
        self.look()

    async def make_room(self, size: int) -> bool:
        """Whether files of so many bytes fit under `job_bytes`, after what may go has gone."""
        limit = self._settings.job_bytes
        while limit and self._state.bytes + size > limit:
            if not await self._delete(delete_largest, self._state.bytes + size - limit):
                return False
        return True

    @property
    def _too_many(self) -> bool:
        return self._state.ended > self._settings.kept_jobs

    @property
    def _too_large(self) -> bool:
        return bool(self._settings.job_bytes) and self._state.bytes > self._settings.job_bytes

    async def _keep_few(self) -> None:
        while True:
            self._news.clear()
            self._idle = not self._state.ended
            wait_s = None
            try:
                if not self._idle:
                    wait_s = min(max(await self._shrink(), SHORTEST_WAIT_S), LONGEST_WAIT_S)
            except STORE_TROUBLE as error:
                logger.warning("old jobs cannot be deleted: %s", error.message)
            except Exception:
                logger.exception("old jobs cannot be deleted")
            else:
                await wait_event(self._news, wait_s)
                continue
            await asyncio.sleep(TROUBLE_WAIT_S)  # whatever else ends meanwhile

    async def _shrink(self) -> float:
        """Delete what may go. Returns the seconds until the next one may."""
        state, settings = self._state, self._settings
        while self._too_many and await self._delete(delete_oldest, state.ended - settings.kept_jobs):
            pass
        await self.make_room(0)
        self._stuck_at = state.ended if self._too_many or self._too_large else -1
        while await self._delete(delete_before, state.clock.now() - settings.job_kept_s):
            pass
        if state.clock.now() - self._clock_kept > LONGEST_WAIT_S / 2:
            self._clock_kept = state.clock.now()
            await state.store.write(state.clock.keep)
        # None: those that there are have just come, or wait for their delivery.
        first = await state.store.read(first_end)
        return settings.job_kept_s - (0.0 if first is None else state.clock.now() - first)

    async def _delete(self, function: Callable[[Connection, Any], list[Gone]], limit: float) -> bool:
        """Whether any could be."""
        gone = await self._state.store.write(function, limit)
        await self._state.gone(gone)
        return bool(gone)


async def sweep(state: JobState) -> None:
    """Remove the folders of earlier servers' jobs that are in no store: of those not accepted, or deleted, when the
    server died."""
    names = await state.in_thread(state.folders.names)
    older = [name for name in names if ID.fullmatch(name) and number_of(name) >> COUNT_BITS < state.lease]
    for start in range(0, len(older), 500):
        some = older[start : start + 500]
        known = await state.store.read(known_ids, some)
        await state.in_thread(state.folders.remove, *(folder for folder in some if folder not in known))
