"""Jobs of a server: listed, followed, waited for, ended (docs/jobs.md). Errors are as `Connection` tells them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from modelport.client.calls import EVENTS, Answer, Progress, answer_of, events
from modelport.client.connection import Connection
from modelport.client.where import Unreachable
from modelport.contract.prediction import Status
from modelport.errors import Cancelled, Conflict, ModelportError, NotFound, Overloaded, Starting, from_plain

Document = dict[str, Any]
Events = AsyncIterator[tuple[str, Document]]
T = TypeVar("T")

FINAL = [status.value for status in Status if status.final]
ID_DIGITS = 32
ID = re.compile(r"[0-9a-f]{1,32}", re.ASCII)
# A page of a list.
PAGE = 200
# A server that does not answer is asked again after 0.25 s, 0.5 s … at most every 15 s, and each time a little sooner
# or later, so that many do not come at once.
BACKOFF_FIRST_S, BACKOFF_LAST_S = 0.25, 15.0
# Long enough for a server to be started anew, and its machine.
GIVE_UP_S = 600.0
# Where no stream is to be had, a job is asked for so often.
POLL_S = 2.0


class Jobs(Connection):
    """Documents are the server's own. A job is named by its document, its id or the beginning of that.

    give_up_s: how long a server may be away. waiting: told why, each time that something has to be asked again.
    """

    give_up_s = GIVE_UP_S
    waiting: Callable[[ModelportError], None] | None = None

    async def jobs(self, deployment: str = "", statuses: Iterable[str] = (), limit: int = 50) -> list[Document]:
        """The newest first; deployment: only its own."""
        documents: list[Document] = []
        after = ""
        while len(documents) < limit:
            query = {"deployment": deployment, "status": ",".join(statuses), "after": after}
            query["limit"] = str(min(PAGE, limit - len(documents)))
            page = await self._page({name: value for name, value in query.items() if value})
            documents += page["jobs"]
            after = page.get("after") or ""
            if not after:
                break
        return documents

    async def _page(self, query: dict[str, str]) -> Document:
        page: Document = await self.json_of("GET", f"/jobs?{urlencode(query)}")
        if not isinstance(page, dict) or not isinstance(page.get("jobs"), list):
            raise Unreachable(f"{self.where.url} has no jobs: it is not a modelport server, or an older one")
        return page

    async def job(self, job: str | Document) -> Document:
        """As it is now. Raises NotFound; Conflict where several ids begin so."""
        beginning = _id(job).strip().lower()
        if not ID.fullmatch(beginning):
            raise NotFound(f"{beginning[:40]!r} is not a job's id; `modelport jobs` lists them")
        if len(beginning) < ID_DIGITS:
            # The list is in the order of ids, and goes on below any of them.
            last = min(int(beginning.ljust(ID_DIGITS, "f"), 16) + 1, (1 << 4 * ID_DIGITS) - 1)
            page = await self._page({"after": f"{last:032x}", "limit": "2"})
            fitting = [str(job["id"]) for job in page["jobs"] if str(job["id"]).startswith(beginning)]
            if not fitting:
                raise NotFound(f"there is no job whose id begins with {beginning}")
            if len(fitting) > 1:
                raise Conflict(f"several jobs' ids begin with {beginning}: {' and '.join(fitting)}; give more of it")
            beginning = fitting[0]
        return await self._document("GET", _path(beginning))

    async def again(self, job: str | Document) -> Document:
        """Run it once more; the new job."""
        return await self._document("POST", f"{_path(job)}/run-again")

    async def cancel(self, job: str | Document) -> Document:
        """The job, which has ended then; one that had ended stays as it is."""
        return await self._document("POST", f"{_path(job)}/cancel")

    async def remove(self, job: str | Document) -> None:
        """With its result and log; one that has not ended is cancelled."""
        await self.json_of("DELETE", _path(job))

    async def _document(self, method: str, path: str, **options: Any) -> Document:
        document: Document = await self.json_of(method, path, **options)
        return document

    @contextlib.asynccontextmanager
    async def open_result(self, job: str | Document) -> AsyncIterator[Answer]:
        """What it gave. Raises Conflict while it has not ended, and what it has failed with."""
        async with self.request("GET", f"{_path(job)}/result") as response:
            yield answer_of(response)

    async def job_log(self, job: str | Document, *, follow: bool = False) -> AsyncIterator[bytes]:
        """What it has printed; follow: and will print."""
        async for chunk in self.chunks(f"{_path(job)}/log" + ("?follow=1" if follow else "")):
            yield chunk

    async def chunks(self, path: str) -> AsyncIterator[bytes]:
        async with self.request("GET", path) as response:
            async for chunk in response.content.iter_any():
                yield chunk

    # As it happens

    def events(self, deployment: str = "") -> AbstractAsyncContextManager[Events]:
        """(kind, document) of all jobs, from the moment when this is entered: state, progress, log or missed. They
        begin with those that have not ended."""
        return self._events("/events" + (f"?deployment={quote(deployment, safe='')}" if deployment else ""))

    @contextlib.asynccontextmanager
    async def _events(self, path: str) -> AsyncIterator[Events]:
        async with self.request("GET", path, headers={"Accept": EVENTS}) as response:
            yield parse(response.content.iter_any())

    async def follow(self, job: str | Document, *, values: bool = True) -> Events:
        """(kind, document) of one job: they begin with its state, and end with the job, or when the connection does.

        values: with those of its generator.
        """
        async with self._events(f"{_path(job)}/events" + ("" if values else "?values=0")) as told:
            async for event in told:
                yield event

    async def wait(self, job: str | Document, progress: Progress | None = None) -> Document:
        """Until the job has ended, also over a restart of the server; its document then.

        Raises what `patiently` raises.
        """
        while True:
            document = await self.patiently(lambda: self._followed(job, progress))
            if document["status"] in FINAL:
                return document

    async def _followed(self, job: str | Document, progress: Progress | None) -> Document:
        """The job at its end; or at any time, where the stream of events breaks off or there is none to be had."""
        seen: Document = {}
        try:
            async for kind, document in self.follow(job, values=False):
                if kind == "state":
                    seen = document
                told = document.get("progress") if kind == "state" else document if kind == "progress" else None
                if told and progress is not None:
                    progress(told["fraction"], told["message"])
        except Overloaded:
            await asyncio.sleep(POLL_S)
        except Unreachable:
            if not seen:
                raise
        return seen or await self.job(job)

    async def patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """`work`, again and again while the server is busy, or away for at most `give_up_s`. Raises all else."""
        failures, away_since = 0, math.inf
        while True:
            try:
                return await work()
            except ModelportError as error:
                if not will_pass(error):
                    raise
                if self.waiting is not None:
                    self.waiting(error)
                now = asyncio.get_running_loop().time()
                # While it is away, for a limited time; while it is busy, for ever.
                away_since = min(away_since, now) if isinstance(error, Unreachable) else math.inf
                if now - away_since > self.give_up_s:
                    raise
                backoff_s = min(BACKOFF_LAST_S, BACKOFF_FIRST_S * 2 ** min(failures, 10)) * random.uniform(0.75, 1.25)
                failures += 1
                await asyncio.sleep(max(backoff_s, error.retry_after_s or 0.0))
                self.where = self.where.again()


def failure_of(job: Document) -> ModelportError | None:
    """None: it has not failed, yet or at all."""
    if job["status"] == "cancelled":
        return Cancelled("the job was cancelled")
    return from_plain(job["error"] or {}) if job["status"] == "failed" else None


def will_pass(error: ModelportError) -> bool:
    """Whether the same may be answered another way later. `cancelled` is a server that stops."""
    return isinstance(error, (Unreachable, Overloaded, Starting)) or error.kind in ("cancelled", "storage_full")


def _id(job: str | Mapping[str, Any]) -> str:
    return job if isinstance(job, str) else str(job["id"])


def _path(job: str | Mapping[str, Any]) -> str:
    return f"/jobs/{quote(_id(job), safe='')}"


async def parse(chunks: AsyncIterator[bytes]) -> Events:
    """Server-sent events whose data is JSON. Raises Unreachable for what is none."""
    async for kind, data in events(chunks):
        try:
            yield kind, json.loads(data)
        except ValueError as error:
            raise Unreachable("the stream of events cannot be read") from error
