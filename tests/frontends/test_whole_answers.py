"""A model's answer in memory goes out as aiohttp would send it, whatever the client's version of HTTP."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from aiohttp import web

from modelport.http.outcome_answers import WholeAnswer
from tests.frontends.serving import serve

HEADERS = {"Content-Type": "application/json", "Server-Timing": "predict;dur=0.10", "Vary": "Prefer"}


def application() -> web.Application:
    async def own(request: web.Request) -> web.StreamResponse:
        return answer(request, WholeAnswer)

    async def theirs(request: web.Request) -> web.StreamResponse:
        return answer(request, web.Response)

    def answer(request: web.Request, kind: type[web.Response]) -> web.Response:
        response = kind(body=b"[1, 2]" * int(request.query["times"]), headers=HEADERS)
        if "close" in request.query:
            response.force_close()
        return response

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.add("Vary", "Origin")

    app = web.Application()
    app.on_response_prepare.append(add)
    for path, handler in (("/own", own), ("/theirs", theirs)):
        app.router.add_route("*", path, handler)
    return app


async def exchange(port: int, text: str) -> tuple[bytes, bool]:
    """(the answer, whether a second request on the same connection is answered)"""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(text.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n") if b": " in line)
        body = await reader.readexactly(0 if text.startswith("HEAD") else int(lines[b"Content-Length"]))
        writer.write(text.encode())
        try:
            again = await reader.read(1)
        except ConnectionResetError:
            again = b""
        return head + body, again == b"H"
    finally:
        writer.close()


def without_date(answer: bytes) -> list[bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return [*sorted(line for line in head.split(b"\r\n") if not line.startswith(b"Date: ")), body]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_it_is_what_aiohttp_would_send(method: str) -> None:
    async with serve(application()) as (url, _):
        port = int(url.rpartition(":")[2])
        connections = ("", "Connection: close\r\n", "Connection: keep-alive\r\n")
        queries = ("times=3", "times=3&close", *(() if method == "HEAD" else ("times=0",)))
        for version, connection, query in itertools.product(("1.0", "1.1"), connections, queries):
            own, theirs = [
                await exchange(port, f"{method} /{who}?{query} HTTP/{version}\r\nHost: x\r\n{connection}\r\n")
                for who in ("own", "theirs")
            ]
            assert b"\r\nDate: " in own[0]
            assert without_date(own[0]) == without_date(theirs[0])
            assert own[1] == theirs[1], (version, connection, query)
