"""/system/logs: the jobs of a service, and the calls of /run that have been of late, as OSCAR lists jobs."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import json
import re
from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from aiohttp import web

from modelport.contract.job import Job
from modelport.contract.prediction import UNFINISHED, Outcome, Status
from modelport.describe.statuses import STATUS
from modelport.errors import Conflict, Forbidden, InvalidRequest, NotFound
from modelport.frontends.oscar.answers import TEXT, failure_text
from modelport.frontends.oscar.journal import PAGE, SUCCEEDED, Entry, job_id, job_name, stamp
from modelport.frontends.oscar.services import Calls, Handler
from modelport.http.access import Caller
from modelport.http.json_answers import json_answer
from modelport.jobs.progressbars import overwritten
from modelport.observe.logtext import log_text

# (seconds since 1970, lines that belong to that time).
Parts = list[tuple[float, str]]
# A value that was not asked for as text is written as Python writes it; parsing more than this takes too long.
REPR_BYTES = 1 << 18

# What Go reads as true.
TRUE = ("1", "t", "T", "TRUE", "true", "True")
STATES = {Status.QUEUED: "Pending", Status.CANCELLED: "Failed"}  # others are called as ours
FINAL = tuple(status for status in Status if status.final)

_PLACE = re.compile(r"([0-9]{1,15})-([0-9]{1,15})-([0-9a-f]{32})?", re.ASCII)


class LogCalls(Calls):
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
        shown, last_call, last_job = _place(request.query.get("page", ""))
        entries = [entry for entry in self._journal.list(name, user) if not last_call or entry.number < last_call]
        jobs, _ = await self._gateway.jobs.list([name], owner=user, before=last_job, limit=PAGE + 1)
        # Each list stays in its own order: the clock may have been set.
        calls: list[Entry | Job] = list(heapq.merge(entries, jobs, key=attrgetter("created"), reverse=True))
        page = calls[:PAGE]
        document: dict[str, Any] = {"jobs": dict(_document(name, call) for call in page)}
        if len(calls) > PAGE:
            total = await self._gateway.jobs.count([name], owner=user) + len(tuple(self._journal.list(name, user)))
            shown += PAGE
            last_call = next((call.number for call in reversed(page) if isinstance(call, Entry)), last_call)
            last_job = next((call.id for call in reversed(page) if isinstance(call, Job)), last_job)
            place = f"{shown}-{last_call}-{last_job}"
            document |= {"next_page": place, "remaining_jobs": max(1, total - shown)}
        return json_answer(document)

    async def show(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        call = await self._find(request, caller)
        if isinstance(call, Entry):
            parts = [(call.finished or call.created, call.log)]
        else:
            parts = await self._job_log(call, self._gateway.root(request))
        is_stamped = request.query.get("timestamps", "") in TRUE
        text = _stamped(parts) if is_stamped else "".join(part for _, part in parts)
        body = await asyncio.to_thread(text.encode, errors="replace")
        return web.Response(body=body, headers={"Content-Type": TEXT})

    async def _job_log(self, job: Job, root: str) -> Parts:
        """What the call printed, so far where it runs; then the line `return: ` or the reason. root: of links."""
        jobs, started, finished = self._gateway.jobs, job.started or job.created, job.finished or job.created
        if not job.status.final:
            return [(started, log_text(await jobs.log(job.id)))]
        outcome = await jobs.outcome(job)
        log = log_text(overwritten(outcome.log))
        if (error := outcome.error) is not None:
            return [(finished, failure_text(error, error.status or STATUS.get(error.kind, 500), log))]
        return [(started, log), (finished, _returned(root, job, outcome))]

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
            async for jobs in self._gateway.jobs.pages(name, statuses=UNFINISHED, owner=user):
                await asyncio.gather(*(self._cancel(job) for job in jobs))
        await self._gateway.jobs.delete_ended(name, FINAL if everything else (Status.SUCCEEDED,), user)
        return web.Response(status=204)

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
        for entry in self._journal.list(service, user):
            if entry.name == name:
                return entry
        id = job_id(service, name)
        job = await self._gateway.jobs.get(id) if id else None
        if job is None or job.deployment != service or (user is not None and job.owner != user):
            raise NotFound("there is no such job, or it has been removed")
        return job


def _place(page: str) -> tuple[int, int, str]:
    """Where a page begins: how many are on the pages before, the number of the last call there, and the last job.

    Raises InvalidRequest.
    """
    if (match := _PLACE.fullmatch(page or "0-0-")) is None:
        raise InvalidRequest("page is what the last page called next_page")
    return int(match[1]), int(match[2]), match[3] or ""


def _returned(root: str, job: Job, outcome: Outcome) -> str:
    if outcome.is_json and outcome.text is not None:
        return f"return: {outcome.text}\n"
    if outcome.is_json and outcome.path is None and len(outcome.body) <= REPR_BYTES:
        return f"return: {json.loads(outcome.body)!r}\n"
    size = job.result.size_bytes if job.result is not None else len(outcome.body)
    return f"The result is {outcome.media_type}, {size} bytes: {root}/jobs/{job.id}/result\n"


def _stamped(parts: Parts) -> str:
    """Every line behind a time. When single lines were printed is not kept: they have the time of their part."""
    lines = ((stamp(seconds), line) for seconds, text in parts if text for line in text.removesuffix("\n").split("\n"))
    return "".join(f"{time} {line}\n" for time, line in lines)


def _document(service: str, call: Entry | Job) -> tuple[str, dict[str, str]]:
    """(name, what is said of it); a time that is not known yet is left out."""
    if isinstance(call, Job):
        name, started = job_name(service, call.id), call.started
        status = STATES.get(call.status, call.status.value.title())
    else:
        name, started, status = call.name, call.created, call.status
    times = {"creation_time": call.created, "start_time": started, "finish_time": call.finished}
    return name, {"status": status, **{key: stamp(time) for key, time in times.items() if time is not None}}
