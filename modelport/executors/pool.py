"""What executors share that keep workers, wherever these are.

Slots each keep one worker alive: start it, offer it when it is ready, and when it ends start the next. There are
`min_workers` slots always, more while calls wait, up to `workers`; a worker that has been idle for `idle_s` ends with
its slot. Calls take the worker that has been idle for the shortest time, so that the others grow old and can go;
waiting calls are served in order.

`Slots` has this. `WorkerPool` adds the simplest way to use workers: a call takes a free one, and gives it back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import Any, Generic, Protocol, TypeVar, cast

from modelport.errors import Cancelled, ModelportError, Starting
from modelport.executors import Counts, Executor, ExecutorSpec, Output

logger = logging.getLogger(__name__)

# A worker that cannot be started is tried again after 0.5 s, 1 s, 2 s … at most every minute.
BACKOFF_FIRST_S = 0.5
BACKOFF_LAST_S = 60.0
RETRY_AFTER_S = 5


class PoolWorker(Protocol):
    """A worker as a pool sees it. It is ready when the pool gets it.

    gone: done when it has ended; its result says how, for people.
    useful: it has run a call, so the next may start at once when it has ended.
    retired: `retire` was called. idle_since: on the loop's clock; the pool sets it.
    """

    gone: asyncio.Future[str]
    useful: bool
    retired: bool
    idle_since: float

    def retire(self) -> None:
        """End, idle as it is; `gone` follows."""


class Waiting(Protocol):
    """What waits for a worker."""

    answer: asyncio.Future[Any]

    def fail(self, error: ModelportError) -> None: ...


W = TypeVar("W", bound=PoolWorker)
T = TypeVar("T", bound=Waiting)


class Slots(Executor, Generic[W, T]):
    """Workers that come and go. A subclass starts them, and gives them what waits."""

    def __init__(self, spec: ExecutorSpec, output: Output) -> None:
        self.spec = spec
        self._output = output
        self._least = spec.workers if spec.min_workers is None else min(spec.min_workers, spec.workers)
        self._slots: set[asyncio.Task[None]] = set()
        self._workers: list[W] = []  # ready
        self._idle: list[W] = []
        self._waiting: deque[T] = deque()
        self._counts = Counts()
        self._failure: ModelportError | None = None
        self._retry_at = 0.0  # after a failed start, on the loop's clock
        self._stopping = False
        self._retiring: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()  # a worker became ready, or a start failed

    # For the subclass

    async def new_worker(self) -> W:
        """Start a worker and wait until it is ready. Raises ModelportError; then, or cancelled, nothing is left."""
        raise NotImplementedError

    async def end_worker(self, worker: W) -> None:
        """Its slot is given up, as when the executor stops. When this returns, the worker has ended."""

    async def slot_ended(self) -> None:
        """One worker less is kept from now on."""

    def offer(self, worker: W) -> None:
        """Give a free worker the call that has waited for the longest time, or let it be idle."""
        raise NotImplementedError

    def why_waiting(self) -> str:
        """Told to calls that have waited for the first worker for `start_wait_s`."""
        return f"{self.spec.name} is still loading; ask again later"

    def counts(self) -> Counts:
        self._counts.queued = sum(not waiting.answer.done() for waiting in self._waiting)
        self._counts.busy = len(self._workers) - len(self._idle)
        self._counts.loaded = bool(self._workers)
        return self._counts

    # Life

    async def wait_ready(self) -> None:
        while self._counts.workers < self._least:
            if self._failure is not None:
                raise self._failure
            self._changed.clear()
            await self._changed.wait()

    async def stop(self) -> None:
        self._stopping = True
        if self._retiring is not None:
            self._retiring.cancel()
        slots = list(self._slots)
        for slot in slots:
            slot.cancel()
        await asyncio.gather(*slots, return_exceptions=True)
        self._refuse(Cancelled("the server is stopping"))

    def keep_workers(self, at_least: int = 0) -> None:
        """Start those that always stay, and at least so many."""
        while len(self._slots) < max(at_least, self._least):
            self._add_slot()

    def _add_slot(self) -> None:
        slot = asyncio.create_task(self._keep_worker())
        self._slots.add(slot)
        slot.add_done_callback(self._slots.discard)

    async def _keep_worker(self) -> None:
        """One slot: as long as it is needed, there is a ready worker or one on its way."""
        backoff_s = 0.0
        while True:
            next_s = min(max(BACKOFF_FIRST_S, 2 * backoff_s), BACKOFF_LAST_S)
            self._counts.starting += 1
            try:
                worker = await self.new_worker()
            except ModelportError as error:
                self._counts.starting -= 1
                backoff_s = next_s
                self._failed(error, backoff_s)
            except BaseException:
                self._counts.starting -= 1
                raise
            else:
                self._counts.starting -= 1
                backoff_s = 0.0 if await self._offer_until_gone(worker) else next_s
            if len(self._slots) > self._least and not self._waiting:
                break
            if backoff_s:
                await asyncio.sleep(backoff_s)
        self._slots.discard(cast("asyncio.Task[None]", asyncio.current_task()))  # from here on, a call makes a new one
        await self.slot_ended()

    async def _offer_until_gone(self, worker: W) -> bool:
        """Whether the next worker may start at once: it ended in order, or has been of use, or a call was to blame."""
        self._failure = None
        self._workers.append(worker)
        self._counts.workers = len(self._workers)
        self._changed.set()
        self.offer(worker)
        try:
            how = await asyncio.shield(worker.gone)
        finally:
            self.lose(worker)
            if not worker.gone.done():
                await self.end_worker(worker)
        if worker.retired:
            logger.info("%s: %s was idle and has ended", self.spec.name, worker)
            return True
        self._counts.restarts += 1
        logger.warning("%s: %s ended (%s); starting another", self.spec.name, worker, how)
        return worker.useful

    def lose(self, worker: W) -> None:
        """It takes no more calls."""
        for workers in (self._workers, self._idle):
            if worker in workers:
                workers.remove(worker)
        self._counts.workers = len(self._workers)

    def _failed(self, error: ModelportError, backoff_s: float) -> None:
        """A worker could not be started; where there is no other, those who wait are told why."""
        self._failure = error
        self._retry_at = asyncio.get_running_loop().time() + backoff_s
        self._changed.set()
        logger.error("%s: %s", self.spec.name, error.message)
        if self._counts.workers == 0:
            self._refuse(error)

    # Retirement

    @property
    def _excess(self) -> int:
        """How many workers more there are than stay, without those that have been told to end."""
        return len(self._slots) - self._least - sum(worker.retired for worker in self._workers)

    def _rest(self, worker: W) -> None:
        """It is idle from now on."""
        worker.idle_since = asyncio.get_running_loop().time()
        self._idle.append(worker)
        if len(self._slots) > self._least:
            self._watch_idle()

    def _watch_idle(self) -> None:
        """See to it that the worker which has been idle for the longest time ends when its time comes."""
        if self._retiring is None and self._idle and self._excess > 0 and not self._stopping:
            loop = asyncio.get_running_loop()
            due = self._idle[0].idle_since + self.spec.idle_s
            self._retiring = loop.call_at(max(due, loop.time()), self._retire_idle)

    def _retire_idle(self) -> None:
        self._retiring = None
        loop = asyncio.get_running_loop()
        excess = self._excess
        while excess > 0 and self._idle and self._idle[0].idle_since + self.spec.idle_s <= loop.time():
            self._idle.pop(0).retire()
            excess -= 1
        if excess > 0:
            self._watch_idle()

    async def shrink(self) -> int:
        retired = self._idle[: max(0, self._excess)]
        del self._idle[: len(retired)]
        for worker in retired:
            worker.retire()
        if retired:
            await asyncio.wait({worker.gone for worker in retired})
        for worker in retired:
            self.lose(worker)
        return len(retired)

    # Waiting

    def _wait(self, waiting: T) -> asyncio.TimerHandle | None:
        """The timer that ends the wait for the first worker, where there is none."""
        impatience: asyncio.TimerHandle | None = None
        if self._stopping:
            waiting.fail(Cancelled("the server is stopping"))
            return None
        if self._counts.workers == 0:
            loop = asyncio.get_running_loop()
            if self._failure is not None and (self._slots or loop.time() < self._retry_at):
                waiting.fail(self._failure)
                return None
            impatience = loop.call_later(self.spec.start_wait_s, self._lose_patience, waiting)
        self._waiting.append(waiting)
        if len(self._slots) < self.spec.workers and len(self._waiting) > self._counts.starting:
            self._add_slot()
        return impatience

    def _lose_patience(self, waiting: T) -> None:
        if waiting in self._waiting and self._counts.workers == 0:
            waiting.fail(Starting(self.why_waiting(), retry_after_s=RETRY_AFTER_S))

    def _refuse(self, error: ModelportError) -> None:
        """Whoever waits is told why there will be no worker."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.answer.done():
                waiting.fail(error)


