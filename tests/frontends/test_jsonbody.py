"""The scanner of OSCAR bodies, against `json` and a strict base64 decoder."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelport.errors import InvalidArguments, InvalidJson, InvalidRequest, ModelportError, StorageFull, TooLarge
from modelport.intake import jsonsource, jsontokens
from modelport.intake.jsonbody import OscarBody, read_oscar_body
from modelport.intake.scratch import RunFolder
from modelport.settings import Settings

ROOT = Path(__file__).parents[2]
BLANKS = " \t\r\n"
BOM = b"\xef\xbb\xbf"
Files = list[tuple[str, str, bytes]]


async def cut(body: bytes, sizes: Iterable[int]) -> AsyncIterator[bytes]:
    """The body in chunks of these sizes, again and again."""
    at, sizes = 0, list(sizes)
    while at < len(body):
        for size in sizes:
            yield body[at : at + size]
            at += size


def limited(limit_bytes: int, **settings: Any) -> Settings:
    """So much may be no file, and is held in memory."""
    return Settings(json_limit_bytes=limit_bytes, json_small_bytes=limit_bytes, **settings)


async def read(
    body: bytes, *sizes: int, limit_bytes: int = 1 << 20, form_limit_parts: int = 1000, **options: Any
) -> tuple[dict[str, Any], Files]:
    """(arguments, [(key, file_format, what is in the file)]), read in chunks of these sizes."""
    settings = limited(limit_bytes, form_limit_parts=form_limit_parts)
    with tempfile.TemporaryDirectory() as home:
        async with RunFolder(Path(home)).scratch() as scratch:
            oscar_body: OscarBody = await read_oscar_body(cut(body, sizes or (1000,)), scratch, settings, **options)
            for file in oscar_body.files:
                assert re.fullmatch("[0-9a-f]+", Path(file.path).name) and Path(file.path).parent == scratch.path
            return oscar_body.arguments, [
                (file.key, file.file_format, Path(file.path).read_bytes()) for file in oscar_body.files
            ]


def entry(data: str, key: str = "a", file_format: str = "png") -> bytes:
    return b'{"oscar-files": [{"key": "%b", "file_format": "%b", "data": "%b"}]}' % (
        key.encode(),
        file_format.encode(),
        data.encode(),
    )


# What a slow and simple reader says


class Refused(Exception):
    pass


def strict_base64(text: str) -> bytes:
    text = re.sub(f"[{BLANKS}]", "", text)
    if not re.fullmatch(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", text):
        raise Refused
    return base64.b64decode(text)


class Pairs(dict[str, Any]):
    twice = False


def strict_json(body: bytes) -> Any:
    def pairs(found: list[tuple[str, Any]]) -> Pairs:
        value = Pairs(found)
        value.twice = len(value) < len(found)
        value.names = [name for name, _ in found]  # type: ignore[attr-defined]
        return value

    def no_constant(name: str) -> None:
        raise Refused

    def finite(text: str) -> float:
        if abs(value := float(text)) == float("inf"):
            raise Refused
        return value

    try:
        text = body.removeprefix(BOM).decode()
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=no_constant, parse_float=finite)
        json.dumps(value, ensure_ascii=False).encode()  # no half of a surrogate pair
    except ValueError as error:
        raise Refused from error
    return value


def simple(body: bytes) -> tuple[dict[str, Any], Files]:
    try:
        value = strict_json(body)
    except Refused:
        try:
            value = strict_json(strict_base64(body.removeprefix(BOM).decode("ascii")))  # a mark may stand before either
        except UnicodeDecodeError as error:
            raise Refused from error
    if not isinstance(value, Pairs) or value.names.count("oscar-files") > 1:  # type: ignore[attr-defined]
        raise Refused
    files = []
    entries = value.pop("oscar-files", [])
    if not isinstance(entries, list):
        raise Refused
    for each in entries:
        if not isinstance(each, Pairs) or each.twice or set(each) != {"key", "file_format", "data"}:
            raise Refused
        if not all(isinstance(part, str) for part in each.values()) or not each["key"]:
            raise Refused
        if not re.fullmatch(r"(\.?[A-Za-z0-9]{1,16})?", each["file_format"]):
            raise Refused
        files.append((each["key"], each["file_format"].removeprefix("."), strict_base64(each["data"])))
    return value, files


# Random documents


class Written:
    """Writes JSON with random blanks and escapes."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.odd = self.random.choice((0.0, 0.02, 0.3))

    def blank(self) -> str:
        return "".join(self.random.choices(BLANKS, k=self.random.choice((0, 0, 0, 1, 3)))) if self.odd else ""

    def text(self, value: str) -> str:
        return f'"{"".join(map(self.character, value))}"'

    def character(self, value: str) -> str:
        short = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\", '"': '\\"', "\b": "\\b", "\f": "\\f"}
        if value in short and self.random.random() > self.odd:
            return short[value]
        if value == "/" and self.random.random() < 3 * self.odd:
            return "\\/"
        if value < " " or value in '"\\' or self.random.random() < self.odd:
            escaped = json.dumps(value) if ord(value) > 0xFFFF else f'"\\u{ord(value):04{self.random.choice("xX")}}"'
            return escaped[1:-1]
        return value

    def json(self, value: Any) -> str:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return f"[{self.blank()}{','.join(map(self.around, value))}]"
        if isinstance(value, dict):
            members = [f"{self.blank()}{self.text(each)}{self.blank()}:{self.around(value[each])}" for each in value]
            self.random.shuffle(members)
            return f"{{{self.blank()}{','.join(members)}}}"
        return json.dumps(value)

    def around(self, value: Any) -> str:
        return f"{self.blank()}{self.json(value)}{self.blank()}"

    def base64(self, value: bytes) -> str:
        text = base64.b64encode(value).decode()
        return "".join(each + self.blank() for each in text) if self.random.random() < 0.3 else text

    def body(self, value: dict[str, Any]) -> bytes:
        body = f"{self.blank()}{self.json(value)}{self.blank()}".encode()
        body = self.random.choice((b"", BOM)) + body
        return base64.encodebytes(body) if self.random.random() < 0.3 else body


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(['"', "\\", "]}", '\\"', "[{"])
scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    scalars | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
files = st.lists(
    st.tuples(texts.filter(bool), st.sampled_from(["png", "", ".jpg", "nii"]), st.binary(max_size=40)), max_size=3
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    write = Written(draw(st.integers(0, 2**32)))
    value = draw(st.dictionaries(texts, values, max_size=4))
    if draw(st.booleans()):
        value["oscar-files"] = [
            {"key": key, "file_format": kind, "data": write.base64(data)} for key, kind, data in draw(files)
        ]
    return write.body(value)


sizes = st.lists(st.integers(1, 40), min_size=1, max_size=8)
fuzz = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.slow
@pytest.mark.parametrize("examples", [60, pytest.param(300, marks=pytest.mark.thorough)])
def test_a_random_body_says_what_json_and_base64_say(examples: int) -> None:
    @settings(fuzz, max_examples=examples)
    @given(body=bodies(), sizes=sizes)
    def compare(body: bytes, sizes: list[int]) -> None:
        expected = simple(body)
        assert asyncio.run(read(body, *sizes)) == expected
        # none of its texts is a data: URI
        assert asyncio.run(read(body, *sizes, data_uri_names=expected[0])) == expected

    compare()


ODD = [b'"', b"\\", b"=", b"[", b"]", b"{", b"}", b",", b":", b"\\u00", b"\xff", b"\x00", b"-", b"1"]


@st.composite
def corrupted_bodies(draw: st.DrawFn) -> bytes:
    body = draw(bodies())
    at = draw(st.integers(0, len(body)))
    upto = draw(st.integers(at, min(len(body), at + 3)))
    return body[:at] + draw(st.sampled_from(ODD) | st.binary(max_size=3)) + body[upto:]


@pytest.mark.slow
@pytest.mark.parametrize("examples", [150, pytest.param(1000, marks=pytest.mark.thorough)])
def test_a_corrupted_body_is_refused_just_where_json_and_base64_refuse(examples: int) -> None:
    @settings(fuzz, max_examples=examples)
    @given(body=corrupted_bodies(), sizes=sizes)
    def compare(body: bytes, sizes: list[int]) -> None:
        expected: Any
        try:
            expected = simple(body)
        except Refused:
            expected = Refused
        found: Any
        try:
            found = asyncio.run(read(body, *sizes))
        except ModelportError:
            found = Refused
        assert found == expected

    compare()


BODY = (
    b'{"conf": 0.5, "labels": ["]}", {"\\"": [[], {}]}], "oscar-files": [{"data": "aGVsbG8v\\/z8+", "key": "image", '
    b'"file_format": ".png"}, {"key": "mask", "data": "", "file_format": ""}], "note": "{\\\\", "none": null}'
)
READ = (
    {"conf": 0.5, "labels": ["]}", {'"': [[], {}]}], "note": "{\\", "none": None},
    [("image", "png", b"hello/\xff?>"), ("mask", "", b"")],
)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 1000])
@pytest.mark.parametrize(
    "body",
    [
        BODY,
        BOM + b"\r\n " + BODY + b"\n",
        base64.b64encode(BODY),
        base64.encodebytes(BODY),
        b"\n" + base64.b64encode(BOM + b"\n\t" + BODY) + b"\r\n",
        base64.b64encode(BOM + BODY).replace(b"77u/", b"7\r\n7u\n /"),
    ],
    ids=["json", "after a byte order mark", "base64", "base64 in lines", "base64 with both", "base64 in odd lines"],
)
async def test_a_body_may_come_in_any_form_and_in_any_pieces(body: bytes, size: int) -> None:
    assert await read(body, size) == READ


