"""A command's work in an event loop: however it ends, what it has started ends first."""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine
from typing import Any


class Terminated(BaseException):
    """A signal has asked the command to end: SIGTERM, or SIGHUP, which a terminal sends when it is closed."""


def signals() -> list[signal.Signals]:
    """Which ones ask for it: no SIGHUP under nohup."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [signal.SIGTERM] if ignored else [signal.SIGTERM, signal.SIGHUP]


def run(work: Callable[[], Coroutine[Any, Any, int]], *, debug: bool) -> int:
    """Do the work in an event loop. However it ends, Ctrl-C and SIGTERM included, the model's processes end first."""
    import asyncio  # these wait until something is done: `modelport --help` loads this file
    import logging

    from modelport.commands.shell import logs

    # Without --debug nothing is logged: the command says itself what went wrong.
    logs.set_up(debug=debug, otherwise=logging.CRITICAL)
    return asyncio.run(until_terminated(work))


async def until_terminated(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    import asyncio

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
