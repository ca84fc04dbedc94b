# ruff: noqa: SIM115
"""What a plugin returns, as bytes and a media type."""

from __future__ import annotations

import array
import datetime
import decimal
import enum
import gzip
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import uuid
from collections import OrderedDict, deque, namedtuple
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelport.child import content
from modelport.child.media import encode
from modelport.contract.prediction import Outcome
from modelport.errors import ModelFailed, StorageFull

LIMIT = 1000
PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"


@pytest.fixture
def scratch(tmp_path: Path) -> str:
    return str(tmp_path / "scratch" / "call")


def as_json(value: Any, scratch: str = "") -> Any:
    encoded = encode(value, None, scratch, LIMIT)
    assert encoded.media_type == "application/json"
    return json.loads(encoded.body)


def whole(encoded: Outcome) -> bytes:
    return encoded.body if encoded.path is None else Path(encoded.path).read_bytes()


def failure(value: Any, accept: str | None = None, scratch: str = "") -> str:
    with pytest.raises(ModelFailed) as caught:
        encode(value, accept, scratch, LIMIT)
    return caught.value.message


# JSON.


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


@dataclass
class Box:
    x: float
    label: str


class Point(NamedTuple):
    x: int
    y: int


class Frame:
    """As pandas' DataFrame."""

    def to_dict(self) -> dict[str, Any]:
        return {"column": {0: np.int64(1)}}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, None),
        ("text", "text"),
        ({"a": [1, 2.5, True, None, "é😀"]}, {"a": [1, 2.5, True, None, "é😀"]}),
        ((1, (2,)), [1, [2]]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset(), []),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.int64(2**40), 2**40),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array("2026-01-31", dtype="datetime64[D]"), "2026-01-31"),
        (np.array([b"a"])[:0], []),
        ({np.int64(7): 1, (1, 2): 2, None: 3, True: 4, 5: 5, 0.5: 6}, None),
        (datetime.datetime(2026, 1, 31, 12), "2026-01-31T12:00:00"),
        (datetime.date(2026, 1, 31), "2026-01-31"),
        (datetime.time(12, 30), "12:30:00"),
        (datetime.timedelta(seconds=90), "0:01:30"),
        (decimal.Decimal("0.10"), "0.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({"p": Path("/data/x")}, {"p": "/data/x"}),
        (Colour.RED, "red"),
        ({Colour.RED: Level.LOW}, {"red": 1}),
        (Box(0.5, "cat"), {"x": 0.5, "label": "cat"}),
        (Point(1, 2), [1, 2]),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (deque([1, 2]), [1, 2]),
        ({"a": 1}.keys(), ["a"]),
        ({"f": Frame()}, {"f": {"column": {"0": 1}}}),
        ((number for number in [1, 2]), [1, 2]),
        (map(str, [1, 2]), ["1", "2"]),
        (iter([]), []),
    ],
)
def test_json_says_more_than_json_dumps(value: Any, said: Any) -> None:
    if isinstance(value, dict) and (1, 2) in value:
        said = {"7": 1, "(1, 2)": 2, "null": 3, "true": 4, "5": 5, "0.5": 6}
    assert as_json(value) == said


def test_json_is_compact_before_the_colon_and_utf8() -> None:
    assert encode({"id": "é"}, "application/json", "", LIMIT).body == '{"id": "é"}'.encode()


def test_a_lone_surrogate_does_not_break_json() -> None:
    assert as_json({"name\udcff": "\ud800"}) == {"name\ufffd": "\ufffd"}
    assert as_json({1: "\ud800", (): np.str_("\udcff")}) == {"1": "\ufffd", "()": "\ufffd"}
    assert as_json("\ud83d\ude00 \ude00") == "\U0001f600 \ufffd"


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_comes_back_as_it_was(value: Any) -> None:
    assert json.loads(whole(encode(value, "application/json", tempfile.mkdtemp(), LIMIT))) == value


NAN = float("nan")