@pytest.mark.parametrize(
    "data", ["aGk/Pz8+", "aGk\\/Pz8\\u002b", "aGk\\n/P\\r\\nz8+\\t", " aG k/Pz8+ ", "\\u0061\\u0047k\\u002FPz8+"]
)
@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_escapes_and_line_breaks_in_base64_are_read_as_json_says(data: str, size: int) -> None:
    assert (await read(entry(data), size))[1] == [("a", "png", b"hi???>")]


async def test_files_of_one_key_stay_in_order() -> None:
    parts = [b'{"key": "a", "file_format": "", "data": "%b"}' % base64.b64encode(b"%d" % number) for number in range(5)]
    body = b'{"oscar-files": [%b]}' % b",".join(parts)
    assert (await read(body))[1] == [("a", "", b"%d" % number) for number in range(5)]


async def test_a_large_file_in_uneven_pieces_is_whole() -> None:
    content = random.Random(1).randbytes(3_000_001)
    body = b'{"oscar-files": [{"data": "%b", "key": "a", "file_format": "bin"}], "b": 1}' % base64.b64encode(content)
    assert await read(body, 65_521, 1, 300_007) == ({"b": 1}, [("a", "bin", content)])
    assert await read(base64.encodebytes(body), 1 << 30) == ({"b": 1}, [("a", "bin", content)])


