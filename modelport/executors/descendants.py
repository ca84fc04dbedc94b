"""What a killed template leaves: its workers, and what they had started.

A template that ends in order ends its descendants itself. One that is killed cannot; the kernel ends its workers, but
not what these have started. It all comes to the gateway, the nearest subreaper that is left, which tells it from its
other children by its origin (contract/descent.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal

from modelport.contract import descent

logger = logging.getLogger(__name__)

POLL_S = 0.002

# The templates that live. Children are the process's own, so that this is, too, whatever executors there are.
TEMPLATES: set[int] = set()


async def end_adopted(limit_s: float) -> None:
    """Kill and reap what has come to this process from templates that are gone, until nothing is left."""
    loop = asyncio.get_running_loop()
    end = loop.time() + limit_s
    # In the event loop, so that no template begins between two lines; there are few children.
    while adopted := _adopted():
        for pid in adopted:
            _end(pid)
        if loop.time() > end:
            logger.error("processes %s of a template that was killed do not end", adopted)
            return
        await asyncio.sleep(POLL_S)


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _adopted() -> list[int]:
    own = descent.origin(os.getpid())
    return [pid for pid in descent.children() if pid not in TEMPLATES and descent.origin(pid) not in (own, None)]
