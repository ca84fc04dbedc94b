"""The values of a model as they come, for every front end: server-sent events, or a JSON value a line.

docs/streaming.md has what a client sees. Whatever goes wrong before the first value is answered as ever; after it, it
is the last event.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from aiohttp import web

from modelport.contract.prediction import Call
from modelport.deployments.deployments import Deployment
from modelport.deployments.streaming import CallStream
from modelport.errors import ModelportError
from modelport.executors import Watcher
from modelport.http.gateway import Gateway
from modelport.http.json_answers import encoded
from modelport.intake.accept import EVENTS

HEADERS = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "X-Accel-Buffering": "no",  # nginx would keep values back until it has some kilobytes
}


class Events:
    """Each value is a message; `end` or `failed` is the last event."""

    heartbeat = b":\n\n"

    def __init__(self) -> None:
        self._count = 0

    def values(self, bodies: list[bytes]) -> bytes:
        events = []
        for body in bodies:
            self._count += 1
            events.append(b"id: %d\ndata: %b\n\n" % (self._count, body))
        return b"".join(events)

    def end(self) -> bytes:
        return b'event: end\ndata: {"values": %d}\n\n' % self._count

    def failed(self, error: ModelportError) -> bytes:
        return b"event: failed\ndata: %b\n\n" % encoded(_told(error))


class Lines:
    """A value a line, and `{"error": …}` as the last where the model has failed."""

    heartbeat = b" "  # before the next value

    def values(self, bodies: list[bytes]) -> bytes:
        return b"\n".join(bodies) + b"\n"

    def end(self) -> bytes:
        return b""

    def failed(self, error: ModelportError) -> bytes:
        return encoded({"error": _told(error)}) + b"\n"


def _told(error: ModelportError) -> dict[str, Any]:
    return {"kind": error.kind, "message": error.message}


@asynccontextmanager
async def open_stream(
    gateway: Gateway, deployment: Deployment, call: Call, watcher: Watcher | None = None
) -> AsyncIterator[CallStream]:
    """A server that stops waits, for a while, until the block is left: the last values are on their way until then."""
    limit_bytes = gateway.settings.stream_ahead_bytes
    run = partial(gateway.predictions.run, deployment)
    with gateway.predictions.answering():
        async with CallStream(run, call, limit_bytes, watcher) as stream:
            yield stream


async def respond(
    gateway: Gateway,
    request: web.Request,
    deployment: Deployment,
    call: Call,
    media_type: str,
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Run a call, and send its values as they come. media_type: as of `intake.accept.stream_type`.

    Raises what is wrong before the first value.
    """
    if "Last-Event-ID" in request.headers:
        return web.Response(status=204)  # a browser's EventSource comes again after the end; that ends it
    form = Events() if media_type == EVENTS else Lines()
    async with open_stream(gateway, deployment, call) as stream:
        values = await stream.take()
        response = web.StreamResponse(
            headers={"Content-Type": f"{media_type}; charset=utf-8", **HEADERS, **(headers or {})}
        )
        await response.prepare(request)
        await _send(response, stream, form, values, gateway.settings.heartbeat_s)
        await response.write_eof()
    return response


async def _send(
    response: web.StreamResponse,
    stream: CallStream,
    form: Events | Lines,
    values: list[bytes] | None,
    heartbeat_s: float,
) -> None:
    """Nothing is taken while the client does not read."""
    try:
        while values is None or values:
            await response.write(form.heartbeat if values is None else form.values(values))
            values = await stream.take(heartbeat_s)
    except ModelportError as error:
        await response.write(form.failed(error))
    else:
        if last := form.end():
            await response.write(last)
