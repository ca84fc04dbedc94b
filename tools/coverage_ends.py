"""For coverage.py: a process group that is killed has a moment to write down what it ran, and writes at a SIGTERM."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from types import FrameType
from typing import Any

import coverage

PATIENCE_S = 0.3

_killpg, _signal = os.killpg, signal.signal


def _patient_killpg(group: int, number: int) -> None:
    if number == signal.SIGKILL:
        _killpg(group, signal.SIGTERM)
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end and not _ended(group):
            time.sleep(0.005)
    _killpg(group, number)


def _ended(leader: int) -> bool:
    """Also where it is no child of ours, or waits to be reaped."""
    with contextlib.suppress(ChildProcessError):
        return os.waitid(os.P_PID, leader, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return True


def _writing_signal(number: int, handler: Any) -> Any:
    """coverage.py writes at a SIGTERM, too, but forked workers take its handler away."""
    return _signal(number, _write_and_end if (number, handler) == (signal.SIGTERM, signal.SIG_DFL) else handler)


def _write_and_end(number: int, frame: FrameType | None) -> None:
    measuring = coverage.Coverage.current()
    if measuring is not None:
        measuring.save()
    _signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def coverage_init(registry: Any, options: Any) -> None:
    os.killpg, signal.signal = _patient_killpg, _writing_signal
