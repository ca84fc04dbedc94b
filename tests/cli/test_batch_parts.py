"""What `modelport batch` is made of and needs no server: inputs, names, the list of results."""

from __future__ import annotations

import io
import os
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport.commands.batching.batch_inputs import Input, expand
from modelport.commands.batching.batch_results import COMPONENT_BYTES, NAME, Result, Results, Stems, ending
from tests.forked import completed
from tests.house import PATIENCE_S


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def names(found: list[Input]) -> list[str]:
    assert all(os.path.isabs(each.path) and os.path.isfile(each.path) for each in found)
    return [each.name for each in found]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "photos/a bear.png", "photos/deep/er/ü.png", "photos/.hidden/x.png", "photos/.x.png", "other/1.jpg")
    return tmp_path


INPUTS = [
    (["photos/a bear.png"], ["a bear.png"]),
    (["photos"], ["a bear.png", "deep/er/ü.png"]),
    (["photos/", "photos"], ["a bear.png", "deep/er/ü.png"]),
    (["photos", "other"], ["photos/a bear.png", "photos/deep/er/ü.png", "other/1.jpg"]),
    (["photos/*.png"], ["a bear.png"]),
    (["photos/* b*.png"], ["a bear.png"]),
    (["**/*.png"], ["a bear.png", "deep/er/ü.png"]),
    (["photos/.x.png"], [".x.png"]),
    (["photos/deep/er/ü.png", "photos/a bear.png"], ["deep/er/ü.png", "a bear.png"]),
    (["./photos/../photos/a bear.png", "photos"], ["a bear.png", "deep/er/ü.png"]),
]


@pytest.mark.parametrize(("given_names", "expected"), INPUTS, ids=lambda each: " ".join(each))
def test_files_folders_and_patterns_are_inputs(here: Path, given_names: list[str], expected: list[str]) -> None:
    assert names(expand(given_names, [], "results")) == expected


def test_names_may_stand_in_a_list_or_come_by_stdin(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "list").write_bytes("photos/a bear.png\r\n\nphotos/deep/er/ü.png\n".encode())
    expected = ["photos/a bear.png", "photos/deep/er/ü.png", "other/1.jpg"]
    assert names(expand(["other"], ["list"], "results")) == [expected[2], *expected[:2]]
    stdin = "photos/a bear.png\0photos/deep/er/ü.png\0other/1.jpg\0".encode()
    for given_names, lists in ((["-"], []), ([], ["-"])):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        assert names(expand(given_names, lists, "results")) == expected


def test_results_in_the_folder_of_inputs_are_no_inputs(here: Path) -> None:
    write(here, "photos/results/a bear.json", "photos/results/deep/x.log")
    for given_names in (["photos"], ["photos/**"], ["photos/results/../../photos"]):
        assert names(expand(given_names, [], "photos/results")) == ["a bear.png", "deep/er/ü.png"]
    assert names(expand(["photos/results/a bear.json"], [], "photos/results")) == ["a bear.json"]


def test_what_is_no_file_is_told(here: Path) -> None:
    os.mkfifo("pipe")
    (here / "empty").mkdir()
    for given_names, lists, text in (
        (["nothing.png", "nor this"], [], "there is no file nothing.png; there is no file nor this"),
        ([f"{number}.png" for number in range(8)], [], "4.png; and 3 more"),
        (["photos/*.jpg"], [], "nothing fits photos/*.jpg"),
        (["pipe"], [], "pipe is not a regular file"),
        ([], ["no list"], "--from: no list: No such file or directory"),
        (["empty"], [], "there is no file to send"),
    ):
        with pytest.raises(click.UsageError) as caught:
            expand(given_names, lists, "results")
        assert text in caught.value.message


# Names


def stems(*given_names: str) -> list[str]:
    found = Stems()
    return [found.give(name) for name in given_names]


def test_who_comes_first_keeps_a_stem() -> None:
    assert stems("bear.jpg", "bear.png", "bear", "x/bear.jpg") == ["bear", "bear.png", "bear-2", "x/bear"]
    assert stems("a.jpg", "a.b.c", "a.b", "a.b") == ["a", "a.b", "a.b-2", "a.b-3"]
    assert stems(".hidden", "no ending", "a.tar.gz") == [".hidden", "no ending", "a.tar"]


def test_names_that_some_disks_cannot_tell_apart_count_as_the_same() -> None:
    assert stems("Bear.jpg", "bear.png") == ["Bear", "bear.png"]
    assert stems("bär.jpg", "ba\u0308r.png") == ["bär", "ba\u0308r.png"]


def test_a_long_name_is_cut_and_stays_its_own() -> None:
    long = ["ä" * 120 + ".jpg", "ä" * 120 + "b.jpg", "ä" * 120 + ".png"]
    found = stems(*[f"x/{each}" for each in long])
    assert len(set(found)) == 3
    for each in found:
        assert each.startswith("x/äää")
        assert len(os.fsencode(each[2:])) <= COMPONENT_BYTES


