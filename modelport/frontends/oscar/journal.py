"""The calls of /run of the last time, as OSCAR lists jobs: kept in memory, within bounds, and gone with the server.

Jobs that outlive it are the store's; both have names of one form, and are listed together.
"""

from __future__ import annotations

import re
import time
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

# Each service keeps so many calls, and so much of what they printed: a thousand services stay within some GB at the
# very worst, and a usual one within a few hundred kilobytes.
CALLS_LIMIT = 500
LOGS_LIMIT_CHARS = 2 << 20
REQUESTS_LIMIT = 1000
PAGE = 70

SUCCEEDED, FAILED, RUNNING = "Succeeded", "Failed", "Running"

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def job_name(service: str, job_id: str) -> str:
    """Unique, and it begins as the service does: clients match on that. job_id: of a job that the store keeps."""
    return f"{_cut(service)}-{uuid.UUID(job_id)}"


def job_id(service: str, name: str) -> str:
    """The way back; empty where no job of that service can be called so."""
    rest = name.removeprefix(f"{_cut(service)}-")
    return rest.replace("-", "") if rest != name and _UUID.fullmatch(rest) else ""


def _cut(service: str) -> str:
    return service if len(service) < 25 else service[:16]


@dataclass
class Entry:
    """One call. user: who made it; empty for the service's token. number: of the calls of all services, from 1 on."""

    name: str
    user: str = ""
    number: int = 0
    status: str = RUNNING
    created: float = field(default_factory=time.time)
    finished: float | None = None
    log: str = ""


class Request(NamedTuple):
    """One HTTP request, as it is listed."""

    time: float
    status: str
    seconds: float
    client: str
    method: str
    path: str
    user: str

    def document(self) -> dict[str, str]:
        entry = {
            "timestamp": stamp(self.time),
            "status": self.status,
            "latency": f"{self.seconds:.6f}s",
            "client_ip": self.client,
            "method": self.method,
            "path": self.path,
            "user": self.user,
        }
        return {**entry, "raw": " | ".join(entry.values())}


class _Calls:
    """One service's, the oldest first. prefix: what their names begin with."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.entries: dict[str, Entry] = {}
        self.chars = 0

    def trim(self) -> None:
        while len(self.entries) > CALLS_LIMIT or (self.chars > LOGS_LIMIT_CHARS and len(self.entries) > 1):
            self.remove(next(iter(self.entries)))

    def remove(self, name: str) -> None:
        self.chars -= len(self.entries.pop(name).log)


class Journal:
    """The calls by service, how many there were, and the last requests of all."""

    def __init__(self) -> None:
        self._services: dict[str, _Calls] = {}
        self.totals: dict[str, int] = {}
        self.users: dict[str, set[str]] = {}
        self.requests: deque[Request] = deque(maxlen=REQUESTS_LIMIT)
        self.started = time.time()
        self._count = 0
        self._run = str(uuid.uuid4())[:24]  # what the names of this server's calls have in common

    def begin(self, service: str, user: str) -> Entry:
        self._count += 1
        calls = self._services.get(service)
        if calls is None:
            calls = self._services[service] = _Calls(f"{_cut(service)}-{self._run}")
        entry = Entry(f"{calls.prefix}{self._count:012x}", user, self._count)
        calls.entries[entry.name] = entry
        if len(calls.entries) > CALLS_LIMIT:
            calls.trim()
        self.totals[service] = self.totals.get(service, 0) + 1
        self.meet(service, user)
        return entry

    def meet(self, service: str, user: str) -> None:
        """Somebody has called, by whatever front end."""
        users = self.users.setdefault(service, set())
        if len(users) < CALLS_LIMIT:
            users.add(user)

    def end(self, service: str, entry: Entry, status: str, log: str) -> None:
        calls = self._services.get(service)
        entry.status, entry.finished = status, time.time()
        if calls is not None and entry.name in calls.entries:
            entry.log = log
            calls.chars += len(log)
            if calls.chars > LOGS_LIMIT_CHARS:
                calls.trim()

    def list(self, service: str, user: str | None = None) -> Iterator[Entry]:
        """The newest first; user: only that one's."""
        calls = self._services.get(service)
        for entry in reversed(list(calls.entries.values()) if calls is not None else []):
            if user is None or entry.user == user:
                yield entry

    def remove(self, service: str, name: str) -> None:
        self._services[service].remove(name)

    def forget(self, service: str) -> None:
        for counts in (self._services, self.totals, self.users):
            counts.pop(service, None)
