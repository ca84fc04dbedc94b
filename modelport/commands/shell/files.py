"""How every command writes a file."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# Unfinished files, beside those that they become.
PART = ".modelport-*.part"
# As many symbolic links as Linux follows.
LINKS = 40


@contextlib.contextmanager
def replaced(path: str | Path, *, mode: int = 0o666, parents: bool = False) -> Iterator[BinaryIO]:
    """A file that appears under its name when it is whole and on the disk, and not at all when the body raises.

    A symbolic link stays, and what it points to is replaced; a file that was there keeps its mode and owner. Devices,
    pipes and descriptors (/dev/stdout, /dev/fd/3) are written to. mode: of a new file, less the umask. parents: its
    folder is made as well. Raises OSError.
    """
    descriptor = _descriptor(Path(path))
    if descriptor is not None:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            yield file
        return
    target = Path(os.path.realpath(path))
    if parents:
        target.parent.mkdir(parents=True, exist_ok=True)
    before = target.stat() if target.exists() else None
    if before is not None and not stat.S_ISREG(before.st_mode):
        with target.open("wb") as file:
            yield file
        return
    beside = target.with_name(PART.replace("*", secrets.token_hex(8)))
    try:
        with open(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode), "wb") as file:
            yield file
            file.flush()
            if before is not None:
                _keep(file.fileno(), before)
            os.fsync(file.fileno())
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _descriptor(path: Path) -> int | None:
    """The number of our own open file that the path names, through whatever links; None: it names none."""
    for _ in range(LINKS):
        folder = os.path.realpath(path.parent)
        if folder == f"/proc/{os.getpid()}/fd" and path.name.isdecimal():
            return int(path.name)
        if not path.is_symlink():
            return None
        path = Path(folder, os.readlink(path))
    return None


def _keep(descriptor: int, before: os.stat_result) -> None:
    """Only root may give a file away, and then its mode must be set afterwards."""
    with contextlib.suppress(OSError):
        os.fchown(descriptor, before.st_uid, before.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
