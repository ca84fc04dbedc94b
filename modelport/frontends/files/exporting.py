"""All results of a folder as one file: CSV, JSON Lines or ZIP, made while it is sent.

Only one result is in memory at a time, or some that are small.
"""

from __future__ import annotations

import csv
import io
import posixpath
import zipfile
from collections import Counter
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
    if (items := _objects(answer)) is not None:
        return [_flat(item) for item in items]
    return _members(answer) if _begins(answer) == b"{" else [{RESULT: _value(answer)}]


def _members(answer: Raw) -> list[Mapping[str, Any]]:
    """An object whose one compound member is a list of objects is that list, with the other members in each row: what
    is long in the first only."""
    members = msgspec.json.decode(answer, type=dict[str, Raw])
    compound = [name for name, value in members.items() if _begins(value) in (b"[", b"{")]
    items = _objects(members.pop(compound[0])) if len(compound) == 1 else None
    if not items:
        return [_flat(answer)]
    others, short = {name: _value(value) for name, value in members.items()}, _short(members)
    repeated = {name: value for name, value in others.items() if name in short}
    return [{**(repeated if at else others), **_flat(item)} for at, item in enumerate(items)]


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
        if _begins(value) == b"{" and depth < DEEPEST and len(name) <= NAME_CHARS:
            flat.update({f"{name}.{inner}": cell for inner, cell in _flat(value, depth + 1).items()})
        else:
            flat[name] = _value(value)
    return flat


def _objects(value: Raw) -> list[Raw] | None:
    """Those of a list of nothing else; None: it is no such list."""
    if _begins(value) != b"[":
        return None
    items = msgspec.json.decode(value, type=list[Raw])
    return items if all(_begins(item) == b"{" for item in items) else None


def _begins(value: Raw) -> bytes:
    return bytes(value).lstrip()[:1]


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
        self.pieces = bytearray()

    def write(self, data: Any) -> int:
        self.pieces += data
        return len(data)

    def take(self) -> bytes:
        taken, self.pieces = bytes(self.pieces), bytearray()
        return taken


def _free(name: str, names: Counter[str]) -> str:
    """One that no other has: keys that differ in a backslash only would have one name."""
    stem, ending = posixpath.splitext(name)
    free = name
    while free in names:
        names[name] += 1
        free = f"{stem} ({names[name]}){ending}"
    names[free] = 1
    return free


async def archive(objects: ObjectStore, bucket: str, prefix: str) -> AsyncGenerator[bytes, None]:
    """All files of a folder and of those below it. What is deleted meanwhile is left out."""
    sink, names = _Sink(), Counter[str]()
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
                            if len(sink.pieces) > PIECE_BYTES:
                                yield sink.take()
                yield sink.take()
    yield sink.take()


def _write(file: zipfile.ZipFile, members: Iterable[tuple[zipfile.ZipInfo, bytes]]) -> None:
    for member, body in members:
        file.writestr(member, body)


async def _large(
    objects: ObjectStore, bucket: str, info: ObjectInfo, file: zipfile.ZipFile, prefix: str, names: Counter[str]
) -> AsyncGenerator[None, None]:
    """Written piece by piece, with a stop after each."""
    with suppress(NotFound):
        async with objects.read(bucket, info.key, limit_bytes=ANY_BYTES) as (opened, chunks):
            with file.open(_member(opened, prefix, names), "w") as member:
                async for chunk in chunks:
                    await aside(len(chunk), member.write, chunk)
                    yield


def _member(info: ObjectInfo, prefix: str, names: Counter[str]) -> zipfile.ZipInfo:
    """Under the path below the folder. A backslash would be a folder to some programs, and lead out of it."""
    when = datetime.fromtimestamp(min(max(info.modified, FIRST_S), LAST_S), UTC)
    name = info.key.removeprefix(prefix[: prefix.rfind("/") + 1]).replace("\\", "_")
    member = zipfile.ZipInfo(_free(name, names), when.timetuple()[:6])
    member.file_size, member.compress_type = info.size_bytes, zipfile.ZIP_DEFLATED
    member.external_attr = 0o600 << 16
    return member
