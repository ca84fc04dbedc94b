"""What SQLite raises, in this project's words."""

from __future__ import annotations

import sqlite3

from modelport.errors import Conflict, ModelportError, Overloaded, StorageFull


class StoreInUse(Conflict):
    """Another server has this store open."""

    kind = "store_in_use"


class StoreFailed(ModelportError):
    """The store's file cannot be opened, read or written."""


# After these, the store may take the same again later.
STORE_TROUBLE = (StorageFull, StoreFailed, Overloaded)
# Only ENOSPC becomes SQLITE_FULL; a quota or a file-size limit (EDQUOT, EFBIG) is a failed write to SQLite.
NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
# A constraint, or a mistake in our own code: for whoever wrote the function.
THEIRS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)


def translated(error: BaseException) -> BaseException:
    """What the caller gets when a function raised this."""
    if not isinstance(error, Exception) or isinstance(error, StopIteration):
        # A future refuses StopIteration, and its waiter would wait for ever; the others would end the event loop.
        failure = RuntimeError(f"a function on the store raised {type(error).__name__}")
        failure.__cause__ = error
        return failure
    if not isinstance(error, sqlite3.Error) or isinstance(error, THEIRS):
        return error
    return store_error(error)


def store_error(error: BaseException) -> ModelportError:
    """What the caller gets when the store failed so; a new error each time, since several may share a failure."""
    code = getattr(error, "sqlite_errorcode", None) or 0
    primary = code & 0xFF
    failure: ModelportError
    if code in NO_ROOM:
        failure = StorageFull("the store cannot be written: the disk is full, or fails")
    elif primary in DAMAGED:
        failure = StoreFailed("the store's file is damaged", detail=str(error))
    elif primary in LOCKED:
        failure = StoreFailed("the store is locked by another program", detail=str(error))
    else:
        failure = StoreFailed("the store cannot be read or written; the server's log says why", detail=str(error))
    failure.__cause__ = error
    return failure
