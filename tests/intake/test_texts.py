"""Charsets, file names, Accept, kinds of files and amounts: one parser each."""

from __future__ import annotations

import random
import unicodedata

import pytest

from modelport.contract.magic import MAGIC, kind_of
from modelport.deployments.quantity import amount, memory_bytes, quantity
from modelport.errors import InvalidRequest
from modelport.intake.accept import matches, ranges
from modelport.intake.texts import codec, ending, file_name, long_ending


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("x.png", "x.png"),
        ("../../x.png", "x.png"),
        ("C:\\a\\x.png", "x.png"),
        ("a/b\\..", "file"),
        ("..", "file"),
        (".", "file"),
        ("a/", "file"),
        ("", "file"),
        ("\0", "file"),
        ("a\0b\r\nc\x7f.png", "abc.png"),
        ("a\ud800b.png", "ab.png"),
        ("é ☃.png", "é ☃.png"),
        (".bashrc", ".bashrc"),
        ("...", "..."),
        (" a.png ", "a.png"),
    ],
)
def test_a_file_name_is_the_last_part_and_nothing_that_harms(sent: str, name: str) -> None:
    assert file_name(sent) == name


def test_no_file_name_leaves_its_folder() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    for _ in range(3000):
        name = file_name("".join(draw.choice("./\\ab\0\n\ud800é\u202e ") for _ in range(draw.randrange(12))))
        assert name not in ("", ".", "..")
        assert not set(name) & set("/\\\0\n")
        assert not any(unicodedata.category(char) in ("Cc", "Cs") for char in name)


@pytest.mark.parametrize(
    ("name", "whole", "long"),
    [
        ("a.png", ".png", ""),
        ("scan.nii.gz", ".nii.gz", ".nii.gz"),
        ("A.TAR.GZ", ".TAR.GZ", ".TAR.GZ"),
        ("cells.ome.tif", ".ome.tif", ".ome.tif"),
        ("cells.ome.tiff", ".ome.tiff", ".ome.tiff"),
        ("version1.2.gz", ".gz", ""),
        ("none", "", ""),
        ("a.b c", "", ""),
        ("a.é", "", ""),
        ("a.", "", ""),
    ],
)
def test_known_endings_of_several_parts_are_one(name: str, whole: str, long: str) -> None:
    assert (ending(name), long_ending(name)) == (whole, long)


@pytest.mark.parametrize("charset", [None, "utf-8", "UTF8", "utf_8", "ISO-8859-1", "us-ascii", "windows-1252"])
def test_charsets_that_are_read(charset: str | None) -> None:
    assert b"a".decode(codec(charset)) == "a"


@pytest.mark.parametrize("charset", ["utf-16", "utf-7", "zlib", "rot13", "idna", "punycode", "\0", "", "x" * 9999, "ü"])
def test_charsets_that_are_not(charset: str) -> None:
    if charset == "":
        assert codec(charset) == "utf-8"
        return
    with pytest.raises(InvalidRequest, match="is not supported; send UTF-8") as caught:
        codec(charset)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", []),
        ("a/b", ["a/b"]),
        ("A/B;Q=0.5, c/d", ["c/d", "a/b"]),
        ("a/b;q=0, c/d;q=0.0", []),
        ("a/b;q=broken, c/d;q=0.9", ["a/b", "c/d"]),
        ("a/b;q=nan, c/d;q=inf, e/f;q=-1", ["a/b", "c/d", "e/f"]),
        ("a/b;q=5, c/d;q=1", ["a/b", "c/d"]),
        ("*/*, a/b", ["a/b", "*/*"]),
        ("a/b;x=y;q=0.1, c/*;q=.2", ["c/*", "a/b"]),
        (",,;q=1, ,", []),
    ],
)
def test_accept_is_read_in_one_way(header: str, found: list[str]) -> None:
    assert list(ranges(header)) == found


def test_of_equal_weight_those_named_go_first() -> None:
    assert ranges("application/json, text/plain, */*", first=("text/plain",)) == (
        "text/plain",
        "application/json",
        "*/*",
    )


def test_a_media_type_matches_a_range_on_either_side() -> None:
    assert matches("image/png", "image/*")
    assert matches("image/*", "image/png")
    assert matches("text/plain; charset=utf-8", "text/plain")
    assert matches("a/b", "*/*")
    assert not matches("image/png", "imag/*")
    assert not matches("a/b", "a/c")


@pytest.mark.parametrize("row", MAGIC, ids=lambda row: row[3])
def test_a_file_is_known_by_how_it_begins(row: tuple[int, bytes, str, str]) -> None:
    place, magic, media_type, suffix = row
    assert kind_of(b"\1" * place + magic + b"...") == (media_type, suffix)


def test_an_unknown_beginning_says_nothing() -> None:
    assert kind_of(b"") is None
    assert kind_of(b"RIFF1234ABCD") is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("512Mi", 512 << 20),
        ("1.5 GiB", 1.5 * (1 << 30)),
        ("2g", 2e9),
        ("500M", 5e8),
        ("500m", 5e8),
        ("1e3", 1000),
        ("2E", 2e18),
        ("1EB", 1e18),
        (".5k", 500),
        ("7", 7),
    ],
)
def test_amounts_are_read_in_one_way(text: str, number: float) -> None:
    assert amount(text) == number


def test_thousandths_are_those_of_processors() -> None:
    assert (quantity("500m"), quantity("0.5"), quantity("2")) == (0.5, 0.5, 2)


@pytest.mark.parametrize(
    "value", ["", "much", "1Mo", "-1", "1e9999", "NaN", "0x10", "١", "1" * 20, True, None, 1.5, "i"]
)
def test_what_is_not_an_amount_of_memory(value: object) -> None:
    with pytest.raises(ValueError, match="is not an amount of memory"):
        memory_bytes(value)
