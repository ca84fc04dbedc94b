"""An answer as a stream of events: what the model reports while it computes, and then the response."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web
from msgspec import Raw

from modelport.extending import Watcher

STREAM = "text/event-stream"
HEADERS = {"Content-Type": STREAM, "Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
HEARTBEAT = b":\n\n"


class Reports:
    """A watcher that keeps the last report: a client that reads slowly misses some, and none pile up for it."""

    def __init__(self, token: Raw, heartbeat_s: float) -> None:
        """token: by which the client knows what the reports are of; as it came."""
        self.heartbeat_s = heartbeat_s
        self._token = token
        self._progress, self._message = -1.0, ""
        self.news = asyncio.Event()

    def progress(self, fraction: float | None, message: str) -> None:
        """Some clients drop what does not grow."""
        if (fraction is None or fraction <= self._progress) and message == self._message:
            return
        least = max(0.0, math.nextafter(self._progress, math.inf))
        self._progress, self._message = max(fraction or 0.0, least), message
        self.news.set()

    def printed(self, chunk: bytes) -> None:
        pass

    def value(self, body: bytes) -> None:
        pass

    def take(self) -> bytes:
        """The last report as an event; a comment where there is none."""
        if not self.news.is_set():
            return HEARTBEAT
        self.news.clear()
        params = {"progressToken": self._token, "progress": self._progress, "total": 1}
        if self._message:
            params["message"] = self._message
        return event(msgspec.json.encode({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}))


def event(data: bytes) -> bytes:
    return b"event: message\ndata: %b\n\n" % data


async def respond(
    request: web.Request, reports: Reports, work: Callable[[Watcher], Awaitable[web.Response]]
) -> web.StreamResponse:
    """The response that `work` makes: as it is where nothing was reported before, or else as the last event.

    When this returns, the work has ended, also where the client has left.
    """
    task = asyncio.ensure_future(work(reports))
    task.add_done_callback(lambda _: reports.news.set())
    try:
        await reports.news.wait()
        return task.result() if task.done() else await _stream(request, reports, task)
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _stream(request: web.Request, reports: Reports, task: asyncio.Future[web.Response]) -> web.StreamResponse:
    response = web.StreamResponse(headers=HEADERS)
    await response.prepare(request)
    while not task.done():
        await response.write(reports.take())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(reports.heartbeat_s):
                await reports.news.wait()
    body = task.result().body
    assert isinstance(body, bytes)
    await response.write(event(body))
    await response.write_eof()
    return response
