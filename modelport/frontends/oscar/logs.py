"""/system/logs: the jobs of a service, and the calls of /run that have been of late, as OSCAR lists jobs."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from modelport.contract.job import Job
from modelport.contract.prediction import UNFINISHED, Status
from modelport.errors import Conflict, Forbidden, InvalidRequest, NotFound
from modelport.frontends.oscar import texts as oscar_texts
from modelport.frontends.oscar.answers import TEXT
from modelport.frontends.oscar.journal import (
    FAILED,
    PAGE,
    PENDING,
    RUNNING,
    SUCCEEDED,
    Entry,
    job_id,
    job_name,
    stamp,
)
from modelport.frontends.oscar.services import Calls, Handler
from modelport.http.access import Caller
from modelport.http.json_answers import json_answer

# What Go reads as true.
TRUE = ("1", "t", "T", "TRUE", "true", "True")
STATES = {
    Status.QUEUED: PENDING,
    Status.RUNNING: RUNNING,
    Status.SUCCEEDED: SUCCEEDED,
    Status.FAILED: FAILED,
    Status.CANCELLED: FAILED,
}
FINAL = tuple(status for status in Status if status.final)
# So many jobs are cancelled at once: they share the commits of the store.
CANCELLED_AT_ONCE = 200

_PLACE = re.compile(r"([0-9]{1,15})-([0-9]{1,15})-([0-9a-f]{32})?", re.ASCII)


@dataclass(frozen=True)
class Place:
    """Where a page begins: how many are on the pages before, the number of the last call there, and the last job."""

    shown: int = 0
    number: int = 0
    job_id: str = ""

    @classmethod
    def parse(cls, text: str) -> Place:
        """Raises InvalidRequest."""
        if not text:
            return cls()
        if (match := _PLACE.fullmatch(text)) is None:
            raise InvalidRequest("page is what the last page called next_page")
        return cls(int(match[1]), int(match[2]), match[3] or "")

    def after(self, page: Iterable[Entry | Job]) -> Place:
        shown, number, job_id = self.shown, self.number, self.job_id
        for entry in page:
            shown += 1
            if isinstance(entry, Job):
                job_id = entry.id
            else:
                number = entry.number
        return Place(shown, number, job_id)

    def __str__(self) -> str:
        return f"{self.shown}-{self.number}-{self.job_id}"


class LogCalls(Calls):
    """The handlers of /system/logs."""

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return (
            ("GET", "/logs", self.requests),
            ("GET", "/logs/{name}", self.list),
            ("DELETE", "/logs/{name}", self.remove_all),
            ("GET", "/logs/{name}/{job}", self.show),
            ("DELETE", "/logs/{name}/{job}", self.remove),
        )

    async def requests(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        if not caller.administrator:
            raise Forbidden("only the administrator may see the log of all requests")
        return json_answer({"logs": [request.document() for request in self._journal.requests]})

    async def list(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        name, user = self._service(request, caller)
        place = Place.parse(request.query.get("page", ""))
        entries = [entry for entry in self._journal.list(name, user) if not place.number or entry.number < place.number]
        jobs, _ = await self._gateway.jobs.list([name], owner=user, before=place.job_id, limit=PAGE + 1)
        calls = _newest_first(entries, jobs)
        page = calls[:PAGE]
        document: dict[str, Any] = {"jobs": dict(_document(name, entry) for entry in page)}
        if len(calls) > PAGE:
            total = await self._gateway.jobs.count([name], owner=user) + len(tuple(self._journal.list(name, user)))
            place = place.after(page)
            document |= {"next_page": str(place), "remaining_jobs": max(1, total - place.shown)}
        return json_answer(document)

    async def show(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        call = await self._find(request, caller)
        stamped = request.query.get("timestamps", "") in TRUE
        if isinstance(call, Entry):
            parts = [(call.finished or call.created, call.log)]
        else:
            parts = await oscar_texts.job_log(self._gateway, self._gateway.root(request), call)
        text = oscar_texts.stamped(parts) if stamped else "".join(part for _, part in parts)
        body = await asyncio.to_thread(text.encode, errors="replace")
        return web.Response(body=body, headers={"Content-Type": TEXT})

    async def remove(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        call = await self._find(request, caller)
        if isinstance(call, Entry):
            self._journal.remove(request.match_info["name"], call.name)
        else:
            await self._cancel(call)
            await self._gateway.jobs.delete(call.id)
        return web.Response(status=204)

    async def remove_all(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Those that have succeeded; with ?all=true also those that failed, and those that still run or wait."""
        name, user = self._service(request, caller)
        everything = request.query.get("all", "") in TRUE
        for entry in tuple(self._journal.list(name, user)):
            if entry.status == SUCCEEDED or everything:
                self._journal.remove(name, entry.name)
        if everything:
            await self._cancel_all(name, user)
        await self._gateway.jobs.delete_ended(name, FINAL if everything else (Status.SUCCEEDED,), user)
        return web.Response(status=204)

    async def _cancel_all(self, name: str, user: str | None) -> None:
        """All that are there now."""
        before, more = "", True
        while more:
            jobs, before = await self._gateway.jobs.list(
                [name], statuses=UNFINISHED, owner=user, before=before, limit=CANCELLED_AT_ONCE
            )
            await asyncio.gather(*(self._cancel(job) for job in jobs))
            more = bool(before)

    async def _cancel(self, job: Job) -> None:
        """Until it is final, by us or by itself."""
        with contextlib.suppress(Conflict, NotFound):
            await self._gateway.jobs.cancel(job.id)

    def _service(self, request: web.Request, caller: Caller) -> tuple[str, str | None]:
        """(the service, whose jobs the caller may see: None: all). Raises NotFound, Forbidden."""
        row = self._access.row(caller, request.match_info["name"])
        return row.name, None if self._access.owns(caller, row) else caller.user

    async def _find(self, request: web.Request, caller: Caller) -> Entry | Job:
        """Raises NotFound, Forbidden."""
        service, user = self._service(request, caller)
        name = request.match_info["job"]
        entry = self._journal.get(service, name, user)
        if entry is not None:
            return entry
        id = job_id(service, name)
        job = await self._gateway.jobs.get(id) if id else None
        if job is None or job.deployment != service or (user is not None and job.owner != user):
            raise NotFound("there is no such job, or it has been removed")
        return job


def _newest_first(entries: list[Entry], jobs: list[Job]) -> list[Entry | Job]:
    """Each list stays in its own order: the clock may have been set."""
    merged: list[Entry | Job] = []
    left, right = list(reversed(entries)), list(reversed(jobs))
    while left and right:
        merged.append(left.pop() if left[-1].created >= right[-1].created else right.pop())
    return [*merged, *reversed(left), *reversed(right)]


def _document(service: str, call: Entry | Job) -> tuple[str, dict[str, str]]:
    """(name, what is said of it); a time that is not known yet is left out."""
    if isinstance(call, Entry):
        return call.name, call.document()
    times = {"creation_time": call.created, "start_time": call.started, "finish_time": call.finished}
    known = {key: stamp(value) for key, value in times.items() if value is not None}
    return job_name(service, call.id), {"status": STATES[call.status], **known}
