"""Buckets as folders of this machine, seen past rclone. Everything here blocks: call it in a thread."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from modelport.objectstore.keys import FOLDER_FILE, RESERVED
from modelport.objectstore.names import INPUTS, OUTPUTS
from modelport.store import sync as durable


def make_bucket(folder: Path, bucket: str) -> bool:
    """The bucket's folder with the markers inputs/ and outputs/. Returns whether anything was missing."""
    new = False
    for each in (INPUTS, OUTPUTS):
        marker = folder / bucket / each / FOLDER_FILE
        if not marker.exists():
            marker.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            marker.touch(mode=0o600)
            new = True
    return new


def made_at(folder: Path, bucket: str) -> float:
    """When the bucket was made, in seconds since 1970; 0 where it is not there."""
    with contextlib.suppress(OSError):
        return (folder / bucket / INPUTS / FOLDER_FILE).stat().st_mtime
    return 0.0


def in_the_way(folder: Path, path: str) -> str:
    """What keeps a file from being put at `path`, its bucket first: the path of a file where a folder must be, or its
    own where it is a folder; empty where nothing does. Folders in which nothing is are removed."""
    parts = path.split("/")
    for number in range(1, len(parts)):
        above = "/".join(parts[:number])
        mode = _mode(folder / above)
        if mode is None:
            return ""
        if not stat.S_ISDIR(mode):
            return above
    mode = _mode(folder / path)
    if mode is not None and stat.S_ISDIR(mode) and not remove_empty(folder / path):
        return path
    return ""


def is_file(folder: Path, path: str) -> bool:
    mode = _mode(folder / path)
    return mode is not None and stat.S_ISREG(mode)


def _mode(path: Path) -> int | None:
    try:
        return path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def remove_empty(path: Path) -> bool:
    """Remove a folder that holds nothing but folders that hold nothing. Returns whether it is gone."""
    for each, _, files in os.walk(path, topdown=False):
        if files:
            return False
        with contextlib.suppress(OSError):  # one that is not empty any more
            os.rmdir(each)
    return not path.exists()


def sync(folder: Path, path: str) -> None:
    """Returns when the file, and its name, will outlive a power cut. Raises OSError."""
    durable.sync(folder / path)
    durable.sync((folder / path).parent)


def now_ns(run_folder: Path) -> int:
    """By the clock of files; `run_folder` need not be on the same file system, but on the same machine."""
    mark = run_folder / "now"
    mark.touch()
    os.utime(mark)
    return mark.stat().st_ctime_ns


def sweep(folder: Path, before_ns: int) -> int:
    """Remove what uploads left that were broken off with their rclone before then. Returns how many there were."""
    count = 0
    for root, _, files in os.walk(folder):
        for name in files:
            if name.startswith(RESERVED):
                path = Path(root, name)
                with contextlib.suppress(OSError):
                    if path.lstat().st_ctime_ns <= before_ns:
                        path.unlink()
                        count += 1
    return count
