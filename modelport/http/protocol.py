"""Connections: what aiohttp says to a client by itself, in the port's own shape, and without a word of it in the log.

A request that cannot be parsed reaches no handler. aiohttp's own answer and its log would repeat what was sent, and
that may be a token, a cookie or a body.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler, RequestPayloadError

from modelport.errors import InvalidRequest, ModelportError
from modelport.observe.tally import Tally
from modelport.settings import Settings

LINE = "%d requests from %s could not be read, within %g s"
WINDOW_S = 60.0

# The kernel completes this many connections before we take them: a burst of cold calls must not be refused.
BACKLOG = 1024
# What nobody can call, and what clients on this machine can call instead.
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104

# By which an answer to nobody in particular is made.
Shape = Callable[[ModelportError, int], web.Response]

logger = logging.getLogger(__name__)


def local_url(address: str, port: int) -> str:
    """By which clients on this machine reach what listens there."""
    host = ANYWHERE.get(address, address)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def limits(settings: Settings) -> dict[str, Any]:
    """Of a request's head, as aiohttp's servers take them."""
    line, field = settings.request_line_bytes, settings.header_bytes
    # An error tells only the limit that was passed, so the two must differ.
    field += field == line
    return {"max_line_size": line, "max_field_size": field, "max_headers": settings.header_limit}


class Connections:
    """Makes the connections of one port. `close` it at the end."""

    def __init__(self, settings: Settings, shape: Shape) -> None:
        self._line_bytes = str(limits(settings)["max_line_size"])
        self._shape = shape
        self._tally = Tally(logger, LINE, WINDOW_S)

    async def listen(self, server: web.Server, address: str, port: int) -> asyncio.Server:
        """Raises OSError. By itself, an event loop leaves IPv4 out where the address is all of IPv6's."""
        loop, connections = asyncio.get_running_loop(), self.of(server)
        if address != "::" or not socket.has_dualstack_ipv6():
            return await loop.create_server(connections, address, port, backlog=BACKLOG, reuse_address=True)
        both = socket.create_server((address, port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True)
        return await loop.create_server(connections, sock=both, backlog=BACKLOG)

    def of(self, server: web.Server) -> Callable[[], RequestHandler]:
        """What the event loop calls for each connection."""
        loop = asyncio.get_running_loop()
        return lambda: _Connection(self, server, loop=loop, **server._kwargs)

    def refuse(self, request: web.BaseRequest, error: BaseException) -> web.Response:
        """The answer to a request that could not be read."""
        self._tally.count(request.remote or "somewhere")
        status, message = 400, "The request cannot be read: it does not follow HTTP."
        if isinstance(error, LineTooLong) and str(error.args[1]) == self._line_bytes:
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

    def close(self) -> None:
        self._tally.close()


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
        """Raises ConnectionError where an answer has begun already."""
        if isinstance(exc, (HttpProcessingError, RequestPayloadError)):
            response = self._connections.refuse(request, exc)
        else:
            response = self._connections.fail(request, exc, status)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        response.force_close()
        return response
