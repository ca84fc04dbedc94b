"""A call on its way to a server, and its answer on the way back."""

from __future__ import annotations

import contextlib
import io
import json
import mimetypes
import os
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelport.client.where import Unreachable
from modelport.contract.card import Argument, Card
from modelport.errors import InvalidArguments, InvalidRequest, from_plain

if TYPE_CHECKING:
    import aiohttp

BEFORE = re.compile(rb'\{\s*"status"\s*:\s*"OK"\s*,\s*"predictions"\s*:\s*')
CHUNK_BYTES = 1 << 18
EVENTS = "text/event-stream"
# An event is a few kilobytes, but for a value of a model, and what a job prints at once.
EVENT_LIMIT_BYTES = 16 << 20
# Of a file name what a header cannot carry.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")

# progress(fraction 0..1 or None, message)
Progress = Callable[[float | None, str], None]


@dataclass(frozen=True)
class CallFile:
    """A file to send along. content: its path, or its bytes."""

    argument: Argument
    content: Path | bytes
    name: str
    content_type: str | None

    @classmethod
    def of(cls, argument: Argument, path: Path) -> CallFile:
        return cls(argument, path, shown_name(path), content_type(path))


@dataclass
class CallArguments:
    """What was given: raw values by argument name, as text or lists of text, and files."""

    values: dict[str, Any] = field(default_factory=dict)
    files: list[CallFile] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    """An answer on its way: to be read while the model's context is open. filename: as the model called it."""

    media_type: str
    chunks: AsyncIterator[bytes]
    filename: str = ""

    @property
    def is_json(self) -> bool:
        return self.media_type == "application/json" or self.media_type.endswith("+json")

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks])

    async def value(self) -> Any:
        """JSON as what it says, text as text, anything else as bytes."""
        body = await self.read()
        if self.is_json:
            return json.loads(body)
        return body.decode(errors="replace") if self.media_type.startswith("text/") else body


def answer_of(response: aiohttp.ClientResponse, *, envelope: bool = False) -> Answer:
    chunks: AsyncIterator[bytes] = response.content.iter_chunked(CHUNK_BYTES)
    disposition = response.content_disposition
    name = disposition.filename if disposition is not None else ""
    answer = Answer(response.content_type, chunks, name or "")
    return Answer("application/json", _inside(chunks)) if answer.is_json and envelope else answer


# Values of a stream


