"""From an HTTP request to raw arguments: every file is streamed once, into the prediction's scratch folder.

Part of the common hall: nothing here knows a protocol. `read` takes the body apart, `gather` picks the arguments
from query, form, JSON, headers and cookies as the card says.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from aiohttp import BodyPartReader, StreamReader, web
from aiohttp.hdrs import CONTENT_TRANSFER_ENCODING, CONTENT_TYPE
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError

from modelport.contract.card import Argument
from modelport.contract.prediction import InputFile
from modelport.errors import InvalidJson, InvalidRequest, ModelportError, StorageFull, TooLarge
from modelport.intake.scratch import Scratch, Writer
from modelport.settings import Settings

# Read from a part in pieces of this size: aiohttp looks for the boundary in each piece and the one before it.
PART_BYTES = 1 << 18

# A body must keep `body_rate_bytes_s` on average over each window of this length.
PACE_WINDOW_S = 30.0

BAD_JSON = "Invalid JSON body."

_decode_json = msgspec.json.Decoder().decode


@dataclass(frozen=True)
class UploadedPart:
    """A part of a form that is a file, already on disk."""

    name: str
    path: str
    content_type: str
    filename: str | None


@dataclass
class Body:
    """A request's body taken apart. json is None where there was none, or none that was valid (`json_error`)."""

    form: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, list[UploadedPart]] = field(default_factory=dict)
    json: dict[str, Any] | None = None
    json_error: ModelportError | None = None


NO_BODY = Body()


class Reader:
    """Reads one request's body within the limits.

    Raises TooLarge, InvalidRequest, StorageFull; what is on disk by then goes with the scratch folder.
    """

    def __init__(self, request: web.Request, settings: Settings, scratch: Scratch) -> None:
        self._request = request
        self._settings = settings
        self._scratch = scratch
        self._limit = settings.client_max_size

    async def read(self) -> Body:
        """The body by its content type; one of a type that holds no arguments is read and ignored."""
        request = self._request
        if not request.can_read_body:
            return NO_BODY
        if self._limit and (request.content_length or 0) > self._limit:
            raise self._too_large()
        kind = request.content_type
        if kind == "application/json" and (content := request.content).is_eof() and content.exception() is None:
            # The usual case: all of a small body came with the headers, and nothing is to be waited for.
            return _json_body(self._read_now(), request.charset)
        with Pace(request.content, self._settings.body_rate_bytes_s):
            try:
                if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
                    return _json_body(await self._read_all(), request.charset)
                if kind == "application/x-www-form-urlencoded":
                    return self._urlencoded(await self._read_all())
                if kind == "multipart/form-data":
                    return await self._multipart()
                async for _ in self._chunks():
                    pass
                return NO_BODY
            except RequestPayloadError as error:
                raise InvalidRequest(f"the body cannot be read: {error}") from error

    def _read_now(self) -> bytes:
        """A body that has arrived as a whole."""
        self._check_size()
        if self._request.content.total_bytes > self._settings.json_limit_bytes:
            raise self._too_large_for_json()
        return self._request.content.read_nowait()

    async def _chunks(self) -> AsyncIterator[bytes]:
        while chunk := await self._request.content.readany():
            self._check_size()
            yield chunk

    async def _read_all(self) -> bytes:
        limit = self._settings.json_limit_bytes
        if (self._request.content_length or 0) > limit:
            raise self._too_large_for_json()
        chunks = []
        async for chunk in self._chunks():
            if self._request.content.total_bytes > limit:
                raise self._too_large_for_json()
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _too_large_for_json(self) -> TooLarge:
        limit = self._settings.json_limit_bytes
        return TooLarge(f"a body of this type may have at most {limit} bytes (json_limit_bytes)")

    def _check_size(self) -> None:
        """By what has arrived, not by what was used of it: parts that are dropped count, too."""
        if self._limit and self._request.content.total_bytes > self._limit:
            raise self._too_large()

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the body is larger than {self._limit} bytes, the most that is allowed (client_max_size)")

    def _urlencoded(self, data: bytes) -> Body:
        limit = self._settings.form_limit_parts
        try:
            text = data.decode(self._request.charset or "utf-8")
            if text.count("&") >= limit:
                raise TooLarge(f"a form may have at most {limit} fields (form_limit_parts)")
            pairs = parse_qsl(text, keep_blank_values=True, errors="strict")
        except (UnicodeDecodeError, LookupError) as error:
            raise InvalidRequest(f"the form cannot be decoded: {error}") from error
        body = Body()
        for name, value in pairs:
            body.form.setdefault(name, []).append(value)
        return body

    # Multipart

    async def _multipart(self) -> Body:
        body = Body()
        try:
            reader = await self._request.multipart()
            parts = 0
            while (part := await reader.next()) is not None:
                parts += 1
                if parts > self._settings.form_limit_parts:
                    limit = self._settings.form_limit_parts
                    raise TooLarge(f"a form may have at most {limit} parts (form_limit_parts)")
                if not isinstance(part, BodyPartReader):
                    raise InvalidRequest("a part of the multipart body is multipart itself")
                await self._part(part, body)
        except (ValueError, AssertionError, LookupError, RuntimeError, HttpProcessingError) as error:
            # aiohttp's reader says so of a missing boundary, a broken header, a body that ends too early
            raise InvalidRequest(f"the multipart body is broken: {error}".rstrip(": ")) from error
        return body

    async def _part(self, part: BodyPartReader, body: Body) -> None:
        name = part.name
        if name is None:
            raise InvalidRequest("a part of the multipart body has no name")
        if part.filename:
            body.files.setdefault(name, []).append(await self._file(part, name))
        elif part.filename == "" and CONTENT_TYPE in part.headers:
            # what a browser sends for a file input that was left empty
            while await part.read_chunk(PART_BYTES):
                self._check_size()
        else:
            body.form.setdefault(name, []).append(await self._text(part))

    async def _text(self, part: BodyPartReader) -> str:
        chunks = bytearray()
        while chunk := await part.read_chunk(PART_BYTES):
            self._check_size()
            chunks += chunk
            if len(chunks) > self._settings.json_limit_bytes:
                limit = self._settings.json_limit_bytes
                raise TooLarge(f"a form field that is no file may have at most {limit} bytes (json_limit_bytes)")
        return bytes(part.decode(bytes(chunks))).decode(part.get_charset("utf-8"))

    async def _file(self, part: BodyPartReader, name: str) -> UploadedPart:
        # No extension, as deepaas does it; nothing of the client's name is in the path.
        try:
            path = self._scratch.make() / secrets.token_hex(8)
        except OSError as error:
            raise StorageFull(f"the upload cannot be stored: {error.strerror}") from error
        encoded = CONTENT_TRANSFER_ENCODING in part.headers
        async with Writer(path) as writer:
            while chunk := await part.read_chunk(PART_BYTES):
                self._check_size()
                await writer.write(part.decode(chunk) if encoded else chunk)
        content_type = part.headers.get(CONTENT_TYPE, "application/octet-stream")
        return UploadedPart(name, str(path), content_type.partition(";")[0].strip(), part.filename)


