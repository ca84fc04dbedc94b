"""Removing folders that a model could write to, whatever it has made of them."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

# What is beside a folder while it is removed; what is still there later was left by somebody who was killed.
MOVED = ".removed-"

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: str | Path) -> None:
    """Remove a file or a folder with all that is in it, however deep; links are not followed. What cannot be removed
    stays. Blocks: call it in a thread.

    `shutil.rmtree` goes down by recursion, and fails at some hundred levels. Here each folder in a folder is first
    moved up beside the outermost, so that there is never more than one level, and no path is ever too long.
    """
    above, name = os.path.split(path)
    try:
        outside = os.open(above or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        names = [name]
        while names:
            names += _remove(outside, names.pop())
    finally:
        os.close(outside)


def _remove(outside: int, name: str) -> list[str]:
    """Remove one, and return the names of the folders that were in it and lie beside it now."""
    try:
        if not stat.S_ISDIR(os.stat(name, dir_fd=outside, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=outside)
            return []
        os.chmod(name, 0o700, dir_fd=outside)  # the model may have taken our own rights
        folder = os.open(name, FOLDER, dir_fd=outside)
    except OSError:
        return []
    try:
        moved = list(_emptied(folder, outside))
    finally:
        os.close(folder)
    try:
        os.rmdir(name, dir_fd=outside)
    except OSError:
        pass  # something in it could not be removed, or was made just now
    return moved


def _emptied(folder: int, outside: int) -> Iterator[str]:
    """Remove the files in a folder; the new names of its folders."""
    for entry in os.listdir(folder):
        try:
            if stat.S_ISDIR(os.stat(entry, dir_fd=folder, follow_symlinks=False).st_mode):
                os.chmod(entry, 0o700, dir_fd=folder)  # else it could not be moved
                name = f"{MOVED}{secrets.token_hex(8)}"
                os.rename(entry, name, src_dir_fd=folder, dst_dir_fd=outside)
                yield name
            else:
                os.unlink(entry, dir_fd=folder)
        except OSError:
            continue
