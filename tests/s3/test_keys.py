"""Keys and the files that hold them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from modelport.objectstore import folders
from modelport.objectstore.keys import FOLDER_FILE, fault, shown, stored

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


KEPT = (
    *(
        "a",
        "inputs/a.json",
        "inputs/",
        "a b/c",
        "a. ",
        " a",
        "ü/日本/😀.png",
        "e\u0301",
        "p%2Fx",
        "back\\slash",
        "-",
        "~",
    ),
    *("x" * 255, "ü" * 127, "d/" * 503, ".hidden", "...", "a'\"&<>|*?:", "．．", "a／b"),
)
NOT_KEPT = (
    *(
        "",
        "/",
        "/a",
        "a//b",
        "a/../b",
        "..",
        "../a",
        "a/..",
        "./a",
        "a/.",
        "a//",
        "x" * 256,
        "ü" * 128,
        "d/" * 504,
        "x/" * 512 + "y",
    ),
    *("a\0b", "a\nb", "\x7f", "\u2401", "\u201b", "\ud800", "\uffff"),
    *(f"a/{FOLDER_FILE}", FOLDER_FILE, ".rclone_temp_put_x", "a/.rclone_temp_x/b"),
)


@pytest.mark.parametrize("key", KEPT)
def test_keys_that_can_be_kept(key: str) -> None:
    assert fault(key) == ""
    assert shown(stored(key)) == key


@pytest.mark.parametrize("key", NOT_KEPT)
def test_keys_that_cannot(key: str) -> None:
    assert fault(key)


@given(st.lists(TEXTS, min_size=1, max_size=5).map("/".join), st.booleans())
def test_a_key_that_can_be_kept_is_a_path_in_its_bucket(key: str, folder: bool) -> None:
    key = f"{key}/" if folder else key
    assume(not fault(key))
    path = Path("/buckets/digits", stored(key))
    assert path == Path(f"/buckets/digits/{stored(key)}").resolve(strict=False)
    assert str(path) == f"/buckets/digits/{stored(key)}"
    assert shown(stored(key)) == key


def test_a_bucket_is_made_with_its_folders_once(tmp_path: Path) -> None:
    assert folders.make_bucket(tmp_path, "digits")
    assert not folders.make_bucket(tmp_path, "digits")
    assert folders.is_file(tmp_path, f"digits/inputs/{FOLDER_FILE}")
    assert folders.made_at(tmp_path, "digits") > folders.made_at(tmp_path, "nobody's") == 0


def test_what_is_in_the_way_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "b/folder/below").mkdir(parents=True)
    (tmp_path / "b/folder/file").touch()
    (tmp_path / "b/empty/of/all").mkdir(parents=True)
    assert folders.in_the_way(tmp_path, "b/new/x") == ""
    assert folders.in_the_way(tmp_path, "b/folder/file") == ""
    assert folders.in_the_way(tmp_path, "b/folder/file/x") == "b/folder/file"
    assert folders.in_the_way(tmp_path, "b/folder/file/x/y") == "b/folder/file"
    assert folders.in_the_way(tmp_path, "b/folder") == "b/folder"
    assert folders.in_the_way(tmp_path, "b/empty") == ""
    assert not (tmp_path / "b/empty").exists()


def test_a_link_out_of_the_folder_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b/link").symlink_to(tmp_path / "elsewhere")
    assert folders.in_the_way(tmp_path, "b/link/x") == "b/link"
    assert not folders.is_file(tmp_path, "b/link")


def test_what_broken_uploads_left_is_removed_unless_it_is_new(tmp_path: Path) -> None:
    (tmp_path / "b/c").mkdir(parents=True)
    (tmp_path / "b/c/.rclone_temp_put_old").touch()
    (tmp_path / "b/kept").touch()
    before = folders.now_ns(tmp_path)
    while folders.now_ns(tmp_path) == before:  # the clock of files goes in steps of some milliseconds
        pass
    now = folders.now_ns(tmp_path)
    while folders.now_ns(tmp_path) == now:
        pass
    (tmp_path / "b/.rclone_temp_put_new").touch()
    assert folders.sweep(tmp_path, now) == 1
    assert sorted(each.name for each in tmp_path.rglob("*") if each.is_file()) == [
        ".rclone_temp_put_new",
        "kept",
        "now",
    ]
