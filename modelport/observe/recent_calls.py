"""The calls of the last minutes, for charts: how many ended, how many failed, how long they took."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

SLOT_S = 10
SLOTS = 90  # a quarter of an hour
# Of each slot so many times are kept, any as likely as any other: enough for a percentile.
SAMPLES = 200


@dataclass
class Slot:
    """What ended in one stretch of SLOT_S. number: of the stretch, on the monotonic clock."""

    number: int
    calls: int = 0
    failed: int = 0
    seconds: list[float] = field(default_factory=list)

    def percentile_s(self, share: float) -> float | None:
        """None: nothing was timed."""
        if not self.seconds:
            return None
        seconds = sorted(self.seconds)
        return seconds[min(len(seconds) - 1, int(share * len(seconds)))]


class RecentCalls:
    """Costs an addition at each call, and nothing where there are none."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._slots: deque[Slot] = deque(maxlen=SLOTS)

    def add(self, seconds: float, *, failed: bool) -> None:
        slots = self._slots
        number = int(self._clock() // SLOT_S)
        if not slots or slots[-1].number != number:
            slots.append(Slot(number))
        slot = slots[-1]
        slot.calls += 1
        slot.failed += failed
        if len(slot.seconds) < SAMPLES:
            slot.seconds.append(seconds)
        elif (place := int(random.random() * slot.calls)) < SAMPLES:
            slot.seconds[place] = seconds

    def last(self, count: int = SLOTS) -> list[Slot]:
        """So many, the oldest first, the last of them not over yet; empty ones where nothing was called."""
        now = int(self._clock() // SLOT_S)
        known = {slot.number: slot for slot in self._slots}
        return [known.get(number) or Slot(number) for number in range(now - count + 1, now + 1)]
