"""All results of a folder as one file: CSV, JSON Lines or ZIP, made while it is sent.

Only one result is in memory at a time, or some that are small.
"""

from __future__ import annotations

import csv
import io
import posixpath
import zipfile
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Raw, Struct

from modelport.bucketjobs import BucketJobs
from modelport.bucketjobs.batches import Batches, Entry
from modelport.errors import InvalidRequest, NotFound
from modelport.objectstore import ObjectInfo, ObjectStore
from modelport.objectstore.names import INPUTS, OUTPUTS
from modelport.tasks import aside

TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl", "zip": "application/zip"}
PIECE_BYTES = 64 << 10
# What is smaller is read with others in one go.
SMALL_BYTES, SMALL_AT_ONCE = 32 << 10, 64
# Whatever lies in a bucket may be downloaded.
ANY_BYTES = 1 << 62
# A table with more columns than these has one for the whole answer instead.
COLUMNS_LIMIT = 1000
# Times that a ZIP can have: 1980 to 2107.
FIRST_S, LAST_S = 315_532_800, 4_354_819_199
DEEPEST = 4
# Members of a longer name are not columns of their own: each would begin with that name.
NAME_CHARS = 100
# A member beside a list of objects is in each of their rows while these are together no longer than so, as JSON.
REPEATED_CHARS = 1000
# So many rows are written in one go.
ROWS_AT_ONCE = 500
RESULT = "result"
NULL = Raw(b"null")
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class ResultLine(Struct):
    """A file and what has become of it"""

    input: str
    status: str
    error: str | None
    duration_s: float | None
    job: str | None
    output: str | None
    result: Raw


FACTS = tuple(name for name in ResultLine.__struct_fields__ if name != RESULT)


def inputs_of(prefix: str) -> str:
    """The folder of inputs whose results are meant. Raises InvalidRequest."""
    for top in (INPUTS, OUTPUTS):
        if prefix.startswith(top):
            folder = INPUTS + prefix.removeprefix(top)
            return folder if folder.endswith("/") else folder + "/"
    raise InvalidRequest(f"prefix is {prefix[:100]!r}; results are those of a folder under {INPUTS} or {OUTPUTS}")


async def exported(jobs: BucketJobs, bucket: str, prefix: str, format: str) -> AsyncGenerator[bytes, None]:
    """Nothing, once it is known that the file can be made; then the file, piece by piece. Raises InvalidRequest."""
    if format == "zip":
        pieces = archive(jobs.objects, bucket, prefix)
    else:
        pieces = (csv_table if format == "csv" else json_lines)(jobs.batches, bucket, inputs_of(prefix))
    async with aclosing(pieces):
        first = await anext(pieces, b"")
        yield b""
        yield first
        async for piece in pieces:
            yield piece


def _line(entry: Entry, result: Raw = NULL) -> ResultLine:
    job, output = entry.job_id or None, entry.result or None
    return ResultLine(entry.key, entry.status.value, entry.error or None, entry.duration_s, job, output, result)


# JSON Lines


async def json_lines(batches: Batches, bucket: str, prefix: str) -> AsyncGenerator[bytes, None]:
    """A line for each file. result: as the model sent it; null where it is not JSON, or too large."""
    async for entry, body in batches.answers(bucket, prefix):
        result = NULL if body is None else await aside(len(body), _on_one_line, body)
        yield msgspec.json.encode(_line(entry, result)) + b"\n"


def _on_one_line(body: bytes) -> Raw:
    """null where it is not JSON."""
    try:
        msgspec.json.decode(body)
    except UNREADABLE:
        return NULL
    # Line breaks of JSON are only between its values.
    return Raw(body.replace(b"\n", b" ").replace(b"\r", b" "))


# CSV


async def csv_table(batches: Batches, bucket: str, prefix: str) -> AsyncGenerator[bytes, None]:
    """A row for each object of each answer, and one for a file without any. The answers are read twice: a table begins
    with the names of its columns."""
    names: dict[str, None] = {}
    async for _, body in batches.answers(bucket, prefix):
        if len(names) <= COLUMNS_LIMIT:
            names.update(await aside(len(body or b""), _names_of, body))
    columns = [RESULT] if len(names) > COLUMNS_LIMIT else list(names)
    head = (*FACTS, *(f"{RESULT}.{name}" if name in FACTS else name for name in columns))
    yield _csv([[_cell(name) for name in head]])
    async for entry, body in batches.answers(bucket, prefix):
        line = _line(entry)
        facts = [_cell(getattr(line, name)) for name in FACTS]
        size = len(body or b"")
        rows = await aside(size, _whole if len(names) > COLUMNS_LIMIT else rows_of, body)
        for first in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[first : first + ROWS_AT_ONCE]
            yield await aside(max(size, len(some) * len(columns)), _table, facts, columns, some)


def _names_of(body: bytes | None) -> dict[str, None]:
    return dict.fromkeys(name for row in rows_of(body) for name in row)


def _whole(body: bytes | None) -> list[Mapping[str, Any]]:
    return [{RESULT: (body or b"").decode(errors="replace")}]