class Turn(Generic[W]):
    """The wish for a free worker."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[W] = asyncio.get_running_loop().create_future()

    def fail(self, error: ModelportError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class WorkerPool(Slots[W, Turn[W]]):
    """An executor whose calls each take a free worker.

    A subclass has `start`, which calls `keep_workers`, and `new_worker`; its `run` takes a worker with `free_worker`
    and gives it back with `offer`. `end_worker`, and `stop` after ours, end what has to be ended.
    """

    async def free_worker(self) -> W:
        """Waits for one; more are started, up to `spec.workers`. Raises ModelportError where none can be had."""
        if self._idle:
            return self._idle.pop()
        turn: Turn[W] = Turn()
        impatience = self._wait(turn)
        try:
            return await turn.answer
        except asyncio.CancelledError:
            if turn.answer.done() and not turn.answer.cancelled() and turn.answer.exception() is None:
                self.offer(turn.answer.result())
            raise
        finally:
            if impatience is not None:
                impatience.cancel()
            with contextlib.suppress(ValueError):
                self._waiting.remove(turn)

    def offer(self, worker: W) -> None:
        """One that is free again, or has just become ready; one that was lost is not taken."""
        if worker not in self._workers:
            return
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.answer.done():
                turn.answer.set_result(worker)
                return
        self._rest(worker)
