"""The tables of the store, as the list of steps that made them.

A step, once released, is history and does not change: a new table or column is a new step at the end. The file's
version (PRAGMA user_version) is the number of steps that it has seen.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

# Runs inside the transaction of the upgrade, with foreign keys off: no BEGIN, COMMIT or `executescript`.
Migration = Callable[[sqlite3.Connection], None]

APPLICATION_ID = int.from_bytes(b"mprt", "big")  # PRAGMA application_id: whose file this is


def _version_1(connection: sqlite3.Connection) -> None:
    # NULL: the server's setting. JSON in environment, secrets and definition. Times in UTC: 2026-06-11T10:50:46Z.
    connection.execute(
        """
        CREATE TABLE deployments (
            name TEXT PRIMARY KEY NOT NULL,
            module TEXT NOT NULL,
            python TEXT,
            title TEXT NOT NULL,
            description TEXT NOT NULL,
            owner TEXT NOT NULL,
            enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
            min_workers INTEGER,
            max_workers INTEGER,
            idle_s REAL,
            timeout_s REAL,
            memory_bytes INTEGER,
            cpu REAL,
            environment TEXT NOT NULL,
            secrets TEXT NOT NULL,
            token TEXT NOT NULL,
            definition TEXT,
            created TEXT NOT NULL,
            updated TEXT NOT NULL
        )
        """
    )
    connection.execute("CREATE TABLE kv (name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL)")


MIGRATIONS: tuple[Migration, ...] = (_version_1,)
