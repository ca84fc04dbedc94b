"""`modelport payload`: the JSON body of a call, made without a server."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport.commands.model.payload import typed
from tests.cli.conftest import MODELPORT, Cli

# One process costs half a second here.
pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.3", 0.3),
        ("-0.3", -0.3),
        ("7", 7),
        ("1e3", 1000.0),
        ("true", True),
        ("True", True),
        ("false", False),
        ("False", False),
        ("null", None),
        ("None", None),
        ("[1, 2.5]", [1, 2.5]),
        ('{"a": 0}', {"a": 0}),
        (" 5 ", 5),
        ("", ""),
        ("007", "007"),
        ("1_000", "1_000"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("1e999", "1e999"),
        ("[NaN]", "[NaN]"),
        ("yes", "yes"),
        ('"5"', '"5"'),
        ("{'a': 0}", "{'a': 0}"),
        ("[" * 100_000, "[" * 100_000),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_a_value_is_what_it_looks_like(text: str, value: Any) -> None:
    found = typed(text)
    assert (found, type(found)) == (value, type(value))


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False), st.lists)
)
def test_what_is_no_text_survives(value: Any) -> None:
    assert typed(json.dumps(value)) == value


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    json.dumps(typed(text), allow_nan=False)


def test_values_files_and_text_make_one_body(cli: Cli) -> None:
    picture = os.urandom(100_000)
    (cli.folder / "bear.jpg").write_bytes(picture)
    done = cli("payload", "--files", "bear.jpg", "--confidence", "-0.3", "--text", "code=007", "--flag", "--n=5")
    assert (done.status, done.err) == (0, "")
    assert done.out.endswith(b"}\n")
    assert done.json() == {
        "confidence": -0.3,
        "flag": True,
        "n": 5,
        "code": "007",
        "oscar-files": [{"key": "files", "file_format": "jpg", "data": base64.b64encode(picture).decode()}],
    }


def test_repeated_arguments_are_lists_and_repeated_files_are_files(cli: Cli) -> None:
    for name in ("a.tar.gz", "b"):
        (cli.folder / name).write_text(name)
    done = cli("payload", "--x", "1", "--files", "a.tar.gz", "--x", "two", "--file", "files=b", "--file", "more=b")
    entries = [(each["key"], each["file_format"], each["data"]) for each in done.json().pop("oscar-files")]
    assert done.json()["x"] == [1, "two"]
    assert entries == [("files", "gz", "YS50YXIuZ3o="), ("files", "bin", "Yg=="), ("more", "bin", "Yg==")]


def test_text_that_looks_like_something_else_can_be_forced(cli: Cli) -> None:
    (cli.folder / "bear.jpg").write_text("x")
    done = cli(
        "payload", "--text", "a=true", "--text", "b=bear.jpg", "--text", "c=x=y", "--text", "d=", "--", "--text", "e"
    )
    assert done.json() == {"a": "true", "b": "bear.jpg", "c": "x=y", "d": "", "text": "e"}


def test_a_number_is_a_number_even_where_a_file_is_called_so(cli: Cli) -> None:
    (cli.folder / "5").write_text("x")
    assert cli("payload", "--n", "5").json() == {"n": 5}
    assert cli("payload", "--file", "n=5").json()["oscar-files"][0]["data"] == "eA=="


def test_nothing_makes_an_empty_object_and_help_a_call_for_help(cli: Cli) -> None:
    assert cli("payload").json() == {}
    assert cli("payload", "--text", "help=").json() == {"help": ""}


def test_a_path_that_is_not_there_is_doubted_but_a_sentence_is_not(cli: Cli) -> None:
    done = cli("payload", "--files", "bare.jpg", "--say", "Hello. I am here.", "--url", "http://x.org/a.png")
    assert done.json()["files"] == "bare.jpg"
    assert done.err == "note: --files: there is no file bare.jpg; it is sent as text\n"


def test_other_characters_are_json_and_bytes_that_are_no_text_are_refused(cli: Cli) -> None:
    for more, status in ((b"x", 0), (b"\xff", 2)):
        done = subprocess.run(
            [MODELPORT.encode(), b"payload", b"--a", "é☃".encode(), b"--b", more],
            env={**cli.environ, "PYTHONUTF8": "1"},
            capture_output=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
        assert done.stdout.decode() == ('{"a": "é☃", "b": "x"}\n' if status == 0 else "")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["stray"], "unexpected 'stray': arguments are given as --name value"),
        (["-x", "1"], "unexpected '-x'"),
        (["--=1"], "'--=1' has no name"),
        (["--text", "x"], "--text is 'x'; give KEY=TEXT"),
        (["--file", "=x"], "--file is '=x'; give KEY=PATH"),
        (["--file", "x=absent"], "--file: there is no file absent"),
        (["--file", "x=."], "--file: . is a folder, not a file"),
        (["--oscar-files", "[]"], "--oscar-files is made here"),
        (["--text", "oscar-files=x"], "oscar-files is the body's own name"),
        (["--x", "1", "--file", "x=here.txt"], "--x is given files and other values"),
        (["--text"], "requires an argument"),
    ],
)
def test_what_cannot_be_meant_is_refused(cli: Cli, arguments: list[str], reason: str) -> None:
    (cli.folder / "here.txt").write_text("x")
    done = cli("payload", *arguments)
    assert (done.status, done.out) == (2, b"")
    assert reason in done.err


def test_a_file_is_written_whole_or_not_at_all(cli: Cli) -> None:
    (cli.folder / "bear.jpg").write_text("x")
    assert cli("payload", "--files", "bear.jpg", "-o", "input.json").out == b""
    assert json.loads((cli.folder / "input.json").read_text())["oscar-files"][0]["key"] == "files"
    done = cli("payload", "--file", "x=/proc/self/mem", "-o", "other.json")
    assert done.status == 1
    assert done.err.startswith("error: ")
    assert sorted(path.name for path in cli.folder.iterdir()) == ["bear.jpg", "input.json"]


def test_a_large_file_does_not_need_memory(cli: Cli, tmp_path: Path) -> None:
    """256 MiB, sparse: as well four times as much."""
    big = tmp_path / "big.bin"
    with big.open("wb") as file:
        file.truncate(256 << 20)
        file.seek(0)
        file.write(b"start")
    script = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)"
    )
    command = [sys.executable, "-c", script, MODELPORT, "payload", "--files", str(big)]
    done = subprocess.run(command, env=cli.environ, capture_output=True, check=True, text=True)
    assert int(done.stdout) < 64
