"""What the tests run in processes of their own: python -m tests.store.scripts WHAT PATH [ARGUMENT]"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from itertools import count
from pathlib import Path
from sqlite3 import Connection

from modelport.errors import StorageFull
from modelport.store import Store
from modelport.store.values import set_value

WRITERS = 16


def set_pair(connection: Connection, name: str) -> None:
    """Two rows that must be there together."""
    set_value(connection, name, "first")
    set_value(connection, f"{name}+", "second")


async def write_for_ever(path: Path, prefix: str) -> None:
    """A line for each acknowledged write, until somebody kills us."""

    async def keep_writing(store: Store, writer: int) -> None:
        for number in count():
            name = f"{prefix}-{writer}-{number}"
            await store.write(set_pair, name)
            os.write(1, f"{name}\n".encode())

    async with await Store.open(path) as store:
        await asyncio.gather(*(keep_writing(store, writer) for writer in range(WRITERS)))


async def hold(path: Path, _: str) -> None:
    async with await Store.open(path):
        os.write(1, b"open\n")
        await asyncio.sleep(60)


async def fill(path: Path, limit: str) -> None:
    """Write until files may not grow any more, then make room and go on; a line for each acknowledged write."""

    async def write(store: Store, name: str, size: int = 20_000) -> bool:
        try:
            await store.write(set_value, name, "x" * size)
        except StorageFull:
            return False
        os.write(1, f"{name}\n".encode())
        return True

    async with await Store.open(path) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
        for round in range(1000):
            done = await asyncio.gather(*(write(store, f"before-{round}-{number}") for number in range(4)))
            if not all(done):
                break
        os.write(1, b"full\n")
        assert not await write(store, "still full", 200_000)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert await write(store, "after")


if __name__ == "__main__":
    what = {"write_for_ever": write_for_ever, "hold": hold, "fill": fill}[sys.argv[1]]
    asyncio.run(what(Path(sys.argv[2]), sys.argv[3]))
