"""A batch on its way: inputs are sent as jobs, so many at once, and what they give is fetched.

Whatever ends the command, the next one goes on: an input has its result, or is sent again, and then the server knows
by the request's key whether it has accepted it before; what was accepted is not run twice for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import quote

from modelport.client import AsyncClient
from modelport.client.jobs import Document, failure_of
from modelport.commands.batching.batch_inputs import Input
from modelport.commands.batching.batch_report import BatchReport
from modelport.commands.batching.batch_requests import Plan
from modelport.commands.batching.batch_results import Result, Results
from modelport.commands.shell import failures
from modelport.errors import InvalidRequest, ModelportError, NotFound, NotImplementedByModel

# What is wrong with one input is wrong with that one; these would be the same for all.
FATAL = (
    *("unauthorized", "not_found", "disabled", "not_implemented", "not_acceptable"),
    *("load_failed", "no_such_plugin", "unreachable"),
)
# No room, over the quota, a disk that only reads.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
T = TypeVar("T")


class NotWritten(ModelportError):
    """Something else has the name of a result, or the folder is not ours."""


class BatchRun:
    """One run of the command."""

    def __init__(self, server: AsyncClient, plan: Plan, results: Results, report: BatchReport) -> None:
        self._server = server
        self._plan = plan
        self._results = results
        self._report = report

    async def run(self, inputs: Iterable[Input], concurrency: int) -> None:
        """Raises the first error that concerns more than one input; what was accepted goes on at the server."""
        await asyncio.to_thread(lambda: self._plan.digest)  # what cannot be read for it concerns all
        todo = iter(inputs)
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(concurrency):
                    tasks.create_task(self._work(todo))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _work(self, todo: Iterator[Input]) -> None:
        for input in todo:
            result = self._results.of(input.path, input.name)
            try:
                await self._one(input, result)
            except ModelportError as error:
                if error.kind in FATAL:
                    raise
                await self._fail(input, result, error)
            except OSError as error:
                if error.errno in DISK_FULL:
                    raise
                failure = NotWritten(f"its result cannot be written: {error.strerror}: {error.filename}")
                with contextlib.suppress(OSError):  # nor can its log, then
                    await self._fail(input, result, failure)
                    continue
                self._report.ended(input, failure.message)

    async def _one(self, input: Input, result: Result) -> None:
        """Raises ModelportError where it cannot be sent."""
        stamp = await _reading(self._plan.stamp, input)
        if self._results.has(result, stamp):
            self._report.skipped()
            return
        await asyncio.to_thread(self._results.remove, result)
        job = await self._send(input)
        self._report.accepted(input)
        try:
            job = await self._server.wait(job)
            if (failure := failure_of(job)) is not None:
                await self._fail(input, result, failure, await self._server.patiently(lambda: self._log(job)))
                return
            answer = await self._server.patiently(lambda: self._fetch(result, job))
            self._results.write_log(result, await self._server.patiently(lambda: self._log(job)))
        except NotFound:
            removed = NotFound(f"its job {job['id']} was removed before its result was fetched")
            await self._fail(input, result, removed)
            return
        self._results.note(input.path, replace(result, stamp=stamp, answer=answer))
        self._report.ended(input, "")

    # Sending

    async def _send(self, input: Input) -> Document:
        """The job that was accepted, or had been before under the same key, unless that has failed."""
        key = await _reading(self._plan.key, self._results.batch, input)
        for number in itertools.count():
            numbered = f"{key}-{number}" if number else key
            job = await self._server.patiently(lambda: self._post(input, numbered))  # noqa: B023 (awaited here)
            if failure_of(job) is None:
                return job
        raise AssertionError

    async def _post(self, input: Input, key: str) -> Document:
        headers = {"Accept": self._plan.accept, "Prefer": "respond-async", "Idempotency-Key": key}
        with contextlib.ExitStack() as files:
            options = await _reading(self._plan.open, input, files)
            headers.update(options.pop("headers", {}))
            path = f"/run/{quote(self._plan.deployment, safe='')}"
            async with self._server.request("POST", path, headers=headers, **options) as response:
                if response.status != 202:
                    url = self._server.where.url
                    raise NotImplementedByModel(f"{url} has no jobs: a batch needs a modelport server")
                document: Document = await self._server.decoded(response)
                return document

    # Fetching. The log last, so that whoever finds it finds everything.

    async def _fetch(self, result: Result, job: Document) -> str:
        async with self._server.open_result(job) as answer:
            return await self._results.write_answer(result, answer)

    async def _log(self, job: Document) -> bytes:
        return b"".join([chunk async for chunk in self._server.job_log(job)])

    async def _fail(self, input: Input, result: Result, error: ModelportError, log: bytes = b"") -> None:
        """The log begins with the reason, as that of an input in a bucket does."""
        reason = told(error)
        text = f"failed ({error.kind}): {reason}\n" + ("\nThe log:\n" if log else "")
        await asyncio.to_thread(self._results.remove, result)
        self._results.write_log(result, text.encode(errors="replace") + log)
        self._results.note(input.path, Result(result.stem))
        self._report.ended(input, reason)


async def _reading(work: Callable[..., T], *arguments: Any) -> T:
    """In a thread. Raises InvalidRequest for an input that cannot be read."""
    try:
        return await asyncio.to_thread(work, *arguments)
    except OSError as error:
        raise InvalidRequest(f"cannot be read: {error.strerror}") from error


def told(error: ModelportError) -> str:
    """In one line, with every argument at fault."""
    return "; ".join(" ".join(line.split()) for line in failures.told(error.message, error.fields))
