"""What a deployment's processes have printed last, kept for whoever asks, and passed on to whoever follows."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace


@dataclass
class Piece:
    """What a process printed at once, cut anywhere. at: seconds since 1970. job: whose call it was, if known."""

    text: bytes
    process: int
    at: float
    job: str = ""


class Tail:
    """The last bytes that were printed, by whole pieces."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._pieces: deque[Piece] = deque()
        self._size = 0
        self._end = 0  # bytes added since the beginning
        self._closed = False
        self._news = asyncio.Event()

    def add(self, chunk: bytes, process: int = 0) -> None:
        self._pieces.append(Piece(chunk, process, time.time()))
        self._size += len(chunk)
        self._end += len(chunk)
        while self._size > self._limit and self._pieces:
            self._size -= len(self._pieces.popleft().text)
        self._tell()

    def label(self, chunk: bytes, job: str) -> None:
        """The call of this job has printed the chunk. Nothing happens unless that was added just now."""
        if self._pieces and self._pieces[-1].text == chunk:
            self._pieces[-1].job = job

    def text(self) -> str:
        return b"".join(piece.text for piece in self._pieces).decode(errors="replace")

    def pieces(self) -> list[Piece]:
        return list(self._pieces)

    def close(self) -> None:
        """Nothing more will come: those who follow come to their end."""
        self._closed = True
        self._tell()

    async def follow(self) -> AsyncIterator[list[Piece]]:
        """What is kept, then what comes, until `close`. A slow reader misses what has been dropped meanwhile."""
        seen = 0
        while True:
            pieces, seen = self._since(seen), self._end
            if pieces:
                yield pieces
            elif self._closed:
                return
            else:
                await self._news.wait()

    def _since(self, position: int) -> list[Piece]:
        new = self._end - position
        if new >= self._size:
            return self.pieces()
        # From the end, so that following a long tail costs no more than its news.
        last: deque[Piece] = deque()
        for piece in reversed(self._pieces):
            if new <= 0:
                break
            last.appendleft(piece if len(piece.text) <= new else replace(piece, text=piece.text[-new:]))
            new -= len(piece.text)
        return list(last)

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
