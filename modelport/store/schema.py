"""The tables of the store, as the list of steps that made them.

A step, once released, is history and does not change: a new table or column is a new step at the end. The file's
version (PRAGMA user_version) is the number of steps that it has seen.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial

# Runs inside the transaction of the upgrade, with foreign keys off: no BEGIN, COMMIT or `executescript`.
Migration = Callable[[sqlite3.Connection], None]

APPLICATION_ID = int.from_bytes(b"mprt", "big")  # PRAGMA application_id: whose file this is

_VERSION_1 = (
    # NULL: the server's setting. JSON in environment, secrets and definition. Times in UTC: 2026-06-11T10:50:46Z.
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
    """,
    "CREATE TABLE kv (name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL)",
)

_VERSION_2 = (
    # number: the order of acceptance, and the first 14 digits of the id. JSON as bytes in origin, arguments, shown,
    # files, error and timings. ended: the end by the store's own clock, which no change of the wall clock moves.
    # bytes: what lies in the job's folder. deliver: kinds of deliveries at its end, separated by blanks.
    """
    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        deployment TEXT NOT NULL,
        method TEXT NOT NULL CHECK (method IN ('predict', 'train')),
        status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
        source TEXT NOT NULL,
        owner TEXT NOT NULL,
        origin BLOB,
        shown BLOB,
        files BLOB,
        accept TEXT,
        text INTEGER NOT NULL CHECK (text IN (0, 1)),
        timeout_s REAL,
        created REAL NOT NULL,
        started REAL,
        finished REAL,
        ended REAL,
        attempt INTEGER NOT NULL DEFAULT 0,
        losses INTEGER NOT NULL DEFAULT 0,
        lease INTEGER NOT NULL DEFAULT 0,
        fraction REAL,
        message TEXT NOT NULL DEFAULT '',
        media_type TEXT,
        size_bytes INTEGER,
        filename TEXT,
        stored TEXT,
        error BLOB,
        timings BLOB,
        log_bytes INTEGER NOT NULL DEFAULT 0,
        webhook TEXT NOT NULL,
        deliver TEXT NOT NULL,
        key TEXT NOT NULL,
        digest BLOB,
        bytes INTEGER NOT NULL DEFAULT 0,
        arguments BLOB
    )
    """,
    "CREATE INDEX jobs_turn ON jobs (deployment, method, status, number, source)",
    "CREATE UNIQUE INDEX jobs_key ON jobs (deployment, owner, key) WHERE key <> ''",
    "CREATE INDEX jobs_owner ON jobs (owner, number) WHERE owner <> ''",
    "CREATE INDEX jobs_ended ON jobs (ended, number, bytes) WHERE ended IS NOT NULL",
    "CREATE INDEX jobs_bytes ON jobs (bytes) WHERE bytes > 0",
    # Where arguments are large: SQLite writes a whole row anew with each change of it.
    """
    CREATE TABLE job_inputs (
        number INTEGER PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
        arguments BLOB NOT NULL,
        shown BLOB
    )
    """,
    # Apart from the rest, so that going through many jobs does not read what only one reader of one job wants.
    """
    CREATE TABLE job_bodies (
        number INTEGER PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
        result BLOB,
        text TEXT,
        log BLOB
    )
    """,
    """
    CREATE TABLE deliveries (
        number INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
        kind TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (number, kind)
    ) WITHOUT ROWID
    """,
)

_VERSION_3 = (
    # access_key: empty while nothing is deployed that the bucket belongs to.
    """
    CREATE TABLE buckets (
        name TEXT PRIMARY KEY NOT NULL,
        deployment TEXT NOT NULL,
        owner TEXT NOT NULL,
        access_key TEXT NOT NULL,
        secret_key TEXT NOT NULL,
        created TEXT NOT NULL
    )
    """,
    # Of each object under inputs/ what is known, until it is deleted. etag: empty until a job has it. modified: whole
    # seconds since 1970; 0 where nobody asked. stem: its results are outputs/<stem>.…; result: the ending of one
    # that there may be, where it is not .json.
    # done: its job has ended and the bucket has the log. gone: deleted meanwhile.
    """
    CREATE TABLE arrivals (
        bucket TEXT NOT NULL,
        key TEXT NOT NULL,
        etag TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        modified INTEGER NOT NULL,
        stem TEXT NOT NULL,
        result TEXT NOT NULL,
        job_id TEXT NOT NULL,
        done INTEGER NOT NULL CHECK (done IN (0, 1)),
        gone INTEGER NOT NULL CHECK (gone IN (0, 1)),
        PRIMARY KEY (bucket, key)
    ) WITHOUT ROWID
    """,
    "CREATE UNIQUE INDEX arrivals_stem ON arrivals (bucket, stem)",
    "CREATE INDEX arrivals_waiting ON arrivals (bucket) WHERE done = 0",
)

_VERSION_4 = ("ALTER TABLE deployments ADD COLUMN executor TEXT",)  # NULL: the server's setting

_VERSION_5 = (
    # price: JSON; NULL: its calls are not sold. token: empty once the payment has ended. earnings: also of payments
    # whose jobs have been deleted.
    "ALTER TABLE deployments ADD COLUMN price TEXT",
    """
    CREATE TABLE payments (
        number INTEGER PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
        deployment TEXT NOT NULL,
        token TEXT NOT NULL,
        digest TEXT NOT NULL,
        demand TEXT NOT NULL,
        request_id TEXT NOT NULL,
        credits INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('open', 'sent', 'settled', 'refused', 'late')),
        receipt TEXT NOT NULL
    )
    """,
    "CREATE INDEX payments_pending ON payments (deployment) WHERE state IN ('open', 'sent')",
    """
    CREATE TABLE earnings (
        deployment TEXT PRIMARY KEY NOT NULL,
        paid INTEGER NOT NULL,
        credits INTEGER NOT NULL,
        failed INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
)

_VERSION_6 = (
    # digest: of the token, which is kept nowhere. created, ends, used: seconds since 1970; used 0: never.
    # calls_limit NULL: any number.
    """
    CREATE TABLE links (
        id TEXT PRIMARY KEY NOT NULL,
        deployment TEXT NOT NULL,
        digest TEXT NOT NULL,
        note TEXT NOT NULL,
        created REAL NOT NULL,
        ends REAL NOT NULL,
        calls_limit INTEGER,
        calls INTEGER NOT NULL,
        used REAL NOT NULL
    ) WITHOUT ROWID
    """,
)

_VERSION_7 = (
    # JSON. metrics: the last value of each. use: arguments of predict that use what a training has made.
    "ALTER TABLE jobs ADD COLUMN metrics BLOB",
    "ALTER TABLE jobs ADD COLUMN artifacts BLOB",
    "ALTER TABLE jobs ADD COLUMN use BLOB",
    # JSON: all points.
    "CREATE TABLE job_curves (number INTEGER PRIMARY KEY REFERENCES jobs ON DELETE CASCADE, curves BLOB NOT NULL)",
)

_VERSION_8 = (
    # shift: JSON; NULL: none. version: the deployment that runs a job, where that is not the one that was called.
    "ALTER TABLE deployments ADD COLUMN shift TEXT",
    "ALTER TABLE jobs ADD COLUMN version TEXT NOT NULL DEFAULT ''",
)


def _execute(statements: Sequence[str], connection: sqlite3.Connection) -> None:
    for statement in statements:
        connection.execute(statement)


MIGRATIONS: tuple[Migration, ...] = tuple(
    partial(_execute, statements)
    for statements in (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4, _VERSION_5, _VERSION_6, _VERSION_7, _VERSION_8)
)
