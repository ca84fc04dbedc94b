"""The disks that things are kept on: their room, what outlives a power cut, and what is one server's alone.

All of it blocks: call it in a thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from modelport.errors import StorageFull
from modelport.store.failures import StoreInUse


def room(folder: Path) -> int:
    """Bytes that can still be stored there; none where no more files can be made."""
    disk = os.statvfs(folder)
    return 0 if disk.f_files and not disk.f_favail else disk.f_bavail * disk.f_frsize


def check_room(folder: Path, least_bytes: int) -> None:
    """Raises StorageFull where less is left. A folder that is not there yet says nothing."""
    with contextlib.suppress(FileNotFoundError):
        free = room(folder)
        if free < least_bytes:
            raise StorageFull(
                f"the disk is full: {free} bytes are free, and {least_bytes} must stay free (least_room_bytes)"
            )


def sync(path: Path) -> None:
    """Returns when a file's content, or the names in a folder, are on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def take_lock(path: Path, name: str, remedy: str) -> int:
    """The descriptor of a lock beside `path`; closing it, or dying, gives the lock back.

    name, remedy: what belongs to one server, and what another one needs for itself, for the message.
    Raises StoreInUse, OSError.
    """
    lock = os.open(path.with_name(f"{path.name}.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise StoreInUse(
            f"{name} is in use by another server, process {holder}; stop that one, or give this one {remedy} of its own"
        ) from error
    with contextlib.suppress(OSError):  # the number is a courtesy; a full disk must not keep us from starting
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock
