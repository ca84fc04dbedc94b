"""The upkeep of jobs: how many there are, which may go, and their going."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from sqlite3 import Connection

from modelport.store.jobs import number_of
from modelport.store.values import delete_value, get_values, set_value

# Deleting so many at once takes some milliseconds, which all other writes wait.
DELETED_AT_ONCE = 200

# Jobs that have ended and have no delivery to come.
_MAY_GO = "jobs WHERE ended IS NOT NULL AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.number = jobs.number)"
_OLDEST_FIRST = "ORDER BY ended, number LIMIT ?"


@dataclass(frozen=True)
class Totals:
    """waiting: jobs in the queue by (deployment, method). bytes: in the folders of all jobs. ended: how many have."""

    waiting: dict[tuple[str, str], int]
    ended: int
    bytes: int


def get_totals(connection: Connection, /) -> Totals:
    """From indexes alone."""
    sql = "SELECT deployment, method, count(*) FROM jobs WHERE status = 'queued' GROUP BY deployment, method"
    waiting = {(deployment, method): number for deployment, method, number in connection.execute(sql)}
    ended = connection.execute("SELECT count(*) FROM jobs WHERE ended IS NOT NULL").fetchone()[0]
    size = connection.execute("SELECT total(bytes) FROM jobs WHERE bytes > 0").fetchone()[0]
    return Totals(waiting, ended, int(size))


def last_end(connection: Connection, /) -> float:
    """When the last job ended, by the store's own clock."""
    newest = connection.execute("SELECT max(ended) FROM jobs WHERE ended IS NOT NULL").fetchone()[0]
    return float(newest or 0.0)


def first_end(connection: Connection, /) -> float | None:
    """When the first of those ended that are kept and wait for no delivery; None: there is none."""
    first: float | None = connection.execute(f"SELECT min(ended) FROM {_MAY_GO}").fetchone()[0]
    return first


@dataclass(frozen=True)
class Gone:
    """A job that has been deleted, as it was, and what its folder held."""

    id: str
    deployment: str
    method: str
    status: str
    ended: bool
    folder_bytes: int


def delete_before(connection: Connection, /, ended: float) -> list[Gone]:
    """Jobs that had ended by then, the oldest first, at most DELETED_AT_ONCE. One with a delivery to come stays."""
    return _delete(connection, f"SELECT number FROM {_MAY_GO} AND ended <= ? {_OLDEST_FIRST}", ended, DELETED_AT_ONCE)


def delete_oldest(connection: Connection, /, number: int) -> list[Gone]:
    """So many of those that have ended, the oldest first, at most DELETED_AT_ONCE."""
    return _delete(connection, f"SELECT number FROM {_MAY_GO} {_OLDEST_FIRST}", min(number, DELETED_AT_ONCE))


def delete_largest(connection: Connection, /, size: int) -> list[Gone]:
    """The oldest that have ended and have files, until so many bytes are free or DELETED_AT_ONCE have gone."""
    oldest = f"SELECT number, ended, bytes FROM {_MAY_GO} AND bytes > 0 {_OLDEST_FIRST}"
    freed = f"SELECT number, sum(bytes) OVER (ORDER BY ended, number) - bytes AS before FROM ({oldest})"
    return _delete(connection, f"SELECT number FROM ({freed}) WHERE before < ?", DELETED_AT_ONCE, size)


def delete_numbers(connection: Connection, /, numbers: Iterable[int]) -> list[Gone]:
    """Whatever state they are in."""
    return _delete(connection, "SELECT value FROM json_each(?)", json.dumps(list(numbers)))


def delete_ended(connection: Connection, /, number: int) -> list[Gone]:
    """This job, if it has ended."""
    return _delete(connection, "SELECT number FROM jobs WHERE number = ? AND ended IS NOT NULL", number)


def delete_some_of(connection: Connection, /, deployment: str) -> list[Gone]:
    """Jobs of a deployment, whatever state they are in, at most DELETED_AT_ONCE."""
    return _delete(connection, "SELECT number FROM jobs WHERE deployment = ? LIMIT ?", deployment, DELETED_AT_ONCE)


def _delete(connection: Connection, which: str, *values: object) -> list[Gone]:
    """Their rows, bodies and deliveries. which: their numbers, in SQL."""
    columns = "number, id, deployment, method, status, ended IS NOT NULL, bytes"
    sql = f"SELECT {columns} FROM jobs WHERE number IN ({which}) ORDER BY ended, number"
    rows = connection.execute(sql, values).fetchall()
    numbers = json.dumps([row[0] for row in rows])
    connection.execute("DELETE FROM jobs WHERE number IN (SELECT value FROM json_each(?))", (numbers,))
    return [Gone(*row[1:]) for row in rows]


# Deployments that have been undeployed, until their jobs are deleted.
_FORGET = "jobs/forget/"


def forget_deployment(connection: Connection, /, deployment: str) -> None:
    """Its jobs are to be deleted, by this server or the next."""
    set_value(connection, _FORGET + deployment, "")


def leave_version(connection: Connection, /, version: str) -> None:
    """What was accepted for this deployment as a version of another one is not for a later one of the same name."""
    connection.execute(
        "UPDATE jobs SET version = version || ' (undeployed)' WHERE version = ? AND finished IS NULL", (version,)
    )


def get_forgotten(connection: Connection, /) -> list[str]:
    return list(get_values(connection, _FORGET))


def note_forgotten(connection: Connection, /, deployment: str) -> None:
    """Its jobs have been deleted."""
    delete_value(connection, _FORGET + deployment)


def known_ids(connection: Connection, /, ids: Sequence[str]) -> set[str]:
    """Those of these that there are."""
    sql = "SELECT 1 FROM jobs WHERE number = ? AND id = ?"
    return {id for id in ids if connection.execute(sql, (number_of(id), id)).fetchone()}
