"""What a job gave, as an answer of its own: /jobs/<id>/result."""

from __future__ import annotations

import asyncio
import copy
import re
from pathlib import Path

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from modelport.contract.job import Job
from modelport.contract.prediction import Outcome, Status
from modelport.errors import Cancelled, Conflict, ModelportError, NotFound
from modelport.http.gateway import Gateway
from modelport.http.names import answer_headers, answer_name, saved_headers
from modelport.http.outcome_answers import server_timing

RETRY_AFTER_S = 1.0
# A job that was cancelled has no answer and never will: gone. `cancelled` elsewhere is a server that stops, 503.
GONE = 410
_RANGE = re.compile(r"bytes=(\d+-\d*|-\d+)", re.ASCII)


async def finished(gateway: Gateway, job: Job) -> Outcome:
    """The answer of a job that has succeeded.

    Raises Conflict while it has not ended (`retry_after_s` says when to ask again), and what it has failed with.
    """
    if not job.status.final:
        raise Conflict(f"the job is {job.status.value}; ask again when it has ended", retry_after_s=RETRY_AFTER_S)
    if job.status is Status.CANCELLED:
        raise Cancelled("the job was cancelled: it has no result", status=GONE)
    outcome = await gateway.jobs.outcome(job)
    if outcome.error is not None:
        raise _settled(outcome.error)
    return outcome


def _settled(error: ModelportError) -> ModelportError:
    """Nothing changes by asking again."""
    error = copy.copy(error)
    error.retry_after_s = None
    return error


async def answer(gateway: Gateway, job: Job) -> web.StreamResponse:
    """The pure answer, to GET and HEAD; a large one in parts, where that is asked for. Raises as `finished`."""
    outcome = await finished(gateway, job)
    headers = {
        "Content-Type": outcome.media_type,
        "Server-Timing": server_timing(outcome),
        "Cache-Control": "private, no-cache",
        **answer_headers(outcome.filename, outcome.media_type),
    }
    if outcome.path is None:
        return web.Response(body=outcome.body, headers=headers)
    return _File(gateway, outcome.path, headers)


async def input_file(gateway: Gateway, job: Job, number: str) -> web.StreamResponse:
    """A file that came with the job. Raises NotFound."""
    if not (number.isascii() and number.isdecimal() and len(number) < 6):
        raise NotFound("a job's files have numbers, from 0")
    path, file = gateway.jobs.input_path(job, int(number)), job.files[int(number)]
    return await _saved(gateway, path, file.filename or file.name, file.content_type or "application/octet-stream")


async def artifact_file(gateway: Gateway, job: Job, name: str) -> web.StreamResponse:
    """A file that its model has given away. Raises NotFound."""
    artifact = next((artifact for artifact in job.artifacts if artifact.name == name), None)
    if artifact is None:
        raise NotFound(f"the job has no artifact called {name[:100]}")
    return await _saved(gateway, gateway.jobs.path(job, artifact), artifact.name, artifact.media_type)


async def _saved(gateway: Gateway, path: Path, name: str, media_type: str) -> web.StreamResponse:
    if not await asyncio.to_thread(path.is_file):
        raise NotFound("the job's files have been deleted")
    return _File(gateway, str(path), saved_headers(answer_name(name, media_type), media_type))


class _File(web.FileResponse):
    """The end of the server waits until it is sent."""

    def __init__(self, gateway: Gateway, path: str, headers: dict[str, str]) -> None:
        super().__init__(path, headers=headers)
        self._gateway = gateway

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        asked = request.headers.get("Range", "").strip()
        if asked and not _RANGE.fullmatch(asked):
            # Other units, several ranges, or none at all: RFC 9110 has them ignored; aiohttp would refuse them.
            headers = request.headers.copy()
            del headers["Range"]
            request = request.clone(headers=headers)
        with self._gateway.predictions.answering():
            return await super().prepare(request)
