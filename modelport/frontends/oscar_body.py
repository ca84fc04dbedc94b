"""The body of POST /run/<name>: JSON, base64 of JSON, a form or a plain file → raw arguments and files on disk.

The content type decides little, as on the platform, where it plays no part: what reads as a JSON object, or as base64
of one, is one. Only where it does not, a body of type image/jpeg is the picture itself.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import mimetypes
import os
import re
import secrets
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from aiohttp import web
from aiohttp.web import RequestPayloadError

from modelport.card import Argument, Card
from modelport.errors import InvalidArguments, InvalidRequest, StorageFull, TooLarge, UnsupportedMedia
from modelport.frontends.body import Body, Pace, Reader, Writer
from modelport.frontends.jsonbody import OSCAR_FILES, OscarFile, read_oscar_body
from modelport.prediction import InputFile
from modelport.scratch import Scratch
from modelport.settings import Settings

HELP = "help"
MULTIPART = "multipart/form-data"
# Bodies of these types are arguments, whatever they look like; "" is a request without a content type.
ARGUMENT_TYPES = ("", "application/json", "text/json", "application/x-www-form-urlencoded")
# As much of a body is looked at to see what it is.
HEAD_BYTES = 64
FORM_BYTES = 1 << 20

_OBJECT = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{\s*(?:[\"}]|\Z)")
_BASE64 = re.compile(rb"[A-Za-z0-9+/\s]+=*\s*\Z")
_FORM = re.compile(rb"[A-Za-z0-9_.%+-]+=")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,16}")
_DATA_URI = re.compile(
    r"data:(?P<type>[\w.+-]+/[\w.+-]+)?(?:;(?!base64,)[^;,\"]*)*(?P<base64>;base64)?,", re.IGNORECASE
)


@dataclass(frozen=True)
class Upload:
    """A file that came with a call. key: the argument, as the client wrote it."""

    key: str
    path: str
    content_type: str | None
    filename: str


@dataclass
class Given:
    """What a body holds. values: raw, by the names that the client used."""

    values: dict[str, Any] = field(default_factory=dict)
    files: list[Upload] = field(default_factory=list)


async def read(request: web.Request, settings: Settings, card: Card, scratch: Scratch) -> Given:
    """Raises InvalidJson, InvalidRequest, InvalidArguments, TooLarge, UnsupportedMedia, StorageFull."""
    limit = settings.client_max_size
    if limit and (request.content_length or 0) > limit:
        raise _too_large(limit)
    kind = request.content_type if "Content-Type" in request.headers else ""
    if kind == MULTIPART:
        return await _form(await Reader(request, settings, scratch).read(), scratch)
    with Pace(request.content, settings.body_rate_bytes_s):
        try:
            return await _read(request, settings, card, scratch, kind)
        except RequestPayloadError as error:
            raise InvalidRequest(f"the body cannot be read: {error}") from error


async def _read(request: web.Request, settings: Settings, card: Card, scratch: Scratch, kind: str) -> Given:
    chunks = _chunks(request, settings.client_max_size)
    head = b""
    async for chunk in chunks:
        head += chunk
        if len(head.lstrip()) >= HEAD_BYTES:
            break
    body = _again(head, chunks)
    if not is_arguments(head):
        if _is_form(head, card) and kind in ARGUMENT_TYPES:
            return await _urlencoded(body)
        if kind not in ARGUMENT_TYPES and (head.strip() or kind != "text/plain"):
            files = _file_arguments(card)
            if files or kind != "text/plain":
                return await _plain_file(request, body, card, scratch, kind)
    oscar = await read_oscar_body(
        body,
        scratch,
        json_limit_bytes=settings.json_limit_bytes,
        files_limit=settings.form_limit_parts,
        data_uri_names={name for each in card.predict_args if each.is_file for name in (each.name, each.wire_name)},
    )
    uploads = await asyncio.to_thread(lambda: [_upload(each) for each in oscar.files]) if oscar.files else []
    return Given(oscar.arguments, uploads)


async def _chunks(request: web.Request, limit: int) -> AsyncIterator[bytes]:
    content = request.content
    while chunk := await content.readany():
        if limit and content.total_bytes > limit:
            raise _too_large(limit)
        yield chunk


async def _again(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if head:
        yield head
    async for chunk in rest:
        yield chunk


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is larger than {limit} bytes, the most that is allowed (client_max_size)")


def is_arguments(head: bytes) -> bool:
    """Whether a body that begins so is a JSON object, or base64 of one."""
    if _OBJECT.match(head):
        return True
    text = head.strip()[:HEAD_BYTES]
    if not text or not _BASE64.match(text):
        return False
    text = b"".join(text.split())
    try:
        return _OBJECT.match(binascii.a2b_base64(text[: len(text) // 4 * 4])) is not None
    except binascii.Error:
        return False


# Forms


def _is_form(head: bytes, card: Card) -> bool:
    """`a=1&b=2` of names that the model has: oscar-python sends a dict so, under the JSON content type."""
    if not _FORM.match(head):
        return False
    name = unquote_to_bytes(head.partition(b"=")[0].replace(b"+", b" ")).decode(errors="replace")
    return name in (HELP, OSCAR_FILES) or any(name in (each.name, each.wire_name) for each in card.predict_args)


async def _urlencoded(chunks: AsyncIterator[bytes]) -> Given:
    data = bytearray()
    async for chunk in chunks:
        data += chunk
        if len(data) > FORM_BYTES:
            raise TooLarge(f"a form without files may have at most {FORM_BYTES} bytes; send JSON")
    try:
        pairs = parse_qsl(data.decode(), keep_blank_values=True, errors="strict", max_num_fields=1000)
    except (UnicodeDecodeError, ValueError) as error:
        raise InvalidRequest(f"the form cannot be decoded: {error}") from error
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    if OSCAR_FILES in found:
        raise _refused(OSCAR_FILES, "a form cannot say it; send a JSON object (with oscar-python: json.dumps(...))")
    return Given({name: texts if len(texts) > 1 else texts[0] for name, texts in found.items()})


async def _form(body: Body, scratch: Scratch) -> Given:
    values = {name: texts if len(texts) > 1 else texts[0] for name, texts in body.form.items()}

    def place() -> list[Upload]:
        found = []
        for name, parts in body.files.items():
            for part in parts:
                suffix = Path(part.filename or "").suffix
                path = _with_suffix(part.path, suffix if _SUFFIX.fullmatch(suffix) else "")
                found.append(Upload(name, path, part.content_type, part.filename or Path(path).name))
        return found

    return Given(values, await asyncio.to_thread(place) if body.files else [])


# Files


def _file_arguments(card: Card) -> list[Argument]:
    return [each for each in card.predict_args if each.is_file]


async def _plain_file(
    request: web.Request, chunks: AsyncIterator[bytes], card: Card, scratch: Scratch, kind: str
) -> Given:
    """The body is the file of the model's only file argument, or of its first required one."""
    arguments = _file_arguments(card)
    if not arguments:
        raise UnsupportedMedia(f"a body of type {kind} is a file, and this model takes none; send a JSON object")
    required = [each for each in arguments if each.required]
    if len(arguments) > 1 and not required:
        names = ", ".join(each.name for each in arguments)
        raise UnsupportedMedia(f"a body of type {kind} is a file, but of which argument: {names}? Send a JSON object")
    argument = (required or arguments)[0]
    suffix = mimetypes.guess_extension(kind) or ""
    path = _new_file(scratch, suffix)
    async with Writer(Path(path)) as writer:
        async for chunk in chunks:
            await writer.write(chunk)
    # Other arguments may stand in the query; what the model does not know there is nothing to us.
    values: dict[str, Any] = {}
    for each in card.predict_args:
        if not each.is_file and (texts := request.query.getall(each.wire_name, [])):
            values[each.name] = texts if len(texts) > 1 else texts[0]
    return Given(values, [Upload(argument.name, path, kind, f"{argument.name}{suffix}")])


