"""A job from a command's point of view: waiting for it, ending it, and what it gave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from modelport.client.jobs import FINAL, Document, Jobs, failure_of
from modelport.commands.following import job_text
from modelport.commands.model import answers
from modelport.commands.model.progress import shown
from modelport.commands.shell.output import say
from modelport.errors import Conflict, DeadlineExceeded


async def ended(server: Jobs, job: Document, timeout_s: float | None = None) -> Document:
    """The job when it has ended, its progress shown on stderr meanwhile. Whoever stops waiting ends nothing.

    Raises DeadlineExceeded.
    """
    if job["status"] in FINAL:
        return job
    name = job_text.short(job["id"])
    try:
        with shown(f"job {name}") as progress:
            async with asyncio.timeout(timeout_s):
                return await server.wait(job, progress)
    except TimeoutError as error:
        raise DeadlineExceeded(f"the job has not ended within {timeout_s:g} s; it goes on as {job['id']}") from error
    except asyncio.CancelledError:
        say(f"the job goes on: modelport job {name} --wait", err=True)
        raise


async def cancelled(server: Jobs, job: Document) -> Document:
    """Raises Conflict for one that has ended, also just now."""
    if job["status"] not in FINAL:
        job = await server.cancel(job)
        if job["status"] == "cancelled":
            return job
    raise Conflict(f"the job has ended already: {job['status']}")


async def remove(server: Jobs, job: Document) -> None:
    """Raises Conflict for one that has not ended: that would cancel it."""
    if job["status"] not in FINAL:
        raise Conflict(f"the job is {job['status']}; end it first, with --cancel")
    await server.remove(job)


async def write_result(server: Jobs, job: Document, output: str | None, *, compact: bool) -> None:
    """To stdout or to a file. Raises what the job has failed with, Conflict while it has not ended."""
    check(job)
    if job["status"] not in FINAL:
        raise Conflict(f"the job is {job['status']}; --wait waits for its end")
    async with server.open_result(job) as answer:
        await answers.write(answer, None if output == "-" else output, compact=compact)


def check(job: Document) -> None:
    """Raises what the job has failed with."""
    failure = failure_of(job)
    if failure is not None:
        raise failure


async def write_values(server: Jobs, job: Document) -> None:
    """Those of its generator as they come, one JSON value a line, each once. Raises what the job fails with."""
    await answers.write_values(_values(server, job), None)
    check(await ended(server, job))


async def _values(server: Jobs, job: Document) -> AsyncIterator[bytes]:
    """A second attempt begins anew: what has been written is left out."""
    written, missed = 0, 0
    async for kind, document in server.follow(job):
        if kind == "missed":
            missed += document["events"]
        elif kind == "value" and document["index"] >= written:
            written = document["index"] + 1
            yield json.dumps(document["value"], ensure_ascii=False).encode()
    if missed:
        say(f"{missed} values or lines are missing here; modelport job {job['id']} --result has all values", err=True)