@given(
    st.lists(st.lists(st.text("aA.ä/", min_size=1, max_size=5), min_size=1, max_size=3), max_size=20, unique_by=tuple)
)
def test_no_two_inputs_have_results_of_the_same_name(parts: list[list[str]]) -> None:
    given_names = {os.path.normpath("/".join(part)).strip("/") for part in parts} - {"", ".", ".."}
    found = stems(*sorted(name for name in given_names if ".." not in name.split("/")))
    results = [f"{each}.{end}".casefold() for each in found for end in ("json", "log", "png")]
    assert len(set(results)) == len(results)


@pytest.mark.parametrize(
    ("media_type", "filename", "expected"),
    [
        ("application/json", "", "json"),
        ("application/geo+json; charset=utf-8", "x.txt", "json"),
        ("image/png", "", "png"),
        ("image/png", "boxes.apng", "apng"),
        ("image/jpeg", "", "jpg"),
        ("text/plain", "", "txt"),
        ("text/plain", "the.log", "txt"),
        ("application/zip", "a.tar.gz", "gz"),
        ("application/x-nobody-knows", "", "bin"),
        ("application/octet-stream", "../../x.p\nng", "bin"),
    ],
)
def test_a_result_has_the_ending_of_what_it_is(media_type: str, filename: str, expected: str) -> None:
    assert ending(media_type, filename) == expected


# What is kept of results


def test_what_was_noted_is_known_to_the_next_command(tmp_path: Path) -> None:
    path = "/x/b\udce4r.jpg"
    with Results(tmp_path / "deep" / "results") as results:
        batch, made = results.batch, replace(results.of(path, "b\udce4r.jpg"), stamp="1", answer="b\udce4r.json")
        results.note(path, made)
        results.of("/x/other.jpg", "other.jpg")
    with Results(tmp_path / "deep" / "results") as again:
        assert again.batch == batch
        assert again.of(path, "") == made == Result("b\udce4r", "1", "b\udce4r.json")
        assert again.of("/y/b\udce4r.png", "b\udce4r.png").stem == "b\udce4r.png"


def test_a_line_that_was_cut_off_costs_only_itself(tmp_path: Path) -> None:
    with Results(tmp_path) as results:
        for name in ("a", "b", "c"):
            results.note(f"/{name}", Result(name, "1"))
    file = tmp_path / NAME
    whole = file.read_bytes()
    for end in range(len(whole) + 1):
        file.write_bytes(whole[:end])
        with Results(tmp_path) as cut:
            assert cut.batch == results.batch or end <= len(whole.splitlines()[1]) + 1
            missing = [name for name in ("a", "b", "c") if not cut.of(f"/{name}", name).stamp]
            assert len(missing) <= 3 - whole[:end].count(b"}") + 1
            for name in missing:
                cut.note(f"/{name}", Result(name, "2"))
        with Results(tmp_path) as again:
            assert all(again.of(f"/{name}", name).stamp for name in ("a", "b", "c"))


def test_a_folder_is_one_commands_at_a_time(tmp_path: Path) -> None:
    with Results(tmp_path), pytest.raises(click.UsageError, match="another `modelport batch` writes to"):
        Results(tmp_path)
    Results(tmp_path).__exit__()


def test_a_batch_begun_anew_keeps_its_names(tmp_path: Path) -> None:
    with Results(tmp_path) as first:
        first.note("/a.jpg", replace(first.of("/a.jpg", "a.jpg"), stamp="1", answer="a.json"))
    with Results(tmp_path, again=True) as anew:
        assert anew.batch != first.batch
    with Results(tmp_path) as again:
        assert again.batch == anew.batch
        assert again.of("/a.jpg", "a.jpg") == Result("a", "", "a.json")


@pytest.mark.slow
def test_10_000_inputs_take_a_few_megabytes(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(10_000):
        (folder / f"{number:05}.txt").touch()
    tracemalloc.start()
    try:
        found = expand([str(folder)], [], str(tmp_path / "out"))
        with Results(tmp_path / "out") as results:
            for each in found:
                results.note(each.path, replace(results.of(each.path, each.name), stamp="s" * 30, answer="x.json"))
        assert len(found) == 10_000
        assert tracemalloc.get_traced_memory()[0] < 20 << 20
    finally:
        tracemalloc.stop()


# Of a write that would make the file larger, a part is taken; only the next one raises.
FULL = """
import pathlib, resource, sys
from modelport.commands.batching.batch_results import Results
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
Results(pathlib.Path(sys.argv[1]))
"""


def test_a_row_that_finds_no_room_is_said(tmp_path: Path) -> None:
    ended = completed([sys.executable, "-c", FULL, str(tmp_path)], timeout_s=PATIENCE_S)
    assert (ended.returncode, b"File too large" in ended.stderr) == (1, True), ended.stderr
