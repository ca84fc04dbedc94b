"""Tasks with an owner, who waits for their end; and the end of programs. What fails unseen is logged."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from modelport.errors import Cancelled, ModelportError

logger = logging.getLogger(__name__)

T = TypeVar("T")

# A thread costs more than work on so few bytes.
AT_ONCE_BYTES = 64 << 10


async def aside(size_bytes: int, function: Callable[..., T], *arguments: Any) -> T:
    """`function(*arguments)`, which works on so many bytes: in a thread where others would have to wait for it."""
    return function(*arguments) if size_bytes <= AT_ONCE_BYTES else await asyncio.to_thread(function, *arguments)


class Tasks:
    """name: of the owner, for the log. closed: `finish` takes no more."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.closed = False
        self._tasks: dict[asyncio.Task[Any], bool] = {}  # whether `end` cancels it

    def spawn(self, work: Coroutine[Any, Any, T], *, cancel: bool = False, awaited: bool = False) -> asyncio.Task[T]:
        """cancel: at the end; else it is waited for. awaited: whoever awaits it is told of a ModelportError."""
        task = asyncio.create_task(work)
        self._tasks[task] = cancel
        task.add_done_callback(lambda task: self._ended(task, awaited))
        return task

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """To its end, also when the caller leaves. Raises Cancelled when closed, and what the work raises."""
        if self.closed:
            work.close()
            raise Cancelled("the server is stopping")
        return await asyncio.shield(self.spawn(work, awaited=True))

    def _ended(self, task: asyncio.Task[Any], awaited: bool) -> None:
        del self._tasks[task]
        if task.cancelled() or (error := task.exception()) is None:
            return
        if not isinstance(error, ModelportError):
            logger.error("%s: a task of the server failed", self.name, exc_info=error)
        elif not awaited:
            logger.warning("%s: %s", self.name, error.message)

    async def end(self) -> None:
        self.closed = True
        for task in [task for task, cancel in self._tasks.items() if cancel]:
            task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)


async def wait_done(future: asyncio.Future[Any]) -> None:
    """Until it is, whatever comes of it. A cancellation meanwhile takes effect only then: the work must have ended."""
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Run it to its end, also when the caller is cancelled; what it returns."""
    task = asyncio.create_task(work)
    await wait_done(task)
    return task.result()


async def end_group(process: Process, within_s: float) -> None:
    """End a process that leads a group: by SIGTERM if it ends within the time, then kill what is left of the group."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        async with asyncio.timeout(within_s):
            await process.wait()
    except (ProcessLookupError, TimeoutError):
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def wait_event(event: asyncio.Event, within_s: float | None) -> None:
    """Until it is set, but no longer than so."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), within_s)
