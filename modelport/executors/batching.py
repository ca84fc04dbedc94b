"""Batches, formed in front of an executor whose plugin has `predict_batch`.

Calls wait here, not in the executor. When a worker is free, it takes what waits, up to `size` calls, and nobody waits
for more to come unless `wait_s` says so: while one batch is at work, the next one gathers by itself.

A call of a batch cannot be stopped alone. Its work has ended when the batch has; the batch is stopped when nobody wants
any of its answers any more.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import Any, Protocol

from modelport.contract.prediction import VALUES, Batch, Call, Outcome
from modelport.errors import Cancelled, DeadlineExceeded, WorkerLost
from modelport.executors import Counts, Executor, Node, Place, Relay, Watcher
from modelport.tasks import wait_done


class BatchExecutor(Executor, Protocol):
    """An executor that can run calls together."""

    async def run_batch(self, calls: list[Call], watcher: Watcher | None = None) -> list[Outcome]:
        """Run predictions on one worker, with the plugin's `predict_batch`; an outcome for each, in their order.

        As `run`: when this returns or raises, the work has ended. The time limits of the calls are their owner's care.
        """


def knows_batches(cls: type[Any]) -> bool:
    """Whether an executor's class has `run_batch`, and `run` has not been replaced below it by one that knows none."""
    for base in cls.__mro__:
        if "run_batch" in vars(base):
            return True
        if "run" in vars(base):
            return False
    return False


def outcomes_of(batch: Batch, end: Outcome) -> list[Outcome]:
    """One outcome for each call: those that have come, and for the others how the batch has ended."""
    error = end.error or WorkerLost("the worker has given no answer to this call")
    missing = [Outcome(error=copy.copy(error)) for _ in batch.calls[len(batch.outcomes) :]]
    outcomes = [*batch.outcomes, *missing]
    for outcome in outcomes:
        outcome.log, outcome.worker = end.log, end.worker
        outcome.timings["queue"] = end.timings["queue"]
    return outcomes