def _new_file(scratch: Scratch, suffix: str) -> str:
    try:
        return str(scratch.make() / f"{secrets.token_hex(8)}{suffix}")
    except OSError as error:
        raise StorageFull(f"the upload cannot be stored: {error.strerror}") from error


def _with_suffix(path: str, suffix: str) -> str:
    """Models look at the ending of the path, as the platform's had one."""
    if not suffix:
        return path
    os.rename(path, path + suffix)
    return path + suffix


def _upload(file: OscarFile) -> Upload:
    suffix = f".{file.file_format}" if file.file_format else mimetypes.guess_extension(file.content_type) or ""
    content_type = file.content_type or mimetypes.guess_type(f"x{suffix}")[0]
    return Upload(file.key, _with_suffix(file.path, suffix), content_type, f"{Path(file.key).name or 'file'}{suffix}")


# Arguments


async def settle(card: Card, given: Given, scratch: Scratch) -> tuple[dict[str, Any], list[InputFile]]:
    """What was given, by the model's own names. Raises InvalidArguments that names every key at fault."""
    known = {name: each for each in card.predict_args for name in (each.wire_name, each.name)}
    values: dict[str, Any] = {}
    faults: dict[str, list[str]] = {}
    uploads = list(given.files)
    for key, value in given.values.items():
        argument = known.get(key)
        if argument is None:
            faults[key] = [_unknown(card)]
        elif value is None:
            continue  # as if it had not been given
        elif argument.is_file:
            uploads += await _data_uris(key, value, scratch, faults)
        else:
            values[argument.name] = _value(argument, value)
    return values, _files(card, known, uploads, faults)


