"""A batch on its way: inputs are sent as jobs, so many at once, and what they give is fetched.

Whatever ends the command, the next one goes on: an input is either not accepted yet, or has a job that the journal
knows, or one that the server knows by the request's key; what was accepted is never run twice for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from modelport.commands.batching.batch_inputs import Input
from modelport.commands.batching.batch_journal import FAILED, SUCCEEDED, Entry, Journal
from modelport.commands.batching.batch_requests import Plan
from modelport.commands.batching.batch_results import Results
from modelport.commands.client.remote_jobs import Document, RemoteJobs
from modelport.commands.following import job_waiting
from modelport.commands.shell import failures
from modelport.errors import InvalidRequest, ModelportError, NotFound, NotImplementedByModel

# What is wrong with one input is wrong with that one; these would be the same for all.
FATAL = (
    *("unauthorized", "not_found", "disabled", "not_implemented", "not_acceptable"),
    *("load_failed", "no_such_plugin", "unreachable"),
)
RESULT_BYTES = 1 << 18
T = TypeVar("T")


class Report(Protocol):
    """Told what happens."""

    def skipped(self) -> None:
        """An input has its result from an earlier run."""

    def accepted(self, input: Input) -> None: ...

    def ended(self, input: Input, failure: str) -> None:
        """failure: why there is no result; empty: there is one."""


class Batch:
    """One run of the command."""

    def __init__(self, jobs: RemoteJobs, plan: Plan, journal: Journal, results: Results, report: Report) -> None:
        self._jobs = jobs
        self._plan = plan
        self._journal = journal
        self._results = results
        self._report = report
        self._digest = ""

    async def run(self, inputs: Iterable[Input], concurrency: int) -> None:
        """Raises the first error that concerns more than one input; what was accepted goes on at the server."""
        self._digest = await asyncio.to_thread(self._plan.digest)
        todo = iter(inputs)
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(concurrency):
                    tasks.create_task(self._work(todo))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _work(self, todo: Iterator[Input]) -> None:
        for each in todo:
            await self._one(each)

    async def _one(self, input: Input) -> None:
        entry = self._journal.entry(input.path, input.name)
        try:
            stamp = await _reading(self._stamp, input)
            if entry.stamp == stamp and entry.ended == SUCCEEDED and self._results.has(entry):
                self._report.skipped()
                return
            await _reading(self._plan.check, input)
        except InvalidRequest as error:
            await self._fail(input, entry, error)
            return
        if entry.stamp != stamp:
            entry = Entry(entry.stem, stamp=stamp, result=entry.result)
        elif entry.ended == FAILED:
            entry = Entry(entry.stem, stamp=stamp, runs=entry.runs + 1)
        await self._see_through(input, entry)

    def _stamp(self, input: Input) -> str:
        """Changes when the file, or the command line's arguments, do."""
        found = os.stat(input.path)
        return f"{found.st_size}-{found.st_mtime_ns}-{self._digest[:16]}"

    async def _see_through(self, input: Input, entry: Entry) -> None:
        """Until the input has its result, or a log that says why not."""
        document = await self._end_of(entry) if entry.job else None
        if document is None:
            try:
                entry = await self._send(input, entry)
            except ModelportError as error:
                if error.kind in FATAL:
                    raise
                await self._fail(input, entry, error)
                return
            document = await self._end_of(entry)
        await self._fetch(input, entry, document)

    async def _end_of(self, entry: Entry) -> Document | None:
        """The job's document when it has ended; None where the server has no such job."""
        try:
            return await self._jobs.ended(entry.job)
        except NotFound:
            return None

    # Sending

    async def _send(self, input: Input, entry: Entry) -> Entry:
        """The job that was accepted, or had been before under the same key."""
        await asyncio.to_thread(self._results.remove, entry)
        key = await _reading(self._plan.key, self._journal.batch, self._digest, input)
        key = f"{key}-{entry.runs}" if entry.runs else key
        document = await self._jobs.patiently(lambda: self._post(input, key))
        entry = replace(entry, job=str(document["id"]), ended="", result="")
        self._journal.note(input.path, entry)
        self._report.accepted(input)
        return entry

    async def _post(self, input: Input, key: str) -> Document:
        headers = {"Accept": self._plan.accept, "Prefer": "respond-async", "Idempotency-Key": key}
        with contextlib.ExitStack() as files:
            options = await _reading(self._plan.open, input, files)
            headers.update(options.pop("headers", {}))
            path = f"/run/{quote(self._plan.deployment, safe='')}"
            async with self._jobs.request("POST", path, headers=headers, **options) as response:
                if response.status != 202:
                    raise NotImplementedByModel(f"{self._jobs.where.url} has no jobs: a batch needs a modelport server")
                document: Document = json.loads(await response.read())
                return document

    # Fetching

    async def _fetch(self, input: Input, entry: Entry, document: Document | None) -> None:
        """The log last, so that who finds it finds everything."""
        if document is None:
            error = NotFound(f"its job {entry.job} was removed before its result was fetched")
            await self._fail(input, entry, error)
            return
        try:
            failure = job_waiting.failure_of(document)
            if failure is None:
                name = await self._jobs.patiently(lambda: self._fetch_answer(entry))
                log = await self._jobs.patiently(lambda: self._log(entry))
                await self._results.write_log(entry, log)
                self._journal.note(input.path, replace(entry, ended=SUCCEEDED, result=name))
                self._report.ended(input, "")
            else:
                await self._fail(input, entry, failure, await self._jobs.patiently(lambda: self._log(entry)))
        except NotFound as error:
            await self._fail(input, entry, error)

    async def _fetch_answer(self, entry: Entry) -> str:
        async with self._jobs.result(entry.job) as response:
            disposition = response.content_disposition
            filename = disposition.filename if disposition is not None else ""
            chunks = response.content.iter_chunked(RESULT_BYTES)
            return await self._results.write_answer(entry, response.content_type, filename or "", chunks)

    async def _log(self, entry: Entry) -> bytes:
        return b"".join([chunk async for chunk in self._jobs.log(entry.job)])

    async def _fail(self, input: Input, entry: Entry, error: ModelportError, log: bytes = b"") -> None:
        """The log begins with the reason, as that of an input in a bucket does."""
        reason = told(error)
        text = f"failed ({error.kind}): {reason}\n" + ("\nThe log:\n" if log else "")
        await asyncio.to_thread(self._results.remove, entry)
        await self._results.write_log(entry, text.encode(errors="replace") + log)
        self._journal.note(input.path, replace(entry, ended=FAILED, result=""))
        self._report.ended(input, reason)


async def _reading(work: Callable[..., T], *arguments: Any) -> T:
    """In a thread. Raises InvalidRequest for an input that cannot be read."""
    try:
        return await asyncio.to_thread(work, *arguments)
    except OSError as error:
        raise InvalidRequest(f"cannot be read: {error.strerror}") from error


def told(error: ModelportError) -> str:
    """In one line, with every argument at fault."""
    lines = [f"{name}: {text}" for name, text in failures.messages(error.fields)]
    return "; ".join(" ".join(each.split()) for each in lines or [error.message])
