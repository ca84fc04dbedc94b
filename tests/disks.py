"""Small disks of their own, and filling them up."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(folder: Path, size_bytes: int, kind: str = "tmpfs") -> Iterator[Path]:
    """A disk of this size at `folder`; where none can be mounted the test is skipped. kind: tmpfs or ext4."""
    folder.mkdir()
    try:
        _mount(folder, size_bytes, kind)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"no small disk with {kind} can be mounted here: that takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def _mount(folder: Path, size_bytes: int, kind: str) -> None:
    if kind == "tmpfs":
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
    else:
        image = folder.with_suffix(".image")
        with open(image, "wb") as file:
            file.truncate(size_bytes)
        subprocess.run(["mkfs.ext4", "-F", "-q", "-m", "0", image], check=True, capture_output=True)
        command = ["mount", "-o", "loop", str(image), str(folder)]
    subprocess.run(command, check=True, capture_output=True)


def room(disk: Path) -> int:
    statvfs = os.statvfs(disk)
    return statvfs.f_bavail * statvfs.f_frsize


def fill(disk: Path, *, leave_bytes: int = 0) -> Path:
    """Take all the room that there is, but for so much. Returns the file that takes it."""
    path = disk / "filler"
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while room(disk) - leave_bytes >= size or not leave_bytes:
                    file.write(b"\0" * size)
            except OSError:
                pass
    return path
