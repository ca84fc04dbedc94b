"""Scratch: a folder for each prediction's files, made when first needed and removed when the answer is sent.

All lie in one folder of this server's run, `<home>/run/<process id>-<random>`, whose lock is held while the server
lives: what a killed server left behind is removed by the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import secrets
import stat
from collections.abc import AsyncIterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from modelport.errors import DISK_FULL, ModelFailed, StorageFull
from modelport.intake.removal import MOVED, remove_tree

logger = logging.getLogger(__name__)

LOCK = "lock"
RESERVE = "reserve"
# A start makes some ten folders.
RESERVE_LEAST_BYTES = 1 << 16

# Written to disk in pieces of this size: large enough that handing a piece to a thread costs little beside writing it.
WRITE_BYTES = 1 << 20
# Waking a thread takes ten times as long as writing so little, which the kernel only copies.
AT_ONCE_BYTES = 64 << 10


class RunFolder:
    """The folder of one server's run: scratch folders, temporary files of workers."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        runs = home / "run"
        runs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._remove_stale(runs)
        self.path, self._lock = self._make(runs)
        self.scratches = self.path / "scratch"
        self.scratches.mkdir(mode=0o700)
        self._root = str(self.scratches)
        self._prefix = secrets.token_hex(6)
        self._count = 0
        self._kept: dict[str, asyncio.Future[Any]] = {}

    @staticmethod
    def _make(runs: Path) -> tuple[Path, int]:
        """A new folder, and the descriptor of its lock."""
        while True:
            path = runs / f"{os.getpid()}-{secrets.token_hex(4)}"
            path.mkdir(mode=0o700)
            lock = os.open(path / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (path / LOCK).exists():
                return path, lock
            os.close(lock)  # before it was locked, another server that starts took it for one that was left

    @staticmethod
    def _remove_stale(runs: Path) -> None:
        for folder in runs.iterdir():
            if folder.name.startswith(MOVED):
                remove_tree(folder)
                continue
            try:
                lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
            except OSError:
                continue  # another server is just making or removing it
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(folder)
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
        return Scratch(self._root, f"{self._prefix}{self._count:08x}", self._kept)

    def keep(self, folder: str, work: asyncio.Future[Any]) -> None:
        """Let the scratch folder `folder` stay until `work` has ended, though its owner removes it before."""
        self._kept[folder] = work
        work.add_done_callback(lambda _: self._kept.pop(folder, None))

    def reserve(self, size: int) -> None:
        """Hold so much of the disk, or what there is of it, for the next start: that removes what a killed server left,
        and so finds room where there is none."""
        descriptor = os.open(self.path / RESERVE, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            while size >= RESERVE_LEAST_BYTES:
                with contextlib.suppress(OSError):
                    return os.posix_fallocate(descriptor, 0, size)
                size //= 2
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Remove it; a second time does nothing."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            remove_tree(self.path)
            os.close(lock)


class Scratch:
    """One prediction's folder. As a context manager it is gone at the end, whoever made or removed what in it."""

    def __init__(self, root: str, id: str, kept: Mapping[str, asyncio.Future[Any]]) -> None:
        # Text, not a Path: most predictions have no file, and need the folder's name only to pass it on.
        self.id = id
        self.folder = f"{root}/{id}"
        self.made = False
        self.untouched = False  # by the executor, as its outcome says
        self._kept = kept

    @property
    def path(self) -> Path:
        return Path(self.folder)

    def make(self) -> Path:
        path = self.path
        path.mkdir(mode=0o700, exist_ok=True)
        self.made = True
        return path

    async def remove(self, *_: object) -> None:
        if (work := self._kept.get(self.folder)) is not None:
            loop = asyncio.get_running_loop()
            work.add_done_callback(lambda _: loop.run_in_executor(None, remove_tree, self.folder))
            return
        # Looking for a folder that is not there takes as long as a tenth of a quick call.
        if (self.made or not self.untouched) and os.path.lexists(self.folder):  # noqa: ASYNC240 (one stat)
            # Freeing a gigabyte takes a while; nobody waits for it in the event loop.
            await asyncio.shield(asyncio.to_thread(remove_tree, self.folder))

    async def __aenter__(self) -> Scratch:
        return self

    __aexit__ = remove


def new_path(scratch: Scratch, ending: str = "") -> Path:
    """For a client's file: nothing of its name is in the path but the ending. Raises StorageFull."""
    try:
        return scratch.make() / f"{secrets.token_hex(8)}{ending}"
    except OSError as error:
        raise StorageFull(f"the upload cannot be stored: {error.strerror}") from error


async def save(scratch: Scratch, content: bytes | AsyncIterable[bytes], ending: str = "") -> Path:
    """A new file of it. Raises StorageFull, and what the content raises."""
    path = new_path(scratch, ending)
    async with Writer(path) as writer:
        if isinstance(content, bytes):
            await writer.write(content)
        else:
            async for chunk in content:
                await writer.write(chunk)
    return path


def open_answer(path: str) -> BinaryIO:
    """The file, for reading. A pipe would keep whoever opens it, a link lead to files of others.

    Raises ModelFailed.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ModelFailed(f"the model has deleted its answer: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ModelFailed("the model has put something else in the place of its answer, which was a file")
    return os.fdopen(descriptor, "rb")


class Writer:
    """Writes a new file from the event loop: the next piece is received while a thread writes the last one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._buffer = bytearray()
        self._writing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Writer:
        try:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageFull(f"the upload cannot be stored: {error.strerror}") from error
        return self

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        self._buffer += data
        if len(self._buffer) >= WRITE_BYTES:
            await self._flush()

    async def _flush(self) -> None:
        await self._wait()
        if self._buffer:
            self._writing = asyncio.create_task(asyncio.to_thread(_write_all, self._descriptor, self._buffer))
            self._buffer = bytearray()

    async def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            try:
                with _told():
                    await asyncio.shield(writing)
            except asyncio.CancelledError:
                await asyncio.wait({writing})  # the thread uses the descriptor until it ends
                raise

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and len(self._buffer) <= AT_ONCE_BYTES:
                await self._wait()
                with _told():
                    _write_all(self._descriptor, self._buffer)
                await asyncio.sleep(0)  # a body may hold a thousand of them: others have their turn between two
            elif kind is None:
                await self._flush()
            await self._wait()
        finally:
            os.close(self._descriptor)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Raises StorageFull for a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise StorageFull(f"there is no room for the upload: {error.strerror}") from error
        raise


def _write_all(descriptor: int, data: bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
