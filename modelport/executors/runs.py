"""One call on its way through an executor."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from modelport.contract.prediction import Call, Outcome
from modelport.errors import DeadlineExceeded, ModelportError
from modelport.executors import Watcher

if TYPE_CHECKING:
    from modelport.executors.process import Worker


class Run:
    """A call and the future of its outcome. It waits, is sent to a worker, is at work there, and is answered.

    answer: always an Outcome; what goes wrong is in it.
    worker: to which it was sent; None while it waits.
    slot: the worker's output pipe that holds what this run prints.
    late: its time limit has passed.
    over: its outcome has come, whether or not anybody still waits for it.
    """

    __slots__ = ("answer", "call", "late", "over", "queued_s", "slot", "started", "watcher", "worker")

    def __init__(self, call: Call, watcher: Watcher | None) -> None:
        self.call = call
        self.watcher = watcher
        self.answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.worker: Worker | None = None
        self.slot = 0
        self.late = self.over = False
        self.started = time.perf_counter()
        self.queued_s = 0.0

    def sent(self, worker: Worker) -> None:
        self.worker = worker
        self.queued_s = time.perf_counter() - self.started

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
