"""Writing: one thread, which commits what waits in groups.

A commit costs a sync of the disk, whether it holds one change or a thousand. While one group is being committed the
next one gathers, so the group is as large as there are writers, and a single writer waits for nobody.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from modelport.store.failures import store_error, translated
from modelport.store.file import StoreFile

logger = logging.getLogger(__name__)

# So many share a commit at most, and with it its failure: some 10 ms of work.
GROUP_LIMIT = 1000


class TransactionLost(sqlite3.OperationalError):
    """The transaction of a group ended before its commit, as SQLite may do by itself when the disk is full."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"the transaction was rolled back: {error}")
        self.sqlite_errorcode = getattr(error, "sqlite_errorcode", 0)


@dataclass(eq=False, slots=True)
class Write:
    """A function that waits to be run, then its result or error, and the future that will get it."""

    function: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


class Writer:
    def __init__(self, file: StoreFile, loop: asyncio.AbstractEventLoop) -> None:
        """The file is closed at the end."""
        self._file = file
        self._connection = file.connection
        self._loop = loop
        self._inbox: queue.SimpleQueue[list[Write] | None] = queue.SimpleQueue()
        self._ending = False
        # A daemon: what it has answered is on the disk, so a server that dies need not wait for it.
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def give(self, writes: list[Write]) -> None:
        self._inbox.put(writes)

    def end(self) -> None:
        """After everything given so far. `join` waits for it."""
        self._inbox.put(None)

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        try:
            while writes := self._take():
                for start in range(0, len(writes), GROUP_LIMIT):
                    # A cancelled caller's write that has not begun is withdrawn.
                    group = [write for write in writes[start : start + GROUP_LIMIT] if not write.future.cancelled()]
                    if group:
                        self._commit(group)
                        self._answer(group)
        finally:
            self._file.close()

    def _take(self) -> list[Write]:
        """All that wait, once there is something; nothing at the end."""
        taken: list[Write] = []
        while not self._ending:
            try:
                writes = self._inbox.get(block=not taken)
            except queue.Empty:
                break
            if writes is None:
                self._ending = True
            else:
                taken += writes
        return taken

    def _commit(self, group: Sequence[Write]) -> None:
        """Run a group in one transaction. Nothing raises: each write has its result or its error, even a broken one."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for waiting in group:
                self._attempt(waiting)
            self._connection.execute("COMMIT")
        except BaseException as error:
            logger.error("a group of %d writes was not committed: %s", len(group), error)
            self._roll_back()
            for waiting in group:
                waiting.result, waiting.error = None, waiting.error or store_error(error)

    def _attempt(self, write: Write) -> None:
        """Run one function; if it fails, only its own changes are undone."""
        self._connection.execute("SAVEPOINT one")
        try:
            write.result = write.function(self._connection)
        except BaseException as error:
            write.error = translated(error)
            if not self._connection.in_transaction:
                raise TransactionLost(error) from error
            self._connection.execute("ROLLBACK TO one")
        self._connection.execute("RELEASE one")

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:
                logger.exception("a transaction could not be rolled back")

    def _answer(self, group: Sequence[Write]) -> None:
        try:
            self._loop.call_soon_threadsafe(_settle, group)
        except RuntimeError:
            pass  # the loop has been closed over our heads: nobody waits any more


def _settle(group: Sequence[Write]) -> None:
    for waiting in group:
        if waiting.future.done():
            continue  # cancelled meanwhile
        if waiting.error is not None:
            waiting.future.set_exception(waiting.error)
        else:
            waiting.future.set_result(waiting.result)
