"""A job from a command's point of view: waiting for it, ending it, and what it gave."""

from __future__ import annotations

import asyncio

import click

from modelport import errors
from modelport.commands.client.remote_jobs import FINAL, Document, RemoteJobs
from modelport.commands.following import job_text
from modelport.commands.model import answers
from modelport.commands.model.models import Answer
from modelport.commands.model.progress import shown
from modelport.errors import Cancelled, Conflict, DeadlineExceeded, ModelportError

CHUNK_BYTES = 1 << 18


async def ended(jobs: RemoteJobs, job: Document, timeout_s: float | None = None) -> Document:
    """The job when it has ended, its progress shown on stderr meanwhile. Whoever stops waiting ends nothing.

    Raises DeadlineExceeded.
    """
    if job["status"] in FINAL:
        return job
    name = job_text.short(job["id"])
    try:
        with shown(f"job {name}") as progress:
            async with asyncio.timeout(timeout_s):
                return await jobs.ended(job["id"], progress)
    except TimeoutError as error:
        raise DeadlineExceeded(f"the job has not ended within {timeout_s:g} s; it goes on as {job['id']}") from error
    except asyncio.CancelledError:
        click.echo(f"the job goes on: modelport job {name} --wait", err=True)
        raise


async def cancelled(jobs: RemoteJobs, job: Document) -> Document:
    """Raises Conflict for one that has ended, also just now."""
    if job["status"] not in FINAL:
        job = await jobs.cancel(job["id"])
        if job["status"] == "cancelled":
            return job
    raise Conflict(f"the job has ended already: {job['status']}")


async def remove(jobs: RemoteJobs, job: Document) -> None:
    """Raises Conflict for one that has not ended: that would cancel it."""
    if job["status"] not in FINAL:
        raise Conflict(f"the job is {job['status']}; end it first, with --cancel")
    await jobs.remove(job["id"])


async def write_result(jobs: RemoteJobs, job: Document, output: str | None, *, compact: bool) -> None:
    """To stdout or to a file. Raises what the job has failed with, Conflict while it has not ended."""
    check(job)
    if job["status"] not in FINAL:
        raise Conflict(f"the job is {job['status']}; --wait waits for its end")
    async with jobs.result(job["id"]) as response:
        answer = Answer(response.content_type, response.content.iter_chunked(CHUNK_BYTES))
        await answers.write(answer, None if output == "-" else output, compact=compact)


def check(job: Document) -> None:
    """Raises what the job has failed with."""
    failure = failure_of(job)
    if failure is not None:
        raise failure


def failure_of(job: Document) -> ModelportError | None:
    """None: it has not failed, yet or at all."""
    if job["status"] == "cancelled":
        return Cancelled("the job was cancelled")
    if job["status"] != "failed":
        return None
    error = job["error"] or {}
    kind = errors.KINDS.get(str(error.get("kind")), ModelportError)
    return kind(str(error.get("message")), fields=error.get("fields"))
