"""One thing at a time for an object: it is changed, its job is made, or its outputs are put."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class Locks:
    """A lock for each object that somebody works on, and for no other."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def of(self, bucket: str, key: str) -> asyncio.Lock:
        if (lock := self._locks.get((bucket, key))) is None:
            lock = self._locks[bucket, key] = asyncio.Lock()
        return lock
