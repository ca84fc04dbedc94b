"""Threads that wait for a disk, so that nobody else has to; and a disk that hangs, as one on the network may.

Work may rightly take long: there are large objects and slow disks. So nothing is given up for its time alone, but only
where a byte cannot be written beside it either. Who waited is told then, and the work ends when the disk lets it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from modelport.errors import BucketUnavailable

P = ParamSpec("P")
T = TypeVar("T")

# At work at once: most of their time they wait for the disk.
THREADS = 16
PROBE = ".modelport/probe"


class Disk:
    """root: a folder on it. limit_s: it must answer within."""

    def __init__(self, root: Path, limit_s: float) -> None:
        self._path = root / PROBE
        self._limit_s = limit_s
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="buckets")
        self._waiting: dict[asyncio.Future[Any], float] = {}  # since when, the longest first
        self._timer: asyncio.TimerHandle | None = None
        self._probe: asyncio.Future[None] | None = None
        self._hangs = False

    async def in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Goes on to its end if the caller leaves, who is told when it has. Raises BucketUnavailable where the disk
        hangs; it goes on then, too, so it must own what it works on, or lock it."""
        return await self.run(partial(function, *args, **kwargs))

    async def run(
        self, function: Callable[[], T], undo: Callable[[T], None] | None = None, *, anyway: bool = False
    ) -> T:
        """The same. undo: is given what has been made where nobody waits for it any more.

        anyway: where the disk hangs, it is done when that answers again.
        """
        if not anyway:
            self._check()
        work = asyncio.get_running_loop().run_in_executor(self.threads, function)
        try:
            try:
                return await self._end_of(work)
            except asyncio.CancelledError:
                with contextlib.suppress(Exception):
                    await self._end_of(work)
                raise
        except (asyncio.CancelledError, BucketUnavailable):
            work.add_done_callback(partial(self._leave, undo))
            raise

    async def _end_of(self, work: asyncio.Future[T]) -> T:
        self._check()
        loop = asyncio.get_running_loop()
        waiting = asyncio.shield(work)
        self._waiting[waiting] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._limit_s / 2, self._look)
        try:
            return await waiting
        finally:
            del self._waiting[waiting]

    # Whether it hangs

    def _look(self) -> None:
        """One timer for all who wait: most are served within a millisecond."""
        self._timer = None
        if self._waiting:
            loop = asyncio.get_running_loop()
            due = next(iter(self._waiting.values())) + self._limit_s / 2
            if loop.time() < due:
                self._timer = loop.call_at(due, self._look)
            else:
                self._timer = loop.call_later(self._limit_s, self._judge, self.probe())

    def _judge(self, probe: asyncio.Future[None]) -> None:
        self._timer = None
        self._hangs = not probe.done()
        if not self._hangs:
            self._look()
        for waiting in self._waiting if self._hangs else ():
            if not waiting.done():
                waiting.set_exception(self._error())

    def _check(self) -> None:
        if self._hangs:
            raise self._error()

    def _error(self) -> BucketUnavailable:
        return BucketUnavailable(
            f"the disk of the object store does not answer within {self._limit_s:g} s (bucket_timeout_s)"
        )

    def probe(self) -> asyncio.Future[None]:
        """Done when a byte has been written; one at a time. Its thread is its own: others that wait for the disk do not
        keep it from beginning, and it keeps no server from ending."""
        if self._probe is None:
            loop = asyncio.get_running_loop()
            self._probe = loop.create_future()
            threading.Thread(target=self._write, args=(loop,), daemon=True).start()
        return self._probe

    def _write(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(OSError):  # a full disk answers
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(self._path, "wb", buffering=0) as file:
                file.write(b"x")
                os.fsync(file.fileno())
        with contextlib.suppress(RuntimeError):  # the server has ended meanwhile
            loop.call_soon_threadsafe(self._answered)

    def _answered(self) -> None:
        probe, self._probe, self._hangs = self._probe, None, False
        if probe is not None:
            probe.set_result(None)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # Where it hangs, nobody can wait for those who do.
        await asyncio.to_thread(self.threads.shutdown, wait=not self._hangs, cancel_futures=self._hangs)

    def _leave(self, undo: Callable[[Any], None] | None, work: asyncio.Future[Any]) -> None:
        if undo is not None and not work.cancelled() and work.exception() is None:
            # In a thread as well. Where the store has been closed, its next start removes what was begun.
            with contextlib.suppress(RuntimeError):
                self.threads.submit(undo, work.result())
