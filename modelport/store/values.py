"""Single values that the server keeps, by name: the owner's generated password and the like."""

from __future__ import annotations

from sqlite3 import Connection


def get_value(connection: Connection, /, name: str) -> str | None:
    row = connection.execute("SELECT value FROM kv WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def set_value(connection: Connection, /, name: str, value: str) -> None:
    connection.execute(
        "INSERT INTO kv (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def set_value_if_absent(connection: Connection, /, name: str, value: str) -> str:
    """The value that is kept now: this one, or the one that was there."""
    connection.execute("INSERT INTO kv (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", (name, value))
    kept = get_value(connection, name)
    assert kept is not None
    return kept


def get_values(connection: Connection, /, prefix: str) -> dict[str, str]:
    """All whose name begins so, by the rest of the name."""
    rows = connection.execute("SELECT name, value FROM kv WHERE substr(name, 1, ?) = ?", (len(prefix), prefix))
    return {str(name)[len(prefix) :]: str(value) for name, value in rows}


def delete_value(connection: Connection, /, name: str) -> None:
    """It need not exist."""
    connection.execute("DELETE FROM kv WHERE name = ?", (name,))
