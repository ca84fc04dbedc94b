"""What a killed template leaves: processes that its models had started, found by a mark in their environment.

A template that ends in order ends its descendants itself. One that is killed cannot; the kernel ends its workers, but
not the workers' own children. Each template is started with a mark of its own in the environment, which all its
descendants inherit, so they can be found whoever their parent is by now.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
MARK = "MODELPORT_TEMPLATE"

# A process that has been killed is gone within moments; one in uninterruptible sleep is not worth waiting for.
GONE_S = 1.0


def become_subreaper() -> None:
    """Orphans among our descendants become our children, so that we can reap them and no zombie stays."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_all(mark: str) -> int:
    """Kill every process that carries the mark, and reap those that are our children. Returns how many there were.

    Blocks for up to GONE_S; call it in a thread.
    """
    wanted = f"{MARK}={mark}".encode()
    ended: set[int] = set()
    end = time.monotonic() + GONE_S
    while time.monotonic() < end:
        living = _marked(wanted)
        for pid in living:
            _kill(pid)
        ended |= living
        zombies = {pid for pid in ended if not _reap(pid)}
        if not living and not zombies:
            break
        time.sleep(0.002)
    return len(ended)


def _marked(wanted: bytes) -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
            except OSError:
                continue  # it has just ended, or belongs to somebody else; a zombie's environment is empty
    return found


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _reap(pid: int) -> bool:
    """Whether nothing of the process is left for us to reap."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def reap_workers(pids: list[int]) -> None:
    """Reap workers that have come to us because their template was killed."""
    end = time.monotonic() + GONE_S
    while pids and time.monotonic() < end:
        pids = [pid for pid in pids if not _reap(pid)]
        time.sleep(0.002)
