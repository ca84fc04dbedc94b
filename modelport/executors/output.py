"""What a deployment's processes print, read by the gateway from one pipe each."""

from __future__ import annotations

import asyncio
import os
from collections import deque

from modelport.executors import Output, Watcher

READ_BYTES = 1 << 16

# What is left in the pipe when an outcome arrives is at most the pipe's capacity (64 KiB); a stray child of the model
# that writes without end must not keep us reading.
DRAIN_READS = 4


class OutputPipe:
    """What a process prints: handed on to `output`, and the last bytes of the current call kept for its outcome."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit_bytes: int, output: Output) -> None:
        self._loop = loop
        self._limit = limit_bytes
        self._output = output
        self.kept: deque[bytes] = deque()  # read, and taken by nobody yet
        self._kept_bytes = 0
        self.pid = 0
        self.watcher: Watcher | None = None  # of the current call
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        loop.add_reader(self._read_end, self._read)

    def close_write_end(self) -> None:
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def _read(self) -> bool:
        """One chunk, if there is one."""
        if self._read_end < 0:
            return False
        try:
            chunk = os.read(self._read_end, READ_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            self._loop.remove_reader(self._read_end)
            return False
        self._output(self.pid, chunk)
        if self.watcher is not None:
            self.watcher.printed(chunk)
        self.kept.append(chunk)
        self._kept_bytes += len(chunk)
        while self._kept_bytes - len(self.kept[0]) >= self._limit:
            self._kept_bytes -= len(self.kept.popleft())
        return True

    def take(self) -> bytes:
        """All that has been printed since the last call of `take`, from its end at most the limit."""
        for _ in range(DRAIN_READS):
            if not self._read():
                break
        if not self.kept:
            return b""
        kept = b"".join(self.kept)
        self.kept.clear()
        self._kept_bytes = 0
        return kept[-self._limit :] if self._limit else b""

    def close(self) -> None:
        self.close_write_end()
        if self._read_end >= 0:
            self._loop.remove_reader(self._read_end)
            os.close(self._read_end)
            self._read_end = -1
