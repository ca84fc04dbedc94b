"""A command's work in an event loop: however it ends, what it has started ends first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from modelport.commands.shell import logs
from modelport.commands.shell.terminated import Terminated, signals


def run(work: Callable[[], Coroutine[Any, Any, int]], *, debug: bool) -> int:
    """Do the work in an event loop. However it ends, Ctrl-C and SIGTERM included, the model's processes end first."""
    # Without --debug nothing is logged: the command says itself what went wrong.
    logs.set_up(debug=debug, otherwise=logging.CRITICAL)
    return asyncio.run(until_terminated(work))


async def until_terminated(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    terminated = False
    task = asyncio.current_task()
    assert task is not None

    def end() -> None:
        nonlocal terminated
        terminated = True
        task.cancel()

    for number in signals():
        asyncio.get_running_loop().add_signal_handler(number, end)
    try:
        return await work()
    except asyncio.CancelledError:
        if terminated:
            raise Terminated from None
        raise
