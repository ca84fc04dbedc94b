"""The one reader of request bodies: every byte of a body that any front end reads comes by here, counted and paced.

A `BodyReader` is opened with the name of the setting that limits it. It refuses by what the headers say before it
reads, tells a client that waits for it (`Expect: 100-continue`) to go on when it begins to read, and counts what a body
holds as it comes. What is refused is not read to its end: see `receiving`.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn, TypeVar

import msgspec
from aiohttp import HttpVersion11, web
from aiohttp.web import RequestPayloadError

from modelport.errors import InvalidArguments, InvalidJson, InvalidRequest, TooLarge, UnsupportedMedia
from modelport.intake.forms import urlencoded
from modelport.intake.jsontokens import decode_whole
from modelport.intake.texts import codec
from modelport.settings import Settings, table
from modelport.tasks import aside

# Decompressed in pieces of this size, each counted before the next.
PIECE_BYTES = 256 << 10
# Of a body that was refused so much is still read, so that the client finds the answer before the connection ends.
LINGER_BYTES = 256 << 10
LINGER_S = 2.0

# A member's name may be as long as the document: a message about it is cut to this length.
ERROR_CHARS = 200

T = TypeVar("T")
SETTINGS = web.AppKey("settings", Settings)

# A body that is no HTTP, or whose client has gone.
UNREADABLE = (RequestPayloadError, web.PayloadAccessError, ConnectionError)
FORM = "application/x-www-form-urlencoded"
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Otherwise = Callable[[web.BaseRequest, web.HTTPException], Awaitable[web.StreamResponse]]


class SlowBody(InvalidRequest):
    """The client sends more slowly than `body_rate_bytes_s`."""


class BrokenBody(InvalidRequest):
    """The body ends too early, or cannot be taken apart."""


class BodyReader:
    """limits: names of settings; the smallest of them is the most that the body may hold, 0 is none.

    as_sent: the bytes are kept as they come, whatever their Content-Encoding.
    Raises TooLarge and UnsupportedMedia by the headers; these, SlowBody and BrokenBody while it is read.
    """

    def __init__(self, request: web.BaseRequest, settings: Settings, *limits: str, as_sent: bool = False) -> None:
        self.request = request
        self.ended = False  # all of it has been read
        self._settings = settings
        self._content = request._payload
        self._peeked = b""
        self._held = 0
        self._waited_s, self._received = 0.0, 0  # since the pace was last looked at
        self._begun = False
        self._gzip: _Gzip | None = None
        self._most, self._limit = 0, ""
        self.limit(*limits, *getattr(request, "limits", ()))
        headers = request.headers
        if "Content-Encoding" in headers and not as_sent:
            self._gzip = _gzip(headers["Content-Encoding"], settings)

    def limit(self, *names: str) -> None:
        """Settings that hold from now on. Raises TooLarge by what the request says of itself, and what has come."""
        for name in names:
            most = getattr(self._settings, name, None)
            if most is None:  # a setting of another package
                most = next(self._settings.value(row) for row in table() if row.name == name)
            if most and not 0 < self._most <= most:
                self._most, self._limit = most, name
        if self._most and ((self.request.content_length or 0) > self._most or self._held > self._most):
            raise self._too_large()

    def now(self) -> bytes | None:
        """All of it, where it has arrived already and is sent as it is; else None."""
        if self._gzip is not None or self._peeked or not self._content.is_eof():
            return None
        self.ended = True
        data = self._at_hand()
        self._held = len(data)
        if 0 < self._most < self._held:
            raise self._too_large()
        return data

    async def read(self) -> bytes:
        """All of it; only where the limit is small."""
        if (data := self.now()) is not None:
            return data
        return b"".join([chunk async for chunk in self.chunks()])

    async def peek(self, size: int) -> bytes:
        """At least the first `size` bytes, or all where there are fewer; they stay unread. `ended`: that is all."""
        chunks = [self._peeked]
        self._peeked, length = b"", len(chunks[0])
        while length < size and (chunk := await self.next()):
            chunks.append(chunk)
            length += len(chunk)
        self._peeked = b"".join(chunks)
        return self._peeked

    def unread(self, data: bytes) -> None:
        """Put back what was taken last."""
        self._peeked = data

    async def chunks(self) -> AsyncIterator[bytes]:
        while chunk := await self.next():
            yield chunk

    async def take(self, size: int) -> AsyncIterator[bytes]:
        """The next `size` bytes. Raises BrokenBody where there are fewer."""
        while size:
            if not (chunk := await self.next()):
                raise BrokenBody(f"the body ends {size} bytes too early")
            chunk, self._peeked = chunk[:size], chunk[size:]
            size -= len(chunk)
            yield chunk

    async def next(self) -> bytes:
        """Some of what the body holds; nothing at its end."""
        if self._peeked:
            chunk, self._peeked = self._peeked, b""
            return chunk
        if self.ended:
            return b""
        chunk = await (self._receive() if self._gzip is None else self._unzip(self._gzip))
        self.ended = not chunk
        self._count(len(chunk))
        return chunk

    async def _unzip(self, gzip: _Gzip) -> bytes:
        while not (piece := gzip.piece()):
            if not gzip.feed(await self._receive()):
                return b""
        await asyncio.sleep(0)  # the next piece may be there already, and others wait
        return piece

    def _count(self, length: int) -> None:
        self._held += length
        if self._most and self._held > self._most:
            raise self._too_large()

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the body is larger than {self._most} bytes, the most that is allowed here ({self._limit})")

    def _at_hand(self) -> bytes:
        try:
            return self._content.read_nowait()
        except UNREADABLE as error:
            raise BrokenBody(f"the body cannot be read: {error}") from error

    async def _receive(self) -> bytes:
        if (chunk := self._at_hand()) or self._content.at_eof():
            return chunk
        if not self._begun:
            self._begun = True
            go_on(self.request)
        rate, window_s = self._settings.body_rate_bytes_s, self._settings.body_window_s
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            # Only time in which the client is waited for counts: it may be us who read slowly.
            async with asyncio.timeout(window_s - self._waited_s if rate else None):
                chunk = await self._content.readany()
        except TimeoutError as error:
            raise SlowBody(f"the body arrives more slowly than {rate} bytes/s (body_rate_bytes_s)") from error
        except UNREADABLE as error:
            raise BrokenBody(f"the body cannot be read: {error}") from error
        self._waited_s += loop.time() - begun
        self._received += len(chunk)
        if self._received >= rate * window_s:
            self._waited_s, self._received = 0.0, 0
        return chunk


class _Gzip:
    """What a compressed body holds, piece by piece."""

    def __init__(self, ratio: int) -> None:
        self._zip = zlib.decompressobj(wbits=31)
        self._ratio = ratio
        self._rest = b""
        self._sent = self._held = 0

    def feed(self, chunk: bytes) -> bool:
        """False: that was the end. Raises BrokenBody."""
        if not chunk and not self._zip.eof:
            raise BrokenBody("the gzip body ends too early")
        if chunk and self._zip.eof:
            raise BrokenBody("there is more behind the end of the gzip body")
        self._rest = chunk
        self._sent += len(chunk)
        return bool(chunk)

    def piece(self) -> bytes:
        """Empty: more must be fed. Raises BrokenBody, TooLarge."""
        if not self._rest:
            return b""
        try:
            piece = self._zip.decompress(self._rest, PIECE_BYTES)
        except zlib.error as error:
            raise BrokenBody("the body is not gzip") from error
        self._rest = self._zip.unconsumed_tail
        if self._zip.unused_data:
            raise BrokenBody("there is more behind the end of the gzip body")
        self._held += len(piece)
        if self._held > max(self._sent * self._ratio, PIECE_BYTES):
            raise TooLarge(f"the gzip body holds more than {self._ratio} times what was sent (gzip_ratio_limit)")
        return piece


def _gzip(encoding: str, settings: Settings) -> _Gzip | None:
    """Raises UnsupportedMedia."""
    name = encoding.strip().lower()
    if name in ("gzip", "x-gzip") and settings.gzip_bodies:
        return _Gzip(settings.gzip_ratio_limit)
    if name not in ("", "identity"):
        taken = "gzip and identity" if settings.gzip_bodies else "only identity"
        raise UnsupportedMedia(f"the body has the Content-Encoding {encoding!r:.60}; this server takes {taken}")
    return None


# What several front ends read


async def read_document(request: web.BaseRequest, settings: Settings) -> dict[str, Any]:
    """The JSON object that a client tells the server itself. Raises InvalidJson, TooLarge, UnsupportedMedia."""
    encoding = codec(request.charset)
    document = decode_whole(in_utf8(await BodyReader(request, settings, "document_limit_bytes").read(), encoding))
    if not isinstance(document, dict):
        raise InvalidJson("the body must be a JSON object")
    return document


async def read_struct(request: web.BaseRequest, settings: Settings, type: type[T]) -> T:
    """The object of `read_document`, as a `type`. Also raises InvalidArguments, which names the member at fault."""
    try:
        return msgspec.convert(await read_document(request, settings), type)
    except msgspec.ValidationError as error:
        problem, _, place = str(error)[:ERROR_CHARS].partition(" - at ")
        name = place.strip("`$.")
        raise (InvalidArguments.of(name, problem) if name else InvalidArguments(problem)) from None


async def read_form(request: web.BaseRequest, settings: Settings, *limits: str) -> dict[str, list[str]]:
    """The fields of an urlencoded form. Raises InvalidRequest, TooLarge, UnsupportedMedia."""
    encoding = codec(request.charset)
    return await parse_form(await BodyReader(request, settings, *limits).read(), encoding, settings)


async def parse_form(data: bytes, encoding: str, settings: Settings) -> dict[str, list[str]]:
    """Python's parser takes a second for some MiB."""
    return await aside(len(data), urlencoded, data, encoding, settings.form_limit_parts)


