"""The executor `local`: worker processes on this machine, one call at a time each.

A training gets a process of its own, so that predictions go on and cancelling it costs no warm worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import platform
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from modelport.contract import descent
from modelport.contract.card import Card
from modelport.contract.prediction import Batch, Call, Outcome
from modelport.errors import Cancelled, DeadlineExceeded, LoadFailed, ModelportError, WorkerLost
from modelport.executors import Counts, ExecutorSpec, Output, Place, Watcher
from modelport.executors.batching import outcomes_of
from modelport.executors.flow import Run
from modelport.executors.pool import Slots
from modelport.executors.template import Template
from modelport.executors.worker import Worker
from modelport.tasks import wait_done

logger = logging.getLogger(__name__)

T = TypeVar("T")

# A free worker reads a call within microseconds, on a busy machine within a turn of the scheduler.
UNREAD_S = 1.0


class LocalExecutor(Slots[Worker, Run]):
    """See the contract in `modelport.executors`."""

    def __init__(self, spec: ExecutorSpec, output: Output) -> None:
        super().__init__(spec, output)
        self._template: Template | None = None
        self._usual_s: float | None = None  # what a call usually takes of late
        self._loading = asyncio.Lock()
        self._trainings = 0  # in processes of their own

    def counts(self) -> Counts:
        ahead = sum(max(0, len(worker.runs) - 1) for worker in self._workers)
        self._counts.queued = ahead + sum(not run.answer.done() for run in self._waiting)
        self._counts.busy = sum(bool(worker.runs) for worker in self._workers)
        self._counts.loaded = self._template is not None and not self._template.gone.done()
        return self._counts

    def processes(self) -> list[int]:
        return [self._template.pid] if self._template is not None and not self._template.gone.done() else []

    def places(self) -> list[Place]:
        return [Place(platform.node(), worker.pid, bool(worker.runs)) for worker in self._workers]

    # Life

    async def start(self) -> Card:
        descent.become_subreaper()
        card = await self._load()
        self.keep_workers()
        return card

    async def _load(self) -> Card:
        """A new template process and what it says of the plugin."""
        self._template = template = Template(self.spec, self._output)
        card = await self._in_time("importing the module took longer than load_timeout_s", template.card, template.stop)
        if template.spawn_reason and self.spec.start_method == "auto":
            logger.info("%s: workers are spawned, not forked: %s", self.spec.name, template.spawn_reason)
        return card

    async def stop(self) -> None:
        await super().stop()
        if self._template is not None:
            await self._template.stop()

    async def slot_ended(self) -> None:
        idle = not self._slots and not self._trainings
        if idle and not self.spec.keep_template and self._template is not None:
            async with self._loading:
                await self._template.stop()

    async def new_worker(self) -> Worker:
        worker = await self._ready_worker()
        worker.freed, worker.returned = self._outcome_came, self._wait_again
        return worker

    async def _ready_worker(self, **config: Any) -> Worker:
        """A new warm worker. Raises LoadFailed."""
        template = await self._living_template()
        worker = await (template.start_worker(**config) if config else template.next_worker())
        try:
            await self._in_time("warm() took longer than load_timeout_s", worker.ready, partial(self._end, worker))
        except LoadFailed:
            if worker.ended_spare:  # it may have been chosen before its end was heard of
                return await self._ready_worker()
            raise
        template.keep_spare()  # the last one may be this worker
        return worker

    async def _in_time(self, too_late: str, coming: asyncio.Future[T], end: Callable[[], Awaitable[None]]) -> T:
        """What a process says when it has done something; where nothing comes of it, the process is ended."""
        limit_s = self.spec.load_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                return await asyncio.shield(coming)
        except BaseException as error:
            await end()
            if isinstance(error, TimeoutError):
                raise LoadFailed(f"{too_late}, {limit_s:g} s") from None
            raise

    async def _living_template(self) -> Template:
        """The template; loaded again, by one caller for all, if the old one has died."""
        async with self._loading:
            assert self._template is not None
            if self._template.ending:
                how = await self._template.gone
                if self._stopping:
                    raise Cancelled("the server is stopping")
                logger.warning("%s: the template process ended (%s); loading again", self.spec.name, how)
                await self._load()
            return self._template

    def offer(self, worker: Worker) -> None:
        self._feed(worker)

    async def shrink(self) -> int:
        if self._template is not None:
            await self._template.end_spare()
        return await super().shrink()

    # Calls

    async def run_batch(self, calls: list[Call], watcher: Watcher | None = None) -> list[Outcome]:
        batch = Batch(calls[0].id, calls)
        return outcomes_of(batch, await self.run(batch, watcher))

    async def run(self, call: Call | Batch, watcher: Watcher | None = None) -> Outcome:
        # To look at a training's arguments, any idle worker will do.
        if call.method == "train" and not self.spec.train_in_pool and not (call.only_validate and self._idle):
            self._trainings += 1
            goes_on = False
            try:
                outcome = await self._run_alone(Run(call, watcher))
                goes_on = call.only_validate and outcome.error is None  # the training itself follows
                return outcome
            finally:
                self._trainings -= 1
                if not goes_on:
                    await self.slot_ended()
        run = Run(call, watcher)
        expiry, impatience = self._expire_in_time(run), None
        try:
            if not self._place(run):
                impatience = self._wait(run)
            outcome = await run.answer
        except BaseException:
            await self._withdraw(run)
            raise
        finally:
            for timer in (expiry, impatience):
                if timer is not None:
                    timer.cancel()
        return outcome if outcome.error is None else self._explained(run, outcome)

    async def _run_alone(self, run: Run) -> Outcome:
        """In a process of its own; only to look at its arguments, the model need not be warm."""
        if self._stopping:
            return Outcome(error=Cancelled("the server is stopping"))
        try:
            worker = await self._ready_worker(**({"warm": False} if run.call.only_validate else {}))
        except ModelportError as error:
            run.fail(error)
            return run.answer.result()
        expiry = self._expire_in_time(run)  # the start of the process has a limit of its own, load_timeout_s
        try:
            worker.returned = _lost
            if not worker.send(run):
                _lost([run])
            outcome = await run.answer
        finally:
            if expiry is not None:
                expiry.cancel()
            await self._end(worker)
        return outcome if outcome.error is None else self._explained(run, outcome)

    def _explained(self, run: Run, outcome: Outcome) -> Outcome:
        """A lost worker may be the doing of a time limit, or of the server's end."""
        worker: Worker | None = run.worker
        if worker is not None and worker.gone.done():
            if self._stopping:
                outcome.error = Cancelled("the server is stopping")
            elif run.late:
                limit_s = run.call.timeout_s
                outcome.error = DeadlineExceeded(f"the model was stopped at its time limit, {limit_s:g} s")
        return outcome

    async def _end(self, worker: Worker) -> None:
        """Kill a worker and wait until it is gone; whoever is cancelled meanwhile is so only then."""
        worker.kill()
        await wait_done(worker.gone)

    # Placing calls

    def _place(self, run: Run) -> bool:
        """Send a call to an idle worker, or ahead to a busy one; False where it has to wait."""
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker.send(run)
        if self._waiting or not (room := self._room()):
            return False
        busy = [worker for worker in self._workers if worker.runs and worker.alive and len(worker.runs) < room]
        return bool(busy) and min(busy, key=_runs_of).send(run)

    def _room(self) -> int:
        """So many calls may be at a busy worker; 0: none is sent ahead.

        It goes on without waiting for the gateway to wake up, which is most of what a quick call costs. Where more
        workers may start, calls wait for those.
        """
        usual_s = self._usual_s
        quick = usual_s is not None and usual_s < self.spec.queue_ahead_below_s
        return 1 + self.spec.queue_ahead if quick and self._counts.workers >= self.spec.workers else 0

    def _outcome_came(self, worker: Worker, seconds: float | None) -> None:
        if seconds is not None:
            self._usual_s = seconds if self._usual_s is None else 0.9 * self._usual_s + 0.1 * seconds
        self._feed(worker)

    def _feed(self, worker: Worker) -> None:
        """Send a worker what waits; one with nothing to do takes what another has not read yet, or is idle."""
        if not worker.alive:
            return
        waiting = self._waiting
        if waiting:
            room = max(1, self._room())
            while waiting and len(worker.runs) < room:
                if not waiting[0].answer.done() and not worker.send(waiting[0]):
                    return  # a large one, for when the worker is idle
                waiting.popleft()
        if worker.runs:
            return
        if len(self._workers) > 1 and (run := self._from_another()) is not None:
            if not worker.send(run):
                self._wait_again([run])
            return
        # As `_rest` does; a function less on the road of each call.
        worker.idle_since = asyncio.get_running_loop().time()
        self._idle.append(worker)
        if len(self._slots) > self._least:
            self._watch_idle()

    def _from_another(self) -> Run | None:
        """A call that stands behind one at work."""
        busiest = max(self._workers, key=_runs_of)
        if len(busiest.runs) < 2 or not (runs := busiest.take_back()):
            return None
        self._send_again(busiest, runs[1:])
        return runs[0]

    def _send_again(self, worker: Worker, runs: list[Run]) -> None:
        """In their order, to the worker that they were taken from."""
        for index, run in enumerate(runs):
            if not worker.send(run):
                self._wait_again(runs[index:])
                return

    def _wait_again(self, runs: list[Run]) -> None:
        """Calls that were sent to a worker and never read by it."""
        for run in runs:
            if run.late:
                run.too_late()
        self._waiting.extendleft(run for run in reversed(runs) if not run.answer.done())
        if self._stopping:
            self._refuse(Cancelled("the server is stopping"))
        while self._waiting and self._idle:
            self._feed(self._idle.pop())

    async def _withdraw(self, run: Run) -> None:
        """Nobody wants the answer any more: when this returns, nothing works on it."""
        if run.over:
            return  # it has come meanwhile, and the worker may serve another
        worker: Worker | None = run.worker
        if worker is None:
            if run in self._waiting:
                self._waiting.remove(run)
        elif not (await self._closed(worker, run) or self._take_from(worker, run)):
            await self._end(worker)

    async def _closed(self, worker: Worker, run: Run) -> bool:
        """Whether the call has ended because its generator could be closed in time: the worker stays."""
        left = worker.flow.stop(run)
        if left is not None:
            with contextlib.suppress(asyncio.CancelledError):  # in a hurry: it is killed now
                await asyncio.wait({left}, timeout=self.spec.stream_close_s)
        return run.over

    def _take_from(self, worker: Worker, run: Run) -> bool:
        """Whether a call could be taken back, or has just been answered. If not, its worker is at work on it, and is
        killed; what stood behind it waits again, or goes on in its order."""
        runs = worker.take_back()
        if run in runs:
            others = [other for other in runs if other is not run]
            if run.late and not worker.runs and _reads_nothing(worker, run):
                worker.kill()
                self._wait_again(others)
                return True
            self._send_again(worker, others)
            if not worker.runs and worker in self._workers:
                self._feed(worker)
            return True
        # With nothing left to read, the process begins nothing new; an outcome that is on its way tells what it is at.
        worker.catch_up()
        if not run.over:
            worker.kill()
        self._wait_again(runs)
        if worker in self._workers:
            self._feed(worker)
        return run.over

    def _expire_in_time(self, run: Run) -> asyncio.TimerHandle | None:
        # A timer for each call costs 0.4 µs in uvloop.
        limit_s = run.call.timeout_s
        return asyncio.get_running_loop().call_later(limit_s, self.expire, run) if limit_s else None

    def expire(self, run: Run) -> None:
        """A call's time is over."""
        if run.over:
            return  # its outcome came just now
        run.late = True
        worker: Worker | None = run.worker
        if (worker is None or self._take_from(worker, run)) and not run.over:
            run.too_late()


def _reads_nothing(worker: Worker, run: Run) -> bool:
    """Whether a worker with nothing else to do has been stopped, or has had its time and has not read the call."""
    sent = run.started + run.queued_s
    return descent.state(worker.pid) == descent.STOPPED or time.perf_counter() - sent > UNREAD_S


def _lost(runs: list[Run]) -> None:
    for run in runs:
        run.fail(WorkerLost("the worker process ended before the call began"))


def _runs_of(worker: Worker) -> int:
    return len(worker.runs)
