"""From the body of an OSCAR call to arguments and files: large base64 goes to scratch while it arrives.

    {"conf": 0.5, "oscar-files": [{"key": "image", "file_format": "png", "data": "<base64, as long as you like>"}]}

What is no file (the *rest*) is kept as it came, each file's text replaced by null, and read by msgspec at the end: the
scanner only has to find out where values begin and end. It never looks at single characters of large text but uses
what works on a whole slice in C, so the rest costs little beside msgspec whatever its form, and no regular expression
runs over base64.

The rest is small: a value for which there is no room in it goes to scratch, too, as a `Large`, whose JSON the model's
process reads. msgspec holds the interpreter while it reads, so no thread would spare the event loop a large value.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from modelport.errors import InvalidJson, InvalidRequest, TooLarge
from modelport.intake import datauri
from modelport.intake.jsonsource import BLANKS, BODY_WANTED, Base64, NotBase64, Source
from modelport.intake.jsontokens import (
    CLOSE_LIST,
    END,
    KINDS,
    MAX_DEPTH,
    OPEN,
    OPEN_LIST,
    QUOTE,
    Tokens,
    decode_text,
    ends_in_half_escape,
    is_deep,
    reason,
    too_deep,
    wrong,
)
from modelport.intake.scratch import Scratch, Writer, new_path

OSCAR_FILES = "oscar-files"
FILES_LIMIT = 1000
# Names at the top: far more than any model has arguments. Each costs us some 5 µs, so 64 MiB of them were a minute.
MAX_NAMES = 10_000
# Others run after so many of them.
NAMES_AT_ONCE = 500
# A file of its own is not worth while for less, as long as there is some room.
OWN_FILE_BYTES = 1 << 10
# So much of a large value is known here.
HEAD_BYTES = 256
BOM = b"\xef\xbb\xbf"
ENTRY = ("key", "file_format", "data")
ENTRY_WANTED = "an object with key, file_format and data is wanted"
_FILE_FORMAT = re.compile(r"(?:\.?([A-Za-z0-9]{1,16}(?:\.[A-Za-z0-9]{1,16}){0,2}))?")
_HALF_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*+(\\(?:u[^\\]{0,3})?)\Z")
_NO_OBJECT = (
    (re.compile(rb"\["), "list"),
    (re.compile(rb'"'), "string"),
    (re.compile(rb"(?!7\s*7\s*u\s*/)-?[0-9]"), "number"),  # 77u/ is base64 of the byte order mark
    (re.compile(rb"(?:true|false|null)\b"), "constant"),
)
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True)
class OscarFile:
    """A file that was base64 in the body, now in scratch.

    key: the argument's name, as the client wrote it; nothing is known of it but that it is not empty.
    file_format: the suffix without its dot, up to 16 letters and digits; "" if there is none.
    content_type: what a `data:` URI said of itself; "" where it said nothing, and always in `oscar-files`.
    """

    key: str
    file_format: str
    path: str
    size: int
    content_type: str = ""


@dataclass(frozen=True)
class Large:
    """A value that lies in a file, as JSON that nobody has judged yet. head: how it begins."""

    path: str
    size: int
    head: bytes

    @property
    def is_list(self) -> bool:
        return self.head.startswith(b"[")

    @property
    def is_null(self) -> bool:
        return self.head.startswith(b"n")

    @property
    def is_number(self) -> bool:
        return self.head[:1] in b"-0123456789"

    def __str__(self) -> str:
        return f"{KINDS.get(self.head[0], 'a value')} of {self.size} bytes"


@dataclass(frozen=True)
class OscarBody:
    """arguments: the object without `oscar-files` and without what became a file. files: in the body's order.

    larges: all large values, also of names that came again, and of a body that is no object; each must be valid.
    """

    arguments: dict[str, Any]
    files: list[OscarFile] = field(default_factory=list)
    larges: list[Large] = field(default_factory=list)
    is_object: bool = True


async def read_oscar_body(
    chunks: AsyncIterator[bytes],
    scratch: Scratch,
    *,
    json_limit_bytes: int,
    files_limit: int = FILES_LIMIT,
    data_uri_names: Collection[str] = (),
    inline_bytes: int | None = None,
    only_json: bool = False,
) -> OscarBody:
    """Reads a JSON object, or base64 of one, to the end of `chunks`.

    json_limit_bytes: the most that all but the files' text may have.
    files_limit: the most files and large values.
    data_uri_names: arguments whose value at the top may be a `data:<media type>;base64,` URI, or a list of such, which
        become files.
    inline_bytes: so much of the rest is held in memory, and read here; None: all of it.
    only_json: neither files nor base64 are looked for; any other value than an object says nothing, nor does no body.
    Raises InvalidJson, InvalidRequest (no object), InvalidArguments (its `fields` name what is wrong, such as
    `oscar-files[2].data`), TooLarge, StorageFull; what is on disk by then goes with the scratch folder.
    """
    scanner = _Scanner(Source(chunks), scratch, json_limit_bytes, files_limit, data_uri_names, inline_bytes, only_json)
    async with scanner.writing:
        return await scanner.read()


class _Scanner(Tokens):
    """Reads one body."""

    def __init__(
        self,
        source: Source,
        scratch: Scratch,
        json_limit_bytes: int,
        files_limit: int,
        data_uri_names: Collection[str],
        inline_bytes: int | None,
        only_json: bool,
    ) -> None:
        super().__init__(source, json_limit_bytes)
        self._inline = json_limit_bytes if inline_bytes is None else inline_bytes
        self._only_json = only_json
        self.writing = AsyncExitStack()
        self._value_at = -1  # where the value that is read begins in the rest
        self._large: dict[str, Large] = {}  # by name, the last
        self._larges: list[Large] = []
        self._spilling: tuple[Writer, Path, bytes] | None = None
        self._spilled = 0
        self._scratch = scratch
        self._files_limit = files_limit
        self._data_uri_names = data_uri_names
        self._shifts = [(0, 0)]  # (from this byte of the rest on, the body is so many bytes ahead)
        self._names = 0
        self._special: set[str] = set()  # names that may come only once
        self._left_out: list[str] = []
        self._files: list[OscarFile] = []

    async def read(self) -> OscarBody:
        if not await self._start():
            return OscarBody({}, is_object=False)
        if self._source.data[self._source.at] == OPEN:
            await self._object(self._argument)
        else:
            self._depth = 0
            await self._member("")
        if await self._next(or_end=True) != END:
            raise self._unexpected("the end of the body")
        arguments = self._decode_rest()
        if not isinstance(arguments, dict):
            return OscarBody({}, larges=self._larges, is_object=False)
        for name in self._left_out:
            del arguments[name]
        return OscarBody({**arguments, **self._large}, self._files, self._larges)

    # The top

    async def _start(self) -> bool:
        """Up to the opening brace; False: there is nothing, where that may be."""
        source = self._source
        if (first := await self._first()) == END:
            if self._only_json:
                return False
            raise InvalidJson(f"the body is empty; {BODY_WANTED}")
        if first != OPEN and not self._only_json:
            await source.has(64)
            for pattern, kind in _NO_OBJECT:
                if pattern.match(source.data, source.at):
                    raise InvalidRequest(f"the body is a JSON {kind}; {BODY_WANTED}")
            source.decode_base64()
            if await self._first() != OPEN:
                raise InvalidJson(f"the body is neither a JSON object nor base64 of one; {BODY_WANTED}")
        self._shifts = [(0, source.offset)]
        return True

    async def _first(self) -> int:
        source = self._source
        await source.has(4)
        check_encoding(source.data[source.at : source.at + 4])
        if source.data.startswith(BOM, source.at):
            source.at += len(BOM)
        return await self._next(or_end=True)

    def _skip(self, length: int) -> None:
        """Blanks are not kept, and may be many."""
        super()._skip(length)
        if length and self._sink is self._rest:
            self._shifts.append((len(self._rest), self._source.offset - len(self._rest)))

    async def _more(self) -> bool:
        if self._value_at >= 0 and len(self._rest) > self._inline:
            await self._spill()
        elif len(self._sink) > 3 * self._inline:
            limit = 3 * self._inline
            raise TooLarge(f"names, and texts beside files, may have at most {limit} bytes together (json_small_bytes)")
        return await super()._more()

    async def _argument(self, name: str) -> None:
        self._names += 1
        check_names(self._names)
        if not self._names % NAMES_AT_ONCE:
            await asyncio.sleep(0)
        if self._only_json:
            await self._member(name)
            return
        if name == OSCAR_FILES or name in self._data_uri_names:
            if name in self._special:
                raise wrong(name, "there twice")
            self._special.add(name)
        if name == OSCAR_FILES:
            await self._leave_out(name, self._oscar_files)
        elif name in self._data_uri_names and (found := await self._data_uri()):
            self._check_files()
            media_type = decode_text(b'"%b"' % (found["type"] or b""))
            await self._leave_out(name, lambda: self._data_uri_file(name, media_type, len(found[0])))
        elif name in self._data_uri_names and await self._begins_data_uris():
            await self._leave_out(name, lambda: self._data_uris(name))
        else:
            await self._member(name)

    async def _leave_out(self, name: str, read: Callable[[], Awaitable[None]]) -> None:
        """Reads a value for which the rest shall have a null."""
        self._sink = bytearray()
        await read()
        self._sink = self._rest
        self._put_null()
        self._left_out.append(name)

    def _put_null(self) -> None:
        self._rest += b"null"
        self._shifts.append((len(self._rest), self._source.offset - len(self._rest)))

    # Values that the rest has no room for

    async def _member(self, name: str) -> None:
        """A value. One that follows a large one of its name goes the same way, so that the last of them counts."""
        self._value_at = len(self._rest)
        await self._value()
        if self._spilling or name in self._large or self._lacks_room():
            large = await self._end_spilling()
            self._larges.append(large)
            self._large[name] = large
            self._put_null()
        self._value_at = -1

    def _lacks_room(self) -> bool:
        whole, own = len(self._rest), len(self._rest) - self._value_at
        return whole > self._inline and (own > OWN_FILE_BYTES or whole > 2 * self._inline)

    async def _spill(self) -> None:
        """What there is of the value that is read goes to its file."""
        if self._spilling is None:
            self._check_files(len(self._larges))
            path = new_path(self._scratch)
            writer = await self.writing.enter_async_context(Writer(path))
            self._spilling = writer, path, bytes(self._rest[self._value_at : self._value_at + HEAD_BYTES])
            self._spilled = 0
        self._spilled += len(self._rest) - self._value_at
        await self._spilling[0].write(self._rest[self._value_at :])
        del self._rest[self._value_at :]

    async def _end_spilling(self) -> Large:
        await self._spill()
        assert self._spilling is not None
        _, path, head = self._spilling
        self._spilling = None
        await self.writing.aclose()
        return Large(str(path), self._spilled, head)

    def _decode_rest(self) -> Any:
        try:
            return _decode(self._rest)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise InvalidJson(f"the body is not valid JSON: {reason(error, self._true_place)}") from error

    def _true_place(self, byte: int) -> str:
        shift = next(shift for start, shift in reversed(self._shifts) if start <= byte)
        return f" ({self._source.place(byte + shift)})"

    # Files

    async def _oscar_files(self) -> None:
        await self._expect(OPEN_LIST, OSCAR_FILES, "a list of objects is wanted")
        self._take(1)
        if await self._next() == CLOSE_LIST:
            self._take(1)
            return
        index = 0
        while True:
            self._check_files()
            await self._oscar_file(f"{OSCAR_FILES}[{index}]")
            index += 1
            if not await self._separator(CLOSE_LIST):
                return

    async def _oscar_file(self, where: str) -> None:
        self._sink.clear()
        found: dict[str, Any] = {}

        async def part(name: str) -> None:
            if name not in ENTRY:
                raise wrong(f"{where}.{_shown(name)[1:-1]}", f"unknown; {ENTRY_WANTED}")
            if name in found:
                raise wrong(f"{where}.{name}", "there twice")
            await self._expect(QUOTE, f"{where}.{name}", "text is wanted")
            self._sink.clear()
            if name == "data":
                self._take(1)
                found[name] = await self._file(f"{where}.{name}")
            else:
                found[name] = await self._text()

        await self._expect(OPEN, where, ENTRY_WANTED)
        await self._object(part)
        for name in ENTRY:
            if name not in found:
                raise wrong(f"{where}.{name}", "missing")
        if not found["key"]:
            raise wrong(f"{where}.key", "empty; it names the argument that the file is for")
        if (suffix := _FILE_FORMAT.fullmatch(found["file_format"])) is None:
            allowed = "up to 16 letters and digits, such as png, are allowed, and parts of that, such as nii.gz"
            raise wrong(f"{where}.file_format", f"{_shown(found['file_format'])}; {allowed}")
        self._files.append(OscarFile(found["key"], suffix[1] or "", *found["data"]))

    async def _data_uri(self) -> re.Match[bytes] | None:
        """The head of a data URI, still unread; None if the value is something else, for the plugin to judge."""
        source = self._source
        while True:
            head = source.data[source.at : source.at + datauri.HEAD_BYTES]
            if head[0] != QUOTE or len(head) == datauri.HEAD_BYTES or b"," in head or b'"' in head[1:]:
                return datauri.HEAD.match(head)
            if not await source.more():
                raise self._too_early()

    async def _begins_data_uris(self) -> bool:
        """Whether here is a list that begins with a data URI; it stays unread."""
        source = self._source
        if source.data[source.at] != OPEN_LIST:
            return False
        await source.has(datauri.HEAD_BYTES)
        head = source.data[source.at + 1 : source.at + datauri.HEAD_BYTES]
        return datauri.HEAD.match(head.lstrip(BLANKS)) is not None

    async def _data_uris(self, name: str) -> None:
        self._skip(1)
        while True:
            self._sink.clear()
            await self._next()
            self._check_files()
            if (found := await self._data_uri()) is not None:
                await self._data_uri_file(name, decode_text(b'"%b"' % (found["type"] or b"")), len(found[0]))
            else:
                await self._expect(QUOTE, name, "a list of data:<media type>;base64,<data> is wanted")
                await self._store(name, await self._text())
            if not await self._separator(CLOSE_LIST):
                return

    async def _store(self, name: str, text: str) -> None:
        """A data URI that is not base64, and so is small."""
        try:
            data, media_type = datauri.decode(text)
        except ValueError as error:
            raise wrong(name, "a list of files; each must be data:<media type>;base64,<data>") from error
        path = new_path(self._scratch)
        async with Writer(path) as writer:
            await writer.write(data)
        self._files.append(OscarFile(name, "", str(path), len(data), media_type))

    async def _data_uri_file(self, name: str, media_type: str, head_length: int) -> None:
        self._take(head_length)
        path, size = await self._file(name)
        self._files.append(OscarFile(name, "", path, size, media_type))

    def _check_files(self, count: int | None = None) -> None:
        if (len(self._files) if count is None else count) >= self._files_limit:
            what = "files" if count is None else "large values"
            raise TooLarge(f"a body may have at most {self._files_limit} {what} (form_limit_parts)")

    async def _file(self, where: str) -> tuple[str, int]:
        """Decodes the rest of a string, with its closing quote, into a new file: (path, size)."""
        path = new_path(self._scratch)
        base64, size, closed = Base64(), 0, False
        async with Writer(path) as writer:
            try:
                while not closed:
                    text, closed = await self._piece(where)
                    decoded = base64.feed(text) + (base64.finish() if closed else b"")
                    size += len(decoded)
                    await writer.write(decoded)
            except NotBase64 as error:
                raise wrong(where, f"not base64: {error}") from error
        return str(path), size

    async def _piece(self, where: str) -> tuple[bytes, bool]:
        """(some of what a string says, whether its closing quote came).

        An escaped quote ends it too: base64 has none, so it is refused anyway.
        """
        source = self._source
        while True:
            if (end := source.data.find(b'"', source.at)) >= 0:
                raw, source.at = source.data[source.at : end], end + 1
                escaped = b'"' if ends_in_half_escape(raw) else b""
                return self._unescaped(raw + escaped, where), True
            # An escape that is cut in two waits for its rest; the longest has six bytes.
            cut = _HALF_ESCAPE.search(source.data, max(source.at, len(source.data) - 64))
            end = cut.start(1) if cut is not None else len(source.data)
            if end > source.at:
                raw, source.at = source.data[source.at : end], end
                return self._unescaped(raw, where), False
            if not await source.more():
                raise self._too_early(where)

    def _unescaped(self, raw: bytes, where: str) -> bytes:
        if b"\n" in raw or b"\r" in raw or b"\t" in raw:
            raise InvalidJson(
                f"{where} has a line break or tab that is not written as \\n, \\r or \\t; JSON wants it so"
            )
        if b"\\" not in raw:
            return raw
        try:
            return decode_text(b'"%b"' % raw).encode()
        except (msgspec.DecodeError, ValueError) as error:
            raise InvalidJson(f"{where}, before {self._place()}, is not a JSON string: {reason(error)}") from error


# Small bodies, and what holds for all


def check_encoding(head: bytes) -> None:
    """Raises InvalidJson for UTF-16 and UTF-32, by how the text begins."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or (len(head) > 1 and 0 in head[:2]):
        name = "UTF-32" if b"\0\0" in head else "UTF-16"
        raise InvalidJson(f"the body is {name}; JSON must be UTF-8")


def check_names(count: int) -> None:
    if count > MAX_NAMES:
        raise TooLarge(f"a JSON body may have at most {MAX_NAMES} arguments")


def decode_whole(text: bytes) -> Any:
    """The value of a small body; by the same rules as those of large ones. Raises InvalidJson, TooLarge."""
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and is_deep(text):
        raise too_deep()
    try:
        value = _decode(text.removeprefix(BOM))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        check_encoding(text[:4])
        raise InvalidJson(f"the body is not valid JSON: {reason(error, ' (byte {})'.format)}") from error
    if type(value) is dict and len(value) > MAX_NAMES:
        check_names(len(value))
    return value


def _shown(text: str) -> str:
    """A client's text in a message: one line, and not much of it."""
    return ascii(text if len(text) <= 40 else f"{text[:40]}...")
