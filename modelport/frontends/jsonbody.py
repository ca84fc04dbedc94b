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
import secrets
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import msgspec

from modelport.errors import InvalidArguments, InvalidJson, InvalidRequest, ModelportError, TooLarge
from modelport.frontends.body import Writer
from modelport.scratch import Scratch

OSCAR_FILES = "oscar-files"
FILES_LIMIT = 1000

# Names at the top: far more than any model has arguments. Each costs us some 5 µs, so 64 MiB of them would be a minute.
MAX_NAMES = 10_000
# Brackets in brackets. msgspec stops where Python's recursion limit is; this is well below, and always the same.
MAX_DEPTH = 256

# The most that is looked at in one go. 256 KiB of base64 take 0.6 ms, the worst other text (only brackets) 10 ms.
SLICE_BYTES = 256 << 10
# A value in brackets is searched for its end in steps that double from the first of these to the second.
FIRST_STEP_BYTES, LAST_STEP_BYTES = 256, 64 << 10
# A media type, its parameters and the words around it are shorter.
DATA_URI_HEAD_BYTES = 512

BOM = b"\xef\xbb\xbf"
BLANKS = b" \t\r\n"
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
ALLOWED = "allowed are A-Z a-z 0-9 + / with = at the end, blanks and line breaks"
OBJECT_WANTED = "a JSON object is wanted, or base64 of one"

_FILE_FORMAT = re.compile(r"(?:\.?([A-Za-z0-9]{1,16}))?")
_TOKEN = rb"(?:[A-Za-z0-9!#$&^_.+-]|\\u002[Bb])+"
_DATA_URI = re.compile(
    rb"data:(?P<type>%b\\?/%b)?(?:;%b=[^\",;\\\x00-\x20]*)*;base64," % (_TOKEN, _TOKEN, _TOKEN), re.IGNORECASE
)
_BLANK = re.compile(rb"[ \t\r\n]*+")
_IN_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_SCALAR = re.compile(rb"[-+.0-9A-Za-z]*+")
_WHOLE_ESCAPE = re.compile(rb"\\(?:[^u]|u.{4})", re.DOTALL)
_NO_BASE64 = re.compile(rb"[^A-Za-z0-9+/=%b]" % BLANKS)
_BYTE = re.compile(r" \(byte (\d+)\)$")
_NOT_AN_OBJECT = (
    (re.compile(rb"\["), "a JSON list"),
    (re.compile(rb'"'), "a JSON string"),
    (re.compile(rb"(?!77u/)-?[0-9]"), "a JSON number"),  # 77u/ is base64 of the byte order mark
    (re.compile(rb"(?:true|false|null)\b"), "a JSON constant"),
)
_KINDS = {
    **dict.fromkeys(b"-0123456789", "a number"),
    **dict.fromkeys(b"tf", "true or false"),
    **{ord('"'): "text", ord("{"): "an object", ord("["): "a list", ord("n"): "null"},
}
_QUOTE, _COMMA, _COLON, _BACKSLASH = b'",:\\'
_OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST = b"{}[]"

# For `_levels`: all but brackets goes; an opening one becomes 1, a closing one -1.
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SIGNS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")

_decode = msgspec.json.Decoder().decode
_decode_text = msgspec.json.Decoder(str).decode
# Three times as fast as binascii.a2b_base64 (640 against 200 MB/s), and stricter: "AAAA=" is not let through.
_decode_base64 = msgspec.json.Decoder(bytes).decode


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
class OscarBody:
    """arguments: the object without `oscar-files` and without what became a file. files: in the body's order."""

    arguments: dict[str, Any]
    files: list[OscarFile]


async def read_oscar_body(
    chunks: AsyncIterator[bytes],
    scratch: Scratch,
    *,
    json_limit_bytes: int,
    files_limit: int = FILES_LIMIT,
    data_uri_names: Collection[str] = (),
) -> OscarBody:
    """Reads a JSON object, or base64 of one, to the end of `chunks`.

    json_limit_bytes: the most that all but the files' text may have; it is held in memory.
    files_limit: the most files.
    data_uri_names: arguments whose value at the top may be a `data:<media type>;base64,` URI, which becomes a file.
    Raises InvalidJson, InvalidRequest (no object), InvalidArguments (its `fields` name what is wrong, such as
    `oscar-files[2].data`), TooLarge, StorageFull; what is on disk by then goes with the scratch folder.
    """
    return await _Scanner(_Source(chunks), scratch, json_limit_bytes, files_limit, data_uri_names).read()


