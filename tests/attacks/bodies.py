"""Bodies that nobody should send: what is said of each in the head, and its bytes as they come."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

JSON = "application/json"
MIB = 1 << 20
CHUNK = 1 << 18


def repeated(piece: bytes, size: int, before: bytes = b"", after: bytes = b"") -> Iterator[bytes]:
    """`before`, about `size` bytes of `piece` again and again, `after`."""
    yield before
    block = piece * (CHUNK // len(piece))
    for _ in range(size // len(block)):
        yield block
    yield after


@dataclass(frozen=True)
class Hostile:
    """chunks: made anew for each request. length: a Content-Length; None: sent in chunks."""

    name: str
    chunks: Callable[[], Iterable[bytes]]
    type: str = JSON
    length: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


def _parts(count: int) -> Iterator[bytes]:
    for _ in range(count // 100):
        yield b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' * 100
    yield b"--b--\r\n"


def _members(count: int) -> Iterator[bytes]:
    yield b"{"
    for start in range(0, count, 1000):
        yield b"".join(b'"k%d":1,' % number for number in range(start, start + 1000))
    yield b'"end":1}'


def _shapes(size: int) -> dict[str, Callable[[], Iterator[bytes]]]:
    """JSON that is large in every way. Each begins with what is not JSON, so that no model's process reads it all."""
    return {
        "many tiny arrays": lambda: repeated(b"[],", size, b'{"a":[01,', b"0]}"),
        "many tiny objects": lambda: repeated(b'{"":1},', size, b'{"a":[01,', b"0]}"),
        "nested, wide": lambda: repeated(b"[" * 200 + b"]" * 200 + b",", size, b'{"a":[01,', b"0]}"),
        "one long number": lambda: repeated(b"7", size, b'{"a":01', b"}"),
        "many long numbers": lambda: repeated(b"7" * 4000 + b",", size, b'{"a":[01,', b"0]}"),
        "one huge string": lambda: repeated(b"x", size, b'{"a":"\\x', b'"}'),
        "escapes": lambda: repeated(b"\\u00e9", size, b'{"a":"\\x', b'"}'),
        "quotes": lambda: repeated(b'\\"', size, b'{"a":"\\x', b'"}'),
        "blanks inside": lambda: repeated(b" \n", size, b'{"a":01', b"}"),
        "many small members": lambda: repeated(b'"a":"%b",' % (b"x" * 2000), size, b"{", b'"a":01}'),
    }


def large_json(size: int) -> list[Hostile]:
    return [Hostile(f"{size // MIB} MiB of {name}", make) for name, make in _shapes(size).items()]


def hostile_bodies(size: int) -> list[Hostile]:
    """size: of those that are only large."""
    multipart, form = "multipart/form-data; boundary=b", "application/x-www-form-urlencoded"
    bomb = gzip.compress(b" " * (200 * MIB), 9)
    return [
        Hostile("said to be endless", lambda: [b'{"a": "' + b"x" * CHUNK], length=10 << 40),
        Hostile("too long, in chunks", lambda: repeated(b"x", 96 * MIB, b'{"a":"')),
        Hostile("too long, of no type", lambda: repeated(b"\0", 96 * MIB), type="application/octet-stream"),
        Hostile("too long, a form", lambda: repeated(b"x", 96 * MIB, b"a="), type=form),
        Hostile("a gzip bomb", lambda: [bomb], headers={"Content-Encoding": "gzip"}),
        Hostile("a deflate bomb", lambda: [zlib.compress(b" " * MIB)], headers={"Content-Encoding": "deflate"}),
        Hostile("an unknown encoding", lambda: [b"{}"], headers={"Content-Encoding": "\xff, rot13"}),
        Hostile("nothing but blanks", lambda: repeated(b" \r\n\t", size)),
        Hostile("blanks, then JSON", lambda: repeated(b"\n", size, after=b'{"a": 01}')),
        Hostile("many parts", lambda: _parts(20_000), type=multipart),
        Hostile("no boundary in it", lambda: repeated(b"\r\n", size), type=multipart),
        Hostile("nearly boundaries", lambda: repeated(b"\r\n--", size), type=multipart),
        Hostile("endless headers of a part", lambda: repeated(b"a: b\r\n", size, b"--b\r\n"), type=multipart),
        Hostile(
            "a field without end",
            lambda: repeated(b"x", size, b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n'),
            type=multipart,
        ),
        Hostile("many fields", lambda: repeated(b"a=1&", size), type=form),
        Hostile("percents", lambda: repeated(b"%41", MIB // 2, b"a="), type=form),
        Hostile("many members", lambda: _members(100_000)),
        Hostile("too deep", lambda: repeated(b"[", size, b'{"a":')),
        Hostile("too deep, small", lambda: [b'{"a":' + b"[" * 50_000]),
        Hostile("a name without end", lambda: repeated(b"x", size, b'{"')),
        Hostile("a bad charset", lambda: [b"{}"], type="application/json; charset=idna"),
        Hostile("a charset that decompresses", lambda: [b"x=1"], type=f"{form}; charset=zlib"),
        Hostile("half a character", lambda: [b'{"a": "\xc3"}']),
        Hostile("base64 of a bomb", lambda: repeated(b"ICAg", size)),
        Hostile(
            "a file without end",
            lambda: repeated(b"AAAA", size, b'{"oscar-files":[{"key":"a","file_format":"x","data":"'),
        ),
        *large_json(size),
    ]
