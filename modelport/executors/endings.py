"""How processes end, in words."""

from __future__ import annotations

import os
import signal


def in_words(status: int) -> str:
    """A wait status, for people."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        hint = ", perhaps out of memory" if number == signal.SIGKILL else ""
        return signal_name(number) + hint
    return f"exit status {os.waitstatus_to_exitcode(status)}"


def signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"
