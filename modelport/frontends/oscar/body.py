"""The body of POST /run/<name>: JSON, base64 of JSON, a form or a plain file → raw arguments and files on disk.

The content type decides little, as on the platform, where it plays no part: what reads as a JSON object, or as base64
of one, is one. Only where it does not, a body of type image/jpeg is the picture itself.
"""

from __future__ import annotations

import asyncio
import binascii
import mimetypes
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from aiohttp import web
from aiohttp.web import RequestPayloadError

from modelport.contract.card import Card
from modelport.errors import InvalidArguments, InvalidRequest, TooLarge
from modelport.http.body import Body, Pace, Reader
from modelport.intake.given import (
    HELP,
    SUFFIX,
    Given,
    Upload,
    asks_for_help,
    file_arguments,
    new_file,
    read_json,
    settle,
    sole_file_argument,
    with_suffix,
)
from modelport.intake.jsonbody import OSCAR_FILES
from modelport.intake.scratch import Scratch, Writer
from modelport.settings import Settings

__all__ = ["HELP", "MULTIPART", "Given", "Upload", "asks_for_help", "check_size", "is_arguments", "read", "settle"]

MULTIPART = "multipart/form-data"
# Bodies of these types are arguments, whatever they look like; "" is a request without a content type.
ARGUMENT_TYPES = ("", "application/json", "text/json", "application/x-www-form-urlencoded")
# As much of a body is looked at to see what it is.
HEAD_BYTES = 64
FORM_BYTES = 1 << 20

_OBJECT = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{\s*(?:[\"}]|\Z)")
_BASE64 = re.compile(rb"[A-Za-z0-9+/\s]+=*\s*\Z")
_FORM = re.compile(rb"[A-Za-z0-9_.%+-]+=")


async def read(request: web.Request, settings: Settings, card: Card, scratch: Scratch, begun: bytes = b"") -> Given:
    """begun: what of the body has been read already; of a form nothing may have been.

    Raises InvalidJson, InvalidRequest, InvalidArguments, TooLarge, UnsupportedMedia, StorageFull.
    """
    check_size(request, settings)
    kind = request.content_type if "Content-Type" in request.headers else ""
    if kind == MULTIPART:
        return await _form(await Reader(request, settings, scratch).read(), scratch)
    with Pace(request.content, settings.body_rate_bytes_s):
        try:
            return await _read(request, settings, card, scratch, kind, begun)
        except RequestPayloadError as error:
            raise InvalidRequest(f"the body cannot be read: {error}") from error


async def _read(
    request: web.Request, settings: Settings, card: Card, scratch: Scratch, kind: str, begun: bytes
) -> Given:
    chunks = _again(begun, _chunks(request, settings.client_max_size))
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
            files = file_arguments(card)
            if files or kind != "text/plain":
                return await _plain_file(request, body, card, scratch, kind)
    return await read_json(body, settings, card, scratch)


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


def check_size(request: web.Request, settings: Settings) -> None:
    """By what the request says of itself. Raises TooLarge."""
    limit = settings.client_max_size
    if limit and (request.content_length or 0) > limit:
        raise _too_large(limit)


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
                path = with_suffix(part.path, suffix if SUFFIX.fullmatch(suffix) else "")
                found.append(Upload(name, path, part.content_type, part.filename or Path(path).name))
        return found

    return Given(values, await asyncio.to_thread(place) if body.files else [])


# Files


async def _plain_file(
    request: web.Request, chunks: AsyncIterator[bytes], card: Card, scratch: Scratch, kind: str
) -> Given:
    """The body is the file of the model's only file argument, or of its first required one."""
    argument = sole_file_argument(card, f"a body of type {kind}")
    suffix = mimetypes.guess_extension(kind) or ""
    path = new_file(scratch, suffix)
    async with Writer(Path(path)) as writer:
        async for chunk in chunks:
            await writer.write(chunk)
    # Other arguments may stand in the query; what the model does not know there is nothing to us.
    values: dict[str, Any] = {}
    for each in card.predict_args:
        if not each.is_file and (texts := request.query.getall(each.wire_name, [])):
            values[each.name] = texts if len(texts) > 1 else texts[0]
    return Given(values, [Upload(argument.name, path, kind, f"{argument.name}{suffix}")])


def _refused(key: str, what: str) -> InvalidArguments:
    return InvalidArguments(f"{key}: {what}", fields={key: [what]})
