"""Whether this process may be forked: which threads and libraries are in it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from typing import Any

# A mapped file with one of these in its name means a GPU driver or a runtime with threads of its own is in the
# process: neither survives a fork (CUDA contexts, TensorFlow's thread pools).
UNFORKABLE_LIBRARIES = ("libcuda.so", "libtensorflow", "_pywrap_tensorflow", "libhsa-runtime", "libze_loader", "libtpu")

# Threads whose library takes its locks before a fork and sets itself up anew in the child: jemalloc, which pyarrow
# brings along, does (jemalloc_prefork, jemalloc_postfork_child). A name proves nothing, so a trial fork uses it, too.
SAFE_THREADS = frozenset({"jemalloc_bg_thd"})

# How long threads that end at a fork (OpenBLAS joins its own) may take to vanish from /proc.
THREADS_GONE_S = 0.1

# The trial needs some milliseconds; one that hangs on a lock never ends.
TRIAL_S = 5.0
TRIAL_BYTES = 1 << 20


def why_not_forkable() -> str:
    """Why forking this process now would be unsafe; empty when it is safe.

    A fork copies only the calling thread, so any other thread's locks stay locked for ever. OpenBLAS, which numpy
    loads, ends its threads in a handler before each fork; to see whether only such threads are there, fork once for
    nothing and look again.
    """
    with open("/proc/self/maps", errors="replace") as maps:
        mapped = maps.read()
    for name in UNFORKABLE_LIBRARIES:
        if name in mapped:
            return "it has loaded " + name
    if not _other_threads():
        return ""
    failure = _trial()
    end = time.monotonic() + THREADS_GONE_S
    while set(_other_threads()) - SAFE_THREADS:
        if time.monotonic() > end:
            counted = sorted(_other_threads().items())
            names = (name if count == 1 else f"{name} ({count} times)" for name, count in counted)
            return "it runs other threads: " + ", ".join(names)
        time.sleep(0.001)
    return failure


def _other_threads() -> Counter[str]:
    """How many threads there are beside this one, by name."""
    names: Counter[str] = Counter()
    for thread in os.listdir("/proc/self/task"):
        if int(thread) != os.getpid():
            try:
                with open(f"/proc/self/task/{thread}/comm", errors="replace") as file:
                    names[file.read().strip()] += 1
            except OSError:
                pass  # it has ended
    return names


def _trial() -> str:
    """Fork, use the memory there, and see whether that ends well: why not, or nothing."""
    pid = os.fork()
    if pid == 0:
        try:
            _use_memory()
        except BaseException:
            os._exit(1)
        os._exit(0)
    end = time.monotonic() + TRIAL_S
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return "" if status == 0 else "a trial fork of it failed"
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "a trial fork of it hangs"
        time.sleep(0.001)


def _use_memory() -> None:
    """What a worker would do next with the allocators whose threads were left behind."""
    bytearray(TRIAL_BYTES)
    arrow: Any = sys.modules.get("pyarrow")
    for name in ("jemalloc_memory_pool", "mimalloc_memory_pool", "system_memory_pool"):
        make = getattr(arrow, name, None)
        if make is not None:
            try:
                pool = make()
            except NotImplementedError:
                continue  # this build of pyarrow has none
            for size in (64, 4096, TRIAL_BYTES):
                del [arrow.allocate_buffer(size, memory_pool=pool)][:]
