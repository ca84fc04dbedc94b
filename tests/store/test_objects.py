"""Buckets and arrivals in the store."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import replace

import pytest

from modelport.store.objects import (
    ArrivalRow,
    BucketRow,
    arrivals_between,
    clear_arrivals,
    count_waiting,
    delete_bucket,
    finish_arrival,
    forget_arrivals,
    forget_unfinished,
    get_arrival,
    get_arrivals,
    list_buckets,
    note_arrival,
    note_content,
    note_done,
    note_result,
    put_bucket,
)
from modelport.store.schema import MIGRATIONS

B = "bucket"
CONTENT = ArrivalRow(B, "inputs/a", "etag", 5, 1000, job_id="1")


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for migration in MIGRATIONS:
        migration(connection)
    yield connection
    connection.close()


def begin(connection: sqlite3.Connection, key: str, *stems: str) -> ArrivalRow:
    """An object that has come, and its job."""
    return note_arrival(connection, replace(CONTENT, key=key), stems)


def row(connection: sqlite3.Connection, key: str = "inputs/a") -> ArrivalRow:
    arrival = get_arrival(connection, B, key)
    assert arrival is not None
    return arrival


def test_a_bucket_is_kept_and_its_keys_change(connection: sqlite3.Connection) -> None:
    first = BucketRow("digits", "digits", "someone", "key", "secret")
    put_bucket(connection, first)
    [kept] = list_buckets(connection)
    assert replace(kept, created="") == first and kept.created.endswith("Z")
    put_bucket(connection, replace(kept, access_key="", secret_key=""))
    assert list_buckets(connection) == [replace(kept, access_key="", secret_key="")]
    assert "secret" not in repr(first)


def test_an_arrival_goes_its_way(connection: sqlite3.Connection) -> None:
    assert begin(connection, "inputs/a", "a") == replace(CONTENT, stem="a")
    assert row(connection) == replace(CONTENT, stem="a")
    assert count_waiting(connection, B) == 1
    note_result(connection, B, "inputs/a", ".png")
    finish_arrival(connection, replace(CONTENT, modified=1001))
    assert row(connection) == replace(CONTENT, stem="a", result=".png", modified=1001, done=True)
    assert count_waiting(connection, B) == 0
    note_content(connection, replace(CONTENT, etag="other"))
    assert row(connection).etag == "other"
    again = note_arrival(connection, replace(CONTENT, job_id="2"), ["never asked for"])
    assert row(connection) == again == replace(CONTENT, stem="a", result=".png", job_id="2")


def test_an_earlier_job_does_not_finish_a_later_one_s_object(connection: sqlite3.Connection) -> None:
    note_arrival(connection, replace(CONTENT, job_id="2"), ["a"])
    finish_arrival(connection, replace(CONTENT, job_id="1"))
    assert not row(connection).done
    finish_arrival(connection, replace(CONTENT, job_id="3"))
    assert row(connection).done and row(connection).job_id == "3"


def test_a_deleted_object_is_forgotten_when_its_job_has_ended(connection: sqlite3.Connection) -> None:
    begin(connection, "inputs/a", "a")
    forget_arrivals(connection, B, ["inputs/a", "inputs/never"])
    assert row(connection).gone
    assert begin(connection, "inputs/b", "a", "b").stem == "b"
    finish_arrival(connection, CONTENT)
    assert get_arrival(connection, B, "inputs/a") is None
    note_done(connection, replace(CONTENT, stem="a", done=True))
    forget_arrivals(connection, B, ["inputs/a"])
    assert get_arrival(connection, B, "inputs/a") is None


def test_a_stem_is_one_s_only(connection: sqlite3.Connection) -> None:
    assert begin(connection, "inputs/a", "a", "b").stem == "a"
    assert begin(connection, "inputs/b", "a", "b", "c").stem == "b"
    assert note_arrival(connection, ArrivalRow("other", "inputs/b"), ["a"]).stem == "a"
    assert not note_done(connection, ArrivalRow(B, "inputs/c", "e", stem="a", done=True))
    assert note_done(connection, ArrivalRow(B, "inputs/a", "e", stem="a", done=True))
    assert row(connection).etag == "e"


@pytest.mark.parametrize("first", ["a", "a.json/b", "a.json/b/c"])
def test_neither_is_a_stem_a_folder_of_another(connection: sqlite3.Connection, first: str) -> None:
    begin(connection, "inputs/1", first)
    for number, stem in enumerate(["a", "a.json/b", "a.log/d"]):
        free = begin(connection, f"inputs/{number + 2}", stem, f"free{number}").stem == stem
        assert free == (not (stem == first or "a" in (first, stem)))


def test_what_is_between_two_keys_comes_in_the_order_of_utf8(connection: sqlite3.Connection) -> None:
    keys = ["inputs/" + each for each in ("", " ", "a", "a.b", "a/b", "b", "z", "é", "日", "🦉")]
    for number, key in enumerate(keys):
        begin(connection, key, str(number))
    assert list(keys) == sorted(keys, key=str.encode)
    for first, last in itertools.combinations(range(len(keys)), 2):
        found = arrivals_between(connection, B, keys[first], keys[last])
        assert set(found) == set(keys[first + 1 : last + 1])
    assert set(arrivals_between(connection, B, "inputs/b", None)) == set(keys[6:])
    assert set(get_arrivals(connection, B, ["inputs/b", "inputs/nothing"])) == {"inputs/b"}


def test_what_has_not_ended_can_be_forgotten_and_all_can(connection: sqlite3.Connection) -> None:
    begin(connection, "inputs/a", "a")
    note_done(connection, ArrivalRow(B, "inputs/b", "e", stem="b", done=True))
    forget_unfinished(connection, B)
    assert set(arrivals_between(connection, B, "", None)) == {"inputs/b"}
    put_bucket(connection, BucketRow(B, "x"))
    note_arrival(connection, ArrivalRow("other", "inputs/b"), ["a"])
    delete_bucket(connection, B)
    assert not arrivals_between(connection, B, "", None) and not list_buckets(connection)
    clear_arrivals(connection)
    assert not arrivals_between(connection, "other", "", None)
