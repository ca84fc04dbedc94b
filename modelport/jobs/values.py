"""The values of generators that run as jobs: in memory, for those who follow a job or come back to it.

What must not be missed is in the job's result.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice

# What keeping a value costs beside its bytes.
VALUE_BYTES = 64


@dataclass
class Values:
    """Those of one attempt of a job. first: the index of the oldest that is kept."""

    attempt: int
    first: int = 0
    bodies: deque[bytes] = field(default_factory=deque)

    @property
    def end(self) -> int:
        return self.first + len(self.bodies)

    def since(self, index: int) -> list[bytes]:
        # From the end, so that following many costs no more than the news.
        return list(islice(reversed(self.bodies), max(0, self.end - index)))[::-1]


class KeptValues:
    """Of all jobs, within a bound: the values of the job that began first go first."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._by_job: dict[str, Values] = {}
        self._filled: dict[str, Values] = {}  # those that have some

    def add(self, job_id: str, attempt: int, body: bytes) -> None:
        """body: JSON; empty for one that is too large to be kept."""
        values = self._by_job.get(job_id)
        if values is None or values.attempt != attempt:
            self.forget(job_id)
            values = self._by_job[job_id] = Values(attempt)
        values.bodies.append(body)
        self._filled[job_id] = values
        self._bytes += len(body) + VALUE_BYTES
        while self._bytes > self._limit_bytes:
            oldest, values = next(iter(self._filled.items()))
            self._bytes -= len(values.bodies.popleft()) + VALUE_BYTES
            values.first += 1
            if not values.bodies:
                del self._filled[oldest]

    def of(self, job_id: str) -> Values | None:
        """Those that are at hand: of its last attempt, since the server's start."""
        return self._by_job.get(job_id)

    def forget(self, job_id: str) -> None:
        self._by_job.pop(job_id, None)
        if (values := self._filled.pop(job_id, None)) is not None:
            self._bytes -= sum(len(body) + VALUE_BYTES for body in values.bodies)
