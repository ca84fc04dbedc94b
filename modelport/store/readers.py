"""Reading: a few threads, each with a read-only connection of its own."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from modelport.store.failures import translated

T = TypeVar("T")

# Reads last microseconds; two, so that one long read (a page of a large list) does not hold up the others.
THREADS = 2


class Readers:
    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="store-reader")
        self._own = threading.local()
        self._connections: list[sqlite3.Connection] = []

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, function)

    def close(self) -> None:
        """Waits for the reads that run."""
        self._threads.shutdown()
        for connection in self._connections:
            connection.close()

    def _read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        try:
            connection = self._connection()
            connection.execute("BEGIN")  # one snapshot for all statements
            try:
                return function(connection)
            finally:
                connection.execute("ROLLBACK")
        except Exception as error:
            known = translated(error)
            if known is error:
                raise
            raise known from error

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = self._connect()
            self._connections.append(connection)
        return connection
