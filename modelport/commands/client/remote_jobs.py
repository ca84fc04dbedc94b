"""The jobs of a server, asked over HTTP (docs/jobs.md). Errors are as `Connection` tells them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from modelport.commands.client.connection import Connection
from modelport.commands.client.where import Unreachable
from modelport.errors import Conflict, ModelportError, NotFound, Overloaded, Starting

Document = dict[str, Any]
Events = AsyncIterator[tuple[str, Document]]
Progress = Callable[[float | None, str], None]
T = TypeVar("T")

FINAL = ("succeeded", "failed", "cancelled")
STATUSES = ("queued", "running", *FINAL)
ID_DIGITS = 32
ID = re.compile(r"[0-9a-f]{1,32}", re.ASCII)
# A page of a list.
PAGE = 200
# An event is a few kilobytes, but for what a job prints at once.
EVENT_LIMIT_BYTES = 16 << 20
# A server that does not answer is asked again after 0.25 s, 0.5 s … at most every 15 s, and each time a little sooner
# or later, so that many do not come at once.
BACKOFF_FIRST_S, BACKOFF_LAST_S = 0.25, 15.0
# Long enough for a server to be started anew, and its machine.
GIVE_UP_S = 600.0
# Where no stream is to be had, a job is asked for so often.
POLL_S = 2.0


class RemoteJobs(Connection):
    """Documents are the server's own.

    give_up_s: how long a server may be away. waiting: told why, each time that something has to be asked again.
    """

    give_up_s = GIVE_UP_S
    waiting: Callable[[ModelportError], None] | None = None

    async def list(self, deployment: str = "", statuses: Iterable[str] = (), limit: int = 50) -> list[Document]:
        """The youngest first."""
        found: list[Document] = []
        after = ""
        while len(found) < limit:
            query = {"deployment": deployment, "status": ",".join(statuses), "after": after}
            query["limit"] = str(min(PAGE, limit - len(found)))
            page = await self._page({name: value for name, value in query.items() if value})
            found += page["jobs"]
            after = page.get("after") or ""
            if not after:
                break
        return found

    async def _page(self, query: dict[str, str]) -> Document:
        page: Document = await self.json_of("GET", f"/jobs?{urlencode(query)}")
        if not isinstance(page, dict) or not isinstance(page.get("jobs"), list):
            raise Unreachable(f"{self.where.url} has no jobs: it is no modelport server, or an older one")
        return page

    async def find(self, beginning: str) -> Document:
        """The job whose id begins so. Raises NotFound; Conflict where several do."""
        beginning = beginning.strip().lower()
        if not ID.fullmatch(beginning):
            raise NotFound(f"{beginning[:40]!r} is no job's id; `modelport jobs` lists them")
        if len(beginning) == ID_DIGITS:
            return await self.get(beginning)
        # The list is in the order of ids, and goes on below any of them.
        last = min(int(beginning.ljust(ID_DIGITS, "f"), 16) + 1, (1 << 4 * ID_DIGITS) - 1)
        page = await self._page({"after": f"{last:032x}", "limit": "2"})
        fitting = [each for each in page["jobs"] if str(each["id"]).startswith(beginning)]
        if not fitting:
            raise NotFound(f"there is no job whose id begins with {beginning}")
        if len(fitting) > 1:
            ids = " and ".join(each["id"] for each in fitting)
            raise Conflict(f"several jobs' ids begin with {beginning}: {ids}; give more of it")
        return await self.get(fitting[0]["id"])

    async def get(self, job_id: str) -> Document:
        return await self._one("GET", _path(job_id))

    async def again(self, job_id: str) -> Document:
        return await self._one("POST", f"{_path(job_id)}/run-again")

    async def _one(self, method: str, path: str) -> Document:
        found: Document = await self.json_of(method, path)
        return found

    async def cancel(self, job_id: str) -> Document:
        """The job, which has ended then; one that had ended stays as it is."""
        return await self._one("POST", f"{_path(job_id)}/cancel")

    async def remove(self, job_id: str) -> None:
        """One that has ended; another would be cancelled."""
        async with self.request("DELETE", _path(job_id)):
            pass

    def result(self, job_id: str) -> AbstractAsyncContextManager[Any]:
        """The response with the answer. Raises what the job has failed with."""
        return self.request("GET", f"{_path(job_id)}/result")

    async def log(self, job_id: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        async with self.request("GET", f"{_path(job_id)}/log" + ("?follow=1" if follow else "")) as response:
            async for chunk in response.content.iter_any():
                yield chunk

    # As it happens

    def events_of(self, job_id: str) -> AbstractAsyncContextManager[Events]:
        """(kind, document): state, progress, log or missed. They begin with the state, and end with the job, or when
        the connection does."""
        return self._events(f"{_path(job_id)}/events")

    def events(self, deployment: str = "") -> AbstractAsyncContextManager[Events]:
        """The same of all jobs, from the moment when this is entered; they begin with those that have not ended."""
        return self._events("/events" + (f"?deployment={quote(deployment, safe='')}" if deployment else ""))

    @contextlib.asynccontextmanager
    async def _events(self, path: str) -> AsyncIterator[Events]:
        async with self.request("GET", path, headers={"Accept": "text/event-stream"}) as response:
            yield parse(response.content.iter_any())

    async def ended(self, job_id: str, progress: Progress | None = None) -> Document:
        """Wait for the job's end, also over a restart of the server; its document then.

        Raises what `patiently` raises.
        """
        while True:
            document = await self.patiently(lambda: self._followed(job_id, progress))
            if document["status"] in FINAL:
                return document

    async def _followed(self, job_id: str, progress: Progress | None) -> Document:
        """The job at its end; or at any time, where the stream of events breaks off or there is none to be had."""
        seen: Document = {}
        try:
            async with self.events_of(job_id) as events:
                async for kind, document in events:
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
        return seen or await self.get(job_id)

    async def patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """`work`, again and again while the server is busy, or away for at most `give_up_s`. Raises all else."""
        patience = Patience(self.give_up_s)
        while True:
            try:
                return await work()
            except ModelportError as error:
                if will_pass(error) and self.waiting is not None:
                    self.waiting(error)
                await patience.wait_after(error)
                self.where = self.where.again()


class Patience:
    """How long it makes sense to ask again: while a server is away for a limited time, while it is busy for ever."""

    def __init__(self, give_up_s: float) -> None:
        self._give_up_s = give_up_s
        self._away_since: float | None = None
        self._failures = 0

    async def wait_after(self, error: ModelportError) -> None:
        """Raises `error` where waiting does not help, or has not helped for too long."""
        if not will_pass(error):
            raise error
        now = asyncio.get_running_loop().time()
        if not isinstance(error, Unreachable):
            self._away_since = None
        elif self._away_since is None:
            self._away_since = now
        elif now - self._away_since > self._give_up_s:
            raise error
        backoff_s = min(BACKOFF_LAST_S, BACKOFF_FIRST_S * 2 ** min(self._failures, 10)) * random.uniform(0.75, 1.25)
        self._failures += 1
        await asyncio.sleep(max(backoff_s, error.retry_after_s or 0.0))


def will_pass(error: ModelportError) -> bool:
    """Whether the same may be answered another way later. `cancelled` is a server that stops."""
    return isinstance(error, (Unreachable, Overloaded, Starting)) or error.kind in ("cancelled", "storage_full")


def _path(job_id: str) -> str:
    return f"/jobs/{quote(job_id, safe='')}"


async def parse(chunks: AsyncIterator[bytes]) -> Events:
    """Server-sent events whose data is JSON. Raises Unreachable for what is none."""
    async for block in _blocks(chunks):
        kind, data = "message", []
        for line in block.split(b"\n"):
            name, _, value = line.partition(b":")
            if name == b"event":
                kind = value.removeprefix(b" ").decode()
            elif name == b"data":
                data.append(value.removeprefix(b" "))
        if data:
            try:
                yield kind, json.loads(b"\n".join(data))
            except ValueError as error:
                raise Unreachable("the stream of events cannot be read") from error


async def _blocks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Cut at empty lines."""
    held = b""
    async for chunk in chunks:
        held += chunk.replace(b"\r", b"")
        *blocks, held = held.split(b"\n\n")
        for each in blocks:
            yield each
        if len(held) > EVENT_LIMIT_BYTES:
            raise Unreachable("the stream of events cannot be read: there is no end of an event")
