"""The memory of processes, as /proc tells it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Mapping, Sequence
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


class Gauge:
    """The memory of several things, measured at most every few seconds however many ask."""

    def __init__(self, keep_s: float = 3.0) -> None:
        self._keep_s = keep_s
        self._measured = -keep_s
        self._bytes: dict[int, int] = {}
        self._measuring = asyncio.Lock()

    async def of(self, roots: Mapping[str, Sequence[int]]) -> dict[str, int]:
        """Bytes by name of these processes with their descendants."""
        wanted = {pid for pids in roots.values() for pid in pids}
        async with self._measuring:
            if time.monotonic() - self._measured >= self._keep_s or not wanted <= self._bytes.keys():
                self._bytes = await asyncio.to_thread(memory_of, wanted)
                self._measured = time.monotonic()
        return {name: sum(self._bytes.get(pid, 0) for pid in pids) for name, pids in roots.items()}


def machine_memory_bytes() -> int:
    """What this machine has; less where the server's control group is given less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total
