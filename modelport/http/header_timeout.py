"""Clients that connect and say nothing."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web
from aiohttp.web_protocol import RequestHandler


async def cut_silent(server: web.Server, timeout_s: float) -> None:
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
