"""The upkeep of jobs: how many there are, which may go, and their going."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from sqlite3 import Connection

from modelport.store.jobs import number_of
from modelport.store.values import delete_value, get_values, set_value

# Deleting so many at once takes some milliseconds, which all other writes wait.
DELETED_AT_ONCE = 200

_UNDELIVERED = "EXISTS (SELECT 1 FROM deliveries WHERE deliveries.number = jobs.number)"


@dataclass(frozen=True)
class Totals:
    """waiting: jobs in the queue by (deployment, method). bytes: in the folders of all jobs. ended: how many have."""

    waiting: dict[tuple[str, str], int]
    ended: int
    bytes: int


def get_totals(connection: Connection, /) -> Totals:
    """From indexes alone."""
    waiting = {}
    for deployment, method in connection.execute("SELECT DISTINCT deployment, method FROM jobs").fetchall():
        sql = "SELECT count(*) FROM jobs WHERE deployment = ? AND method = ? AND status = 'queued'"
        if number := connection.execute(sql, (deployment, method)).fetchone()[0]:
            waiting[deployment, method] = number
    ended = connection.execute("SELECT count(*) FROM jobs WHERE ended IS NOT NULL").fetchone()[0]
    size = connection.execute("SELECT total(bytes) FROM jobs WHERE bytes > 0").fetchone()[0]
    return Totals(waiting, ended, int(size))


def last_end(connection: Connection, /) -> float:
    """When the last job ended, by the store's own clock."""
    newest = connection.execute("SELECT max(ended) FROM jobs WHERE ended IS NOT NULL").fetchone()[0]
    return float(newest or 0.0)


def first_end(connection: Connection, /) -> float | None:
    """When the first of those ended that are kept and wait for no delivery; None: there is none."""
    sql = f"SELECT ended FROM jobs WHERE ended IS NOT NULL AND NOT {_UNDELIVERED} ORDER BY ended LIMIT 1"
    row = connection.execute(sql).fetchone()
    return None if row is None else float(row[0])


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
    return _delete_oldest(connection, "ended <= ?", (ended,), DELETED_AT_ONCE)


def delete_oldest(connection: Connection, /, number: int) -> list[Gone]:
    """So many of those that have ended, the oldest first, at most DELETED_AT_ONCE."""
    return _delete_oldest(connection, "ended IS NOT NULL", (), min(number, DELETED_AT_ONCE))


def delete_largest(connection: Connection, /, size: int) -> list[Gone]:
    """The oldest that have ended and have files, until so many bytes are free or DELETED_AT_ONCE have gone."""
    sql = (
        "SELECT number, bytes FROM jobs WHERE ended IS NOT NULL AND bytes > 0"
        f" AND NOT {_UNDELIVERED} ORDER BY ended, number LIMIT ?"
    )
    chosen = []
    for number, size_bytes in connection.execute(sql, (DELETED_AT_ONCE,)).fetchall():
        if size <= 0:
            break
        size -= size_bytes
        chosen.append(number)
    return delete_numbers(connection, chosen)


def _delete_oldest(connection: Connection, condition: str, values: Sequence[object], limit: int) -> list[Gone]:
    sql = (
        f"SELECT number FROM jobs WHERE ended IS NOT NULL AND {condition} AND NOT {_UNDELIVERED}"
        " ORDER BY ended, number LIMIT ?"
    )
    return delete_numbers(connection, [number for (number,) in connection.execute(sql, (*values, limit)).fetchall()])


def delete_numbers(connection: Connection, /, numbers: Iterable[int]) -> list[Gone]:
    """Their rows, bodies and deliveries; whatever state they are in."""
    gone = []
    sql = "SELECT id, deployment, method, status, ended IS NOT NULL, bytes FROM jobs WHERE number = ?"
    for number in numbers:
        row = connection.execute(sql, (number,)).fetchone()
        if row is not None:
            connection.execute("DELETE FROM jobs WHERE number = ?", (number,))
            gone.append(Gone(*row))
    return gone


def delete_ended(connection: Connection, /, number: int) -> list[Gone]:
    """This job, if it has ended."""
    ended = connection.execute("SELECT 1 FROM jobs WHERE number = ? AND ended IS NOT NULL", (number,)).fetchone()
    return delete_numbers(connection, [number]) if ended else []


def delete_some_of(connection: Connection, /, deployment: str) -> list[Gone]:
    """Jobs of a deployment, whatever state they are in, at most DELETED_AT_ONCE."""
    sql = "SELECT number FROM jobs WHERE deployment = ? LIMIT ?"
    rows = connection.execute(sql, (deployment, DELETED_AT_ONCE)).fetchall()
    return delete_numbers(connection, [number for (number,) in rows])


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