def _files(
    card: Card, known: dict[str, Argument], uploads: Iterable[Upload], faults: dict[str, list[str]]
) -> list[InputFile]:
    found: list[InputFile] = []
    counts: dict[str, int] = {}
    for each in uploads:
        argument = known.get(each.key)
        if argument is None:
            faults[each.key] = [_unknown(card)]
        elif not argument.is_file:
            names = ", ".join(one.name for one in _file_arguments(card)) or "none"
            faults[each.key] = [f"Is no file argument; the model's file arguments: {names}."]
        else:
            counts[argument.name] = counts.get(argument.name, 0) + 1
            if counts[argument.name] > 1 and argument.type != "array":
                faults[each.key] = [f"Takes one file; {counts[argument.name]} were given."]
            found.append(InputFile(argument.name, each.path, argument.wire_name, each.content_type, each.filename))
    if faults:
        sentence = "; ".join(f"{key[:100]}: {' '.join(messages)}" for key, messages in faults.items())
        raise InvalidArguments(sentence, fields=faults)
    return found


def _unknown(card: Card) -> str:
    names = ", ".join(each.name for each in card.predict_args)
    return f"Unknown argument; the model's arguments: {names}." if names else "Unknown argument; the model takes none."


def _value(argument: Argument, value: Any) -> Any:
    """Numbers are text to the platform's command line: one for a text argument was always fine."""
    if argument.type == "string" and isinstance(value, (int, float)):
        return str(value)
    if argument.multiple and not isinstance(value, list):
        return [value]
    return value


async def _data_uris(key: str, value: Any, scratch: Scratch, faults: dict[str, list[str]]) -> list[Upload]:
    """The files of a file argument that was written among the values: data URIs, where the scanner left them."""
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str) and _DATA_URI.match(each) for each in texts):
        faults[key] = [f"Is a file: send it in {OSCAR_FILES}, or as data:<media type>;base64,<data>."]
        return []
    try:
        return await asyncio.to_thread(lambda: [_data_uri(key, each, scratch) for each in texts])
    except ValueError:
        faults[key] = ["The data URI is not base64."]
        return []


def _data_uri(key: str, text: str, scratch: Scratch) -> Upload:
    """Raises ValueError."""
    found = _DATA_URI.match(text)
    assert found is not None
    rest = text[found.end() :]
    data = base64.b64decode("".join(rest.split()), validate=True) if found["base64"] else unquote_to_bytes(rest)
    content_type = (found["type"] or "text/plain").lower()
    suffix = mimetypes.guess_extension(content_type) or ""
    path = _new_file(scratch, suffix)
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise StorageFull(f"there is no room for the upload: {error.strerror}") from error
    return Upload(key, path, content_type, f"{key}{suffix}")


def _refused(key: str, what: str) -> InvalidArguments:
    return InvalidArguments(f"{key}: {what}", fields={key: [what]})
