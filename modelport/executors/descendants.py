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

POLL_FIRST_S = 0.002
POLL_LAST_S = 0.1

# The templates that live. Children are the process's own, so that this is, too, whatever executors there are.
TEMPLATES: set[int] = set()


async def end_adopted(limit_s: float) -> None:
    """Kill and reap what has come to this process from templates that are gone, until nothing is left.

    limit_s: for what may never end. Anything else is waited for: on a busy machine it has not had its turn.
    """
    loop = asyncio.get_running_loop()
    end, pause_s = loop.time() + limit_s, POLL_FIRST_S
    # In the event loop, so that no template begins between two lines; there are few children.
    while adopted := _adopted():
        ending = [pid for pid in adopted if _end(pid)]
        if not ending and loop.time() > end:
            logger.error("processes %s of a template that was killed do not end", adopted)
            return
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, POLL_LAST_S)


def _end(pid: int) -> bool:
    """Whether it ends: not one of another user, and not while it hangs in a driver or on a disk."""
    try:
        os.kill(pid, signal.SIGKILL)
    except PermissionError:
        return False
    except ProcessLookupError:
        pass
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return descent.state(pid) != descent.IN_KERNEL


def _adopted() -> list[int]:
    own = descent.origin(os.getpid())
    return [pid for pid in descent.children() if pid not in TEMPLATES and descent.origin(pid) not in (own, None)]
