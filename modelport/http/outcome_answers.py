"""Answers of predictions: whole ones in memory, and those that are sent from a file."""

from __future__ import annotations

import asyncio

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE

from modelport.contract.prediction import Outcome
from modelport.intake.scratch import open_answer

SEND_BYTES = 1 << 20  # a file is sent in pieces of this size, each read in a thread


class WholeAnswer(web.Response):
    """An answer in memory, written with its head at once.

    A third of what aiohttp takes for a small request are the steps in which it would find out whether to compress the
    body, to send it in chunks or to set a cookie. No answer of a model does.
    """

    _body: bytes

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        if self.prepared:
            return self._payload_writer
        self._req, self._payload_writer = request, request.writer
        if self._keep_alive is None:
            self._keep_alive = request.keep_alive
        headers = self.headers
        headers["Content-Length"] = str(len(self._body))
        headers["Date"] = rfc822_formatted_time()
        headers["Server"] = SERVER_SOFTWARE
        if request.version < HttpVersion11 and self._keep_alive:
            headers["Connection"] = "keep-alive"
        elif request.version >= HttpVersion11 and not self._keep_alive:
            headers["Connection"] = "close"
        await request._prepare_hook(self)
        return self._payload_writer

    async def write_eof(self, data: bytes = b"") -> None:
        request, writer = self._req, self._payload_writer
        if request is None or writer is None:
            return  # it has been written
        version = request.version
        await writer.write_headers(f"HTTP/{version[0]}.{version[1]} {self.status} {self.reason}", self.headers)
        await writer.write_eof(b"" if request.method == "HEAD" else self._body)
        self._eof_sent = True
        self._body_length = writer.output_size
        self._req = self._payload_writer = None


def server_timing(outcome: Outcome) -> str:
    text = f', batch;desc="{outcome.batch}"' if outcome.batch else ""
    for phase, seconds in outcome.timings.items():
        text += f", {phase};dur={seconds * 1000:.2f}"
    return text[2:]


async def send_file(
    request: web.Request, path: str, before: bytes, after: bytes, headers: dict[str, str]
) -> web.StreamResponse:
    response = web.StreamResponse(headers=headers)
    with open_answer(path) as file:
        size = await asyncio.to_thread(lambda: file.seek(0, 2))
        response.content_length = len(before) + size + len(after)
        await response.prepare(request)
        if before:
            await response.write(before)
        file.seek(0)
        while chunk := await asyncio.to_thread(file.read, SEND_BYTES):
            await response.write(chunk)
        if after:
            await response.write(after)
    await response.write_eof()
    return response