class Batching:
    """An executor that hands predictions to another one in batches. See `modelport.executors` for the contract."""

    can_stop = False
    settings = ()

    def __init__(
        self, executor: BatchExecutor, *, workers: int, size: int, same: Sequence[str] = (), wait_s: float = 0.0
    ) -> None:
        """same: arguments that are the same in all calls of a batch."""
        self.size = size
        self._executor = executor
        self.start, self.wait_ready = executor.start, executor.wait_ready
        self.shrink, self.processes = executor.shrink, executor.processes
        self._workers = workers
        self._same = tuple(same)
        self._wait_s = wait_s
        self._waiting: deque[_Member] = deque()
        self._jobs: deque[_Member] = deque()  # these take what room the others leave
        self._groups: set[_Group] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, call: Call, watcher: Watcher | None = None) -> Outcome:
        if call.method != "predict" or call.only_validate or call.stream == VALUES:
            return await self._executor.run(call, watcher)
        if not self._workers:
            return Outcome(error=Cancelled("the server is stopping"), timings={"queue": 0.0})
        member = _Member(call, watcher, self._same)
        (self._jobs if call.attempt else self._waiting).append(member)
        if not call.attempt:
            self._start_clock(member)
        self._send()
        try:
            return await member.answer
        except asyncio.CancelledError:
            await self._withdraw(member)
            raise
        finally:
            if member.expiry is not None:
                member.expiry.cancel()

    def _start_clock(self, member: _Member) -> None:
        """A job's time begins when it is sent: nobody waits for it before."""
        limit_s = member.call.timeout_s
        if limit_s:
            member.expiry = asyncio.get_running_loop().call_later(limit_s, self._expire, member)

    # Forming batches

    def _send(self) -> None:
        """What waits goes to the executor, one batch for each worker that is free."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while len(self._groups) < self._workers and (self._waiting or self._jobs):
            if (pause_s := self._pause_s()) > 0:
                self._timer = asyncio.get_running_loop().call_later(pause_s, self._send)
                return
            group = _Group(self._next())
            self._groups.add(group)
            for member in group.members:
                if member.call.attempt:
                    self._start_clock(member)
            calls = [member.call for member in group.members]
            group.task = asyncio.create_task(self._executor.run_batch(calls, group.watcher))
            group.task.add_done_callback(partial(self._ended, group))

    def _pause_s(self) -> float:
        """How long the first one may still wait for others."""
        if not self._wait_s or len(self._waiting) + len(self._jobs) >= self.size:
            return 0.0
        oldest = min(line[0].started for line in (self._waiting, self._jobs) if line)
        return oldest + self._wait_s - time.perf_counter()

    def _next(self) -> list[_Member]:
        """The first one that waits, and those that fit it, jobs last. A job that finds no room is next time like a call
        whose client waits."""
        first = self._waiting[0] if self._waiting else self._jobs[0]
        fitting = (member for member in chain(self._waiting, self._jobs) if member.fits(first))
        members = list(islice(fitting, self.size))
        for member in members:
            member.taken = True
        self._waiting = deque(member for member in chain(self._waiting, self._jobs) if not member.taken)
        self._jobs.clear()
        return members

    def _ended(self, group: _Group, task: asyncio.Task[list[Outcome]]) -> None:
        self._groups.discard(group)
        self._send()  # before those who have waited for this one
        try:
            group.finish(None if task.cancelled() else task.result())
        except Exception as error:  # of the executor
            for member in group.members:
                if not member.answer.done():
                    member.answer.set_exception(error)

    # Endings

    def _expire(self, member: _Member) -> None:
        if member.answer.done():
            return
        member.late = True
        if member.group is None:
            self._remove(member)
            limit_s = member.call.timeout_s
            member.finish(DeadlineExceeded(f"no worker was free within {limit_s:g} s, the time limit"))
        else:
            member.group.drop(member)

    async def _withdraw(self, member: _Member) -> None:
        """Nobody wants the answer any more: when this returns, nothing works on it."""
        group = member.group
        if group is None:
            self._remove(member)
            return
        group.drop(member)
        await wait_done(group.task)

    def _remove(self, member: _Member) -> None:
        for line in (self._waiting, self._jobs):
            if member in line:
                line.remove(member)

    # As the executor

    async def stop(self) -> None:
        self._workers = 0
        for member in (*self._waiting, *self._jobs):
            member.finish(Cancelled("the server is stopping"))
        self._waiting.clear()
        self._jobs.clear()
        self._send()  # only to end the timer
        await self._executor.stop()

    def counts(self) -> Counts:
        counts = self._executor.counts()
        return replace(counts, queued=counts.queued + len(self._waiting) + len(self._jobs))

    def places(self) -> list[Place]:
        return self._executor.places()

    async def nodes(self) -> list[Node]:
        return await self._executor.nodes()


class _Member:
    """A call that waits for its batch, or is in it.

    taken: for a batch. group: that batch. late: its time limit has passed. unwanted: nobody waits for its answer.
    """

    __slots__ = ("_kind", "answer", "call", "expiry", "group", "late", "started", "taken", "unwanted", "watcher")

    def __init__(self, call: Call, watcher: Watcher | None, same: tuple[str, ...]) -> None:
        self.call = call
        self.watcher = watcher
        self.answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.group: _Group | None = None
        self.expiry: asyncio.TimerHandle | None = None
        self.taken = self.late = self.unwanted = False
        self.started = time.perf_counter()
        files = [file for file in call.files if file.argument in same] if same else []
        self._kind = call.accept, [call.arguments.get(name) for name in same], files

    def fits(self, first: _Member) -> bool:
        """Whether it may be in the batch that begins with `first`. A job whose worker was lost runs without others:
        it may be to blame."""
        if self is first:
            return True
        return self._kind == first._kind and self.call.attempt < 2 and first.call.attempt < 2

    def finish(self, result: Outcome | Cancelled | DeadlineExceeded) -> None:
        if self.answer.done():
            return
        if not isinstance(result, Outcome):
            result = Outcome(error=result, timings={"queue": time.perf_counter() - self.started})
        self.answer.set_result(result)


class _Group:
    """A batch at work. task: it runs."""

    task: asyncio.Task[list[Outcome]]

    def __init__(self, members: list[_Member]) -> None:
        self.members = members
        self.sent = time.perf_counter()
        self.mark = b"[batch of %d]\n" % len(members) if len(members) > 1 else b""
        watchers = [member.watcher for member in members if member.watcher is not None]
        self.watcher = _Watchers(watchers, self.mark) if watchers else None
        for member in members:
            member.group = self

    def drop(self, member: _Member) -> None:
        """Nobody waits for this answer; the work is stopped when that is so for all."""
        member.unwanted = True
        if all(member.unwanted for member in self.members):
            self.task.cancel()

    def finish(self, outcomes: Sequence[Outcome | None] | None) -> None:
        """outcomes: None: it was stopped."""
        for member, outcome in zip(self.members, outcomes or [None] * len(self.members), strict=True):
            if member.late:
                limit_s = member.call.timeout_s
                late = DeadlineExceeded(f"the prediction took longer than {limit_s:g} s, the time limit")
                outcome = replace(outcome or Outcome(), error=late)
            if outcome is not None:
                outcome.batch = len(self.members)
                outcome.timings["queue"] = outcome.timings.get("queue", 0.0) + self.sent - member.started
                outcome.log = self.mark + outcome.log if outcome.log else b""
            member.finish(Cancelled("the call was cancelled") if outcome is None else outcome)


class _Watchers(Relay):
    """All who watch a call of a batch hear what the batch says. mark: a line above what it prints."""

    def __init__(self, watchers: Sequence[Watcher], mark: bytes) -> None:
        super().__init__(watchers)
        self._mark = mark

    def printed(self, chunk: bytes) -> None:
        chunk, self._mark = self._mark + chunk, b""
        super().printed(chunk)
