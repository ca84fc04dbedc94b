"""Calls at work, and the values of a worker's generator on their way to whoever takes them.

Nothing is read of the worker while its values are not taken: its socket fills, and the generator waits at its `yield`.
When nobody wants more, one byte on the stream tells the worker so (`child/streaming.py`): it closes the generator and
stays warm. The stream has nothing else to carry then, since only a call that is too large for a message goes there, and
the call at work has been read. A byte that comes too late is read with the next large call, as a blank before its JSON.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

from modelport.contract import wire
from modelport.contract.prediction import Batch, Call, Outcome
from modelport.errors import DeadlineExceeded, ModelportError
from modelport.executors import Watcher

STOP = b" "


class Run:
    """A call and the future of its outcome. It waits, is sent to a worker, is at work there, and is answered.

    answer: always an Outcome; what goes wrong is in it.
    worker: the `Worker` to which it was sent; None while it waits.
    slot: the worker's output pipe that holds what this run prints.
    late: its time limit has passed.
    told: so many values of its generator have come. left: nobody wants more of them; done when it has ended.
    over: its outcome has come, whether or not anybody still waits for it.
    """

    __slots__ = ("answer", "call", "late", "left", "over", "queued_s", "slot", "started", "told", "watcher", "worker")

    def __init__(self, call: Call | Batch, watcher: Watcher | None) -> None:
        self.call = call
        self.watcher = watcher
        self.answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.worker: Any = None
        self.slot = self.told = 0
        self.left: asyncio.Future[None] | None = None
        self.late = self.over = False
        self.started = time.perf_counter()
        self.queued_s = 0.0

    def finish(self, outcome: Outcome) -> None:
        self.over = True
        outcome.timings["queue"] = self.queued_s
        if not self.answer.done():
            self.answer.set_result(outcome)

    def fail(self, error: ModelportError) -> None:
        """It never reached the model."""
        self.queued_s = time.perf_counter() - self.started
        self.finish(Outcome(error=error))

    def too_late(self) -> None:
        """No worker was free in time."""
        self.fail(DeadlineExceeded(f"no worker was free within {self.call.timeout_s:g} s, the time limit"))


class Flow:
    """Of one worker. unread: so many bytes of ours may lie in the stream when it has answered."""

    def __init__(self) -> None:
        self.unread = 0
        self._transport: asyncio.Transport | None = None
        self._wait: asyncio.Future[None] | None = None  # until the values are taken

    def connect(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def take(self, run: Run | None, call_id: str, body: bytes) -> None:
        """Raises BrokenFrame."""
        if run is None or call_id != run.call.id or not run.call.stream:
            raise wire.BrokenFrame("a value that nobody awaits of it")
        if not run.told:
            self.unread = 0  # the worker reads what was left before it runs a generator
        run.told += 1
        if run.watcher is None or run.left is not None:
            return
        wait = run.watcher.value(body)
        if wait is not None and wait is not self._wait and not wait.done():
            self._pause(wait)

    def _pause(self, wait: asyncio.Future[None]) -> None:
        assert self._transport is not None
        if self._wait is None:
            self._transport.pause_reading()
        self._wait = wait
        wait.add_done_callback(self._taken)

    def _taken(self, wait: asyncio.Future[None]) -> None:
        if wait is self._wait:
            self.go_on()

    def go_on(self) -> None:
        """Read again, whoever takes it."""
        if self._wait is not None:
            self._wait = None
            assert self._transport is not None
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def stop(self, run: Run) -> asyncio.Future[None] | None:
        """Have the generator closed. Done when the call has ended; None where it has not told a value, and so may not
        have been read."""
        if not run.told or self._transport is None or self._transport.is_closing():
            return None
        if run.left is None:
            run.left = asyncio.get_running_loop().create_future()
            self.unread += 1
            self._transport.write(STOP)
            self.go_on()
        return run.left

    def ended(self, run: Run, *, stopped: bool) -> None:
        if stopped:
            self.unread = 0
        if run.left is not None and not run.left.done():
            run.left.set_result(None)
        self.go_on()