# data: URIs


@pytest.mark.parametrize(
    ("uri", "content_type"),
    [
        ("data:image/png;base64,aGk=", "image/png"),
        ("DATA:image\\/svg\\u002Bxml;charset=utf-8;base64,aGk=", "image/svg+xml"),
        ("data:;base64,aGk=", ""),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_data_uri_becomes_a_file(uri: str, content_type: str, size: int, tmp_path: Path) -> None:
    body = b'{"a": 1, "image": "%b", "b": "data:x"}' % uri.encode()
    async with RunFolder(tmp_path).scratch() as scratch:
        oscar_body = await read_oscar_body(cut(body, [size]), scratch, limited(1000), data_uri_names=["image", "b"])
        (file,) = oscar_body.files
        assert (file.key, file.file_format, file.content_type) == ("image", "", content_type)
        assert Path(file.path).read_bytes() == b"hi"
    assert oscar_body.arguments == {"a": 1, "b": "data:x"}


@pytest.mark.parametrize(
    "value", ["data:", "data:image/png,aGk=", "data:text;base64,aGk=", "", "x" * 600, "data:a/b", 5, None, [], {}]
)
async def test_other_values_are_left_for_the_plugin(value: Any) -> None:
    for body in ({"image": value, "other": "data:image/png;base64,aGk="}, {"image": value}):
        arguments, files = await read(json.dumps(body).encode(), 3, data_uri_names={"image"})
        assert (arguments, files) == (body, [])


async def test_a_data_uri_is_strict_base64_and_comes_once() -> None:
    uri = b'"image": "data:image/png;base64,%b"'
    with pytest.raises(InvalidArguments, match="image is not base64: character 2 is '-', of the URL-safe alphabet"):
        await read(b"{%b}" % (uri % b"aG-="), data_uri_names=["image"])
    with pytest.raises(InvalidArguments, match="image is there twice"):
        await read(b'{%b, "image": 5}' % (uri % b"aGk="), data_uri_names=["image"])


# What is refused, and how


def one(members: str) -> bytes:
    return b'{"oscar-files": [{"key": "a", "file_format": "png", "data": ""}, {%b}]}' % members.encode()


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        # no JSON object
        (b"", InvalidJson, "the body is empty"),
        (b" \r\n", InvalidJson, "the body is empty"),
        (BOM, InvalidJson, "the body is empty"),
        (b"[1]", InvalidRequest, "the body is a JSON list; a JSON object is expected"),
        (b'"eyJ9"', InvalidRequest, "a JSON string"),
        (b"1234", InvalidRequest, "a JSON number"),  # it is base64, too
        (b"true", InvalidRequest, "a JSON constant"),
        (b"hello, world", InvalidJson, "neither a JSON object nor base64 of one: character 5 is ','"),
        (b"\x89PNG\r\n", InvalidJson, "character 0 is byte 0x89, not ASCII"),
        (b"\x00", InvalidJson, "character 0 is '.x00'"),
        (base64.b64encode(b"[1]"), InvalidJson, "neither a JSON object nor base64 of one"),
        (base64.b64encode(base64.b64encode(BODY)), InvalidJson, "neither a JSON object nor base64 of one"),
        (base64.b64encode(b"  {}")[:-1], InvalidJson, "it is cut off, or the = at its end"),
        (base64.b64encode(b"{}") + b"eyJ9", InvalidJson, "character 3 is '=', but it does not end there"),
        # broken JSON
        (b'{"a": 1', InvalidJson, r"the body ends too early, within its object \(byte 7\)"),
        (b'{"a": [1, "]', InvalidJson, "the body ends too early"),
        (entry("aGk=")[:-6], InvalidJson, r"ends too early, in oscar-files\[0\].data"),
        (b"{} {}", InvalidJson, r"'{' instead of the end of the body \(byte 3\)"),
        (b"{}\x00", InvalidJson, "instead of the end of the body"),
        (base64.b64encode(b"{}x"), InvalidJson, "byte 2 of the decoded body"),
        (b"{'a': 1}", InvalidJson, "instead of a name in double quotes"),
        (b'{"a": 1,}', InvalidJson, r"'}' instead of a name in double quotes \(byte 8\)"),
        (b'{"a" 1}', InvalidJson, "instead of a colon"),
        (b'{"a": 1 "b": 2}', InvalidJson, "instead of a comma or }"),
        (b'{"a": NaN}', InvalidJson, "'N' instead of a value"),
        (b'{"a": [NaN]}', InvalidJson, r"invalid character \(byte 7\)"),
        (b'{"a": -Infinity}', InvalidJson, "not valid JSON"),
        (b'{"a": 1e999}', InvalidJson, "out of range"),
        (b'{"a": %b}' % (b"1" * 5000), InvalidJson, "out of range"),
        (b'{"a": 01}', InvalidJson, "invalid number"),
        (b'{"a": [1}, "b": 2}', InvalidJson, r"expected ',' or '\]' \(byte 8\)"),
        (b'{"a": "\xff"}', InvalidJson, "not UTF-8"),
        (b'{"a\xff": 1}', InvalidJson, "not UTF-8"),
        (b'{"a": "\\ud800"}', InvalidJson, "an escape that lacks"),
        (b'{"a": "\\x"}', InvalidJson, "invalid escape"),
        (b'{"a": "\x00"}', InvalidJson, "invalid character"),
        # the place is that in the body, though the files are not in what msgspec sees
        (entry("aGkh" * 99)[:-1] + b', "b": [x]}', InvalidJson, rf"\(byte {len(entry('aGkh' * 99)) + 7}\)"),
        # broken oscar-files
        (b'{"oscar-files": null}', InvalidArguments, "oscar-files is null; a list of objects is expected"),
        (b'{"oscar-files": {}}', InvalidArguments, "oscar-files is an object"),
        (b'{"oscar-files": [[]]}', InvalidArguments, r"oscar-files\[0\] is a list; an object with key, file_format"),
        (b'{"oscar-files": [}', InvalidJson, "instead of a value"),
        (b'{"oscar-files": [], "oscar\\u002dfiles": []}', InvalidArguments, "oscar-files is there twice"),
        (one(""), InvalidArguments, r"oscar-files\[1\].key is missing"),
        (one('"key": "a"'), InvalidArguments, r"oscar-files\[1\].file_format is missing"),
        (one('"key": "a", "file_format": ""'), InvalidArguments, r"oscar-files\[1\].data is missing"),
        (one('"data": 5'), InvalidArguments, r"oscar-files\[1\].data is a number; text is expected"),
        (one('"data": null'), InvalidArguments, r"oscar-files\[1\].data is null"),
        (one('"data": "", "data": ""'), InvalidArguments, r"oscar-files\[1\].data is there twice"),
        (one('"key": ["a"]'), InvalidArguments, r"oscar-files\[1\].key is a list"),
        (one('"key": "", "file_format": "", "data": ""'), InvalidArguments, r"oscar-files\[1\].key is empty"),
        (one('"name": "a"'), InvalidArguments, r"oscar-files\[1\].name is unknown; an object with key"),
        (one('"\\u0000\\n": "a"'), InvalidArguments, r"oscar-files\[1\].\\x00\\n is unknown"),
        (entry("", file_format="../../etc"), InvalidArguments, r"file_format is '../../etc'; up to 16 letters and dig"),
        (entry("", file_format="."), InvalidArguments, "file_format is '.'"),
        (entry("", file_format="png\\n"), InvalidArguments, r"file_format is 'png\\n'"),
        (entry("", file_format="\\u0000"), InvalidArguments, r"file_format is '\\x00'"),
        (entry("", file_format="é"), InvalidArguments, "file_format is"),
        (entry("", file_format="x" * 17), InvalidArguments, "file_format is"),
        # broken base64
        (entry("aG-_"), InvalidArguments, r"\[0\].data is not base64: character 2 is '-', of the URL-safe alphabet"),
        (entry("aGk= aGk="), InvalidArguments, "character 3 is '=', but it does not end there"),
        (entry("aGk"), InvalidArguments, "it ends after 3 characters, in the middle of a group of four"),
        (entry("aGk=="), InvalidArguments, "it ends after 5 characters"),
        (entry("aGkh="), InvalidArguments, "it ends after 5 characters"),
        (entry("a==="), InvalidArguments, "character 1 is '='"),
        (entry("="), InvalidArguments, "not base64"),
        (entry("aGkhaGkh\\naG,h"), InvalidArguments, r"character 11 is ','; allowed are A-Z a-z 0-9 \+ / with ="),
        (entry("aG\\u00e9h"), InvalidArguments, "character 2 is byte 0xc3, not ASCII"),
        (entry("aGé"), InvalidArguments, "character 2 is byte 0xc3, not ASCII"),
        (entry('aG\\"h'), InvalidArguments, "character 2 is '\"'"),
        (entry("aG\\\\/h"), InvalidArguments, r"character 2 is '\\\\'"),
        (entry("aG\\u0000h"), InvalidArguments, r"character 2 is '\\x00'"),
        (entry("aG\x00h"), InvalidArguments, r"character 2 is '\\x00'"),
        (entry("aG\nkh"), InvalidJson, r"data has a line break or tab that is not written as"),
        (entry("aG\\xh"), InvalidJson, r"oscar-files\[0\].data, before byte \d+, is not a JSON string: invalid escape"),
        (entry("aG\\u00"), InvalidJson, "is not a JSON string"),
        (entry("data:image/png;base64,aGk="), InvalidArguments, "character 4 is ':'"),
    ],
)
async def test_what_is_wrong_is_said(body: bytes, kind: type[ModelportError], message: str, size: int) -> None:
    with pytest.raises(ModelportError, match=message) as caught:
        await read(body, size)
    assert type(caught.value) is kind
    if kind is InvalidArguments:
        (name,) = caught.value.fields
        assert caught.value.message.startswith(f"{name} is ")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"a": "%b"}' % (b"x" * 2000), "json_limit_bytes"),
        (b'{"a": [%b]}' % (b"1," * 2000), "json_limit_bytes"),
        (b'{"a": %b}' % (b"1" * 2000), "json_limit_bytes"),
        (b'{"%b": 1}' % (b"x" * 2000), "json_limit_bytes"),
        (b'{"oscar-files": [{"key": "%b' % (b"x" * 2000), "json_limit_bytes"),
        (b'{"oscar-files": [%b' % (b" " * 2000), "json_limit_bytes"),
        (b" " * 2000, "json_limit_bytes"),
        (b"{}" + b" " * 2000, "json_limit_bytes"),
        (b'{"oscar-files": [%b' % (b'{"key":"a","file_format":"","data":""},' * 4), "at most 3 files"),
    ],
)
@pytest.mark.parametrize("size", [10, 10_000])
async def test_limits_are_named(body: bytes, message: str, size: int) -> None:
    for form in (body, base64.b64encode(body)):
        with pytest.raises(TooLarge, match=message):
            await read(form, size, limit_bytes=1000, form_limit_parts=3)


