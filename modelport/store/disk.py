"""Room on the disks that things are kept on, and what outlives a power cut. All of it blocks: call it in a thread."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from modelport.errors import StorageFull


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
