"""A command's work in an event loop: however it ends, what it has started ends first."""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any

# If the event loop has not gone on so long after a signal, the command may wait for whoever reads what it prints, as
# for a pager that shows its first page.
STUCK_S = 1.0


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
    """Raises Terminated, or KeyboardInterrupt through asyncio's runner, when a signal asks for the end."""
    import asyncio

    terminated = interrupted = False
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    interrupt = signal.getsignal(signal.SIGINT)

    def end() -> None:
        nonlocal terminated
        if not terminated:
            terminated = True
            task.cancel()

    def asked(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        signal.setitimer(signal.ITIMER_REAL, STUCK_S)
        loop.call_soon_threadsafe(signal.setitimer, signal.ITIMER_REAL, 0.0)
        if number == signal.SIGINT and callable(interrupt):
            interrupted = True
            interrupt(number, frame)
        else:
            loop.call_soon_threadsafe(end)

    def stuck(number: int, frame: FrameType | None) -> None:
        from modelport.commands.shell import output

        nonlocal terminated
        if not output.leave_blocked_streams():
            signal.setitimer(signal.ITIMER_REAL, STUCK_S)
        elif interrupted:
            raise KeyboardInterrupt  # out of the write
        else:
            terminated = True
            raise Terminated

    # In the background of a shell script, Ctrl-C is ignored.
    asking = [*signals(), *([signal.SIGINT] if callable(interrupt) else [])]
    before = {number: signal.signal(number, asked) for number in asking}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, stuck)
    try:
        return await work()
    except asyncio.CancelledError:
        if terminated:
            raise Terminated from None
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in before.items():
            signal.signal(number, handler)