class Pace:
    """Cuts off a client that sends its body too slowly; costs one timer for each body that is not there yet."""

    def __init__(self, content: StreamReader, rate_bytes_s: int) -> None:
        self._content = content
        self._least = int(rate_bytes_s * PACE_WINDOW_S)
        self._seen = 0
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        if self._least and not self._content.is_eof():
            self._start()

    def _start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(PACE_WINDOW_S, self._check)

    def _check(self) -> None:
        received = self._content.total_bytes - self._seen
        self._seen = self._content.total_bytes
        if received < self._least:
            rate = f"{self._least / PACE_WINDOW_S:g} bytes/s"
            self._content.set_exception(InvalidRequest(f"the body arrives more slowly than {rate} (body_rate_bytes_s)"))
        else:
            self._start()

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _json_body(data: bytes, charset: str | None) -> Body:
    if not data.strip():
        return NO_BODY
    try:
        value = _decode_json(data if charset in (None, "utf-8") else data.decode(charset or "utf-8"))
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError, RecursionError) as error:
        return Body(json_error=InvalidJson(f"the body is not valid JSON: {error}", fields={"json": [BAD_JSON]}))
    # An array, string, number or null is no error: no argument is found in it.
    return Body(json=value if isinstance(value, dict) else None)


def gather(
    arguments: Iterable[Argument], request: web.BaseRequest, body: Body
) -> tuple[dict[str, Any], list[InputFile]]:
    """Raw argument values by name, and files, each from where the card says.

    An argument without a location is looked for in the query, the form, the JSON body, in this order; one with a
    location only there, but for JSON, which every argument may come by that is no file of a form. Raises InvalidJson if
    an argument without location, or of location json, is looked for in a body that is broken.
    """
    values: dict[str, Any] = {}
    files: list[InputFile] = []
    query, json = request.query, body.json
    for argument in arguments:
        name, location = argument.wire_name, argument.location
        if argument.is_file and name in body.files:
            files.extend(
                InputFile(argument.name, each.path, each.name, each.content_type, each.filename)
                for each in body.files[name]
            )
        elif location in (None, "query") and name in query:
            values[argument.name] = _of(argument, query.getall(name))
        elif location in (None, "form") and name in body.form:
            values[argument.name] = _of(argument, body.form[name])
        elif location == "headers" and name in request.headers:
            values[argument.name] = _of(argument, request.headers.getall(name))
        elif location == "cookies" and name in request.cookies:
            values[argument.name] = _of(argument, [request.cookies[name]])
        elif json is not None and name in json and not (argument.is_file and location == "form"):
            value = json[name]
            values[argument.name] = [value] if argument.multiple and _is_scalar(value) else value
        elif body.json_error is not None and location in (None, "json"):
            raise body.json_error
    return values, files


def _of(argument: Argument, texts: list[str]) -> list[str] | str:
    """A list takes every value, anything else the first. A list in one text (DelimitedList) may come either way, since
    Swagger 2.0 can only describe it as a repeated name."""
    if argument.multiple:
        return texts
    return ",".join(texts) if argument.type == "array" else texts[0]


def _is_scalar(value: Any) -> bool:
    return value is not None and not isinstance(value, list)
