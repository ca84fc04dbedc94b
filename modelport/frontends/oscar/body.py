"""The body of POST /run/<name>: JSON, base64 of JSON, a form or a plain file → raw arguments and files on disk.

The content type decides little, as on the platform, where it plays no part: what reads as a JSON object, or as base64
of one, is one. Only where it does not, a body of type image/jpeg is the picture itself.
"""

from __future__ import annotations

import asyncio
import binascii
import mimetypes
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from modelport.contract.card import Card
from modelport.errors import InvalidArguments, ModelportError
from modelport.http.arguments import MULTIPART, Body, read_multipart
from modelport.http.body import BodyReader, parse_form
from modelport.intake.jsonbody import OSCAR_FILES
from modelport.intake.jsontokens import decode_whole
from modelport.intake.received import (
    HELP,
    ReceivedArguments,
    Upload,
    file_arguments,
    read_json,
    sole_file_argument,
    with_suffix,
)
from modelport.intake.scratch import Scratch, save
from modelport.intake.texts import ending
from modelport.settings import Settings

# Bodies of these types are arguments, whatever they look like; "" is a request without a content type.
ARGUMENT_TYPES = ("", "application/json", "text/json", "application/x-www-form-urlencoded")
# As much of a body is looked at to see what it is: from its start, and behind blanks.
LOOKED_AT_BYTES = 4 << 10
HEAD_BYTES = 64
# What these stand in is looked through for files.
_FILES = (OSCAR_FILES.encode(), b";base64,")

_OBJECT = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{\s*(?:[\"}]|\Z)")
_BASE64 = re.compile(rb"[A-Za-z0-9+/\s]+=*\s*\Z")
_FORM = re.compile(rb"[A-Za-z0-9_.%+-]+=")


async def read(reader: BodyReader, settings: Settings, card: Card, scratch: Scratch) -> ReceivedArguments:
    """Raises InvalidJson, InvalidRequest, InvalidArguments, TooLarge, UnsupportedMedia, StorageFull."""
    small = min(settings.json_small_bytes, settings.json_limit_bytes)
    body = reader.now()
    # The usual case: all of a small body came with the headers.
    if body is not None:
        if len(body) <= small and (arguments := _small(body)) is not None:
            return arguments
        reader.unread(body)
    request = reader.request
    kind = request.content_type if "Content-Type" in request.headers else ""
    if kind == MULTIPART:
        return await _form(await read_multipart(reader, settings, scratch))
    if body is None:
        body = await reader.peek(small + 1)
        if reader.ended and len(body) <= small and (arguments := _small(body)) is not None:
            return arguments
    head = body[:LOOKED_AT_BYTES]
    if not is_arguments(head):
        if _is_form(head, card) and kind in ARGUMENT_TYPES:
            return await _urlencoded(reader, settings)
        if kind not in ARGUMENT_TYPES and (head.strip() or kind != "text/plain"):
            files = file_arguments(card)
            if files or kind != "text/plain":
                return await _plain_file(reader, card, scratch, kind)
    return await read_json(reader.chunks(), settings, card, scratch)


def _small(body: bytes) -> ReceivedArguments | None:
    """What a small JSON object without files says; None for any other body, and for one that is not valid."""
    if body[:1] != b"{" or _FILES[0] in body or _FILES[1] in body:
        return None
    try:
        values = decode_whole(body)
    except ModelportError:
        return None  # the scanner says what is wrong, and where
    return None if OSCAR_FILES in values else ReceivedArguments(values)


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
    return name in (HELP, OSCAR_FILES) or any(name in (arg.name, arg.wire_name) for arg in card.predict_args)


async def _urlencoded(reader: BodyReader, settings: Settings) -> ReceivedArguments:
    reader.limit("form_limit_bytes")
    form = await parse_form(await reader.read(), "utf-8", settings)
    if OSCAR_FILES in form:
        what = "a form cannot say it; send a JSON object (with oscar-python: json.dumps(...))"
        raise InvalidArguments.of(OSCAR_FILES, what)
    return ReceivedArguments(_values(form))


async def _form(body: Body) -> ReceivedArguments:
    parts = [part for parts in body.files.values() for part in parts]

    def place() -> list[Upload]:
        names = [part.filename or "file" for part in parts]
        paths = [with_suffix(part.path, ending(name)) for part, name in zip(parts, names, strict=True)]
        return [Upload(p.key, path, p.content_type, name) for p, path, name in zip(parts, paths, names, strict=True)]

    return ReceivedArguments(_values(body.form), await asyncio.to_thread(place) if parts else [])


def _values(form: Mapping[str, list[str]]) -> dict[str, Any]:
    return {name: texts if len(texts) > 1 else texts[0] for name, texts in form.items()}


# Files


async def _plain_file(reader: BodyReader, card: Card, scratch: Scratch, kind: str) -> ReceivedArguments:
    """The body is the file of the model's only file argument, or of its first required one."""
    argument = sole_file_argument(card, f"a body of type {kind}")
    suffix = mimetypes.guess_extension(kind) or ""
    path = await save(scratch, reader.chunks(), suffix)
    # Other arguments may stand in the query; what the model does not know there is nothing to us.
    query, named = reader.request.query, [arg for arg in card.predict_args if not arg.is_file]
    values = _values({arg.name: query.getall(arg.wire_name) for arg in named if arg.wire_name in query})
    return ReceivedArguments(values, [Upload(argument.name, str(path), kind, f"{argument.name}{suffix}")])