class _NotBase64(Exception):
    """Says what and where, counted in the text."""


class _Base64:
    """Strict base64 that arrives in pieces."""

    def __init__(self) -> None:
        self._quad = b""  # up to three characters that wait for the rest of their four
        self._pad = b""
        self._seen = 0

    def feed(self, text: bytes) -> bytes:
        core = text
        if self._pad or b"=" in text:
            core, sign, rest = (b"", b"", text) if self._pad else text.partition(b"=")
            self._pad += (sign + rest).translate(None, BLANKS)
            if self._pad not in (b"=", b"=="):
                raise self._fault(text)
        decoded = self._decode(core)
        if decoded is None:
            decoded = self._decode(core.translate(None, BLANKS))
        if decoded is None:
            raise self._fault(text)
        self._seen += len(text)
        return decoded

    def _decode(self, core: bytes) -> bytes | None:
        """What whole fours say; None if there is anything but the alphabet."""
        frame = bytearray(b'"')
        frame += self._quad
        frame += core
        end = 1 + (len(frame) - 1) // 4 * 4
        rest = bytes(frame[end:])
        if b"\\" in core or rest.strip(ALPHABET):  # a backslash would be an escape to msgspec
            return None
        frame[end:] = b'"'
        try:
            decoded = _decode_base64(frame)
        except (msgspec.DecodeError, ValueError):
            return None
        self._quad = rest
        return decoded

    def finish(self) -> bytes:
        length = len(self._quad) + len(self._pad)
        if not length:
            return b""
        if length != 4 or len(self._quad) < 2:
            raise _NotBase64(
                f"it ends after {self._seen} characters, in the middle of a group of four; "
                "it is cut off, or the = at its end are missing or too many"
            )
        return _decode_base64(b'"%b%b"' % (self._quad, self._pad))

    def _fault(self, text: bytes) -> _NotBase64:
        if (found := _NO_BASE64.search(text)) is None:
            return _NotBase64(f"there is a = before its end, near character {self._seen + text.index(b'=')}; {ALLOWED}")
        shown = text[found.start() : found.start() + 4].decode(errors="replace")[:1]
        hint = ", of the URL-safe alphabet; use the standard one" if shown in "-_" else ""
        return _NotBase64(f"character {self._seen + found.start()} is {ascii(shown)}{hint}; {ALLOWED}")


