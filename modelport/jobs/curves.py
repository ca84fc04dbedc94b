"""The metrics of a job: numbers that its model reports as it goes on, kept as curves."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from modelport.store.jobs import encode

# What counts steps is where the other numbers are drawn over.
STEPS = ("epoch", "step", "iteration", "iter", "batch")
# More are not looked through by anybody.
NAMES_LIMIT = 50
NAME_CHARS = 100
# A longer line is no row of numbers.
LINE_BYTES = 10_000
# Arguments that use a model are its name, a path, a date.
USE_BYTES = 4000

Point = tuple[float, float]


@dataclass
class Curve:
    """Points spread over all that has been reported, and the last one. stride: every so manieth is kept."""

    points: list[Point] = field(default_factory=list)
    stride: int = 1
    count: int = 0

    def add(self, point: Point, limit: int) -> None:
        if self.points and (self.count - 1) % self.stride:
            self.points.pop()  # it was only there as the last
        self.points.append(point)
        self.count += 1
        if len(self.points) > limit:
            self.points, self.stride = self.points[::2], 2 * self.stride
            if self.points[-1] != point:
                self.points.append(point)


class Curves:
    """last: the last value of each metric. step: what the points are drawn over; empty: they are counted."""

    def __init__(self, limit: int) -> None:
        """limit: most points of each."""
        self.last: dict[str, float] = {}
        self.step = ""
        self._limit = limit
        self._curves: dict[str, Curve] = {}
        self._count = 0

    def add(self, values: Mapping[str, float]) -> None:
        self._count += 1
        step = next((name for name in STEPS if name in values), "")
        self.step = self.step or step
        at = values[step] if step else float(self._count)
        for name, value in values.items():
            if name in self.last or len(self.last) < NAMES_LIMIT:
                self.last[name] = value
                if name != step:
                    self._curves.setdefault(name, Curve()).add((at, value), self._limit)

    def document(self) -> dict[str, Any]:
        """Metrics by their names: those that are printed and those that are reported arrive in any order."""
        curves = sorted(self._curves.items())
        return {"step": self.step, "metrics": {name: list(curve.points) for name, curve in curves}}


class Rows:
    """What a training prints as JSON, one object in a line, whole lines in their order."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[dict[str, float]]:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > LINE_BYTES:
            self._rest = b"-"  # what follows is of the same line, and no object either
        for line in lines:
            if line.startswith(b"{") and len(line) <= LINE_BYTES and (row := _numbers(_object(line))):
                yield row


def of_result(text: bytes) -> tuple[dict[str, float], dict[str, Any]]:
    """(its numbers, what is under `use`) of the JSON object that a training gave back; empty where it is none."""
    value = _object(text)
    use = value.get("use")
    return _numbers(value), use if isinstance(use, dict) and len(encode(use)) <= USE_BYTES else {}


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _numbers(value: dict[str, Any]) -> dict[str, float]:
    numbers = [(name[:NAME_CHARS], float(number)) for name, number in value.items() if _is_number(number)]
    return dict(numbers[:NAMES_LIMIT])


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max  # neither infinite nor NaN
