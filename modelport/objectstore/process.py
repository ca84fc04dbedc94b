"""rclone while it runs, and what it says."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import subprocess
import time

logger = logging.getLogger(__name__)

READ_BYTES = 1 << 16
END_S = 3.0
TAIL_LINES = 20

_FULL = re.compile(r"no space left on device|disk quota exceeded|file too large", re.IGNORECASE)


class Process:
    """The process. gone: done when it has ended and been reaped, with how it ended.

    full_at: on the monotonic clock, when it last said that the disk is full.
    """

    def __init__(self, command: list[str], descriptor: int, environment: dict[str, str]) -> None:
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[str] = self._loop.create_future()
        self.full_at = float("-inf")
        self._tail: list[str] = []
        self._rest = b""
        self._said, said_end = os.pipe()
        os.set_blocking(self._said, False)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said_end,
                stderr=said_end,
                pass_fds=(descriptor,),
                env=environment,
                start_new_session=True,
            )
        except OSError:
            os.close(self._said)
            raise
        finally:
            os.close(said_end)
        self.pid = self._process.pid
        self._pidfd = os.pidfd_open(self.pid)
        self._loop.add_reader(self._pidfd, self._ended)
        self._loop.add_reader(self._said, self._read)

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def _read(self) -> bool:
        """What it says, line by line; it writes no secrets. False: there is no more now."""
        try:
            chunk = os.read(self._said, READ_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            self._loop.remove_reader(self._said)
            return False
        *lines, rest = (self._rest + chunk).split(b"\n")
        self._rest = rest[-READ_BYTES:]
        for line in lines:
            text = line.decode(errors="replace")
            logger.debug("rclone: %s", text)
            if _FULL.search(text):
                self.full_at = time.monotonic()
            self._tail = [*self._tail[1 - TAIL_LINES :], text]
        return True

    def _ended(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        while self._read():
            pass
        self._loop.remove_reader(self._said)
        os.close(self._said)
        status = self._process.wait()
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        last = self._tail[-1][:300] if self._tail and status > 0 else ""
        self.gone.set_result(f"{how}: {last}" if last else how)

    async def stop(self) -> None:
        """End it, if it has not ended; returns when it is reaped."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.gone.done():
                return
            self.signal(number)
            await asyncio.wait({self.gone}, timeout=END_S)
