"""Forms taken apart as they arrive: urlencoded, and multipart/form-data (RFC 7578)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from modelport.errors import InvalidRequest, TooLarge
from modelport.intake.texts import codec

BOUNDARY_CHARS = 70  # RFC 2046
HEAD_BYTES = 16 << 10  # of one part's headers together
BLOCK_BYTES = 16 << 10
_PARAMETER = re.compile(r';\s*([\w!#$%&+.^`|~-]+\*?)\s*=\s*(?:"((?:[^"\\]|\\.)*+)"|([^;"]*+))', re.DOTALL)


def parameters(header: str) -> dict[str, str]:
    """`; name=value` of a header such as Content-Type, names in small letters; of two with one name the first counts.

    `name*=utf-8''%C3%A9` (RFC 8187) is read as well, and goes before `name`. Raises InvalidRequest for its charset.
    """
    plain: dict[str, str] = {}
    extended: dict[str, str] = {}
    for name, quoted, token in _PARAMETER.findall(header):
        value = re.sub(r'\\(["\\])', r"\1", quoted) or token.strip()
        if name.endswith("*") and value.count("'") >= 2:
            charset, _, text = value.split("'", 2)
            extended.setdefault(name[:-1].lower(), unquote_to_bytes(text).decode(codec(charset), "replace"))
        else:
            plain.setdefault(name.lower(), value)
    return plain | extended


def urlencoded(data: bytes, encoding: str, limit: int) -> dict[str, list[str]]:
    """The fields' values by name. Raises InvalidRequest, TooLarge for more than `limit`."""
    if data.count(b"&") >= limit:
        raise _too_many(limit, "fields")
    form: dict[str, list[str]] = {}
    try:
        for field in filter(None, data.split(b"&")):
            name, _, value = (_unquoted(part.replace(b"+", b" ")).decode(encoding) for part in field.partition(b"="))
            form.setdefault(name, []).append(value)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the form cannot be decoded: it is not {error.encoding}") from error
    return form


def _unquoted(text: bytes) -> bytes:
    """In blocks: for each percent sign Python's function holds some 80 bytes."""
    if len(text) <= BLOCK_BYTES:
        return unquote_to_bytes(text)
    pieces, at = [], 0
    while at < len(text):
        end = at + BLOCK_BYTES
        cut = text.find(b"%", end - 2, end)
        end = cut if cut >= 0 else end
        pieces.append(unquote_to_bytes(text[at:end]))
        at = end
    return b"".join(pieces)


def _too_many(limit: int, what: str) -> TooLarge:
    return TooLarge(f"a form may have at most {limit} {what} (form_limit_parts)")


@dataclass(frozen=True)
class Part:
    """What a part says of itself. filename: None for a field that is no file. headers: names in small letters."""

    name: str
    filename: str | None
    headers: Mapping[str, str]

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "application/octet-stream").partition(";")[0].strip()

    @property
    def charset(self) -> str | None:
        return parameters(self.headers.get("content-type", "")).get("charset")


class Multipart:
    """`async for part in form.parts()`, and in it `async for piece in form.content()`; what is not read is passed over.

    Raises InvalidRequest, TooLarge.
    """

    def __init__(self, chunks: AsyncIterator[bytes], content_type: str, limit: int) -> None:
        boundary = parameters(content_type).get("boundary", "")
        if not 0 < len(boundary) <= BOUNDARY_CHARS or not boundary.isascii():
            raise _broken(f"its boundary must have 1 to {BOUNDARY_CHARS} ASCII characters; it has {len(boundary)}")
        self._chunks = chunks
        self._limit = limit
        self._delimiter = b"\r\n--" + boundary.encode()
        self._data = b"\r\n"  # so that the first delimiter is one like the others
        self._inside = True  # of a part, or of what stands before the first

    async def parts(self) -> AsyncIterator[Part]:
        count = 0
        while await self._begin():
            count += 1
            if count > self._limit:
                raise _too_many(self._limit, "parts")
            yield await self._head()
        async for _ in self._chunks:
            pass  # an epilogue says nothing

    async def content(self) -> AsyncIterator[bytes]:
        """Of the part that was begun, to its end."""
        keep = len(self._delimiter) - 1
        while self._inside:
            end = self._data.find(self._delimiter)
            self._inside = end < 0
            if self._inside:
                piece, self._data = self._data[: max(len(self._data) - keep, 0)], self._data[-keep:]
            else:
                piece, self._data = self._data[:end], self._data[end + len(self._delimiter) :]
            if piece:
                yield piece
            if self._inside:
                await self._receive()

    async def _receive(self) -> None:
        chunk = await anext(self._chunks, None)
        if chunk is None:
            raise _broken("it ends before its last boundary")
        self._data += chunk

    async def _begin(self) -> bool:
        """Behind the line of the next delimiter; False: that was the last."""
        async for _ in self.content():
            pass
        while len(self._data) < 2:
            await self._receive()
        if self._data.startswith(b"--"):
            return False
        line, self._data = await self._up_to(b"\r\n")
        if line.strip(b" \t"):
            raise _broken("a line that begins with its boundary has more to it")
        self._inside = True
        return True

    async def _up_to(self, end: bytes) -> tuple[bytes, bytes]:
        while (at := self._data.find(end)) < 0:
            if len(self._data) > HEAD_BYTES:
                raise TooLarge(f"the headers of a part may have at most {HEAD_BYTES} bytes")
            await self._receive()
        return self._data[:at], self._data[at + len(end) :]

    async def _head(self) -> Part:
        self._data = b"\r\n" + self._data  # headers end with an empty line, and there may be none
        text, self._data = await self._up_to(b"\r\n\r\n")
        # What follows may begin with the delimiter, whose line break has just been taken.
        self._data = b"\r\n" + self._data if self._data.startswith(self._delimiter[2:]) else self._data
        headers = {}
        for line in text.decode(errors="replace").split("\r\n"):
            name, colon, value = line.partition(":")
            if line and not colon:
                raise _broken("a part has a header without a colon")
            headers[name.strip().lower()] = value.strip()
        said = parameters(headers.get("content-disposition", ""))
        if "name" not in said:
            raise InvalidRequest("a part of the multipart body has no name")
        if headers.get("content-type", "").lower().startswith("multipart/"):
            raise InvalidRequest("a part of the multipart body is multipart itself")
        return Part(said["name"], said.get("filename"), headers)


def _broken(reason: str) -> InvalidRequest:
    return InvalidRequest(f"the multipart body is broken: {reason}")
