"""The memory of processes, as /proc tells it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

# However little has changed: what others share with a process counts, too.
ANEW_S = 60.0


class Process(NamedTuple):
    """One process at a moment. began, faults and resident_pages stay the same while its memory does."""

    parent: int
    began: int
    faults: int
    resident_pages: int


class MemoryMeter:
    """Measures proportional set sizes: a page that a worker shares with its template counts once, and in halves.

    Of a process that has had no page fault since, it knows what it takes: asking the kernel for the shares of a worker
    with a large library takes some milliseconds, and a server may have many.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Process, int]] = {}
        self._forgotten = time.monotonic()

    def measure(self, roots: Iterable[int]) -> dict[int, int]:
        """Bytes by process, its descendants included: of these and all below. Takes a while: call it in a thread."""
        if time.monotonic() - self._forgotten >= ANEW_S:
            self._known, self._forgotten = {}, time.monotonic()
        processes = _processes()
        children: dict[int, list[int]] = {}
        for pid, started in processes.items():
            children.setdefault(started.parent, []).append(pid)
        measured = {pid: processes[pid] for root in roots for pid in _tree(root, children) if pid in processes}
        if measured.keys() != self._known.keys():
            self._known = {}  # whoever came or went shares pages with others
        self._known = {pid: (started, self._pss(pid, started)) for pid, started in measured.items()}
        return {pid: sum(self._known[below][1] for below in _tree(pid, children)) for pid in measured}

    def _pss(self, pid: int, process: Process) -> int:
        known = self._known.get(pid)
        return known[1] if known is not None and known[0] == process else _pss(pid)


def _processes() -> dict[int, Process]:
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:
                    # Behind the name, which may hold anything; the numbers of the fields are those of proc(5) less 3.
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue  # it has just ended
            faults = int(fields[7]) + int(fields[9])
            parents[int(entry)] = Process(int(fields[1]), int(fields[19]), faults, int(fields[21]))
    return parents


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


class ServerMemory:
    """The memory of the server and all that it runs, measured at most every few seconds however many ask."""

    def __init__(self, keep_s: float = 3.0) -> None:
        self._keep_s = keep_s
        self._meter = MemoryMeter()
        self._measured = -keep_s
        self._memory: dict[int, int] = {}
        self._measuring: asyncio.Task[None] | None = None

    async def of(self, roots: Mapping[str, Sequence[int]], patience_s: float | None = None) -> dict[str, int]:
        """Bytes by name of these processes, which are the server or below it, with their descendants.

        patience_s: where measuring takes longer, what was known before; 0 where that was nothing.
        """
        pids_of_roots = [pid for pids in roots.values() for pid in pids]
        if time.monotonic() - self._measured >= self._keep_s or not all(pid in self._memory for pid in pids_of_roots):
            if self._measuring is None or self._measuring.done():
                self._measuring = asyncio.create_task(self._measure())
            await asyncio.wait({self._measuring}, timeout=patience_s)
        return {name: sum(self._memory.get(pid, 0) for pid in pids) for name, pids in roots.items()}

    async def _measure(self) -> None:
        self._memory = await asyncio.to_thread(self._meter.measure, [os.getpid()])
        self._measured = time.monotonic()


def machine_memory_bytes() -> int:
    """What this machine has; less where the server's control group is given less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total