def in_utf8(text: bytes, encoding: str) -> bytes:
    """JSON in an encoding of `codec`. Raises InvalidJson."""
    try:
        return text if encoding == "utf-8" else text.decode(encoding).encode()
    except UnicodeDecodeError as error:
        raise InvalidJson(f"the body is not valid JSON: it is not {encoding}") from error


# Around a request


class Request(web.Request):
    """Every request at the main port: aiohttp's, except that its body comes through the reader, whoever asks for it.

    limits: names of further settings that limit its body, given by whoever has let it in.
    """

    ATTRS = web.Request.ATTRS | {"limits"}
    limits: tuple[str, ...] = ()

    async def read(self) -> bytes:
        """Raises TooLarge and other InvalidRequest."""
        if self._read_bytes is None:
            self._read_bytes = await BodyReader(self, self.app[SETTINGS], "json_limit_bytes").read()
        return self._read_bytes

    async def text(self) -> str:
        encoding = codec(self.charset)
        try:
            return (await self.read()).decode(encoding)
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"the body is not {encoding}") from error

    async def json(self, **_: Any) -> Any:
        """Raises InvalidJson."""
        encoding = codec(self.charset)
        return decode_whole(in_utf8(await self.read(), encoding))

    @property
    def content(self) -> NoReturn:
        raise TypeError("read a large body piece by piece with context.reader(request)")

    async def post(self) -> NoReturn:
        raise TypeError("read a form with context.read_call(request, …), or its text with request.text()")

    async def multipart(self, **_: Any) -> NoReturn:
        raise TypeError("read a form with context.read_call(request, …)")


