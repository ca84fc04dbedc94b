"""What a model has written, as a terminal may be given it."""

from __future__ import annotations

import json

import pytest

from modelport.contract.visible import VisibleStream, visible, visible_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, naïve, 日本語, 🙂", "plain text, naïve, 日本語, 🙂"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x1b[2J\x1b[1;1H", r"\x1b[2J\x1b[1;1H"),
        ("\x1b[31mred\x1b[0m and \x1b[1;38:2:1:2:3mmore\x1b[m", "red and more"),
        ("a\rb", r"a\rb"),
        ("\0\b\v\f\x7f", r"\x00\x08\x0b\x0c\x7f"),
        ("\x9b2J\x85", r"\x9b2J\x85"),
        ("user\u202eexe.txt\u2066", r"user\u202eexe.txt\u2066"),
    ],
)
def test_control_characters_are_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_no_control_character_is_left_but_line_ends_and_tabs() -> None:
    every = "".join(map(chr, range(0x300)))
    assert {each for each in visible(every) if not each.isprintable()} - {"\xa0", "\xad"} == {"\n", "\t"}


def test_a_progress_bar_stays_one() -> None:
    assert visible("\r 10%|\x1b[A", returns=True) == "\r 10%|"


def test_json_means_the_same_as_before() -> None:
    value = {"\x9b": ["\x7f\u202e", "\x1b"]}
    text = visible_json(json.dumps(value, ensure_ascii=False))
    assert text.isprintable() and json.loads(text) == value


def test_a_stream_may_be_cut_anywhere() -> None:
    whole = "naïve 日本 \x1b]0;x\x07 \r".encode() + b"\xff\xc3"
    expected = "naïve 日本 \\x1b]0;x\\x07 \r\\xff\\xc3"
    for size in range(1, len(whole)):
        stream = VisibleStream()
        parts = [stream(whole[at : at + size]) for at in range(0, len(whole), size)]
        assert "".join(parts) + stream(b"", last=True) == expected
