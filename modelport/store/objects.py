"""Buckets and what has arrived in them, as they are kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field, fields, replace
from datetime import UTC, datetime
from sqlite3 import Connection
from typing import Any


@dataclass(frozen=True)
class BucketRow:
    """A bucket and whose it is. access_key, secret_key: empty while its deployment is not there.

    created: UTC, as 2026-06-11T10:50:46Z; set by the store.
    """

    name: str
    deployment: str
    owner: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    created: str = ""


@dataclass(frozen=True)
class ArrivalRow:
    """What is known of an object under inputs/.

    etag, size_bytes: of the content that the job `job_id` has; etag empty: none has it. modified: seconds since 1970;
    0: not known.
    stem: its results are outputs/<stem>.…. result: the ending of one that there may be, such as ".png"; empty: .json.
    done: its job has ended, and the log is there. gone: the object has been deleted, and its job goes on.
    """

    bucket: str
    key: str
    etag: str = ""
    size_bytes: int = 0
    modified: int = 0
    stem: str = ""
    result: str = ""
    job_id: str = ""
    done: bool = False
    gone: bool = False


_BUCKET = ", ".join(field.name for field in fields(BucketRow))
_ARRIVAL = ", ".join(field.name for field in fields(ArrivalRow))


def list_buckets(connection: Connection, /) -> list[BucketRow]:
    """All, by name."""
    return [BucketRow(*row) for row in connection.execute(f"SELECT {_BUCKET} FROM buckets ORDER BY name")]


def put_bucket(connection: Connection, /, row: BucketRow) -> None:
    """A new one, or new keys of one that there is."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    connection.execute(
        f"INSERT INTO buckets ({_BUCKET}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name)"
        " DO UPDATE SET access_key = excluded.access_key, secret_key = excluded.secret_key",
        (*astuple(row)[:-1], row.created or now),
    )


def delete_bucket(connection: Connection, /, name: str) -> None:
    """With what is known of its objects; it need not exist."""
    connection.execute("DELETE FROM buckets WHERE name = ?", (name,))
    connection.execute("DELETE FROM arrivals WHERE bucket = ?", (name,))


# Arrivals


def get_arrival(connection: Connection, /, bucket: str, key: str) -> ArrivalRow | None:
    sql = f"SELECT {_ARRIVAL} FROM arrivals WHERE bucket = ? AND key = ?"
    values = connection.execute(sql, (bucket, key)).fetchone()
    return None if values is None else _arrival(values)


def note_arrival(connection: Connection, /, content: ArrivalRow, stems: Iterable[str]) -> ArrivalRow:
    """A job, `content.job_id`, has this content of an object. A new object gets the first of `stems` that nobody has.

    Returns the row as it is now: its stem, and the ending of what an earlier job may have left.
    """
    earlier = get_arrival(connection, content.bucket, content.key)
    if earlier is None:
        row = replace(content, stem=next(stem for stem in stems if _is_free(connection, content.bucket, stem)))
    else:
        row = replace(content, stem=earlier.stem, result=earlier.result)
    _put_arrival(connection, row)
    return row


def _put_arrival(connection: Connection, row: ArrivalRow) -> None:
    sql = f"INSERT OR REPLACE INTO arrivals ({_ARRIVAL}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    connection.execute(sql, astuple(row))


def _is_free(connection: Connection, bucket: str, stem: str) -> bool:
    """Whether no result of this stem would be in the way of another's, as a file or, where buckets are folders, as a
    folder of the same name: outputs/a.json and outputs/a.json/b.json."""
    parts = stem.split("/")
    above = ("/".join(parts[:number]).rpartition(".")[0] for number in range(1, len(parts)))
    sql = "SELECT 1 FROM arrivals WHERE bucket = ? AND stem = ?"
    if any(connection.execute(sql, (bucket, other)).fetchone() for other in (stem, *above) if other):
        return False
    # "/" comes right after ".": all that begin with the stem and a point.
    sql = "SELECT stem FROM arrivals WHERE bucket = ? AND stem > ? || '.' AND stem < ? || '/'"
    below = connection.execute(sql, (bucket, stem, stem))
    return not any(
        "/" in rest and "." not in rest.partition("/")[0] for rest in (key[len(stem) + 1 :] for (key,) in below)
    )


