"""Jobs as text: rows of a table, a line for each change, and all there is to say of one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from modelport.commands.shell import failures
from modelport.commands.shell.output import labelled, say

Document = dict[str, Any]

HEAD = ("ID", "SERVICE", "METHOD", "STATUS", "AGE", "DURATION", "ATTEMPT", "PROGRESS")
COLOURS = {"queued": "", "running": "cyan", "succeeded": "green", "failed": "red", "cancelled": "yellow"}
# The number of a job, by which its server knows it; what follows only keeps others from guessing.
SHORT_DIGITS = 14
# A table's last column, and the log that is shown of one job.
PROGRESS_CHARS = 50
LOG_LINES = 20


def short(job_id: str) -> str:
    return job_id[:SHORT_DIGITS]


def row(job: Document) -> tuple[str, ...]:
    """In the order of HEAD."""
    attempts = job.get("attempts") or 1
    attempt = str(job["attempt"]) if job["attempt"] else ""
    told = progress(job)
    return (
        short(job["id"]),
        job["deployment"],
        job["method"],
        job["status"],
        span(max(0.0, time.time() - _seconds(job["created"]))),
        _duration(job),
        f"{attempt} of {attempts}" if job["attempt"] > 1 else attempt,
        told if len(told) <= PROGRESS_CHARS else told[: PROGRESS_CHARS - 1] + "…",
    )


def progress(job: Document) -> str:
    """How far it is, or why it failed."""
    if job.get("error"):
        return one_line(job["error"]["message"])
    if job.get("position"):
        return f"{job['position']} before it"
    told = job.get("progress") or {}
    percent = "" if told.get("fraction") is None else f"{told['fraction']:.0%}"
    return f"{percent} {one_line(told.get('message') or '')}".strip() if job["status"] == "running" else ""


def line(job: Document) -> str:
    """For a log of changes."""
    more = progress(job)
    return f"{short(job['id'])} {job['deployment']} {job['status']}" + (f": {more}" if more else "")


def one_line(text: str) -> str:
    """Without what would move a terminal's cursor."""
    return "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))


def facts(job: Document) -> None:
    labelled(_facts(job), 10)
    tail = (job.get("log") or {}).get("tail") or ""
    if tail:
        say("\nlog:")
        for line in tail.rstrip("\n").splitlines()[-LOG_LINES:]:
            say(f"  {line}")


def _facts(job: Document) -> Iterator[tuple[str, str]]:
    yield "id", job["id"]
    yield "service", job["deployment"]
    yield "method", job["method"]
    yield "status", job["status"]
    yield "progress", "" if job.get("error") else progress(job)
    for name in ("created", "started", "finished"):
        yield name, job[name] or ""
    yield "duration", _duration(job)
    yield "attempt", f"{job['attempt']} of {job['attempts']}" if job["attempt"] else ""
    for name, value in (job.get("arguments") or {}).items():
        yield "argument", one_line(f"{name} = {value}")
    if result := job.get("result"):
        yield "result", f"{result['media_type']}, {result['size_bytes']} bytes"
    if error := job.get("error"):
        for line in failures.told(error["message"], error.get("fields")):
            yield "error", one_line(line)


# Times


def _duration(job: Document) -> str:
    if job.get("duration_s") is not None:
        return span(job["duration_s"])
    if job["status"] == "running" and job["started"]:
        return span(max(0.0, time.time() - _seconds(job["started"])))
    return ""


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def span(seconds: float) -> str:
    """0.4s, 12s, 3m05s, 2h10m, 5d03h."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    for size, name, below, low in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{name}{whole % size // below:02}{low}"
    return f"{whole}s"
