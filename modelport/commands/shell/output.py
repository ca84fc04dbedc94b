"""Our streams: what models print, passed on to our stderr; and stdout when nobody reads it."""

from __future__ import annotations

import json
import os
import re
import select
import sys
import time
from collections.abc import AsyncIterable, Iterable
from dataclasses import dataclass
from typing import Any

import click

from modelport.contract.visible import VisibleStream, visible, visible_json
from modelport.errors import ModelportError

# A line that does not end is passed on in pieces of this size.
LINE_LIMIT_BYTES = 64 << 10
# More processes than these do not print lines at one time.
RESTS_LIMIT = 100
PERIOD_S = 60


def say(text: object, *, err: bool = False, nl: bool = True, bold: str = "") -> None:
    """A line for the user. A model may have written parts of it: no terminal obeys what is in it.

    bold: the part that stands out.
    """
    line = visible(str(text))
    if bold:
        line = line.replace(visible(bold), click.style(visible(bold), bold=True), 1)
    click.echo(line, err=err, nl=nl)


def say_json(document: Any, *, err: bool = False) -> None:
    click.echo(visible_json(json.dumps(document, ensure_ascii=False)), err=err)


def tell(document: Any, text: object, *, as_json: bool) -> None:
    """The document for programs, or the text for people."""
    say_json(document) if as_json else say(text)


def labelled(rows: Iterable[tuple[str, Any]], width: int = 9) -> None:
    """A line for each thing that there is to say; what programs look for stands first in its line."""
    for label, value in rows:
        if value:
            say(f"{label:<{width}} {value}")


async def print_log(chunks: AsyncIterable[bytes], document: dict[str, Any] | None = None) -> None:
    """What a model has printed, on our stdout, as it comes. document: to be printed instead, with the log in it."""
    if document is not None:
        log = b"".join([chunk async for chunk in chunks])
        say_json({**document, "log": log.decode(errors="replace")})
        return
    stream = VisibleStream()
    async for chunk in chunks:
        sys.stdout.write(stream(chunk))
        sys.stdout.flush()
    sys.stdout.write(stream(b"", last=True))


def write_stderr(text: str) -> None:
    try:
        # As text, which a progress bar can put above itself.
        sys.stderr.write(visible(text, returns=True))
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # nobody reads it any more; the model's work goes on


def prepare() -> None:
    """Streams that were closed get something in their place, or a socket would get their number: stdin ends at once,
    stdout cannot be written to, stderr goes nowhere. And what is no UTF-8 can be printed."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")  # in JSON that is an escape


def settle() -> None:
    """What was printed and cannot be written is told once, not again by Python at its end."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        close_stdout()


def close_stdout() -> None:
    """Whoever read it has gone, as `head` does: from now on it goes nowhere, or Python would complain at its end."""
    _lead_nowhere(sys.stdout.fileno())


def leave_blocked_streams() -> bool:
    """Whether nobody reads stdout or stderr. What Python has kept to write there at its end goes nowhere, then."""
    writable = select.poll()
    for descriptor in (1, 2):
        writable.register(descriptor, select.POLLOUT)
    blocked = {1, 2} - {descriptor for descriptor, _ in writable.poll(0)}
    for descriptor in blocked:
        _lead_nowhere(descriptor)
    return bool(blocked)


def _lead_nowhere(descriptor: int) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


@dataclass
class Period:
    """What a deployment has printed since `began`."""

    began: float
    bytes: int = 0
    left_out: int = 0


class Prefixed:
    """A deployments' listener: whole lines, each with the name of the deployment and the process in front."""

    def __init__(self, rate_bytes_s: int = 0) -> None:
        """rate_bytes_s: of one deployment, over PERIOD_S; what is more is left out, and a line says so. 0: no limit."""
        self._limit = rate_bytes_s * PERIOD_S
        self._rest: dict[tuple[str, int], bytes] = {}
        self._periods: dict[str, Period] = {}

    def __call__(self, name: str, pid: int, chunk: bytes) -> None:
        key = (name, pid)
        if self._limit and not self._has_room(name, len(chunk)):
            self._periods[name].left_out += len(self._rest.pop(key, b""))
            return
        *lines, rest = (self._rest.pop(key, b"") + chunk).split(b"\n")
        if len(rest) > LINE_LIMIT_BYTES:
            lines.append(rest)
        elif rest:
            self._rest[key] = rest
        self._write(key, lines)
        while len(self._rest) > RESTS_LIMIT:  # most are the last words of processes that have ended
            oldest = next(iter(self._rest))
            self._write(oldest, [self._rest.pop(oldest)])

    def _has_room(self, name: str, size: int) -> bool:
        now, period = time.monotonic(), self._periods.get(name)
        if period is None or now - period.began >= PERIOD_S:
            self._end_period(name)
            period = self._periods[name] = Period(now)
        period.bytes += size
        if period.bytes <= self._limit:
            return True
        if not period.left_out:
            write_stderr(
                f"[{name}] has printed more than {self._limit} bytes within {PERIOD_S} s (setting log_rate_bytes_s); "
                f"the rest is left out here. `modelport logs {name}` shows the end of it\n"
            )
        period.left_out += size
        return False

    def _end_period(self, name: str) -> None:
        period = self._periods.pop(name, None)
        if period is not None and period.left_out:
            write_stderr(f"[{name}] {period.left_out} bytes were left out\n")

    def flush(self) -> None:
        """What was left without an end of line."""
        for key, rest in self._rest.items():
            self._write(key, [rest])
        self._rest.clear()
        for name in list(self._periods):
            self._end_period(name)

    @staticmethod
    def _write(key: tuple[str, int], lines: list[bytes]) -> None:
        # A progress bar overwrites its line; in a log its last state counts.
        states = [line.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="backslashreplace") for line in lines]
        if states:
            write_stderr("".join(f"[{key[0]} {key[1]}] {state}\n" for state in states))


class WithoutTracebacks:
    """Passes output on, but keeps back a traceback that may be the end: the error is told in a line of its own.

    One that is followed by other output was the model's own affair and is shown.
    """

    START = re.compile(r"^Traceback \(most recent call last\):\s*$", re.M)
    # What may stand in a traceback, and between two that are chained.
    INSIDE = re.compile(r"\s.*|[\w.]+(:.*)?|The above exception .*|During handling .*|Traceback .*|")

    def __init__(self, show_all: bool) -> None:
        self._show_all = show_all
        self._held = ""
        self._streams: dict[int, VisibleStream] = {}

    def __call__(self, name: str, pid: int, chunk: bytes) -> None:
        text = self._streams.setdefault(pid, VisibleStream())(chunk)
        if self._show_all:
            write_stderr(text)
            return
        text = self._held + text
        start = self.START.search(text)
        if start is None:
            self._held = ""
            write_stderr(text)
            return
        write_stderr(text[: start.start()])
        self._held = text[start.start() :]
        if not all(self.INSIDE.fullmatch(line) for line in self._held.split("\n")):
            self.flush()

    def flush(self) -> None:
        write_stderr(self._held)
        self._held = ""

    def __enter__(self) -> WithoutTracebacks:
        return self

    def __exit__(self, kind: type[BaseException] | None, *reason: object) -> None:
        if kind is not None and issubclass(kind, ModelportError):
            self._held = ""
        self.flush()