def note_done(connection: Connection, /, row: ArrivalRow) -> bool:
    """The bucket has the outputs of this content: `row` is how the object is known from now on.

    False, and nothing is changed, where the stem is another's.
    """
    sql = "SELECT key FROM arrivals WHERE bucket = ? AND stem = ?"
    row_before = connection.execute(sql, (row.bucket, row.stem)).fetchone()
    if row_before is not None and row_before[0] != row.key:
        return False
    _put_arrival(connection, row)
    return True


def note_content(connection: Connection, /, content: ArrivalRow) -> None:
    """So the content that is known is seen now."""
    sql = "UPDATE arrivals SET etag = ?, size_bytes = ?, modified = ? WHERE bucket = ? AND key = ?"
    values = content.etag, content.size_bytes, content.modified
    connection.execute(sql, (*values, content.bucket, content.key))


def note_result(connection: Connection, /, bucket: str, key: str, result: str) -> None:
    """A result with this ending is about to be put: it will have to be removed one day."""
    connection.execute("UPDATE arrivals SET result = ? WHERE bucket = ? AND key = ?", (result, bucket, key))


def finish_arrival(connection: Connection, /, content: ArrivalRow) -> None:
    """The outputs of its job are there, which is of this content, unless a later one has the object by now. Where the
    object has been deleted, nothing is known of it any more."""
    where = "WHERE bucket = ? AND key = ? AND job_id <= ?"
    names = content.bucket, content.key, content.job_id
    connection.execute(f"DELETE FROM arrivals {where} AND gone = 1", names)
    values = content.etag, content.size_bytes, content.modified, content.job_id
    connection.execute(
        f"UPDATE arrivals SET etag = ?, size_bytes = ?, modified = ?, job_id = ?, done = 1 {where}",
        (*values, *names),
    )


def forget_arrivals(connection: Connection, /, bucket: str, keys: Sequence[str]) -> None:
    """The objects have been deleted: their stems are free, at once or when their jobs have ended."""
    for key in keys:
        connection.execute("DELETE FROM arrivals WHERE bucket = ? AND key = ? AND done = 1", (bucket, key))
        connection.execute("UPDATE arrivals SET gone = 1 WHERE bucket = ? AND key = ?", (bucket, key))


def forget_unfinished(connection: Connection, /, bucket: str) -> None:
    """Their jobs are no more; if the bucket is used again, the objects are new."""
    connection.execute("DELETE FROM arrivals WHERE bucket = ? AND done = 0", (bucket,))


def clear_arrivals(connection: Connection, /) -> None:
    """The buckets are elsewhere now."""
    connection.execute("DELETE FROM arrivals")


def get_arrivals(connection: Connection, /, bucket: str, keys: Iterable[str]) -> dict[str, ArrivalRow]:
    """By key, those of them that there are."""
    rows = (get_arrival(connection, bucket, key) for key in keys)
    return {row.key: row for row in rows if row is not None}


def arrivals_between(
    connection: Connection, /, bucket: str, after: str, upto: str | None, limit: int = -1
) -> dict[str, ArrivalRow]:
    """By key, those with `after` < key <= `upto` (None: to the end), in the order of UTF-8, which is that of S3.

    limit: only the first of them; -1: all.
    """
    sql = f"SELECT {_ARRIVAL} FROM arrivals WHERE bucket = ? AND key > ?"
    values: tuple[str, ...] = (bucket, after)
    if upto is not None:
        sql, values = f"{sql} AND key <= ?", (*values, upto)
    rows = connection.execute(f"{sql} ORDER BY key LIMIT ?", (*values, limit))
    return {row.key: row for row in map(_arrival, rows)}


def count_waiting(connection: Connection, /, bucket: str) -> int:
    """Objects whose jobs have not ended, or whose outputs are on their way."""
    sql = "SELECT count(*) FROM arrivals WHERE bucket = ? AND done = 0 AND job_id <> ''"
    return int(connection.execute(sql, (bucket,)).fetchone()[0])


def _arrival(values: tuple[Any, ...]) -> ArrivalRow:
    bucket, key, etag, size_bytes, modified, stem, result, job_id, done, gone = values
    return ArrivalRow(bucket, key, etag, size_bytes, modified, stem, result, job_id, bool(done), bool(gone))
