"""Which process has come from which, whatever it has done since.

A process can leave its parent by forking twice, its session and its group, and it can clear its environment. A pidfd
knows one process and not what that one starts, and a cgroup needs rights that most servers do not have. But a hard
limit that was lowered is inherited for good: through every fork and exec, and nobody may raise it again but root (with
CAP_SYS_RESOURCE, which containers lack). So each template lowers a limit, and each worker lowers it further, to a value
of its own. Whose parent has ended comes to its nearest subreaper, a template or the gateway, which reads in the limit
where it comes from.

The limit is RLIMIT_RTTIME: for how many microseconds a real-time process may compute without a pause. At these values,
more than a hundred thousand years, it limits nothing.

Runs on both sides: Python 3.8, standard library only.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal

LINE = b"Max realtime timeout"
# Stands for no limit at all, so that lower is less.
UNLIMITED = 1 << 62

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# The states of a process that waits where no signal reaches it, and of one that a signal has stopped.
IN_KERNEL = "D"
STOPPED = "T"

# As it is before a plugin replaces it.
_exit = os._exit


def die_with_parent(how: int = signal.SIGTERM, parent: int | None = None) -> None:
    """Ask the kernel for signal `how` when the parent ends. parent: if it already has, end at once."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, how, 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        _exit(0)


def become_subreaper() -> None:
    """Orphans among our descendants become our children."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def origin(pid: int) -> int | None:
    """The hard limit of a process, by which those of one origin are known. None: the process has gone."""
    try:
        with open(f"/proc/{pid}/limits", "rb") as limits:
            line = next((line for line in limits if line.startswith(LINE)), b"")
    except OSError:
        return None
    hard = line[len(LINE) :].split()[1:2]
    if not hard:
        return None
    return min(int(hard[0]), UNLIMITED) if hard[0].isdigit() else UNLIMITED


def state(pid: int) -> str:
    """As the kernel's letter; empty: the process has gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as line:
            return line.read().rpartition(b")")[2].split()[0].decode()
    except OSError:
        return ""


def lower(value: int) -> None:
    """All that this process starts from now on is of this origin."""
    resource.setrlimit(resource.RLIMIT_RTTIME, (value, value))


def children() -> list[int]:
    """Of this process, zombies among them."""
    pids = []
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/children") as text:
                pids += [int(pid) for pid in text.read().split()]
        except OSError:
            continue  # the thread has just ended
    return pids