async def test_the_data_of_files_does_not_count() -> None:
    body = entry(base64.b64encode(bytes(5000)).decode())
    assert (await read(body, limit_bytes=100))[1] == [("a", "png", bytes(5000))]


async def test_depth_and_names_are_bounded() -> None:
    deep = jsontokens.MAX_DEPTH - 1
    assert await read(b'{"a": %b%b}' % (b"[" * deep, b"]" * deep))
    for bracket in (b"[", b'{"a":', b'["[[", '):
        with pytest.raises(InvalidJson, match=r"nested more than 256 deep"):
            await read(b'{"a": ' + bracket * 100_000, 65_536)
    with pytest.raises(TooLarge, match="at most 10000 arguments"):
        await read(b"{%b}" % b",".join(b'"%d":1' % number for number in range(10_001)), 65_536)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        b"[]," * 100_000,
        b'"\\"",' * 50_000,
        b'"' + b'\\"' * 125_000 + b'",',
        b'"[",' * 75_000,
        b"[1,[2,[3]]]," * 25_000,
        b" " * 250_000,
        b'"' + b"\\\\" * 125_000 + b'",',
        b"0." + b"1" * 250_000 + b",",
        b'{"a":"\\\\"},' * 25_000,
    ],
    ids=lambda text: repr(text[:12]),
)
async def test_no_text_is_slow(text: bytes) -> None:
    body = b'{"a": [%b0], "b": 1}' % text
    for size in (1000, 65_536, 1 << 30):
        start = time.thread_time()
        arguments, _ = await read(body, size, limit_bytes=len(body))
        assert arguments == json.loads(body)
        # json takes some 0.03 s; a scanner that looks at a slice twice for each of its bytes takes a minute.
        assert time.thread_time() - start < 3


