"""What a deployment's processes have printed last, kept for whoever asks, and passed on to whoever follows."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import islice

# A piece takes so much memory beside its text.
PIECE_BYTES = 128


@dataclass(slots=True)
class Piece:
    """What a process printed at once, cut anywhere. at: seconds since 1970. job: whose call it was, if known."""

    text: bytes
    process: int
    at: float
    job: str = ""


class Tail:
    """What was printed last, by whole pieces."""

    def __init__(self, limit_bytes: int) -> None:
        """limit_bytes: of memory, about."""
        self._limit = limit_bytes
        self._pieces: deque[Piece] = deque()
        self._size = 0
        self._count = 0  # of pieces added since the beginning
        self._closed = False
        self._news = asyncio.Event()

    def add(self, chunk: bytes, process: int = 0) -> None:
        self._pieces.append(Piece(chunk, process, time.time()))
        self._size += len(chunk) + PIECE_BYTES
        self._count += 1
        while self._size > self._limit and self._pieces:
            self._size -= len(self._pieces.popleft().text) + PIECE_BYTES
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
            pieces, seen = self._since(seen), self._count
            if pieces:
                yield pieces
            elif self._closed:
                return
            else:
                await self._news.wait()

    def _since(self, count: int) -> list[Piece]:
        # From the end, so that following a long tail costs no more than its news.
        return list(islice(reversed(self._pieces), self._count - count))[::-1]

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
