"""The processes that we start: their environment, and what short ones say."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio import StreamReader
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelport import settings

# Secrets that are not settings: the key of `modelport nevermined`.
OTHERS = ("NVM_API_KEY",)

READ_BYTES = 64 << 10
# So much of what a process complains of is kept: its last lines say why it failed.
COMPLAINT_BYTES = 2000
# A process that is asked to end tidily, with SIGTERM, has this long before it is killed.
END_S = 5.0


def secret_names() -> frozenset[str]:
    """Every variable that may hold a secret setting: by its own name, and by older ones; and OTHERS."""
    names = ((row.environment, settings.ENVIRONMENT_ALIASES.get(row.name)) for row in settings.table() if row.secret)
    return frozenset(name for pair in names for name in pair if name) | frozenset(OTHERS)


def child_environment() -> dict[str, str]:
    """Ours, without the server's secrets. Every process that we start gets this one, but for the server itself."""
    secret = secret_names()
    return {name: value for name, value in os.environ.items() if name not in secret}


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
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env={**child_environment(), **(environment or {})},
        start_new_session=True,
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        async with asyncio.timeout(timeout_s):
            out, complaint, status = await asyncio.gather(
                _head(process.stdout, limit_bytes), _tail(process.stderr, COMPLAINT_BYTES), process.wait()
            )
    except BaseException:
        await _end(process)
        raise
    return Said(status, out, complaint.decode(errors="replace").strip())


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
    try:
        os.killpg(process.pid, signal.SIGTERM)
        async with asyncio.timeout(END_S):
            await process.wait()
    except (ProcessLookupError, TimeoutError):
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
