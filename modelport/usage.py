"""The memory of processes, as /proc tells it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def memory_of(roots: Iterable[int]) -> dict[int, int]:
    """Bytes of each of these processes and its descendants, by root. Takes a while: call it in a thread.

    Proportional set size: a page that a worker shares with its template counts once, and in halves.
    """
    children = _children()
    return {root: sum(_pss(pid) for pid in _tree(root, children)) for root in roots}


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text(errors="replace").rpartition(")")[2].split()
            except OSError:
                continue  # it has just ended
            found.setdefault(int(fields[1]), []).append(int(entry))
    return found


def _tree(root: int, children: dict[int, list[int]]) -> Iterable[int]:
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children.get(pid, [])


def _pss(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0  # it has ended, or changed its user
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    return 0
