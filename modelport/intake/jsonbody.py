"""From the body of an OSCAR call to arguments and files: large base64 goes to scratch while it arrives.

    {"conf": 0.5, "oscar-files": [{"key": "image", "file_format": "png", "data": "<base64, as long as you like>"}]}

What is no file (the *rest*) is kept as it came, each file's text replaced by null, and read by msgspec at the end: the
scanner only has to find out where values begin and end. It never looks at single characters of large text but uses
what works on a whole slice in C, so the rest costs little beside msgspec whatever its form, and no regular expression
runs over base64.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from modelport.errors import InvalidJson, InvalidRequest, TooLarge
from modelport.intake import datauri
from modelport.intake.jsonrest import Large, Rest
from modelport.intake.jsonsource import BLANKS, BODY_WANTED, Base64, NotBase64, Source
from modelport.intake.jsontokens import (
    BOM,
    CLOSE_LIST,
    END,
    OPEN,
    OPEN_LIST,
    QUOTE,
    check_encoding,
    check_names,
    decode_text,
    ends_in_half_escape,
    reason,
    wrong,
)
from modelport.intake.scratch import Scratch, Writer, new_path
from modelport.settings import Settings

OSCAR_FILES = "oscar-files"
# Others run after so many of them.
NAMES_AT_ONCE = 500
ENTRY = ("key", "file_format", "data")
ENTRY_WANTED = "an object with key, file_format and data is expected"
_FILE_FORMAT = re.compile(r"(?:\.?([A-Za-z0-9]{1,16}(?:\.[A-Za-z0-9]{1,16}){0,2}))?")
_HALF_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*+(\\(?:u[^\\]{0,3})?)\Z")
_NO_OBJECT = (
    (re.compile(rb"\["), "list"),
    (re.compile(rb'"'), "string"),
    (re.compile(rb"(?!7\s*7\s*u\s*/)-?[0-9]"), "number"),  # 77u/ is base64 of the byte order mark
    (re.compile(rb"(?:true|false|null)\b"), "constant"),
)


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
    content_type: str = ""


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
    settings: Settings,
    *,
    data_uri_names: Collection[str] = (),
    only_json: bool = False,
) -> OscarBody:
    """Reads a JSON object, or base64 of one, to the end of `chunks`.

    data_uri_names: arguments whose value at the top may be a `data:<media type>;base64,` URI, or a list of such, which
        become files.
    only_json: neither files nor base64 are looked for; any other value than an object says nothing, nor does no body.
    Raises InvalidJson, InvalidRequest (no object), InvalidArguments (its `fields` name what is wrong, such as
    `oscar-files[2].data`), TooLarge, StorageFull; what is on disk by then goes with the scratch folder.
    """
    scanner = _Scanner(Source(chunks), scratch, settings)
    scanner.data_uri_names, scanner.only_json = data_uri_names, only_json
    async with scanner.writing:
        return await scanner.read()


class _Scanner(Rest):
    """Reads one body."""

    def __init__(self, source: Source, scratch: Scratch, settings: Settings) -> None:
        super().__init__(source, scratch, settings)
        self.data_uri_names: Collection[str] = ()
        self.only_json = False
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
            if self.only_json:
                return False
            raise InvalidJson(f"the body is empty; {BODY_WANTED}")
        if first != OPEN and not self.only_json:
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

    async def _argument(self, name: str) -> None:
        self._names += 1
        check_names(self._names)
        if not self._names % NAMES_AT_ONCE:
            await asyncio.sleep(0)
        if self.only_json:
            await self._member(name)
            return
        if name == OSCAR_FILES or name in self.data_uri_names:
            if name in self._special:
                raise wrong(name, "there twice")
            self._special.add(name)
        if name == OSCAR_FILES:
            await self._leave_out(name, self._oscar_files)
        elif name in self.data_uri_names and (head := await self._data_uri()):
            await self._leave_out(name, lambda: self._data_uri_file(name, head))
        elif name in self.data_uri_names and await self._begins_data_uris():
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

    # Files

    async def _oscar_files(self) -> None:
        await self._expect(OPEN_LIST, OSCAR_FILES, "a list of objects is expected")
        self._take(1)
        if await self._next() == CLOSE_LIST:
            self._take(1)
            return
        index = 0
        while True:
            await self._oscar_file(f"{OSCAR_FILES}[{index}]")
            index += 1
            if not await self._separator(CLOSE_LIST):
                return

    async def _oscar_file(self, where: str) -> None:
        self._sink.clear()
        values: dict[str, Any] = {}

        async def part(name: str) -> None:
            if name not in ENTRY:
                raise wrong(f"{where}.{_shown(name)[1:-1]}", f"unknown; {ENTRY_WANTED}")
            if name in values:
                raise wrong(f"{where}.{name}", "there twice")
            await self._expect(QUOTE, f"{where}.{name}", "text is expected")
            self._sink.clear()
            if name == "data":
                self._take(1)
                values[name] = await self._file(f"{where}.{name}")
            else:
                values[name] = await self._text()

        await self._expect(OPEN, where, ENTRY_WANTED)
        await self._object(part)
        for name in ENTRY:
            if name not in values:
                raise wrong(f"{where}.{name}", "missing")
        if not values["key"]:
            raise wrong(f"{where}.key", "empty; it names the argument that the file is for")
        if (suffix := _FILE_FORMAT.fullmatch(values["file_format"])) is None:
            allowed = "up to 16 letters and digits, such as png, are allowed, and parts of that, such as nii.gz"
            raise wrong(f"{where}.file_format", f"{_shown(values['file_format'])}; {allowed}")
        self._files.append(OscarFile(values["key"], suffix[1] or "", values["data"]))

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
            if (head := await self._data_uri()) is not None:
                await self._data_uri_file(name, head)
            else:
                await self._expect(QUOTE, name, "a list of data:<media type>;base64,<data> is expected")
                await self._store(name, await self._text())
            if not await self._separator(CLOSE_LIST):
                return

    async def _store(self, name: str, text: str) -> None:
        """A data URI that is not base64, and so is small."""
        try:
            data, media_type = datauri.decode(text)
        except ValueError as error:
            raise wrong(name, "a list of files; each must be data:<media type>;base64,<data>") from error
        path = self._new_path()
        async with Writer(path) as writer:
            await writer.write(data)
        self._files.append(OscarFile(name, "", str(path), media_type))

    async def _data_uri_file(self, name: str, head: re.Match[bytes]) -> None:
        media_type = decode_text(b'"%b"' % (head["type"] or b""))
        self._take(len(head[0]))
        self._files.append(OscarFile(name, "", await self._file(name), media_type))

    def _new_path(self) -> Path:
        if len(self._files) >= self._files_limit:
            raise TooLarge(f"a body may have at most {self._files_limit} files (form_limit_parts)")
        return new_path(self._scratch)

    async def _file(self, where: str) -> str:
        """Decodes the rest of a string, with its closing quote, into a new file; its path."""
        path = self._new_path()
        base64, closed = Base64(), False
        async with Writer(path) as writer:
            try:
                while not closed:
                    text, closed = await self._piece(where)
                    await writer.write(base64.feed(text) + (base64.finish() if closed else b""))
            except NotBase64 as error:
                raise wrong(where, f"not base64: {error}") from error
        return str(path)

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


def _shown(text: str) -> str:
    """A client's text in a message: one line, and not much of it."""
    return ascii(text if len(text) <= 40 else f"{text[:40]}...")
