"""Who is writing what, by whichever door, where a key is a file and a key above it would have to be a folder."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator

from modelport.errors import Conflict


class Paths:
    """All paths begin with their bucket's name."""

    def __init__(self) -> None:
        self._writing: Counter[str] = Counter()
        self._above: Counter[str] = Counter()
        self._locks: dict[str, asyncio.Lock] = {}
        self._waiting: Counter[str] = Counter()

    @contextlib.contextmanager
    def writing(self, path: str) -> Iterator[None]:
        """While an object is put. Raises Conflict where one that is being put is in its way, or would be in its own.

        rclone itself would lose sight of everything in a folder while a file of the folder's name is put.
        """
        above = _above(path)
        if self._above[path] or any(self._writing[each] for each in above):
            raise Conflict("An object is being put whose key begins with this one, or this one with it.")
        self._writing[path] += 1
        self._above.update(above)
        try:
            yield
        finally:
            _take_back(self._writing, [path])
            _take_back(self._above, above)

    @contextlib.asynccontextmanager
    async def turn(self, path: str) -> AsyncIterator[None]:
        """One after the other: what changes an object, and what follows from it, in the same order."""
        lock = self._locks.setdefault(path, asyncio.Lock())
        self._waiting[path] += 1
        try:
            async with lock:
                yield
        finally:
            _take_back(self._waiting, [path])
            if not self._waiting[path]:
                self._locks.pop(path, None)


def _above(path: str) -> list[str]:
    """The folders of a path, its bucket excepted."""
    parts = path.split("/")
    return ["/".join(parts[:number]) for number in range(2, len(parts))]


def _take_back(counter: Counter[str], names: list[str]) -> None:
    for each in names:
        counter[each] -= 1
        if counter[each] <= 0:
            del counter[each]