@pytest.mark.parametrize(
    ("value", "answer", "told"),
    [
        ({"scores": [{"v": 1}, {"v": np.array([1.0, NAN])}]}, {"scores": [{"v": 1}, {"v": [1, None]}]}, "1 value of"),
        ([NAN, -float("inf"), np.float32("inf")], [None] * 3, "3 values of the answer sent as null: answer[0] (nan), "),
        (np.array(["NaT"], "datetime64[s]"), [None], ""),
        ({"d": decimal.Decimal("NaN"), NAN: 1}, {"d": None, "nan": 1}, "answer['d'] (NaN)"),
        ([NAN] * 9, [None] * 9, "9 values of the answer sent as null: answer[0] (nan), answer[1] (nan), answer[2] "),
    ],
)
def test_numbers_that_json_does_not_have_are_null_and_the_log_says_where(
    value: Any, answer: Any, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert as_json(value) == answer
    log = capsys.readouterr().err
    assert told in log and len(log.splitlines()) == bool(told)


def test_whoever_wants_an_error_for_them_gets_one_with_the_place() -> None:
    for value, told in (
        ({"scores": [{"v": 1}, {"v": np.array([1.0, NAN])}]}, "answer['scores'][1]['v'][1] is nan"),
        (float("inf"), "answer is inf"),
    ):
        with pytest.raises(ModelFailed, match=re.escape(told + "; JSON has no such number")):
            encode(value, None, "", LIMIT, nan="error")


def test_two_keys_that_are_one_in_json_are_refused_with_their_place() -> None:
    for value in ({1: "a", "1": "b"}, {True: 1, "true": 2}, {None: 1, "null": 2}, {1.5: 1, "1.5": 2}):
        assert failure([{"x": value}]).startswith(
            "the answer is not valid JSON: answer[0]['x'] has two keys that are '"
        )
    assert failure(MappingProxyType({1: "a", "1": "b"})).endswith("answer has two keys that are '1' there")
    assert as_json({1: "a", "2": [{3: "b", "4": "c"}], None: 0}) == {"1": "a", "2": [{"3": "b", "4": "c"}], "null": 0}


def test_what_json_cannot_say_is_named_with_its_place() -> None:
    assert "answer[0]['image'] is bytes (3 bytes)" in failure([{"image": b"abc"}])
    assert "answer['x'] is an object, which JSON cannot express" in failure({"x": object()})
    assert "answer[0] is a complex" in failure([1j])
    assert "numpy" not in failure({("k" * 100): {1j}})


def test_what_has_no_end_is_told() -> None:
    loop: list[Any] = []
    loop.append(loop)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert failure(loop) in (
        "the answer is not valid JSON: it contains itself",
        "the answer is not valid JSON: it is nested too deeply",
    )
    assert failure(deep) == "the answer is not valid JSON: it is nested too deeply"


@pytest.mark.parametrize("accept", ["application/json", "*/*", "Application/JSON; charset=utf-8"])
def test_bytes_are_no_json(accept: str) -> None:
    asked = accept.partition(";")[0].lower()
    assert failure(io.BytesIO(b"x"), accept) == f"the model returned BytesIO where {asked} was asked for"
    assert failure(b"x", accept) == f"the model returned bytes where {asked} was asked for"
    assert encode({"a": 1}, accept, "", LIMIT).media_type == "application/json"


def test_json_of_another_name_keeps_it() -> None:
    encoded = encode({"type": "Point"}, "application/geo+json", "", LIMIT)
    assert (encoded.media_type, encoded.body) == ("application/geo+json", b'{"type": "Point"}')
    assert encode('{"a": 1}', "application/geo+json", "", LIMIT).body == b'{"a": 1}'
    assert encode(None, "application/geo+json", "", LIMIT).body == b"null"


# Bytes.


def test_bytes_of_every_kind_are_sent_raw(scratch: str) -> None:
    for value in (b"abc", bytearray(b"abc"), memoryview(b"abc"), iter(["a", b"bc"])):
        assert encode(value, "text/x-thing", scratch, LIMIT) == Outcome("text/x-thing", b"abc")
    assert encode(None, "image/png", scratch, LIMIT).body == b""


def test_text_says_in_which_charset_it_was_encoded(scratch: str) -> None:
    for value in ("é", io.StringIO("é"), iter(["é"])):
        assert encode(value, "text/csv", scratch, LIMIT) == Outcome("text/csv; charset=utf-8", "é".encode())
    assert encode(iter(["é" * LIMIT]), "text/csv", scratch, LIMIT).media_type == "text/csv; charset=utf-8"
    assert encode("é", "text/*", scratch, LIMIT).media_type == "text/plain; charset=utf-8"
    assert encode("é", "image/svg+xml", scratch, LIMIT).media_type == "image/svg+xml"
    asked = 'text/plain; charset="ISO-8859-1"'
    assert encode("é", asked, scratch, LIMIT) == Outcome(asked, "é".encode("latin-1"))
    assert "cannot be written with charset=iso-8859-1" in failure("€", asked, scratch)
    assert "cannot be written with charset=none" in failure("a", "text/plain;charset=none", scratch)


def test_a_buffer_is_sent_whole_wherever_it_stands_and_stays_open() -> None:
    buffer = io.BytesIO()
    buffer.write(PNG)
    buffer.name = "out/figure.png"
    for _ in range(2):
        assert encode(buffer, "image/png", "", LIMIT) == Outcome("image/png", PNG, filename="figure.png")


@pytest.mark.parametrize("mode", ["rb", "r", "r+b"])
def test_an_open_file_is_sent_whole_and_closed(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "output.txt"
    path.write_bytes(b"abc")
    file = open(path, mode)
    file.read(2)
    path.unlink()
    assert encode(file, "text/plain", "", LIMIT) == Outcome("text/plain", b"abc", filename="output.txt")
    assert file.closed


def test_a_file_still_being_written_is_sent_as_far_as_it_got(tmp_path: Path) -> None:
    named = tempfile.NamedTemporaryFile(dir=tmp_path, suffix=".txt")
    named.write(b"abc")
    assert encode(named, "text/plain", "", LIMIT).body == b"abc"
    unnamed = tempfile.TemporaryFile()
    unnamed.write(b"abc")
    assert encode(unnamed, "text/plain", "", LIMIT) == Outcome("text/plain", b"abc")
    written = open(tmp_path / "w", "w")
    written.write("abc")
    assert encode(written, "text/plain", "", LIMIT).body == b"abc"
    spooled = tempfile.SpooledTemporaryFile()
    spooled.write(b"abc")
    assert encode(spooled, "text/plain", "", LIMIT).body == b"abc"


def test_a_decompressor_gives_what_it_decompresses(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "x.gz", "wb") as file:
        file.write(b"abc")
    assert encode(gzip.open(tmp_path / "x.gz"), "text/plain", "", LIMIT).body == b"abc"
    assert encode(gzip.open(tmp_path / "x.gz", "rt"), "text/plain", "", LIMIT).body == b"abc"


def test_a_pipe_is_read_to_its_end() -> None:
    process = subprocess.Popen([sys.executable, "-c", "print('abc', end='')"], stdout=subprocess.PIPE)
    assert encode(process.stdout, "text/plain", "", LIMIT).body == b"abc"
    process.wait()


def test_a_file_that_was_closed_is_opened_again_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"abc")
    with open(path, "rb") as file:
        pass
    assert encode(file, "text/plain", "", LIMIT).body == b"abc"
    path.unlink()
    assert failure(file, "text/plain") == "the model returned a file that is closed and gone"


def test_a_path_object_is_its_file_and_a_returned_file_too(tmp_path: Path) -> None:
    path = tmp_path / "plot.pdf"
    path.write_bytes(b"%PDF-1.4")
    expected = Outcome("application/pdf", b"%PDF-1.4", filename="plot.pdf")
    assert encode(path, "application/pdf", "", LIMIT) == expected
    assert encode(path, None, "", LIMIT) == expected
    ReturnedFile = namedtuple("ReturnedFile", ("name", "filename", "content_type", "original_filename"))
    assert encode(ReturnedFile("x", str(path), None, None), "application/pdf", "", LIMIT) == expected
    assert "cannot be read: No such file" in failure(tmp_path / "none", "application/pdf")
    assert as_json(tmp_path / "none") == str(tmp_path / "none")


def test_text_is_never_a_path_but_to_a_file_of_this_call(tmp_path: Path, scratch: str) -> None:
    outside, folder = tmp_path / "secret", Path(scratch)
    outside.write_text("secret")
    folder.mkdir(parents=True)
    inside, link = folder / "answer.txt", folder / "link"
    inside.write_text("mine")
    link.symlink_to(outside)
    beside = Path(scratch + "-other")
    beside.write_text("secret")
    (folder / "inner").symlink_to(inside)

    def sent(text: str) -> bytes:
        return encode(text, "text/plain", scratch, LIMIT).body

    assert sent(str(inside)) == sent(str(folder / "inner")) == b"mine"
    for text in [str(outside), str(link), str(beside), f"{scratch}/../../secret", "/etc/passwd", "answer.txt", scratch]:
        assert sent(text) == text.encode()
    assert sent(f"{inside}\0") == f"{inside}\0".encode()
    assert encode(str(outside), "text/plain", "", LIMIT).body == str(outside).encode()


def test_parts_are_streamed_to_a_file_as_they_come(scratch: str) -> None:
    sizes = []

    def parts() -> Iterator[Any]:
        for _ in range(30):
            sizes.append(sum(path.stat().st_size for path in Path(scratch).glob("*")))
            yield "é" * 50_000

    encoded = encode(parts(), "text/plain", scratch, LIMIT)
    assert whole(encoded) == "é".encode() * 1_500_000
    assert sizes[-1] > sizes[1]
    assert encoded.body == b""


def test_a_generator_of_bytes_needs_no_accept(scratch: str) -> None:
    assert encode(iter([PNG, b"more"]), None, scratch, LIMIT) == Outcome("image/png", PNG + b"more")


def test_a_generator_that_fails_leaves_nothing_behind(scratch: str) -> None:
    def parts() -> Iterator[bytes]:
        yield b"x" * 2000
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        encode(parts(), "text/plain", scratch, LIMIT)
    assert list(Path(scratch).iterdir()) == []
    assert (
        failure(iter([b"a", 5]), "text/plain") == "one of the parts that the model returned is int, not bytes or text"
    )


@pytest.mark.parametrize(
    "value", [{"status": "error"}, [1], 5, 0.5, True, {1}, object(), np.zeros(2), array.array("b", [1]), 1j]
)
def test_what_is_no_bytes_is_refused_under_another_type(value: Any) -> None:
    message = failure(value, "image/png")
    assert message.startswith("the model returned ")
    assert message.endswith(" where image/png was asked for")


def test_the_refusal_shows_what_was_returned() -> None:
    assert "dict {'message': 'no model'} where image/png" in failure({"message": "no model"}, "image/png")
    assert len(failure({"message": "x" * 5000}, "image/png")) < 300


# Large answers, names and types.


def test_a_large_answer_goes_to_a_file_of_its_own(tmp_path: Path, scratch: str) -> None:
    fixed = tmp_path / "output.mp4"
    fixed.write_bytes(os.urandom(LIMIT + 1))
    content_ = fixed.read_bytes()
    for value in (content_, io.BytesIO(content_), open(fixed, "rb"), fixed):
        encoded = encode(value, "video/mp4", scratch, LIMIT)
        assert encoded.path is not None
        assert encoded.path.startswith(scratch + "/")
        assert (whole(encoded), encoded.body) == (content_, b"")
    fixed.write_bytes(b"overwritten")
    assert whole(encoded) == content_
    assert encode(content_[:LIMIT], "video/mp4", scratch, LIMIT).path is None
    assert json.loads(whole(encode(["x"] * LIMIT, None, scratch, LIMIT))) == ["x"] * LIMIT
    assert os.stat(scratch).st_mode & 0o777 == 0o700


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_told_as_such(scratch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**options: Any) -> tuple[int, str]:
        path = Path(options["dir"], "answer")
        path.touch()
        return os.open("/dev/full", os.O_WRONLY), str(path)

    monkeypatch.setattr(tempfile, "mkstemp", full)
    with pytest.raises(StorageFull):
        encode(b"x" * 5000, "text/plain", scratch, LIMIT)
    assert list(Path(scratch).iterdir()) == []


@pytest.mark.parametrize(
    ("value", "accept", "sent"),
    [
        (PNG, "image/*", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/*", "image/jpeg"),
        (b"RIFF1234WEBPVP8 ", "image/*", "image/webp"),
        (b"%PDF-1.4", "image/*", "application/octet-stream"),
        (b"what is this", "image/*", "application/octet-stream"),
        (b"%PDF-1.4", None, "application/pdf"),
        (b"\0\0\0\x18ftypmp42", None, "video/mp4"),
        (b"RIFF1234WAVEfmt ", None, "audio/wav"),
        (b"", None, "application/octet-stream"),
        (b"no idea", "image/png", "image/png"),
    ],
)
def test_the_type_is_the_one_asked_for_or_what_the_bytes_are(value: bytes, accept: str | None, sent: str) -> None:
    assert encode(value, accept, "", LIMIT).media_type == sent


def test_the_type_of_a_named_file_is_by_its_name(tmp_path: Path, scratch: str) -> None:
    (tmp_path / "table.csv").write_text("a,b\n" * 1000)
    assert encode(open(tmp_path / "table.csv"), None, scratch, LIMIT).media_type == "text/csv"
    (tmp_path / "large").write_bytes(PNG + bytes(5000))
    assert encode(tmp_path / "large", "image/*", scratch, LIMIT).media_type == "image/png"


@pytest.mark.parametrize("accept", ["text/plain\r\nX: y", "text", "", 'text/plain; a="b\nc"', "a/b c", "text/plain\n"])
def test_what_is_no_media_type_goes_into_no_header(accept: str) -> None:
    assert "is not a media type" in failure("x", accept)


def test_parameters_of_a_media_type_are_kept() -> None:
    assert (
        encode("x", 'text/plain; charset=utf-8; a="b c"', "", LIMIT).media_type == 'text/plain; charset=utf-8; a="b c"'
    )


@pytest.mark.parametrize(
    ("name", "kept"), [("/a/b.png", "b.png"), ("c\\d\r\n.png", "d.png"), (5, None), (b"x", "x"), ("/", None)]
)
def test_only_the_last_part_of_a_files_name_is_told(name: Any, kept: str | None) -> None:
    assert content.basename(name) == kept


def test_a_mapping_of_its_own_kind_is_an_object() -> None:
    class Lazy(Mapping[str, int]):
        def __getitem__(self, key: str) -> int:
            return 1

        def __iter__(self) -> Iterator[str]:
            return iter(["a"])

        def __len__(self) -> int:
            return 1

    assert as_json(Lazy()) == {"a": 1}


# What the model calls JSON


@pytest.mark.parametrize("size", [0, 2 * LIMIT], ids=["inline", "large"])
@pytest.mark.parametrize(
    ("text", "is_json"),
    [
        (b'{"a": [1, 2.5, null, true, "\xc3\xa9"]}', True),
        (b"[" + b"9" * 5000 + b"]", True),
        (b'{"bad', False),
        (b'{"a": 1}}, "status": "OK"', False),
        (b'{"a": 1}\n{"a": 2}', False),
        (b"[NaN]", False),
        (b'"\xe9"', False),
        (b'\xef\xbb\xbf{"a": 1}', False),
        (b"[" * 200_000 + b"]" * 200_000, False),
    ],
    ids=["valid", "long number", "cut", "breaks out", "lines", "NaN", "latin-1", "byte-order mark", "deep"],
)
def test_a_file_is_json_only_if_it_holds_json(
    scratch: str, tmp_path: Path, text: bytes, is_json: bool, size: int
) -> None:
    file = tmp_path / "answer.json"
    file.write_bytes(b" " * size + text)
    encoded = encode(open(file, "rb"), None, scratch, LIMIT)
    assert encoded.media_type == ("application/json" if is_json else "application/octet-stream")
    assert whole(encoded) == b" " * size + text


def test_what_is_asked_for_as_json_of_a_kind_is_json(scratch: str) -> None:
    assert encode(b"{}", "application/geo+json", scratch, LIMIT).body == b"{}"
    told = "the model returned what is not JSON where application/geo+json was asked for"
    assert failure(b"{", "application/geo+json", scratch) == told
