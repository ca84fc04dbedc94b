"""Scratch: a folder for each prediction's files, made when first needed and removed when the answer is sent.

All lie in one folder of this server's run, `<home>/run/<process id>-<random>`, whose lock is held while the server
lives: what a killed server left behind is removed by the next start.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import secrets
import shutil
from pathlib import Path
from types import TracebackType

logger = logging.getLogger(__name__)

LOCK = "lock"


class RunFolder:
    """The folder of one server's run: scratch folders, temporary files of workers."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        runs = home / "run"
        runs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._remove_stale(runs)
        self.path = runs / f"{os.getpid()}-{secrets.token_hex(4)}"
        self.path.mkdir(mode=0o700)
        self._lock = os.open(self.path / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.scratches = self.path / "scratch"
        self.scratches.mkdir(mode=0o700)
        self._root = str(self.scratches)
        self._prefix = secrets.token_hex(6)
        self._count = 0

    @staticmethod
    def _remove_stale(runs: Path) -> None:
        for folder in runs.iterdir():
            try:
                lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
            except OSError:
                continue  # another server is just making or removing it
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            except BlockingIOError:
                pass  # its server lives
            finally:
                os.close(lock)

    def folder(self, name: str) -> Path:
        """A folder for something that lives as long as the server or shorter."""
        path = self.path / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def scratch(self) -> Scratch:
        self._count += 1
        return Scratch(self._root, f"{self._prefix}{self._count:08x}")

    def close(self) -> None:
        """Remove it; a second time does nothing."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(lock)


class Scratch:
    """One prediction's folder. As a context manager it is gone at the end, whoever made or removed what in it."""

    def __init__(self, root: str, id: str) -> None:
        # Text, not a Path: most predictions have no file, and need the folder's name only to pass it on.
        self.id = id
        self.folder = f"{root}/{id}"

    @property
    def path(self) -> Path:
        return Path(self.folder)

    def make(self) -> Path:
        path = self.path
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    async def remove(self) -> None:
        if os.path.lexists(self.folder):  # noqa: ASYNC240 (one stat, a few microseconds)
            # Freeing a gigabyte takes a while; nobody waits for it in the event loop.
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True))

    async def __aenter__(self) -> Scratch:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.remove()