def _table(facts: Sequence[str], columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    return _csv([*facts, *(_cell(row.get(name)) for name in columns)] for row in rows)


def _csv(rows: Iterable[Sequence[str]]) -> bytes:
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    return file.getvalue().encode("utf-8", "replace")


def rows_of(body: bytes | None) -> list[Mapping[str, Any]]:
    """At least one. Members of objects have names with dots; numbers and lists are as the model wrote them."""
    try:
        return _rows(Raw(body)) or [{}] if body else [{}]
    except UNREADABLE:
        return [{}]


def _rows(answer: Raw) -> list[Mapping[str, Any]]:
    text = bytes(answer).lstrip()
    if text.startswith(b"["):
        items = msgspec.json.decode(answer, type=list[Raw])
        if all(_is_object(item) for item in items):
            return [_flat(item) for item in items]
        return [{RESULT: _value(answer)}]
    return _members(answer) if text.startswith(b"{") else [{RESULT: _value(answer)}]


def _members(answer: Raw) -> list[Mapping[str, Any]]:
    """An object whose one compound member is a list of objects is that list, with the other members in each row: what
    is long in the first only."""
    members = msgspec.json.decode(answer, type=dict[str, Raw])
    compound = [name for name, value in members.items() if bytes(value).lstrip()[:1] in (b"[", b"{")]
    if len(compound) == 1 and bytes(members[compound[0]]).lstrip().startswith(b"["):
        items = msgspec.json.decode(members[compound[0]], type=list[Raw])
        if items and all(_is_object(item) for item in items):
            del members[compound[0]]
            others, short = {name: _value(value) for name, value in members.items()}, _short(members)
            repeated = {name: value for name, value in others.items() if name in short}
            return [{**(repeated if at else others), **_flat(item)} for at, item in enumerate(items)]
    return [_flat(answer)]


def _short(members: Mapping[str, Raw]) -> set[str]:
    """Those that may be repeated: many of them are long, too."""
    short, room = set(), REPEATED_CHARS
    for name, value in members.items():
        size = len(bytes(value))
        if size <= room:
            short.add(name)
            room -= size
    return short


def _flat(item: Raw, depth: int = 0) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in msgspec.json.decode(item, type=dict[str, Raw]).items():
        if _is_object(value) and depth < DEEPEST and len(name) <= NAME_CHARS:
            flat.update({f"{name}.{inner}": cell for inner, cell in _flat(value, depth + 1).items()})
        else:
            flat[name] = _value(value)
    return flat


def _is_object(value: Raw) -> bool:
    return bytes(value).lstrip().startswith(b"{")


class Figure(str):
    """A number, a list or a word of JSON, as it was written."""


def _value(value: Raw) -> str | None:
    text = bytes(value).strip()
    if text == b"null":
        return None
    if text.startswith(b'"'):
        return msgspec.json.decode(text, type=str)
    msgspec.json.decode(text)
    return Figure(text.decode())


def _cell(value: Any) -> str:
    """Spreadsheets run text that begins like a formula; after an apostrophe it stays text."""
    if value is None:
        return ""
    text = str(value)
    plain = isinstance(value, Figure | float)
    return f"'{text}" if not plain and text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") else text


# ZIP


class _Sink(io.RawIOBase):
    """What an archive has written and nobody has taken. It cannot seek, so the archive comes in one pass."""

    def __init__(self) -> None:
        self._pieces = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces += data
        return len(data)

    @property
    def size(self) -> int:
        return len(self._pieces)

    def take(self) -> bytes:
        taken, self._pieces = bytes(self._pieces), bytearray()
        return taken


class _Names:
    """Those of an archive, each once: keys that differ in a backslash only would have one name."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def free(self, name: str) -> str:
        stem, ending = posixpath.splitext(name)
        free = name
        while free in self._counts:
            self._counts[name] += 1
            free = f"{stem} ({self._counts[name]}){ending}"
        self._counts[free] = 1
        return free


async def archive(objects: ObjectStore, bucket: str, prefix: str) -> AsyncGenerator[bytes, None]:
    """All files of a folder and of those below it. What is deleted meanwhile is left out."""
    sink, names = _Sink(), _Names()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as file:
        async for page in objects.pages_unread(bucket, prefix):
            infos = [info for info in page if not info.key.endswith("/")]
            for first in range(0, len(infos), SMALL_AT_ONCE):
                some = {info.key: info for info in infos[first : first + SMALL_AT_ONCE]}
                small = [key for key, info in some.items() if info.size_bytes <= SMALL_BYTES]
                bodies = await objects.read_small(bucket, small, SMALL_BYTES)
                members = [(_member(some.pop(key), prefix, names), body) for key, body in bodies.items()]
                await aside(sum(map(len, bodies.values())), _write, file, members)
                for info in some.values():
                    async with aclosing(_large(objects, bucket, info, file, prefix, names)) as writing:
                        async for _ in writing:
                            if sink.size > PIECE_BYTES:
                                yield sink.take()
                yield sink.take()
    yield sink.take()


def _write(file: zipfile.ZipFile, members: Iterable[tuple[zipfile.ZipInfo, bytes]]) -> None:
    for member, body in members:
        file.writestr(member, body)


async def _large(
    objects: ObjectStore, bucket: str, info: ObjectInfo, file: zipfile.ZipFile, prefix: str, names: _Names
) -> AsyncGenerator[None, None]:
    """Written piece by piece, with a stop after each."""
    with suppress(NotFound):
        async with objects.read(bucket, info.key, limit_bytes=ANY_BYTES) as (opened, chunks):
            with file.open(_member(opened, prefix, names), "w") as member:
                async for chunk in chunks:
                    await aside(len(chunk), member.write, chunk)
                    yield


def _member(info: ObjectInfo, prefix: str, names: _Names) -> zipfile.ZipInfo:
    """Under the path below the folder. A backslash would be a folder to some programs, and lead out of it."""
    when = datetime.fromtimestamp(min(max(info.modified, FIRST_S), LAST_S), UTC)
    name = info.key.removeprefix(prefix[: prefix.rfind("/") + 1]).replace("\\", "_")
    member = zipfile.ZipInfo(names.free(name), when.timetuple()[:6])
    member.file_size, member.compress_type = info.size_bytes, zipfile.ZIP_DEFLATED
    member.external_attr = 0o600 << 16
    return member
