"""What jobs do, as it happens: server-sent events, and logs that are followed.

A stream begins with how things stand, so a client that comes again has missed nothing that still matters. It ends with
its job, with the server, or with a client that takes nothing for a while; whoever reads slowly misses progress and log
lines, is told how many, and holds up nobody else.
"""

from __future__ import annotations

import codecs
import re
from typing import Any

import msgspec
from aiohttp import web

from modelport.contract.job import Event, Job
from modelport.contract.prediction import Status
from modelport.http.gateway import Gateway
from modelport.http.job_documents import JobDocuments
from modelport.http.json_answers import encoded
from modelport.http.streaming import HEADERS

EVENT_STREAM = {"Content-Type": "text/event-stream; charset=utf-8", **HEADERS}
LOG = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff", "X-Accel-Buffering": "no"}

MISSING = b"\n[parts of the log are missing here: they came faster than they were read]\n"
# Of a value that is too large to be kept.
ONE = b'{"events":1}'
_LAST_ID = re.compile(r"(\d{1,15})(?:\.(\d{1,15})\.(\d{1,9}))?", re.ASCII)
# Clients come again after this time.
RETRY_MS = 2000


class Feed:
    """Writes one stream of events to its client. Raises ConnectionResetError for one that has gone."""

    headers, opening, heartbeat = EVENT_STREAM, f"retry: {RETRY_MS}\n\n".encode(), b":\n\n"

    def __init__(self, gateway: Gateway, request: web.Request) -> None:
        self.documents = JobDocuments.of(gateway, request)
        self._request = request
        self._response = web.StreamResponse(headers=self.headers)
        self._jobs = gateway.jobs
        self._wants_values = request.query.get("values") != "0"
        self._number, self._values, self._attempt = _last_id(request)
        self._missed = 0
        self._told: dict[str, tuple[int, int]] = {}  # of the jobs that the stream began with
        self._texts: dict[str, codecs.IncrementalDecoder] = {}

    async def begin(self) -> web.StreamResponse:
        await self._response.prepare(self._request)
        await self._response.write(self.opening)
        return self._response

    async def beat(self) -> None:
        await self._response.write(self.heartbeat)

    async def send(self, kind: str, document: Any) -> None:
        """Numbers go on where the client says that it was: to it, they are one row."""
        await self._response.write(self._event(kind, encoded(document)))

    def _event(self, kind: str, body: bytes) -> bytes:
        self._number += 1
        position = f"{self._number}.{self._values}.{self._attempt}" if self._values else f"{self._number}"
        return b"id: %s\nevent: %s\ndata: %s\n\n" % (position.encode(), kind.encode(), body)

    async def values(self, job_id: str) -> None:
        """Those that the client has not had yet, and how many of them are not at hand any more."""
        kept = self._jobs.values(job_id)
        if kept is None or not self._wants_values:
            return
        if kept.attempt != self._attempt:
            self._values, self._attempt = 0, kept.attempt
        if (lost := kept.first - self._values) > 0:
            self._values = kept.first
            await self.send("missed", {"events": lost})
        told = []
        for body in kept.since(self._values):
            index, self._values = self._values, self._values + 1
            value = {"job": job_id, "attempt": kept.attempt, "index": index, "value": msgspec.Raw(body)}
            told.append(self._event("value", encoded(value)) if body else self._event("missed", ONE))
        if told:
            await self._response.write(b"".join(told))

    async def stand(self, job: Job) -> None:
        """How a job stands before anything happens to it here."""
        self._told[job.id] = _stage(job)
        await self.send("state", self.documents.row(job))

    async def begin_with(self, jobs: list[Job], *, more: bool) -> None:
        """more: there are others."""
        self._told = {job.id: _stage(job) for job in jobs}
        await self.send("jobs", {"jobs": [self.documents.row(job) for job in jobs], "more": more})

    async def log(self, job_id: str, chunk: bytes) -> None:
        """Chunks are cut anywhere, also within a character."""
        text = self._texts.get(job_id)
        if text is None:
            text = self._texts[job_id] = codecs.getincrementaldecoder("utf-8")("replace")
        if said := text.decode(chunk):
            await self.send("log", {"job": job_id, "text": said})

    async def tell(self, event: Event) -> None:
        if event.kind == "state":
            await self._tell_state(event.data)
        elif event.kind == "progress":
            fraction, message = event.data
            await self.send("progress", {"job": event.job_id, "fraction": fraction, "message": message})
        elif event.kind == "metrics":
            await self.send("metrics", {"job": event.job_id, "metrics": event.data})
        elif event.kind == "artifact":
            link = self.documents.artifact(event.job_id, event.data)
            await self.send("artifact", {"job": event.job_id, "artifact": link})
        elif event.kind == "log":
            await self.log(event.job_id, event.data)
        elif event.kind == "value":
            await self.values(event.job_id)

    async def _tell_state(self, job: Job) -> None:
        """One that came while the beginning was read may be older than what was read there, or the same."""
        if job.id in self._told:
            if _stage(job) <= self._told[job.id]:
                return
            self._told[job.id] = _stage(job)
        if job.status.final:
            self._told.pop(job.id, None)
            self._texts.pop(job.id, None)
        await self.send("state", self.documents.row(job))

    async def admit_missed(self, missed: int) -> None:
        if missed > self._missed:
            await self.send("missed", {"events": missed - self._missed})
            self._missed = missed


class LogFeed(Feed):
    """Writes what a job prints, and nothing else of it."""

    headers, opening, heartbeat = LOG, b"", b""

    async def log(self, job_id: str, chunk: bytes) -> None:
        await self._response.write(chunk)

    async def values(self, job_id: str) -> None:
        pass

    async def send(self, kind: str, document: Any) -> None:
        if kind == "missed":
            await self._response.write(MISSING)


def _stage(job: Job) -> tuple[int, int]:
    """Grows with each state of a job: queued, running, queued again after a loss, running …, its end."""
    if job.status.final:
        return job.attempt, 2
    return job.attempt, 1 if job.status is Status.QUEUED else 0


def _last_id(request: web.Request) -> tuple[int, int, int]:
    """The number of the last event, how many values there were before it, and of which attempt."""
    match = _LAST_ID.fullmatch(request.headers.get("Last-Event-ID", ""))
    return (0, 0, 0) if match is None else (int(match[1]), int(match[2] or 0), int(match[3] or 0))