def receiving(handle: Handler, otherwise: Otherwise | None = None) -> Handler:
    """`handle`, for a server: clients are told to go on with a body only when it is read, and what is left of one is
    not swallowed. otherwise: what answers a request for which `handle` knows no route."""

    async def receive(request: web.BaseRequest) -> web.StreamResponse:
        if "Expect" in request.headers and isinstance(request, web.Request):
            request = _expecting(request)
        try:
            response = await handle(request)
        except web.HTTPException as error:
            try:
                if otherwise is None or error.status != 404:
                    raise
                response = await otherwise(request, error)
            except web.HTTPException as answer:
                if _is_left(request):
                    await _leave(request, answer)
                raise
        if not request._payload.is_eof() and _is_left(request):
            await _leave(request, response)
        return response

    return receive


def _is_left(request: web.BaseRequest) -> bool:
    """Whether there is more of the body than what aiohttp may swallow for us, or none will come without our word."""
    if request._payload.is_eof():
        return False
    return "Expect" in request.headers or not LINGER_BYTES >= (request.content_length or 0) > 0


def _expecting(request: web.Request) -> web.Request:
    """The same with an empty header: what it says aiohttp would answer before anybody has looked at the request."""
    headers = request.headers.copy()
    if headers.popall("Expect")[0].strip().lower() == "100-continue":
        headers["Expect"] = ""
    return request.clone(headers=headers)


def go_on(request: web.BaseRequest) -> None:
    """The client may wait for this word with its body."""
    waits = request.headers.get("Expect", "none").strip().lower() in ("", "100-continue")
    if waits and request.version >= HttpVersion11 and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def _leave(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Send the answer to a request whose body has not been read to its end, read a little of that, and close."""
    content = request._payload
    response.force_close()
    await response.prepare(request)
    await response.write_eof()
    begun = content.total_bytes
    try:
        async with asyncio.timeout(LINGER_S):
            while content.total_bytes - begun < LINGER_BYTES and await content.readany():
                pass
    except (TimeoutError, *UNREADABLE):
        pass
    request.protocol.force_close()
