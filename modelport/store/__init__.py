"""The store: what must outlive the server, in one SQLite file. This package holds the only SQL of the project.

    store = await Store.open(home / "store.sqlite")
    row = await store.write(add_deployment, DeploymentRow(name="digits", module="my_model"))
    rows = await store.read(list_deployments)

Functions on the store take a connection first. A written one runs in the single writer thread, inside a transaction
that it shares with whatever else is waiting: it may run any statements but BEGIN, COMMIT and `executescript`, it
returns plain values, no cursors, and it is quick, for all others wait behind it. Its caller is answered when the
commit is on the disk (WAL, synchronous=FULL). A read one sees one snapshot.

`store/schema.py` has the tables, one migration a version; every other file has the functions of one subject.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import Concatenate, ParamSpec, TypeVar

from modelport.errors import Cancelled, Overloaded
from modelport.store.failures import StoreFailed, StoreInUse
from modelport.store.file import StoreFile
from modelport.store.readers import Readers
from modelport.store.room import check_room
from modelport.store.schema import MIGRATIONS, Migration
from modelport.store.writer import Write, Writer

__all__ = ["Store", "StoreFailed", "StoreInUse"]

P = ParamSpec("P")
T = TypeVar("T")

# Some 10 MB of waiting functions, and about a second of work on a slow disk.
QUEUE_LIMIT = 10_000


class Store:
    """The open store, used from one event loop. `open` makes it, `close` ends it."""

    def __init__(self, file: StoreFile, least_room_bytes: int = 0) -> None:
        self._folder = file.path.parent
        self._least_room_bytes = least_room_bytes
        self._loop = asyncio.get_running_loop()
        self._readers = Readers(file.connect_reader)
        self._writer = Writer(file, self._loop)
        self._gathered: list[Write] = []
        self._waiting = 0
        self._closing: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, path: str | Path, *, least_room_bytes: int = 0, migrations: Sequence[Migration] = MIGRATIONS
    ) -> Store:
        """The store in this file, made or brought to the newest schema if need be. least_room_bytes: see `add`.

        Raises StoreInUse, StoreFailed (damaged, newer than this modelport, not ours, not accessible), StorageFull.
        """
        opening = asyncio.ensure_future(asyncio.to_thread(StoreFile, Path(path), migrations))
        try:
            return cls(await asyncio.shield(opening), least_room_bytes)
        except asyncio.CancelledError:
            await asyncio.wait({opening})
            if opening.exception() is None:
                await asyncio.to_thread(opening.result().close)
            raise

    async def write(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function(connection, …)` returns, once that is durable.

        What it raises is raised here, and then it has changed nothing. Raises StorageFull or StoreFailed where the
        commit fails, for all who shared it; Overloaded where too many wait; Cancelled after `close`. A write whose
        caller is cancelled is withdrawn if it has not begun; else it is finished all the same.
        """
        self._check_open()
        if self._waiting >= QUEUE_LIMIT:
            raise Overloaded(f"{self._waiting} writes wait for the store; ask again later", retry_after_s=1)
        write = Write(lambda connection: function(connection, *args, **kwargs), self._loop.create_future())
        self._gathered.append(write)
        if len(self._gathered) == 1:
            # At the loop's next turn: coroutines that were woken by one commit ask for the next one together. (Given
            # to the writer one by one, the first would have a commit of its own while the others arrive.)
            self._loop.call_soon(self._hand_over)
        self._waiting += 1
        try:
            return await write.future  # type: ignore[no-any-return]
        finally:
            self._waiting -= 1

    async def add(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`write`, for what is new: StorageFull while the disk still has room for the ends of what is there."""

        def add_if_room(connection: Connection, /, *args: P.args, **kwargs: P.kwargs) -> T:
            check_room(self._folder, self._least_room_bytes)
            return function(connection, *args, **kwargs)

        return await self.write(add_if_room, *args, **kwargs)

    async def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function(connection, …)` returns or raises; all its statements see the same moment."""
        self._check_open()
        return await self._readers.run(lambda connection: function(connection, *args, **kwargs))

    async def close(self) -> None:
        """Finish the writes that wait and the reads that run, then let the file go. More than once is fine."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
            self._hand_over()
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        # The readers first: whoever closes last cleans up, and only the writer may.
        await asyncio.to_thread(self._readers.close)
        self._writer.end()
        await asyncio.to_thread(self._writer.join)

    def _hand_over(self) -> None:
        if self._gathered:
            self._writer.give(self._gathered)
            self._gathered = []

    def _check_open(self) -> None:
        if self._closing is not None:
            raise Cancelled("the store is closed: the server is stopping")

    async def __aenter__(self) -> Store:
        return self

    async def __aexit__(self, *reason: object) -> None:
        await self.close()
