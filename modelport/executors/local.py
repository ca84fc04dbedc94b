"""The executor `local`: worker processes on this machine, one call at a time each.

Slots each keep one worker alive: start it, wait until it is warm, offer it, and when it ends start the next. There are
`min_workers` slots always, more while calls wait, up to `workers`; a worker that has been idle for `idle_s` ends with
its slot. Calls take the worker that has been idle for the shortest time, so that the others grow old and can go;
waiting calls are served in order.
A training gets a process of its own, so that predictions go on and cancelling it costs no warm worker.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import Any, cast

from modelport.contract import descent
from modelport.contract.card import Card
from modelport.contract.prediction import Call, Outcome
from modelport.errors import Cancelled, DeadlineExceeded, LoadFailed, ModelportError, Starting
from modelport.executors import Counts, ExecutorSpec, Output, Watcher
from modelport.executors.deadlines import Deadlines
from modelport.executors.template import Template
from modelport.executors.worker import Worker

logger = logging.getLogger(__name__)

# A worker that cannot be started is tried again after 0.5 s, 1 s, 2 s … at most every minute.
BACKOFF_FIRST_S = 0.5
BACKOFF_LAST_S = 60.0


class LocalExecutor:
    """See the contract in `modelport.executors`."""

    def __init__(self, spec: ExecutorSpec, output: Output) -> None:
        self.spec = spec
        self._output = output
        self._template: Template | None = None
        self._slots: set[asyncio.Task[None]] = set()
        self._least = spec.workers if spec.min_workers is None else min(spec.min_workers, spec.workers)
        self._retiring: asyncio.TimerHandle | None = None
        self._retry_at = 0.0  # after a failed start, on the loop's clock
        self._idle: list[Worker] = []
        self._waiting: deque[asyncio.Future[Worker]] = deque()
        self._counts = Counts()
        self._failure: ModelportError | None = None
        self._stopping = False
        self._deadlines = Deadlines()
        self._loading = asyncio.Lock()
        self._changed = asyncio.Event()  # a worker became ready, or a start failed

    def counts(self) -> Counts:
        self._counts.queued = sum(not each.done() for each in self._waiting)
        self._counts.loaded = self._template is not None and not self._template.gone.done()
        return self._counts

    def processes(self) -> list[int]:
        return [self._template.pid] if self._template is not None and not self._template.gone.done() else []

    # Life

    async def start(self) -> Card:
        descent.become_subreaper()
        card = await self._load()
        while len(self._slots) < self._least:
            self._add_slot()
        return card

    def _add_slot(self) -> None:
        slot = asyncio.create_task(self._keep_worker())
        self._slots.add(slot)
        slot.add_done_callback(self._slots.discard)

    async def _load(self) -> Card:
        """A new template process and what it says of the plugin."""
        self._template = template = Template(self.spec, self._output)
        try:
            async with asyncio.timeout(self.spec.load_timeout_s):
                card = await asyncio.shield(template.card)
        except TimeoutError:
            await template.stop()
            raise LoadFailed(
                f"importing the plugin took longer than load_timeout_s, {self.spec.load_timeout_s:g} s"
            ) from None
        except BaseException:
            await template.stop()
            raise
        if template.spawn_reason and self.spec.start_method == "auto":
            logger.info("%s: workers are spawned, not forked: %s", self.spec.name, template.spawn_reason)
        return card

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
        self._deadlines.close()
        slots = list(self._slots)
        for slot in slots:
            slot.cancel()
        await asyncio.gather(*slots, return_exceptions=True)
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(Cancelled("the server is stopping"))
        if self._template is not None:
            await self._template.stop()

    async def _keep_worker(self) -> None:
        """One slot: as long as it is needed, there is a warm worker or one on its way."""
        backoff_s = 0.0
        while True:
            self._counts.starting += 1
            try:
                worker = await self._ready_worker()
            except ModelportError as error:
                backoff_s = min(max(BACKOFF_FIRST_S, 2 * backoff_s), BACKOFF_LAST_S)
                self._failed(error, backoff_s)
            else:
                self._failure = None
                if await self._offer_until_gone(worker):
                    backoff_s = 0.0
                else:
                    backoff_s = min(max(BACKOFF_FIRST_S, 2 * backoff_s), BACKOFF_LAST_S)
            if len(self._slots) > self._least and not self._waiting:
                break
            if backoff_s:
                await asyncio.sleep(backoff_s)
        self._slots.discard(cast("asyncio.Task[None]", asyncio.current_task()))  # from here on, a call makes a new one
        if not self._slots and not self.spec.keep_template and self._template is not None:
            async with self._loading:
                await self._template.stop()

    async def _ready_worker(self, **config: Any) -> Worker:
        """A new warm worker. Raises LoadFailed."""
        template = await self._living_template()
        worker = await template.start_worker(**config)
        try:
            async with asyncio.timeout(self.spec.load_timeout_s):
                await asyncio.shield(worker.ready)
        except TimeoutError:
            await self._end(worker)
            raise LoadFailed(f"warm() took longer than load_timeout_s, {self.spec.load_timeout_s:g} s") from None
        except BaseException:
            await self._end(worker)
            raise
        return worker

    async def _living_template(self) -> Template:
        """The template; loaded again, by one caller for all, if the old one has died."""
        async with self._loading:
            assert self._template is not None
            if self._template.ending:
                how = await self._template.gone
                logger.warning("%s: the template process ended (%s); loading again", self.spec.name, how)
                await self._load()
            return self._template

    async def _offer_until_gone(self, worker: Worker) -> bool:
        """Whether it ended in order, or at work: then the call was to blame, and the next worker may start at once."""
        self._counts.starting -= 1
        self._counts.workers += 1
        self._changed.set()
        self._release(worker)
        try:
            how = await asyncio.shield(worker.gone)
        finally:
            self._counts.workers -= 1
            if worker in self._idle:
                self._idle.remove(worker)
        if worker.retired:
            logger.info("%s: worker %d was idle and has ended", self.spec.name, worker.pid)
            return True
        self._counts.restarts += 1
        logger.warning("%s: worker %d ended (%s); starting another", self.spec.name, worker.pid, how)
        return worker.ended_at_work

    def _failed(self, error: ModelportError, backoff_s: float) -> None:
        """A worker could not be started; where there is no other, those who wait are told why."""
        self._counts.starting -= 1
        self._failure = error
        self._retry_at = asyncio.get_running_loop().time() + backoff_s
        self._changed.set()
        logger.error("%s: %s", self.spec.name, error.message)
        if self._counts.workers == 0:
            while self._waiting:
                waiter = self._waiting.popleft()
                if not waiter.done():
                    waiter.set_exception(error)

    # Retirement

    def _watch_idle(self) -> None:
        """See to it that the worker which has been idle for the longest time ends when its time comes."""
        if self._retiring is None and self._idle and len(self._slots) > self._least and not self._stopping:
            loop = asyncio.get_running_loop()
            due = self._idle[0].idle_since + self.spec.idle_s
            self._retiring = loop.call_at(max(due, loop.time()), self._retire_idle)

    def _retire_idle(self) -> None:
        self._retiring = None
        loop = asyncio.get_running_loop()
        excess = len(self._slots) - self._least
        while excess > 0 and self._idle and self._idle[0].idle_since + self.spec.idle_s <= loop.time():
            self._idle.pop(0).retire()
            excess -= 1
        if excess > 0:
            self._watch_idle()

    async def shrink(self) -> int:
        retired = self._idle[: max(0, len(self._slots) - self._least)]
        del self._idle[: len(retired)]
        for worker in retired:
            worker.retire()
        if retired:
            await asyncio.wait({each.gone for each in retired})
        return len(retired)

    # Calls

    async def run(self, call: Call, watcher: Watcher | None = None) -> Outcome:
        # To look at a training's arguments, any idle worker will do.
        alone = call.method == "train" and not self.spec.train_in_pool and not (call.only_validate and self._idle)
        started = time.perf_counter()
        run = _Run(call, self._deadlines)
        if not alone:
            run.start_clock()
        try:
            worker = run.worker = await (self._own_worker(call) if alone else self._acquire(run))
        except ModelportError as error:
            return run.ended(Outcome(error=error), time.perf_counter() - started)
        finally:
            if run.worker is None:
                run.stop_clock()
        queued_s = time.perf_counter() - started
        if alone:
            run.start_clock()  # the start of its process has a limit of its own, load_timeout_s
        else:
            self._counts.busy += 1
        try:
            outcome = await worker.begin(call, watcher)
        except BaseException:
            await self._end(worker)
            raise
        finally:
            run.stop_clock()
            if alone:
                await self._end(worker)
            else:
                self._counts.busy -= 1
                self._release(worker)
        if outcome.error is not None and self._stopping and worker.gone.done():
            outcome.error = Cancelled("the server is stopping")
        return run.ended(outcome, queued_s)

    async def _own_worker(self, call: Call) -> Worker:
        """A process for one training; only to look at its arguments, the model need not be warm."""
        if self._stopping:
            raise Cancelled("the server is stopping")
        return await self._ready_worker(**({"warm": False} if call.only_validate else {}))

    async def _end(self, worker: Worker) -> None:
        """Kill a worker and wait until it is gone; whoever is cancelled meanwhile is so only then."""
        worker.kill()
        cancelled: asyncio.CancelledError | None = None
        while not worker.gone.done():
            try:
                await asyncio.shield(worker.gone)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    async def _acquire(self, run: _Run) -> Worker:
        """An idle worker, or the next that becomes idle. Raises DeadlineExceeded, Starting, LoadFailed, Cancelled."""
        while True:
            worker = self._idle.pop() if self._idle else await self._wait_idle(run)
            if run.late:
                self._release(worker)
                raise run.too_late()
            if worker.alive:
                return worker  # else it ended between being handed over and now

    async def _wait_idle(self, run: _Run) -> Worker:
        if self._stopping:
            raise Cancelled("the server is stopping")
        loop = asyncio.get_running_loop()
        impatience: asyncio.TimerHandle | None = None
        waiter: asyncio.Future[Worker] = loop.create_future()
        run.waiter = waiter
        if self._counts.workers == 0:
            if self._failure is not None and (self._slots or loop.time() < self._retry_at):
                raise self._failure
            impatience = loop.call_later(self.spec.start_wait_s, self._lose_patience, waiter)
        self._waiting.append(waiter)
        if len(self._slots) < self.spec.workers and len(self._waiting) > self._counts.starting:
            self._add_slot()
        try:
            return await waiter
        except BaseException:
            self._abandon(waiter)
            raise
        finally:
            if impatience is not None:
                impatience.cancel()

    def _lose_patience(self, waiter: asyncio.Future[Worker]) -> None:
        if not waiter.done() and self._counts.workers == 0:
            waiter.set_exception(Starting(f"{self.spec.name} is still loading; ask again later", retry_after_s=5))

    def _abandon(self, waiter: asyncio.Future[Worker]) -> None:
        """Whoever waited has gone; a worker that was handed over meanwhile goes to the next."""
        if waiter.done():
            if not waiter.cancelled() and waiter.exception() is None:
                self._release(waiter.result())
        else:
            waiter.cancel()
        if waiter in self._waiting:
            self._waiting.remove(waiter)

    def _release(self, worker: Worker) -> None:
        if not worker.alive:
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(worker)
                return
        worker.idle_since = asyncio.get_running_loop().time()
        self._idle.append(worker)
        self._watch_idle()


class _Run:
    """One call on its way through the executor, and its time limit."""

    def __init__(self, call: Call, deadlines: Deadlines) -> None:
        self.worker: Worker | None = None
        self.waiter: asyncio.Future[Worker] | None = None
        self.late = False
        self._limit_s = call.timeout_s
        self._deadlines = deadlines

    def start_clock(self) -> None:
        if self._limit_s:
            self._deadlines.add(self, self._limit_s)

    def stop_clock(self) -> None:
        if self._limit_s:
            self._deadlines.remove(self, self._limit_s)

    def expire(self) -> None:
        self.late = True
        if self.worker is not None:
            self.worker.kill()
        elif self.waiter is not None and not self.waiter.done():
            self.waiter.set_exception(self.too_late())

    def too_late(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"no worker was free within {self._limit_s:g} s, the time limit")

    def ended(self, outcome: Outcome, queued_s: float) -> Outcome:
        """The outcome as the caller sees it: if time had run out, the lost worker is the deadline's doing."""
        outcome.timings["queue"] = queued_s
        if self.late and outcome.error is not None and self.worker is not None and self.worker.gone.done():
            outcome.error = DeadlineExceeded(f"the model was stopped at its time limit, {self._limit_s:g} s")
        return outcome