async def streamed(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Each value of a model, as JSON. A server that does not stream gives one, its answer.

    Raises what the model has failed with; InvalidRequest for an answer that is not JSON; EOFError where the end is
    missing.
    """
    if response.content_type != EVENTS:
        answer = answer_of(response)
        if not answer.is_json:
            raise InvalidRequest(f"the model answers in {answer.media_type}, which is not a stream of JSON values")
        yield await answer.read()
        return
    async for event, data in events(response.content.iter_any()):
        if event == "end":
            return
        if event == "failed":
            raise from_plain(json.loads(data))
        if event == "message":
            yield data
    raise EOFError("the stream ends in the middle")


async def events(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, bytes]]:
    """Server-sent events: the name, and the data. Raises Unreachable for what is none."""
    async for block in _blocks(chunks):
        kind, data = "message", []
        for line in block.split(b"\n"):
            name, _, value = line.partition(b":")
            if name == b"event":
                kind = value.removeprefix(b" ").decode()
            elif name == b"data":
                data.append(value.removeprefix(b" "))
        if data:
            yield kind, b"\n".join(data)


async def _blocks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Cut at empty lines."""
    held = b""
    async for chunk in chunks:
        held += chunk.replace(b"\r", b"")
        *blocks, held = held.split(b"\n\n")
        for block in blocks:
            yield block
        if len(held) > EVENT_LIMIT_BYTES:
            raise Unreachable("the stream of events cannot be read: there is no end of an event")


# Python's values


def given_of(card: Card, method: str, arguments: Mapping[str, Any]) -> CallArguments:
    """What a Python program gives: values as they are; a file by its path, its bytes, or an open file.

    Raises InvalidArguments for a name that the model does not know, and for what is no file.
    """
    known = {name: argument for argument in card.arguments(method) for name in (argument.name, argument.wire_name)}
    call_arguments = CallArguments()
    for name, value in arguments.items():
        argument = known.get(name)
        if argument is None:
            names = ", ".join(argument.name for argument in card.arguments(method)) or "none"
            raise InvalidArguments(f"the model has no argument {name}; it has {names}", fields={name: ["Unknown."]})
        if argument.is_file:
            several = value if isinstance(value, (list, tuple)) else [value]
            call_arguments.files += [_file(argument, item) for item in several if item is not None]
        else:
            call_arguments.values[argument.name] = value
    return call_arguments


def _file(argument: Argument, value: Any) -> CallFile:
    told = f"Give a path, bytes or an open file, not {type(value).__name__}."
    if isinstance(value, (bytes, bytearray, memoryview)):
        return CallFile(argument, bytes(value), argument.name, "application/octet-stream")
    if isinstance(value, io.IOBase):
        name = str(getattr(value, "name", argument.name))
        return CallFile(argument, value.read(), shown_name(name), content_type(name))
    if isinstance(value, (str, os.PathLike)):
        path = Path(os.path.expanduser(value))
        if os.path.isfile(path):
            return CallFile.of(argument, path)
        told = f"There is no file {path}."
    raise InvalidArguments(f"{argument.name}: {told}", fields={argument.name: [told]})


def content_type(path: Path | str) -> str:
    return mimetypes.guess_type(os.path.basename(path))[0] or "application/octet-stream"


def shown_name(path: Path | str) -> str:
    """The last part, as a header can carry it: without controls, and in valid UTF-8."""
    return _CONTROLS.sub("_", os.fsencode(os.path.basename(path)).decode(errors="replace"))


# Requests


def options(
    card: Card, method: str, arguments: CallArguments, files: contextlib.ExitStack, *, ours: bool
) -> dict[str, Any]:
    """For aiohttp: each argument where it is read; files are streamed from disk. files: owns what is opened.

    ours: the server is modelport, which reads from JSON, or else from the form, what has no place of its own. Elsewhere
    an argument travels where the server's document says. Raises OSError.
    """
    known = {argument.name: argument for argument in card.arguments(method)}
    query: list[tuple[str, str]] = []
    headers: dict[str, str] = {}
    cookies: dict[str, str] = {}
    document: dict[str, Any] = {}
    fields: list[tuple[str, str]] = []
    in_form = bool(arguments.files) or any(known[name].location == "form" for name in arguments.values)
    for name, value in arguments.values.items():
        argument = known[name]
        location = argument.location or "query"
        if ours and location == "query":
            location = "form" if in_form else "json"
        texts = _texts(argument, value)
        if location == "json":
            document[argument.wire_name] = _several(argument, value)
        elif location in ("headers", "cookies"):
            (headers if location == "headers" else cookies)[argument.wire_name] = texts[0]
        else:
            place = fields if location == "form" else query
            place += [(argument.wire_name, text) for text in texts]
    if document and in_form:
        raise InvalidRequest("this model takes a file or form and JSON, which one request cannot carry")
    options: dict[str, Any] = {"params": query, "headers": headers, "cookies": cookies}
    if document:
        options["json"] = document
    elif in_form:
        options["data"] = form(fields, arguments.files, files)
    return options


def form(
    fields: Iterable[tuple[str, str]], files: Iterable[CallFile], open_files: contextlib.ExitStack
) -> aiohttp.FormData:
    import aiohttp  # 0.3 s, which a call on this machine need not wait for

    # File names as they are, not percent-encoded.
    made = aiohttp.FormData(quote_fields=False)
    for name, text in fields:
        made.add_field(name, text)
    for file in files:
        content: Any = file.content
        if isinstance(content, Path):
            # By its number: aiohttp would send the file's own name, which may be no text.
            content = open_files.enter_context(open(os.open(content, os.O_RDONLY | os.O_CLOEXEC), "rb"))  # noqa: SIM115
        made.add_field(file.argument.wire_name, content, filename=file.name, content_type=file.content_type)
    return made


def _several(argument: Argument, value: Any) -> Any:
    """A list that was written as one text is a list."""
    listed = literal_list(value) if argument.multiple and not argument.is_file else None
    return value if listed is None else listed


def _texts(argument: Argument, value: Any) -> list[str]:
    value = _several(argument, value)
    values = value if isinstance(value, list) else [value]
    return [value if isinstance(value, str) else json.dumps(value) for value in values]


def literal_list(text: Any) -> list[Any] | None:
    """The plain values in a list written as text: "[1, 2]"; None where it is no such list."""
    if not isinstance(text, str) or not text.lstrip().startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    plain = isinstance(value, list) and all(isinstance(item, (str, int, float)) for item in value)
    return value if plain and value else None


# Answers


async def once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _inside(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What stands in the envelope, its bytes as they are: numbers are not read and written anew."""
    head = b""
    async for chunk in chunks:
        head += chunk
        if len(head) >= 64:  # the opening is shorter
            break
    opening = BEFORE.match(head)
    held = head[opening.end() :] if opening else head
    async for chunk in chunks:
        # The last brace, and blanks after it, are the envelope's; so one piece is always kept back.
        if chunk.strip(b" \r\n"):
            yield held
            held = b""
        held += chunk
    yield held.rstrip().removesuffix(b"}") if opening else held
