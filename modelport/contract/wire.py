"""Frames between the gateway and its children: a JSON header, then raw blobs.

    4 bytes  length of the header, big endian
    4 bytes  length of the blobs together
    header   JSON object; "blobs" in it lists the blobs' lengths where there is more than one
    blobs    raw bytes

Either side may write JSON with the library it has; nothing is pickled. Large files never travel here: they go by path.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Callable, Sequence

PREFIX = struct.Struct("!II")

# What a header holds beside texts of any length: keys, numbers, names that are limited themselves.
HEADER_BYTES = 16 << 10

# A call goes to its worker as one message of a SOCK_SEQPACKET socket, which must fit the socket's buffer (208 KiB on
# Linux, which counts its own bookkeeping too) together with those before it. A larger one follows on the stream.
MESSAGE_BYTES = 32 << 10

# Made once: json.dumps makes a new encoder for each call whose options are not the usual ones.
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class BrokenFrame(Exception):
    """The other side does not speak our protocol."""


def pack(header: bytes, blobs: Sequence[bytes] = ()) -> bytes:
    """One frame. `header` is JSON already; its "blobs" entry must match when there is more than one blob."""
    return b"".join((PREFIX.pack(len(header), sum(map(len, blobs))), header, *blobs))


def dump(message: dict[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    """One frame made with the standard library's JSON (the child's side)."""
    if len(blobs) > 1:
        message = dict(message, blobs=[len(blob) for blob in blobs])
    # A lone surrogate, as file names may have them, becomes a question mark: strict readers of JSON refuse it.
    return pack(_encode(message).encode("utf-8", "replace"), blobs)


def split(lengths: Sequence[int], payload: bytes) -> list[bytes]:
    """The blobs of one frame; lengths: "blobs" of its header. Raises BrokenFrame."""
    if sum(lengths) != len(payload):
        raise BrokenFrame(f"blobs of {sum(lengths)} bytes in a frame that has {len(payload)}")
    parts, start = [], 0
    for length in lengths:
        parts.append(payload[start : start + length])
        start += length
    return parts


class Unpacker:
    """Turns chunks as they arrive into frames. limit_bytes: a longer frame is not one of an honest child's."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._rest = bytearray()  # the beginning of a frame
        self._needed = 0  # so many bytes of it must be there before there is something to do

    def feed(self, chunk: bytes, take: Callable[[bytes, bytes], None]) -> None:
        """`take(header, payload)` for each frame that `chunk` completes. Raises BrokenFrame, and what that raises."""
        if self._rest:
            self._rest += chunk
            if len(self._rest) < self._needed:
                return
            chunk = bytes(self._rest)
            self._rest.clear()
        # Usually there are whole small frames, one or several: they are taken from the chunk itself.
        start, self._needed = 0, PREFIX.size
        while len(chunk) - start >= PREFIX.size:
            header_length, payload_length = PREFIX.unpack_from(chunk, start)
            length = header_length + payload_length
            if length > self._limit:
                raise BrokenFrame(f"a frame of {length} bytes; at most {self._limit} are allowed")
            begin = start + PREFIX.size
            middle, end = begin + header_length, begin + length
            if len(chunk) < end:
                self._needed = end - start
                break
            take(chunk[begin:middle], chunk[middle:end])
            start = end
        if start < len(chunk):
            self._rest += memoryview(chunk)[start:]
