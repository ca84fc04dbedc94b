"""Multipart forms that arrive in pieces of every size."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from modelport.errors import InvalidRequest, ModelportError, TooLarge
from modelport.intake.forms import Multipart, parameters, urlencoded

KIND = "multipart/form-data; boundary=b"


async def cut(body: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


async def read(body: bytes, size: int, kind: str = KIND, limit: int = 100) -> list[tuple[str, str | None, bytes]]:
    form = Multipart(cut(body, size), kind, limit)
    return [
        (part.name, part.filename, b"".join([piece async for piece in form.content()])) async for part in form.parts()
    ]


def part(content: bytes, disposition: bytes = b'form-data; name="a"', boundary: bytes = b"b") -> bytes:
    return b"--" + boundary + b"\r\nContent-Disposition: " + disposition + b"\r\n\r\n" + content + b"\r\n"


async def test_parts_are_what_was_sent_however_they_are_cut() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    pieces = [b"\r\n", b"--", b"--b", b"\r\n--", b"\r\n--c", b"-", b"\r", b"\n", b"b", b"x" * 50]
    for _ in range(300):
        contents = [b"".join(draw.choices(pieces, k=draw.randrange(9))) for _ in range(draw.randrange(1, 5))]
        contents = [content for content in contents if b"\r\n--b" not in b"\r\n" + content + b"\r\n"]
        body = draw.choice([b"", b"preamble\r\n", b"\r\n"]) + b"".join(map(part, contents))
        body += b"--b--" + draw.choice([b"", b"\r\n", b"\r\nepilogue"])
        for size in (1, draw.randrange(2, 20), len(body)):
            assert [content for *_, content in await read(body, size)] == contents


async def test_parts_that_nobody_reads_are_passed_over() -> None:
    form = Multipart(cut(part(b"1" * 999) + part(b"2") + b"--b--", 7), KIND, 10)
    assert [each.name async for each in form.parts()] == ["a", "a"]


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"--b",
        b"--b\r\n",
        part(b"x"),
        part(b"x")[:-1],
        b"--bx\r\n\r\n--b--",
        b"--b\r\nno colon\r\n\r\n\r\n--b--",
    ],
)
async def test_broken_forms_are_refused(body: bytes, size: int) -> None:
    with pytest.raises(InvalidRequest):
        await read(body, size)


@pytest.mark.parametrize("boundary", ["", '""', "b" * 71, "é", "*=utf-8''"])
async def test_boundaries_that_are_none(boundary: str) -> None:
    with pytest.raises(InvalidRequest, match="boundary"):
        await read(b"", 1, f"multipart/form-data; boundary={boundary}")


async def test_limits() -> None:
    assert len(await read(part(b"") * 100 + b"--b--", 1000)) == 100
    with pytest.raises(TooLarge, match="form_limit_parts"):
        await read(part(b"") * 101 + b"--b--", 1000)
    with pytest.raises(ModelportError, match="headers of a part"):
        await read(b"--b\r\n" + b"a: b\r\n" * 10_000, 1000)


def test_parameters_of_a_header() -> None:
    assert parameters('form-data; name="a;b"; FileName=c d ; x="\\"\\\\"') == {
        "name": "a;b",
        "filename": "c d",
        "x": '"\\',
    }
    assert parameters("a; f=1; f*=UTF-8''%e2%98%83; f=2") == {"f": "☃"}
    assert parameters("a; f*=x") == {"f*": "x"}
    with pytest.raises(InvalidRequest):
        parameters("a; f*=zlib''%78")


def test_urlencoded_fields() -> None:
    assert urlencoded(b"a=1&a=2&b=%C3%A9+", "utf-8", 10) == {"a": ["1", "2"], "b": ["é "]}
    assert urlencoded(b"", "utf-8", 10) == {}
    assert urlencoded(b"a=\xe9", "latin-1", 10) == {"a": ["é"]}
    for size in range(16380, 16390):
        assert urlencoded(b"a=" + b"x" * size + b"%41%42+", "utf-8", 10) == {"a": ["x" * size + "AB "]}
    assert urlencoded(b"a=" + b"%41" * 50_000 + b"%", "utf-8", 10) == {"a": ["A" * 50_000 + "%"]}
    with pytest.raises(TooLarge):
        urlencoded(b"&" * 10, "utf-8", 10)
    for text in (b"\xff", b"a=%ff"):
        with pytest.raises(InvalidRequest):
            urlencoded(text, "utf-8", 10)
