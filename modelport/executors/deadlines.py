"""Many time limits, one timer.

A timer for each call costs more than handing the call to its worker. Calls of one limit end in the order in which
they began, so only the first of each limit needs watching.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

Limited = TypeVar("Limited")


class Deadlines(Generic[Limited]):
    """Calls `expire` with each that is still here when its time is over."""

    def __init__(self, expire: Callable[[Limited], None]) -> None:
        self._expire = expire
        self._due_by_limit: dict[float, dict[Limited, float]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, limited: Limited, limit_s: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + limit_s
        line = self._due_by_limit.get(limit_s)
        if line is None:
            line = self._due_by_limit[limit_s] = {}
        line[limited] = due
        if self._timer is None:
            self._timer = loop.call_at(due, self._fire)
        elif due < self._timer.when():
            self._timer.cancel()
            self._timer = loop.call_at(due, self._fire)

    def remove(self, limited: Limited, limit_s: float) -> None:
        """The timer stays: it finds nothing to do, or waits for the next."""
        line = self._due_by_limit.get(limit_s)
        if line is not None:
            line.pop(limited, None)

    def _fire(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        over: list[Limited] = []
        for limit_s, line in list(self._due_by_limit.items()):
            for limited, due in line.items():
                if due > now:
                    break
                over.append(limited)
            if len(line) == 0:
                del self._due_by_limit[limit_s]
        for limited in over:
            for line in self._due_by_limit.values():
                line.pop(limited, None)
        firsts = [next(iter(line.values())) for line in self._due_by_limit.values() if line]
        self._timer = loop.call_at(min(firsts), self._fire) if firsts else None
        for limited in over:
            self._expire(limited)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
