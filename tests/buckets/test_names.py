"""Names of buckets, and of the outputs of inputs."""

from __future__ import annotations

import itertools
import re
import sqlite3
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport.objectstore.keys import COMPONENT_BYTES, KEY_BYTES
from modelport.objectstore.names import (
    ENDING_BYTES,
    INPUTS,
    bucket_names,
    is_arguments,
    is_input,
    output,
    stems,
)
from modelport.objectstore.tree import Tree
from modelport.store.objects import ArrivalRow, note_arrival
from modelport.store.schema import MIGRATIONS

# What a key is made of, with much that is equal, and that is in each other's way.
PIECES = st.sampled_from(
    ["a", "b", ".", "/", "json", "png", " ", "é", "e\u0301", "日", "\u200b", "..", "log", "%20", "#"]
)
SHORT_KEYS = st.lists(PIECES, min_size=1, max_size=8).map("".join)
LONG_KEYS = st.tuples(st.sampled_from(["a", "é", "日", "a/", "日/"]), st.integers(1, 1017), SHORT_KEYS).map(
    lambda each: (each[0] * each[1]).encode()[: each[1]].decode(errors="ignore") + each[2]
)
ANY_KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=100)
KEYS = (
    st.one_of(SHORT_KEYS, LONG_KEYS, ANY_KEYS)
    .map(lambda name: INPUTS + name)
    .filter(lambda key: is_input(key) and len(key.encode()) <= KEY_BYTES)
)


@pytest.fixture(scope="module")
def tables() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for migration in MIGRATIONS:
        migration(connection)
    yield connection
    connection.close()


def take(tables: sqlite3.Connection, keys: list[str]) -> dict[str, str]:
    """The stem that each gets, in this order."""
    tables.execute("DELETE FROM arrivals")
    return {key: note_arrival(tables, ArrivalRow("b", key), stems(key)).stem for key in keys}


@pytest.mark.parametrize(
    ("key", "stem"),
    [
        ("inputs/x.json", "x"),
        ("inputs/a.b.json", "a.b"),
        ("inputs/archive.tar.gz", "archive.tar"),
        ("inputs/noext", "noext"),
        ("inputs/a b/Bär 1.JPG", "a b/Bär 1"),
        ("inputs/.hidden", ".hidden"),
        ("inputs/.hidden.json", ".hidden"),
        ("inputs/v1.2/x.wav", "v1.2/x"),
        ("inputs/Dr. Smith", "Dr. Smith"),
        ("inputs/ends.", "ends."),
        ("inputs/%20+#?.png", "%20+#?"),
    ],
)
def test_an_output_is_called_as_its_input_without_the_extension(key: str, stem: str) -> None:
    assert next(stems(key)) == stem


def test_who_comes_first_keeps_the_stem_and_keeps_it_again(tables: sqlite3.Connection) -> None:
    keys = ["inputs/a.json", "inputs/a.png", "inputs/a", "inputs/a.png.json", "inputs/a.png.json.gz"]
    found = take(tables, keys)
    assert found["inputs/a.json"] == "a"
    assert found["inputs/a.png"] == "a.png"
    assert found["inputs/a.png.json"] == "a.png.json"
    assert re.fullmatch(r"a-[0-9a-f]{16}", found["inputs/a"])
    assert {key: note_arrival(tables, ArrivalRow("b", key), stems(key)).stem for key in reversed(keys)} == found


def test_composed_and_decomposed_letters_are_two_keys(tables: sqlite3.Connection) -> None:
    names = [unicodedata.normalize(form, "inputs/é.png") for form in ("NFC", "NFD")]
    assert [take(tables, names)[name] for name in names] == [name[7:-4] for name in names]


def test_no_folder_of_outputs_is_called_as_an_output_is(tables: sqlite3.Connection) -> None:
    """On a file system one of them could not be there."""
    for keys in itertools.permutations(["inputs/a.txt", "inputs/a.json/b.png", "inputs/a.log/b.png"]):
        found = take(tables, list(keys))
        files = {output(stem, ending) for stem in found.values() for ending in (".json", ".log")}
        folders = {file.rpartition("/")[0] for file in files}
        assert not files & folders, (keys, found)


@given(st.lists(KEYS, unique=True, max_size=8))
def test_no_two_inputs_share_an_output(tables: sqlite3.Connection, keys: list[str]) -> None:
    endings = (".json", ".log", ".png")
    found = [output(stem, ending) for stem in take(tables, keys).values() for ending in endings]
    assert len(set(found)) == len(found)
    for each in found:
        parts = each.split("/")
        assert len(each.encode()) <= KEY_BYTES
        assert all(0 < len(part.encode()) <= COMPONENT_BYTES and part not in (".", "..") for part in parts)
        assert not any(ord(letter) < 32 or ord(letter) == 127 for letter in each)


@given(KEYS)
def test_a_name_that_fits_is_left_alone(key: str) -> None:
    name = key.removeprefix(INPUTS)
    plain = all(part not in ("", ".", "..") and len(part.encode()) < 230 for part in name.split("/"))
    if plain and len(key.encode()) < KEY_BYTES - ENDING_BYTES - 1 and not re.search(r"[\x00-\x1f\x7f]", key):
        stem = next(stems(key))
        assert name == stem or re.fullmatch(re.escape(stem) + r"\.[A-Za-z0-9]{1,16}", name)


def test_what_is_an_input_and_what_are_arguments() -> None:
    assert is_input("inputs/a")
    assert not any(is_input(each) for each in ("inputs/", "inputs/a/", "outputs/a", "a", "Inputs/a", "inputsa"))
    assert is_arguments("inputs/a.json") and is_arguments("inputs/A.JSON")
    assert not any(is_arguments(each) for each in ("inputs/json", "inputs/a.jsonl", "inputs/a.json.gz"))


@pytest.mark.parametrize(
    ("deployment", "prefix", "name"),
    [
        ("digits", "", "digits"),
        ("my_model", "", "my-model"),
        ("My.Model v2", "", "my-model-v2"),
        ("x", "", "x-bucket"),
        ("___", "", "model"),
        ("digits", "modelport-", "modelport-digits"),
        ("d" * 80, "", "d" * 63),
    ],
)
def test_a_bucket_is_called_as_its_deployment_as_far_as_that_can_be(deployment: str, prefix: str, name: str) -> None:
    assert next(bucket_names(deployment, prefix)) == name


@given(st.text(max_size=100), st.text(max_size=70))
def test_names_of_buckets_are_names_of_buckets(deployment: str, prefix: str) -> None:
    names = list(itertools.islice(bucket_names(deployment, prefix), 20))
    assert len(set(names)) == 20
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", name) for name in names)


async def test_links_in_the_embedded_store_are_no_objects(tmp_path: Path) -> None:
    inputs, elsewhere = tmp_path / "bucket" / "inputs", tmp_path / "elsewhere"
    for each in (inputs / "folder", elsewhere):
        each.mkdir(parents=True)
    for each in (inputs / "a", inputs / "folder" / "b", elsewhere / "secret"):
        each.write_text("x")
    (inputs / "link").symlink_to(elsewhere / "secret")
    (inputs / "links").symlink_to(elsewhere)
    (inputs / "folder" / "loop").symlink_to(inputs)
    tree = Tree(tmp_path)
    pages = [page async for page in tree.pages_unread("bucket", "inputs/")]
    await tree.close()
    assert [each.key for page in pages for each in page] == ["inputs/a", "inputs/folder/b"]
