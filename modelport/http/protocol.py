"""Connections: what aiohttp says to a client by itself, in the port's own shape, and without a word of it in the log.

A request that cannot be parsed reaches no handler. aiohttp's own answer and its log would repeat what was sent, and
that may be a token, a cookie or a body.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler, RequestPayloadError

from modelport.errors import InvalidRequest, ModelportError
from modelport.http.body import LINGER_S
from modelport.observe.tally import Tally
from modelport.settings import Settings

# The kernel completes this many connections before we take them: a burst of cold calls must not be refused.
BACKLOG = 1024
READ_BYTES = 1 << 18
LINE = "%d requests from %s could not be read, within %g s"
WINDOW_S = 60.0

# What nobody can call, and what clients on this machine can call instead.
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104

# By which an answer to nobody in particular is made.
Shape = Callable[[ModelportError, int], web.Response]

logger = logging.getLogger(__name__)


def local_url(address: str, port: int) -> str:
    """By which clients on this machine reach what listens there."""
    host = ANYWHERE.get(address, address)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def options(settings: Settings) -> dict[str, Any]:
    """Of a port, as aiohttp's servers take them."""
    line, field = settings.request_line_bytes, settings.header_bytes
    # An error tells only the limit that was passed, so the two must differ.
    field += field == line
    return {
        "max_line_size": line,
        "max_field_size": field,
        "max_headers": settings.header_limit,
        "keepalive_timeout": settings.keepalive_timeout_s,
        "read_bufsize": READ_BYTES,
        "lingering_time": LINGER_S,
        "auto_decompress": False,  # bodies are the reader's, and objects are kept as they were sent
    }


def has_gone(request: web.BaseRequest, error: BaseException) -> bool:
    """Whether the error says no more than that the client has left, or takes nothing more."""
    if isinstance(error, OSError) and error.errno == errno.ETIMEDOUT:  # the kernel's word: see stall_timeout_s
        return True
    transport = request.transport
    return isinstance(error, ConnectionError) and (transport is None or transport.is_closing())


class Connections:
    """Those of one port: `listen`, then `stop` to take no more, and `close` at the end."""

    def __init__(self, settings: Settings, shape: Shape) -> None:
        self._settings = settings
        self._shape = shape
        self._tally = Tally(logger, LINE, WINDOW_S)
        self._listening: asyncio.Server | None = None
        self._cutting: asyncio.Task[None] | None = None

    async def listen(self, server: web.Server, host: str, port: int) -> int:
        """Returns the port, which is a free one for 0. Raises OSError."""
        loop = asyncio.get_running_loop()

        def connection() -> RequestHandler:
            return _Connection(self, server, loop=loop, **server._kwargs)

        if host == "::" and socket.has_dualstack_ipv6():  # by itself, an event loop leaves IPv4 out here
            both = socket.create_server((host, port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True)
            self._listening = await loop.create_server(connection, sock=both, backlog=BACKLOG)
        else:
            self._listening = await loop.create_server(connection, host, port, backlog=BACKLOG, reuse_address=True)
        for listening in self._listening.sockets:
            _let_go_of_stalled(listening, self._settings.stall_timeout_s)
        self._cutting = asyncio.create_task(_cut_silent(server, self._settings.header_timeout_s))
        return int(self._listening.sockets[0].getsockname()[1])

    def stop(self) -> None:
        if self._listening is not None:
            self._listening.close()

    async def close(self) -> None:
        self.stop()
        if self._cutting is not None:
            self._cutting.cancel()
            await asyncio.wait({self._cutting})
        self._tally.close()

    def refuse(self, request: web.BaseRequest, error: BaseException) -> web.Response:
        """The answer to a request that could not be read."""
        self._tally.count(request.remote or "somewhere")
        status, message = 400, "The request cannot be read: it does not follow HTTP."
        if isinstance(error, LineTooLong) and str(error.args[1]) == str(self._settings.request_line_bytes):
            status, message = 414, "The request line is longer than request_line_bytes allows."
        elif isinstance(error, LineTooLong):
            status, message = 431, "A header is longer than header_bytes allows."
        elif str(error).find("Too many headers") >= 0:
            status, message = 431, "There are more headers than header_limit allows."
        return self._shape(InvalidRequest(message), status)

    def fail(self, request: web.BaseRequest, error: BaseException | None, status: int) -> web.Response:
        """The answer where a handler has failed."""
        logger.error("%s %s", request.method, request.path[:200], exc_info=error)
        return self._shape(ModelportError("the server failed; its log says why"), status)


class _Connection(RequestHandler):
    __slots__ = ("_connections",)

    def __init__(self, connections: Connections, server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._connections = connections

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Raises ConnectionError where an answer has begun already, or the client has gone."""
        if exc is not None and has_gone(request, exc):
            raise ConnectionResetError from exc  # which aiohttp takes for no more than the end of this connection
        if isinstance(exc, (HttpProcessingError, RequestPayloadError)):
            response = self._connections.refuse(request, exc)
        else:
            response = self._connections.fail(request, exc, status)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        response.force_close()
        return response


def _let_go_of_stalled(listening: socket.socket, timeout_s: float) -> None:
    """Have the kernel end connections whose client takes nothing of what was sent; they inherit it from `listening`.

    That holds however an answer is sent (`sendfile` included). Only Linux has it.
    """
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        milliseconds = min(round(timeout_s * 1000), 2**31 - 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


async def _cut_silent(server: web.Server, timeout_s: float) -> None:
    """Close connections whose first request's headers do not arrive in time.

    aiohttp has no such limit: a client that sends a byte an hour would hold a connection for ever. Later requests of
    a connection have the keep-alive time.
    """
    silent: dict[RequestHandler, float] = {}
    while True:
        await asyncio.sleep(timeout_s / 4)
        now = time.monotonic()
        silent = {
            connection: silent.get(connection, now)
            for connection in server.connections
            if not connection._request_count and connection.transport is not None
        }
        for handler, since in silent.items():
            if now - since >= timeout_s * 3 / 4 and handler.transport is not None:
                handler.transport.abort()
