"""Keys and the files that hold them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from modelport.objectstore import files
from modelport.objectstore.keys import FOLDER_FILE, TEMPORARY, fault, stored
from modelport.objectstore.walking import walk

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
    *("x" * 255, "ü" * 127, "d/" * 503, ".hidden", "...", "a'\"&<>|*?:", "．．", "a／b", "\u2401", "\u201b"),
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
    *("a\0b", "a\nb", "\x7f", "\ud800", "\uffff"),
    *(f"a/{FOLDER_FILE}", FOLDER_FILE, f"{TEMPORARY}x", f"a/{TEMPORARY}x/b"),
)


@pytest.mark.parametrize("key", KEPT)
def test_keys_that_can_be_kept(key: str) -> None:
    assert fault(key) == ""
    assert stored(key).removesuffix(FOLDER_FILE) == key


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
    assert stored(key).removesuffix(FOLDER_FILE) == key


def test_a_bucket_is_made_with_its_folders_once(tmp_path: Path) -> None:
    for _ in range(2):
        files.make_bucket(tmp_path, "digits", marked=True)
        assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
            f"digits/inputs/{FOLDER_FILE}",
            f"digits/outputs/{FOLDER_FILE}",
        ]
    assert files.made_at(tmp_path, "digits") > files.made_at(tmp_path, "nobody's") == 0


def test_what_is_in_the_way_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "b/folder/below").mkdir(parents=True)
    (tmp_path / "b/folder/file").touch()
    (tmp_path / "b/empty/of/all").mkdir(parents=True)
    assert files.in_the_way(tmp_path, "b/new/x") == ""
    assert files.in_the_way(tmp_path, "b/folder/file") == ""
    assert files.in_the_way(tmp_path, "b/folder/file/x") == "b/folder/file"
    assert files.in_the_way(tmp_path, "b/folder/file/x/y") == "b/folder/file"
    assert files.in_the_way(tmp_path, "b/folder") == "b/folder"
    assert files.in_the_way(tmp_path, "b/empty") == ""
    assert not (tmp_path / "b/empty").exists()


def test_a_link_out_of_the_folder_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/x").write_text("a secret")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "b/file").symlink_to(tmp_path / "elsewhere/x")
    (tmp_path / "c").symlink_to(tmp_path / "elsewhere")
    assert files.in_the_way(tmp_path, "b/link/x") == "b/link"
    for path in ("b/link/x", "b/file", "c/x"):
        with pytest.raises((NotADirectoryError, FileNotFoundError)):
            files.open_file(tmp_path, path)
    for path in ("b/link/y", "c/y"):
        with pytest.raises(NotADirectoryError):
            files.NewFile(tmp_path, path)
    for prefix in ("", "link/", "link/x", "../elsewhere/", "./"):
        assert list(walk(str(tmp_path / "b"), prefix)) == []
    assert os.listdir(tmp_path / "elsewhere") == ["x"]


def test_what_broken_uploads_left_is_removed_unless_it_is_new(tmp_path: Path) -> None:
    (tmp_path / "b/c").mkdir(parents=True)
    (tmp_path / f"b/c/{TEMPORARY}1234_old").touch()
    (tmp_path / "b/kept").touch()
    new = files.NewFile(tmp_path, "b/c/new")
    assert files.sweep(tmp_path) == 1
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == sorted([new._temporary, "kept"])
    new.discard()
    assert not (tmp_path / "b/c").exists()