class _Source:
    """The body in slices: `data[at:]` has arrived and has not been read yet."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self.data = b""
        self.at = 0
        self.decoded = False
        self._chunks = chunks
        self._chunk = memoryview(b"")
        self._ended = False
        self._base64: _Base64 | None = None
        self._before = 0  # bytes that were in front of `data`
        self._unpaused = 0

    async def more(self) -> bool:
        """Reads on, what is unread staying in front; False at the end of the body."""
        while not self._ended:
            if not self._chunk:
                self._chunk = memoryview(await anext(self._chunks, b""))
                self._ended = not self._chunk
            piece = self._chunk[:SLICE_BYTES].tobytes()
            self._chunk = self._chunk[SLICE_BYTES:]
            await self._pause(len(piece))
            if self._base64 is not None:
                piece = self._decode(self._base64, piece)
            if piece:
                self._append(piece)
                return True
        return False

    async def _pause(self, length: int) -> None:
        """Lets others run after each slice, also where the body is there already."""
        self._unpaused += length
        if self._unpaused >= SLICE_BYTES:
            self._unpaused = 0
            await asyncio.sleep(0)

    def _append(self, piece: bytes) -> None:
        self._before += self.at
        self.data = self.data[self.at :] + piece if self.at < len(self.data) else piece
        self.at = 0

    async def has(self, length: int) -> bool:
        """Reads on until so much is unread; False if the body ends before."""
        while len(self.data) - self.at < length:
            if not await self.more():
                return False
        return True

    def decode_base64(self) -> None:
        """What is unread, and what comes, is base64 of the body proper."""
        self._base64, self.decoded, self._before = _Base64(), True, 0
        self.data, self.at = self._decode(self._base64, self.data[self.at :]), 0

    def _decode(self, base64: _Base64, piece: bytes) -> bytes:
        try:
            return base64.feed(piece) + (base64.finish() if self._ended else b"")
        except _NotBase64 as error:
            raise InvalidJson(f"the body is neither a JSON object nor base64 of one: {error}") from error

    def place(self, offset: int | None = None) -> str:
        number = self._before + self.at if offset is None else offset
        return f"byte {number} of the decoded body" if self.decoded else f"byte {number}"


class _Scanner:
    def __init__(
        self,
        source: _Source,
        scratch: Scratch,
        json_limit_bytes: int,
        files_limit: int,
        data_uri_names: Collection[str],
    ) -> None:
        self._source = source
        self._scratch = scratch
        self._json_limit = json_limit_bytes
        self._files_limit = files_limit
        self._data_uri_names = data_uri_names
        self._kept = bytearray()  # the rest, as it came
        self._sink = self._kept  # where what is read goes; elsewhere within `oscar-files`
        self._spent = 0  # of json_limit_bytes
        self._cuts: list[tuple[int, str | None, int]] = []  # (length of the rest, name or None, bytes left out so far)
        self._seen: set[str] = set()
        self._names = 0
        self._entries_read = 0
        self._files: list[OscarFile] = []

    async def read(self) -> OscarBody:
        await self._find_object()
        await self._members(self._top)
        if await self._next(or_end=True) is not None:
            raise self._unexpected("the body's object has ended, yet there is more")
        arguments = self._decode_rest()
        for name in self._seen:
            del arguments[name]
        return OscarBody(arguments, self._files)

    # The top

    async def _find_object(self) -> None:
        source = self._source
        first = await self._first()
        if first is None:
            raise InvalidJson(f"the body is empty; {OBJECT_WANTED}")
        if first != _OPEN:
            await source.has(8)
            for pattern, kind in _NOT_AN_OBJECT:
                if pattern.match(source.data, source.at):
                    raise InvalidRequest(f"the body is {kind}; {OBJECT_WANTED}")
            source.decode_base64()
            if await self._first() != _OPEN:
                raise InvalidJson(f"the body is neither a JSON object nor base64 of one; {OBJECT_WANTED}")

    async def _first(self) -> int | None:
        source = self._source
        if await source.has(len(BOM)) and source.data.startswith(BOM, source.at):
            source.at += len(BOM)
        # Blanks in front are not kept, or they would come twice in front of base64.
        while (end := _end(_BLANK, source)) == len(source.data):
            self._spend(end - source.at)
            source.at = end
            if not await source.more():
                return None
        self._spend(end - source.at)
        source.at = end
        self._cuts = [(0, None, source._before + end)]
        return source.data[end]

    async def _top(self, name: str) -> None:
        self._names += 1
        if self._names > MAX_NAMES:
            raise TooLarge(f"a JSON body may have at most {MAX_NAMES} arguments")
        if name in self._seen:
            raise InvalidArguments(f"{name} is there twice", fields={name: ["It is there twice."]})
        if name == OSCAR_FILES:
            self._seen.add(name)
            await self._replace(self._oscar_files)
        elif name in self._data_uri_names:
            await self._maybe_data_uri(name)
        else:
            await self._value()

    async def _replace(self, read: Callable[[], Awaitable[None]]) -> None:
        """Reads a value of which the rest shall only say null."""
        start = self._offset()
        self._sink = bytearray()
        await read()
        self._sink = self._kept
        self._kept += b"null"
        left_out = self._offset() - start - len(b"null")
        self._cuts.append((len(self._kept), None, self._cuts[-1][2] + left_out))

    def _offset(self) -> int:
        return self._source._before + self._source.at

    def _decode_rest(self) -> dict[str, Any]:
        # One call, so the event loop waits for it: some 3 ms for each MiB. A thread would hold the GIL as long.
        try:
            rest: dict[str, Any] = _decode(self._kept)
        except UnicodeDecodeError as error:
            raise InvalidJson(f"the body is not valid JSON: it is not UTF-8 ({error.reason})") from error
        except (msgspec.DecodeError, RecursionError) as error:
            message = _BYTE.sub(self._true_place, str(error))
            raise InvalidJson(f"the body is not valid JSON: {message}") from error
        return rest

    def _true_place(self, found: re.Match[str]) -> str:
        offset = int(found[1])
        left_out = next(total for start, _, total in reversed(self._cuts) if start <= offset)
        return f" ({self._source.place(offset + left_out)})"
