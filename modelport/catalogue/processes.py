"""Short processes that we start, and what they say."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import StreamReader
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelport.environment import child_environment
from modelport.tasks import end_group, to_its_end

READ_BYTES = 64 << 10
# So much of what a process complains of is kept: its last lines say why it failed.
COMPLAINT_BYTES = 2000
# A process that is asked to end tidily, with SIGTERM, has this long before it is killed.
END_S = 5.0


@dataclass(frozen=True)
class Said:
    """What a process has written. out: its beginning, up to the limit. complaint: the end of its stderr."""

    status: int
    out: bytes
    complaint: str


async def said_by(
    command: Sequence[str], timeout_s: float, limit_bytes: int, *, environment: Mapping[str, str] | None = None
) -> Said:
    """What a process says until it ends. It is ended with its process group when the time is over, or when the caller
    is cancelled. Raises OSError if it cannot be started, and TimeoutError."""
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *command,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            env={**child_environment(), **(environment or {})},
            start_new_session=True,
        )
    )
    try:
        process = await asyncio.shield(starting)
    except asyncio.CancelledError:  # asyncio itself would kill the process alone, and then wait for ever (3.11)
        await to_its_end(_end(await starting))
        raise
    try:
        async with asyncio.timeout(timeout_s):
            out, complaint, status = await asyncio.gather(*_reading(process, limit_bytes), process.wait())
    except BaseException:
        await to_its_end(_end(process))
        raise
    return Said(status, out, complaint.decode(errors="replace").strip())


def _reading(process: Process, limit_bytes: int) -> tuple[Coroutine[Any, Any, bytes], Coroutine[Any, Any, bytes]]:
    assert process.stdout is not None and process.stderr is not None
    return _head(process.stdout, limit_bytes), _tail(process.stderr, COMPLAINT_BYTES)


async def _head(stream: StreamReader, limit_bytes: int) -> bytes:
    """The rest is read, too, so that the process can go on."""
    head = bytearray()
    while piece := await stream.read(READ_BYTES):
        head += piece[: limit_bytes - len(head)]
    return bytes(head)


async def _tail(stream: StreamReader, limit_bytes: int) -> bytes:
    tail = b""
    while piece := await stream.read(READ_BYTES):
        tail = (tail + piece)[-limit_bytes:]
    return tail


async def _end(process: Process) -> None:
    """With what it has started, which may have outlived it and keep its streams open."""
    await end_group(process, END_S)
    with contextlib.suppress(TimeoutError):  # what has left the group may keep the streams open
        async with asyncio.timeout(END_S):
            await asyncio.gather(*_reading(process, 0))
