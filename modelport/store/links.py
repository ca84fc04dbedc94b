"""Shared links as they are kept: of a link's token only the hash."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field, fields
from sqlite3 import Connection


@dataclass(frozen=True)
class LinkRow:
    """A token that may call one deployment until a time.

    digest: SHA-256 of the token, in hexadecimal digits. note: the owner's, such as for whom it is.
    created, ends, used: seconds since 1970; used 0: never. calls_limit: None: any number of calls.
    """

    id: str
    deployment: str
    digest: str = field(repr=False)
    note: str
    created: float
    ends: float
    calls_limit: int | None = None
    calls: int = 0
    used: float = 0.0


_COLUMNS = ", ".join(column.name for column in fields(LinkRow))


def list_links(connection: Connection, /) -> list[LinkRow]:
    """All, in the order in which they were made."""
    return [LinkRow(*row) for row in connection.execute(f"SELECT {_COLUMNS} FROM links ORDER BY created, id")]


def add_link(connection: Connection, /, row: LinkRow) -> None:
    connection.execute(f"INSERT INTO links ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", astuple(row))


def note_calls(connection: Connection, /, rows: Iterable[LinkRow]) -> None:
    """How often each has been used; one that has gone meanwhile is passed over."""
    values = [(row.calls, row.used, row.id) for row in rows]
    connection.executemany("UPDATE links SET calls = ?, used = ? WHERE id = ?", values)


def delete_link(connection: Connection, /, id: str) -> None:
    """It need not exist."""
    connection.execute("DELETE FROM links WHERE id = ?", (id,))


def delete_links_of(connection: Connection, /, deployment: str) -> None:
    connection.execute("DELETE FROM links WHERE deployment = ?", (deployment,))


def delete_links_but(connection: Connection, /, deployments: Iterable[str], end: float) -> None:
    """All but those of these deployments, and of these, too, those that ended before this time."""
    names = json.dumps(list(deployments))
    connection.execute(
        "DELETE FROM links WHERE ends < ? OR deployment NOT IN (SELECT value FROM json_each(?))", (end, names)
    )
