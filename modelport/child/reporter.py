"""How a call in a worker tells its progress: from any thread, and never more often than anybody could read it.

Runs in the child: Python 3.8, standard library only.
"""

from __future__ import annotations

import math
import threading
import time
from typing import Any, Callable, Mapping

import modelport

# At most so many a second, after a burst of so many seconds' worth: a model that reports each of a million steps costs
# itself and the gateway next to nothing, and one that reports some dozen stages is heard with every one of them.
INTERVAL_S = 0.02
BURST_S = 1.0

MESSAGE_CHARS = 1000
# Of metrics so many are passed on at once, with names of so many characters: a frame of ours is small.
METRICS_AT_ONCE = 50
METRIC_CHARS = 100


class Reporter:
    """Passes on what the plugin says to `modelport.progress` during a call; of what is too much, the last in time."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._call_id: str | None = None
        self._waiting: tuple[float | None, str, Mapping[str, float]] | None = None
        self._credit_from = 0.0  # moves on with each that is sent; at most BURST_S ahead of now
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition(threading.Lock())

    def begin(self, call_id: str) -> None:
        self._call_id = call_id
        modelport._report = self.report

    def end(self) -> None:
        """The last of the call goes, and nothing after it."""
        modelport._report = None
        with self._changed:
            if self._waiting is not None:
                self._pass_on(*self._waiting)
                self._changed.notify()  # the thread has nothing to wait for
            self._call_id = None

    def report(self, fraction: float | None, message: str, metrics: Mapping[str, float]) -> None:
        with self._changed:
            if self._call_id is None:
                return  # a thread that has outlived its call
            if self._waiting is not None:
                metrics = {**self._waiting[2], **metrics}
            if self._credit_from - time.monotonic() <= BURST_S:
                self._pass_on(fraction, message, metrics)
            else:
                self._waiting = fraction, message, metrics
                self._see_to_it()

    def _pass_on(self, fraction: float | None, message: str, metrics: Mapping[str, float]) -> None:
        self._waiting = None
        self._credit_from = max(self._credit_from, time.monotonic()) + INTERVAL_S
        told: dict[str, Any] = {
            "is": "progress",
            "id": self._call_id,
            "fraction": fraction,
            "message": message[:MESSAGE_CHARS],
        }
        finite = [(name[:METRIC_CHARS], value) for name, value in metrics.items() if math.isfinite(value)]
        if finite:
            told["metrics"] = dict(finite[:METRICS_AT_ONCE])
        try:
            self._send(told)
        except OSError:
            pass  # the gateway has gone, and the worker goes soon

    def _see_to_it(self) -> None:
        """That what waits goes in time, even if nothing else is said for an hour. The thread lives only meanwhile:
        a plugin that forks had better do so from a process of one thread."""
        if self._thread is None:
            thread = threading.Thread(target=self._pass_on_later, name="modelport-progress", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return  # no thread is to be had; it goes with the next one, or with the end
            self._thread = thread

    def _pass_on_later(self) -> None:
        with self._changed:
            while self._waiting is not None:
                wait_s = self._credit_from - BURST_S - time.monotonic()
                if wait_s > 0:
                    self._changed.wait(wait_s)
                else:
                    self._pass_on(*self._waiting)
            self._thread = None