@pytest.mark.slow
@pytest.mark.parametrize("data", [" ", "\\n", "\\u0041", "A", "\\/", "=", "\\\\", '\\"', "\\ud83d\\ude00"])
async def test_no_data_is_slow(data: str) -> None:
    body = entry(data * (600_000 // len(data)))
    start = time.thread_time()
    try:
        expected: Any = simple(body)
    except Refused:
        expected = Refused
    for size in (1000, 65_536):
        try:
            assert await read(body, size) == expected
        except ModelportError:
            assert expected is Refused
    assert time.thread_time() - start < 5


# Others on the same machine


async def test_other_tasks_run_while_a_body_that_is_already_there_is_read() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    await read(entry("A" * (8 << 20)), 1 << 30)
    counting.cancel()
    assert turns >= (8 << 20) // jsonsource.SLICE_BYTES


@pytest.mark.slow
async def test_a_client_that_goes_away_leaves_nothing_open(tmp_path: Path) -> None:
    arrived = asyncio.Event()

    async def chunks(length: int) -> AsyncIterator[bytes]:
        yield entry("A" * (length << 16))[:-4]
        arrived.set()
        await asyncio.sleep(60)

    before = os.listdir("/proc/self/fd")
    run = RunFolder(tmp_path)
    for length in range(0, 64, 3):  # with and without a piece that is just being written
        arrived.clear()
        async with run.scratch() as scratch:
            reading = asyncio.create_task(read_oscar_body(chunks(length), scratch, limited(1000)))
            await arrived.wait()
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        assert not scratch.path.exists()
    run.close()
    assert os.listdir("/proc/self/fd") == before
    assert all(each.daemon or each.name.startswith(("asyncio", "MainThread")) for each in threading.enumerate())


@pytest.mark.slow
async def test_a_full_disk_is_said() -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        with pytest.raises(StorageFull):
            await read(entry("A" * (8 << 20)), 65_536)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "slashes", "lines", "outer"])
def test_a_large_body_takes_little_memory(kind: str, tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "oscar_body.py"),
        "--child",
        kind,
        "--mib",
        "256",
        "--chunk-kib",
        "64",
    ]
    done = subprocess.run([*command, "--folder", str(tmp_path)], stdout=subprocess.PIPE, check=True)
    figures = json.loads(done.stdout)
    assert figures["length"] >= 250 << 20
    assert figures["grown"] < 16 << 20
