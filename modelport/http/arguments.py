"""From an HTTP request to raw arguments: every file is streamed once, into the prediction's scratch folder.

Nothing here knows a protocol. `read_body` takes the body apart, `gather` picks the arguments from query, form, JSON,
headers and cookies as the card says.
"""

from __future__ import annotations

import binascii
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from modelport.contract.card import Argument
from modelport.contract.prediction import InputFile
from modelport.errors import InvalidJson, InvalidRequest, ModelportError, TooLarge
from modelport.http.body import FORM, BodyReader, in_utf8, read_form
from modelport.intake.forms import Multipart, Part
from modelport.intake.jsonbody import read_oscar_body
from modelport.intake.jsonrest import Large
from modelport.intake.jsontokens import decode_whole
from modelport.intake.received import Upload, large_input
from modelport.intake.scratch import Scratch, save
from modelport.intake.texts import codec, file_name, long_ending
from modelport.settings import Settings

BAD_JSON = {"json": ["Invalid JSON body."]}
JSON = "application/json"
MULTIPART = "multipart/form-data"


@dataclass
class Body:
    """A request's body taken apart. json is None where there was none, or none that was valid (`json_error`).

    larges: of json, and of what was overwritten there; each must be valid, used or not.
    """

    form: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, list[Upload]] = field(default_factory=dict)
    json: dict[str, Any] | None = None
    json_error: ModelportError | None = None
    larges: list[Large] = field(default_factory=list)


NO_BODY = Body()
_JSON_LIMITS = ("client_max_size", "json_limit_bytes")


def is_json(kind: str) -> bool:
    return kind == JSON or (kind.startswith("application/") and kind.endswith("+json"))


async def read_body(request: web.Request, settings: Settings, scratch: Scratch) -> Body:
    """The body by its content type; one of a type that holds no arguments is read and ignored.

    Raises TooLarge, InvalidRequest, UnsupportedMedia, StorageFull; what is on disk goes with the scratch folder.
    """
    if not request.can_read_body:
        return NO_BODY
    if request.headers.get("Content-Type") == JSON:
        return await _json(BodyReader(request, settings, *_JSON_LIMITS), "utf-8", settings, scratch)
    kind = request.content_type
    if is_json(kind):
        encoding = codec(request.charset)
        return await _json(BodyReader(request, settings, *_JSON_LIMITS), encoding, settings, scratch)
    if kind == FORM:
        return Body(form=await read_form(request, settings, "client_max_size", "form_limit_bytes"))
    if kind == MULTIPART:
        return await read_multipart(BodyReader(request, settings, "client_max_size"), settings, scratch)
    async for _ in BodyReader(request, settings, *_JSON_LIMITS).chunks():
        pass
    return NO_BODY


# JSON


async def _json(reader: BodyReader, encoding: str, settings: Settings, scratch: Scratch) -> Body:
    # The usual case: all of a small body came with the headers, and nothing is to be waited for.
    text = reader.now()
    if text is None:
        text = await reader.peek(settings.json_small_bytes + 1)
    try:
        if reader.ended and len(text) <= settings.json_small_bytes:
            if not text or text.isspace():
                return NO_BODY
            value = decode_whole(text if encoding == "utf-8" else in_utf8(text, encoding))
            # An array, string, number or null is no error: no argument is found in it.
            return Body(json=value if isinstance(value, dict) else None)
        reader.unread(text)
        chunks = (in_utf8(chunk, encoding) async for chunk in reader.chunks())
        large = await read_oscar_body(chunks, scratch, settings, only_json=True)
    except InvalidJson as error:
        async for _ in reader.chunks():
            pass  # all arguments may come otherwise
        error.fields = BAD_JSON
        return Body(json_error=error)
    return Body(json=large.arguments if large.is_object else None, larges=large.larges)


# Multipart


async def read_multipart(reader: BodyReader, settings: Settings, scratch: Scratch) -> Body:
    body = Body()
    form = Multipart(reader.chunks(), reader.request.headers["Content-Type"], settings.form_limit_parts)
    texts = _Texts(settings.form_limit_bytes)
    async for part in form.parts():
        if part.filename:
            body.files.setdefault(part.name, []).append(await _file(part, form.content(), scratch))
        elif part.filename is None or "content-type" not in part.headers:
            body.form.setdefault(part.name, []).append(await texts.read(part, form.content()))
        # else it is what a browser sends for a file input that was left empty
    return body


class _Texts:
    """The fields of one form that are no files."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = self._left = limit_bytes

    async def read(self, part: Part, pieces: AsyncIterator[bytes]) -> str:
        encoding = codec(part.charset)
        text = bytearray()
        async for piece in _decoded(part, pieces):
            self._left -= len(piece)
            if self._left < 0:
                limit = self._limit_bytes
                raise TooLarge(f"the fields of a form may have at most {limit} bytes together (form_limit_bytes)")
            text += piece
        try:
            return text.decode(encoding)
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"the form cannot be decoded: {part.name!r:.60} is not {encoding}") from error


async def _file(part: Part, pieces: AsyncIterator[bytes], scratch: Scratch) -> Upload:
    # No ending, as deepaas does it, but those that programs look at as a whole.
    name = file_name(part.filename or "")
    path = await save(scratch, _decoded(part, pieces), long_ending(name))
    return Upload(part.name, str(path), part.content_type, name)


async def _decoded(part: Part, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Content-Transfer-Encoding is deprecated in forms; some clients still send it."""
    encoding = part.headers.get("content-transfer-encoding", "binary").lower()
    if encoding not in ("binary", "8bit", "7bit", "base64", "quoted-printable"):
        raise InvalidRequest(f"a part has the Content-Transfer-Encoding {encoding!r:.60}; send its bytes as they are")
    rest = b""
    async for piece in pieces:
        if encoding == "base64":
            piece = (rest + piece).translate(None, b" \t\r\n")
            rest, piece = piece[len(piece) // 4 * 4 :], piece[: len(piece) // 4 * 4]
            yield _base64(piece)
        elif encoding == "quoted-printable":
            head, newline, rest = (rest + piece).rpartition(b"\n")
            yield binascii.a2b_qp(head + newline)
        else:
            yield piece
    if rest:
        yield _base64(rest) if encoding == "base64" else binascii.a2b_qp(rest)


def _base64(text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(text)
    except binascii.Error as error:
        raise InvalidRequest(f"a part of the form is not base64: {error}") from error


# Picking


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
                InputFile(argument.name, part.path, part.key, part.content_type, part.filename)
                for part in body.files[name]
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
            if type(value) is Large:
                files.append(large_input(argument, value))
            else:
                listed = isinstance(value, list) or value is None
                values[argument.name] = [value] if argument.multiple and not listed else value
        elif body.json_error is not None and location in (None, "json"):
            raise body.json_error
    if body.larges:
        used = {file.path for file in files}
        files += [large_input(None, value) for value in body.larges if value.path not in used]
    return values, files


def _of(argument: Argument, texts: list[str]) -> list[str] | str:
    """A list takes every value, anything else the first. A list in one text (DelimitedList) may come either way, since
    Swagger 2.0 can only describe it as a repeated name."""
    if argument.multiple:
        return texts
    return ",".join(texts) if argument.type == "array" else texts[0]
