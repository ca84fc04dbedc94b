"""The last bytes of a stream, kept for whoever asks, and passed on to whoever follows."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator


class Tail:
    """The last bytes of a stream, by whole chunks."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._end = 0  # bytes added since the beginning
        self._closed = False
        self._news = asyncio.Event()

    def add(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._size += len(chunk)
        self._end += len(chunk)
        while self._size > self._limit and self._chunks:
            self._size -= len(self._chunks.popleft())
        self._tell()

    def text(self) -> str:
        return b"".join(self._chunks).decode(errors="replace")

    def close(self) -> None:
        """Nothing more will come: those who follow come to their end."""
        self._closed = True
        self._tell()

    async def follow(self) -> AsyncIterator[bytes]:
        """What is kept, then what comes, until `close`. A slow reader misses what has been dropped meanwhile."""
        seen = 0
        while True:
            chunk, seen = self._since(seen), self._end
            if chunk:
                yield chunk
            elif self._closed:
                return
            else:
                await self._news.wait()

    def _since(self, position: int) -> bytes:
        new = self._end - position
        if new <= 0:
            return b""
        if new >= self._size:
            return b"".join(self._chunks)
        # From the end, so that following a long tail costs no more than its news.
        found: deque[bytes] = deque()
        for chunk in reversed(self._chunks):
            found.appendleft(chunk[-new:] if len(chunk) > new else chunk)
            new -= len(chunk)
            if new <= 0:
                break
        return b"".join(found)

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
