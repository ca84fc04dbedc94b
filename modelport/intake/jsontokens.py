"""JSON as far as one must read it to know where its values end.

Nothing is judged here but that: what is kept of a body is read by msgspec in one go. Large text is never looked at by
single characters, but with what works on a whole slice in C.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Awaitable, Callable
from itertools import accumulate
from typing import Any

import msgspec

from modelport.errors import InvalidArguments, InvalidJson, TooLarge
from modelport.intake.jsonsource import Source

# Brackets in brackets, of a body as a whole. msgspec and json stop where Python's recursion limit is; this is well
# below, and always the same.
MAX_DEPTH = 256
# A value in brackets is searched for its end in steps that double from the first of these to the second.
FIRST_STEP_BYTES, LAST_STEP_BYTES = 256, 64 << 10
END = -1  # where the next byte is asked for and there is none
_BLANK = re.compile(rb"[ \t\r\n]*+")
_IN_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_SCALAR = re.compile(rb"[-+.0-9A-Za-z]*+")
_BYTE = re.compile(r" \(byte (\d+)\)$")
KINDS = {
    **dict.fromkeys(b"-0123456789", "a number"),
    **dict.fromkeys(b"tf", "true or false"),
    ord('"'): "text",
    ord("{"): "an object",
    ord("["): "a list",
    ord("n"): "null",
}
QUOTE, COMMA, COLON, OPEN, CLOSE, OPEN_LIST, CLOSE_LIST = b'",:{}[]'
# For `_levels`: all but brackets goes; an opening one becomes 1, a closing one -1.
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SIGNS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
BOM = b"\xef\xbb\xbf"
# Names at the top: far more than any model has arguments. Each costs us some 5 µs, so 64 MiB of them were a minute.
MAX_NAMES = 10_000
_decode = msgspec.json.Decoder().decode
decode_text = msgspec.json.Decoder(str).decode


class Tokens:
    """Reads parts of JSON; the methods named after one stand on its first byte and leave off behind its last."""

    def __init__(self, source: Source, json_limit_bytes: int) -> None:
        self._source = source
        self._json_limit = json_limit_bytes
        self._rest = bytearray()
        self._sink = self._rest  # where goes what is read; another within what the rest leaves out
        self._spent = 0  # of json_limit_bytes
        self._depth = 1  # of what stands around a value

    async def _more(self) -> bool:
        """Reads on; False at the end of the body."""
        return await self._source.more()

    async def _next(self, *, or_end: bool = False) -> int:
        """The next byte that is no blank, still unread; END at the end of the body, where that may be."""
        source = self._source
        while True:
            self._skip(_end_of(_BLANK, source) - source.at)
            if source.at < len(source.data):
                return source.data[source.at]
            if not await self._more():
                if or_end:
                    return END
                raise self._too_early()

    def _take(self, length: int) -> None:
        source = self._source
        self._sink += source.data[source.at : source.at + length]
        self._spend(length)

    def _skip(self, length: int) -> None:
        """Past what is not kept."""
        self._spend(length)

    def _spend(self, length: int) -> None:
        self._spent += length
        if self._spent > self._json_limit:
            raise TooLarge(
                f"the values that are not files may have at most {self._json_limit} bytes (json_limit_bytes)"
            )
        self._source.at += length

    async def _expect(self, first: int, where: str, expected: str) -> None:
        if (byte := await self._next()) != first:
            if byte not in KINDS:
                raise self._unexpected("a value")
            raise wrong(where, f"{KINDS[byte]}; {expected}")

    async def _object(self, member: Callable[[str], Awaitable[None]]) -> None:
        """`member` is given each name and reads the value."""
        self._take(1)
        if await self._next() == CLOSE:
            self._take(1)
            return
        while True:
            if await self._next() != QUOTE:
                raise self._unexpected("a name in double quotes")
            name = await self._text()
            if await self._next() != COLON:
                raise self._unexpected("a colon")
            self._take(1)
            await self._next()
            await member(name)
            if not await self._separator(CLOSE):
                return

    async def _separator(self, closing: int) -> bool:
        """Whether more follows."""
        if (byte := await self._next()) not in (COMMA, closing):
            raise self._unexpected(f"a comma or {chr(closing)}")
        self._take(1)
        return byte == COMMA

    async def _text(self) -> str:
        start = len(self._sink)
        await self._string()
        try:
            return decode_text(self._sink[start:])
        except (msgspec.DecodeError, ValueError) as error:
            raise InvalidJson(f"the text before {self._place()} is not valid JSON: {reason(error)}") from error

    async def _value(self) -> None:
        """Only as far as its end can be seen; msgspec judges it."""
        first = self._source.data[self._source.at]
        if first == QUOTE:
            await self._string()
        elif first in (OPEN, OPEN_LIST):
            self._take(1)
            await self._brackets()
        elif first in KINDS:
            await self._up_to_end_of(_SCALAR)
        else:
            raise self._unexpected("a value")

    async def _string(self) -> None:
        self._take(1)
        while True:
            await self._up_to_end_of(_IN_STRING)
            if self._source.data[self._source.at] == QUOTE:
                self._take(1)
                return
            if not await self._more():  # half an escape
                raise self._too_early()

    async def _up_to_end_of(self, pattern: re.Pattern[bytes]) -> None:
        source = self._source
        while True:
            self._take(_end_of(pattern, source) - source.at)
            if source.at < len(source.data):
                return
            if not await self._more():
                raise self._too_early()

    async def _brackets(self) -> None:
        """Behind the opening bracket.

        Takes steps that double while the last bracket is not in them, and halve until only that is left.
        """
        source = self._source
        level, quoted, step = 1, False, FIRST_STEP_BYTES
        while True:
            piece = source.data[source.at : source.at + step]
            if ends_in_half_escape(piece):
                piece = piece[:-1]
            if not piece:
                if not await self._more():
                    raise self._too_early()
                step = max(step, 2)
                continue
            lowest, highest, after, quoted_after = _levels(piece, level, quoted)
            if lowest == 0 and len(piece) > 1:
                step = len(piece) // 2
                continue
            if self._depth + highest > MAX_DEPTH:
                raise too_deep()
            self._take(len(piece))
            if lowest == 0:
                return
            level, quoted, step = after, quoted_after, min(2 * step, LAST_STEP_BYTES)

    # Errors

    def _place(self) -> str:
        return self._source.place(self._source.offset)

    def _unexpected(self, expected: str) -> InvalidJson:
        byte = self._source.data[self._source.at]
        shown = repr(chr(byte)) if byte < 0x80 else f"byte 0x{byte:02x}"
        return InvalidJson(f"the body is not valid JSON: {shown} instead of {expected} ({self._place()})")

    def _too_early(self, where: str = "") -> InvalidJson:
        place = self._source.place(self._source.end)
        return InvalidJson(f"the body ends too early, {f'in {where}' if where else 'within its object'} ({place})")


def _end_of(pattern: re.Pattern[bytes], source: Source) -> int:
    """Behind what the pattern, which may be empty, matches at the place that is read."""
    match = pattern.match(source.data, source.at)
    assert match is not None
    return match.end()


def ends_in_half_escape(text: bytes) -> bool:
    return (len(text) - len(text.rstrip(b"\\"))) % 2 == 1


def too_deep() -> InvalidJson:
    return InvalidJson(f"the body is nested more than {MAX_DEPTH} deep")


def is_deep(text: bytes) -> bool:
    """Whether JSON as a whole is nested more than MAX_DEPTH deep; what is not JSON may be said to be either."""
    return _levels(text, 0, False)[1] > MAX_DEPTH


def _levels(piece: bytes, level: int, quoted: bool) -> tuple[int, int, int, bool]:
    """(lowest level of brackets, 0 at the least; highest; that behind the piece; whether that is within a string).

    The first two may be a lower and an upper bound, where these tell as much. piece: no escape is cut in two.
    """
    if b"\\" in piece:
        piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
    parts = piece.split(b'"')
    brackets = b"".join(parts[quoted::2]).translate(_SIGNS, _NO_BRACKETS)
    quoted ^= len(parts) % 2 == 0
    up = brackets.count(1)
    down = len(brackets) - up
    if level > down and level + up < MAX_DEPTH:
        return level - down, level + up, level + up - down, quoted
    levels = list(accumulate(array("b", brackets), initial=level))
    return max(min(levels), 0), max(levels), levels[-1], quoted


def reason(error: Exception, place: Callable[[int], str] = lambda byte: "") -> str:
    """What msgspec finds wrong with JSON whose end was seen; place: what to say of the byte where it is."""
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 ({error.reason})"
    message = str(error).removeprefix("JSON is malformed: ")
    if message == "Input data was truncated":  # it looked for the second half behind the end of the string
        return "an escape that lacks its end, or its second half"
    return _BYTE.sub(lambda match: place(int(match[1])), message)


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


def wrong(where: str, what: str) -> InvalidArguments:
    return InvalidArguments(f"{where} is {what}", fields={where: [f"{what[0].upper()}{what[1:]}."]})
