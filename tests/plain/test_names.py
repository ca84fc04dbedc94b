"""What a downloaded answer is called."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport.http.names import answer_name, disposition


@pytest.mark.parametrize(
    ("given", "media_type", "name"),
    [
        (None, "application/pdf", "result.pdf"),
        ("", "image/jpeg", "result.jpg"),
        (None, "text/plain; charset=utf-8", "result.txt"),
        (None, "AUDIO/WAV", "result.wav"),
        (None, "application/zip", "result.zip"),
        (None, "application/octet-stream", "result.bin"),
        (None, "x/unheard-of", "result"),
        ("report.pdf", "application/pdf", "report.pdf"),
        ("tmpab12_xyz.pdf", "application/pdf", "result.pdf"),
        ("answer-ab12xyz_", "application/pdf", "result.pdf"),
        (".hidden", "text/plain", "hidden"),
        ("..", "text/plain", "result.txt"),
        ("../../etc/passwd", "text/plain", "_.._etc_passwd"),
        ("a\r\nSet-Cookie: x", "text/plain", "a__Set-Cookie_ x"),
        ("x" * 300 + ".tar.gz", "application/gzip", "x" * 117 + ".gz"),
    ],
)
def test_the_plugins_name_where_it_is_safe(given: str | None, media_type: str, name: str) -> None:
    assert answer_name(given, media_type) == name


@given(st.text())
def test_any_name_makes_one_header_line(text: str) -> None:
    name = answer_name(text, "text/plain")
    assert 0 < len(name) <= 120
    assert "/" not in name
    assert re.fullmatch(r"inline; filename=\"[ -~]*\"(; filename\*=UTF-8''[ -~]*)?", disposition(name))
    assert '"' not in disposition(name)[18:].partition('"')[0]
