"""The store's file: taken by one server, checked, and brought to the newest schema."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from modelport.errors import DISK_FULL, ModelportError, StorageFull
from modelport.store.disk import sync, take_lock
from modelport.store.failures import DAMAGED, NO_ROOM, StoreFailed
from modelport.store.schema import APPLICATION_ID, Migration

logger = logging.getLogger(__name__)

# Only someone with an SQLite shell can hold a lock against us; SQLite's own default.
BUSY_TIMEOUT_S = 5.0

# A long read keeps the log from being reused; afterwards it shrinks to this.
LOG_LIMIT_BYTES = 64 << 20

# Checked in full at the start up to this size (0.1 s); a larger one would hold up the start for seconds.
CHECKED_LIMIT_BYTES = 64 << 20


class StoreFile:
    """A store file that is ours until `close`, with the connection that writes to it.

    Nothing else may open and close this file in this process: POSIX locks, SQLite's own, end with the first close.
    """

    def __init__(self, path: Path, migrations: Sequence[Migration]) -> None:
        """Raises StoreInUse, StoreFailed, StorageFull; the messages, for the operator, name the path."""
        self.path = path
        with _explained(path):
            self.path = path.resolve()  # two names of one file are one store
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = take_lock(self.path, f"the store {self.path}", "a home folder")
        try:
            with _explained(self.path):
                self._new = _make_private(self.path)
                self.connection = sqlite3.connect(
                    self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
                )
                self._prepare(migrations)
        except BaseException:
            self.close()
            raise

    def connect_reader(self) -> sqlite3.Connection:
        uri = f"file:{urllib.parse.quote(str(self.path))}?mode=ro"
        return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)

    def close(self) -> None:
        """Let it go. The last connection's close brings everything into the one file and removes the log."""
        if hasattr(self, "connection"):
            self.connection.close()
        os.close(self._lock)

    def _prepare(self, migrations: Sequence[Migration]) -> None:
        version = self._version(len(migrations))
        self._pragma("synchronous=FULL")
        if (mode := self._pragma("journal_mode=WAL")) != "wal":
            raise StoreFailed(f"the store {self.path} lies where SQLite has no write-ahead log (it offers {mode})")
        self._pragma(f"journal_size_limit={LOG_LIMIT_BYTES}")
        if version < len(migrations):
            if version:
                _copy(self.connection, self._copy_path(version))
            self._migrate(version, migrations)
        self._pragma("foreign_keys=ON")

    def _version(self, newest: int) -> int:
        """The file's schema version, 0 for a new one. Raises StoreFailed for what is not a sound store of ours."""
        version, owner = self._pragma("user_version"), self._pragma("application_id")
        tables = self.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not (version or owner or tables):
            if not self._new:
                logger.warning(
                    "the store %s is an empty file: this server begins with nothing; if an earlier one has kept "
                    "something there, stop this one and bring back a copy",
                    self.path,
                )
            return 0
        if owner != APPLICATION_ID:
            raise StoreFailed(f"{self.path} is an SQLite file of another program, not a store of modelport")
        if version > newest:
            raise StoreFailed(
                f"the store {self.path} was written by a newer modelport: its schema has version {version}, and this "
                f"one knows versions up to {newest}; install the newer one again, or bring back the copy that it left "
                f"beside the file before it changed it ({self._copy_path(newest).name} or the like)"
            )
        if self.path.stat().st_size <= CHECKED_LIMIT_BYTES and (pragma := self._pragma("quick_check(1)")) != "ok":
            raise StoreFailed(f"{_damaged(self.path)} ({pragma})")
        return int(version)

    def _copy_path(self, version: int) -> Path:
        return self.path.with_name(f"{self.path.name}.version-{version}")

    def _migrate(self, version: int, migrations: Sequence[Migration]) -> None:
        """All steps in one transaction. Foreign keys are off meanwhile, as SQLite wants it for rebuilding tables."""
        self._pragma("foreign_keys=OFF")
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            for migration in migrations[version:]:
                migration(self.connection)
            if (broken := self.connection.execute("PRAGMA foreign_key_check").fetchone()) is not None:
                raise StoreFailed(f"a row of {broken[0]} would refer to nothing")
            self._pragma(f"user_version={len(migrations)}")
            self._pragma(f"application_id={APPLICATION_ID}")
            self.connection.execute("COMMIT")
        except Exception as error:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            if getattr(error, "sqlite_errorcode", None) in NO_ROOM:
                raise
            raise StoreFailed(
                f"the store {self.path} could not be brought from version {version} to {len(migrations)}, and is as it "
                f"was: {error}"
            ) from error

    def _pragma(self, text: str) -> Any:
        row = self.connection.execute(f"PRAGMA {text}").fetchone()
        return None if row is None else row[0]


def _make_private(path: Path) -> bool:
    """The file exists and is its owner's alone; SQLite gives the files beside it the same mode.

    Returns whether it is new.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        sync(path.parent)
    except FileExistsError:
        for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            with contextlib.suppress(FileNotFoundError):
                file.chmod(0o600)
        return False
    return True


def _copy(connection: sqlite3.Connection, path: Path) -> None:
    """A copy of the whole store, complete under its final name or not there."""
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    copy = sqlite3.connect(unfinished)
    try:
        connection.backup(copy)
    finally:
        copy.close()
    sync(unfinished)
    unfinished.rename(path)
    sync(path.parent)


def _damaged(path: Path) -> str:
    return f"the store {path} is damaged, or no store; move it away to begin with an empty one, or bring back a copy"


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Failures of opening, said to the operator."""
    try:
        yield
    except ModelportError:
        raise
    except OSError as error:
        if error.errno in DISK_FULL:
            raise StorageFull(f"there is no room on the disk for the store {path}") from error
        raise StoreFailed(f"the store {path} cannot be opened: {error}") from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0)
        if code in NO_ROOM:
            raise StorageFull(f"there is no room on the disk for the store {path}") from error
        if code & 0xFF in DAMAGED:
            raise StoreFailed(_damaged(path)) from error
        raise StoreFailed(f"the store {path} cannot be opened: {error}") from error
