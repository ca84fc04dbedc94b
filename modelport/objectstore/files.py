"""Objects as files: a new content is written beside, synced, and renamed into place; folders come and go with it.

Folders are opened one in another, and links are not followed: no key leads out of its bucket.

Everything here blocks: call it in a thread. Functions raise OSError: FileNotFoundError where there is nothing,
NotADirectoryError or IsADirectoryError where another object is in the way.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import stat
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import BinaryIO

from modelport.objectstore import META, ObjectInfo
from modelport.objectstore.keys import FOLDER_FILE, TEMPORARY
from modelport.objectstore.names import INPUTS, OUTPUTS
from modelport.objectstore.records import Record, Records

COPY_BYTES = 8 << 20
# When a file was last changed, as the rclone client says it: seconds since 1970, with a fraction.
MTIME = f"{META}mtime"
_RUN = secrets.token_hex(4)
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # whoever laid a pipe there blocks nobody
NEW_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
# Two file systems, or one that does not know how to copy or link for itself.
_NOT_HERE = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EMLINK}
_TRIES = 100


@contextlib.contextmanager
def folder_of(root: Path, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
    """The descriptor of the folder that a file lies in, and the file's name there.

    make: the folders of its bucket, if need be, but not the bucket.
    """
    bucket, *parts, name = path.split("/")
    folder = os.open(root / bucket, _FOLDER_FLAGS)
    try:
        for part in parts:
            below = _open_below(folder, part, make)
            os.close(folder)
            folder = below
        yield folder, name
    finally:
        os.close(folder)


def _open_below(folder: int, name: str, make: bool) -> int:
    if make:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=folder)
            os.fsync(folder)
    try:
        return os.open(name, _FOLDER_FLAGS, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotADirectoryError(errno.ENOTDIR, "it is a link", name) from error
        raise


def open_file(root: Path, path: str) -> tuple[int, os.stat_result]:
    """Its descriptor, to read; what is no regular file is not there."""
    with folder_of(root, path) as (folder, name):
        try:
            descriptor = os.open(name, _READ_FLAGS, dir_fd=folder)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise FileNotFoundError(errno.ENOENT, "it is not a file", name) from error
            raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "it is not a file", path)
    return descriptor, status


@dataclass
class Opened:
    """An object that is open: what is read of it is of one content, whoever replaces it meanwhile.

    small: all of it, where it is.
    """

    info: ObjectInfo
    descriptor: int
    small: bytes | None

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


class NewFile:
    """A new content on its way to `path`: fill it, then `keep`, then `place`; and `discard` it in any case at the end.

    source: a file that becomes it, by a link where that can be. size: in bytes, of what has been written. Whoever
    discards it while another thread works on it waits for that.
    """

    def __init__(self, root: Path, path: str, source: Path | None = None, *, make: bool = True) -> None:
        """make: its folder, if need be."""
        self.size = 0
        self._root, self._path, self._source = root, path, source
        self._lock = threading.Lock()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._temporary = f"{TEMPORARY}{_RUN}_{secrets.token_hex(8)}"
        self._folder, self._name, self._descriptor = self._create(make)
        try:
            if source is not None:
                self._read(source)
        except BaseException:
            self.discard()
            raise

    def _create(self, make: bool) -> tuple[int, str, int]:
        """In its folder, which somebody may just be removing, since nothing is in it."""
        bucket = self._root / self._path.partition("/")[0]
        for tried in range(_TRIES):
            try:
                with folder_of(self._root, self._path, make=make) as (folder, name):
                    descriptor = self._open(folder)
                    return os.dup(folder), name, descriptor
            except FileNotFoundError:
                if not make or not bucket.exists() or tried + 1 == _TRIES:
                    raise
        raise AssertionError("it has returned or raised")

    def _open(self, folder: int) -> int:
        if self._source is not None:
            try:
                os.link(self._source, self._temporary, dst_dir_fd=folder, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
            else:
                return os.open(self._temporary, _READ_FLAGS, dir_fd=folder)
        return os.open(self._temporary, NEW_FLAGS, 0o600, dir_fd=folder)

    def _read(self, source: Path) -> None:
        with open(source, "rb", buffering=0) as file:
            if os.path.sameopenfile(file.fileno(), self._descriptor):
                os.fchmod(self._descriptor, 0o600)
                self.size = os.fstat(self._descriptor).st_size
                while chunk := file.read(COPY_BYTES):
                    self._md5.update(chunk)
            else:
                self.copy(file.fileno())

    def write(self, data: bytes | bytearray) -> None:
        with self._lock:
            self._md5.update(data)
            self.size += len(data)
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]

    def copy(self, source: int) -> None:
        """All that is left of another file."""
        while chunk := os.read(source, COPY_BYTES):
            self.write(chunk)

    @property
    def etag(self) -> str:
        return self._md5.hexdigest()

    def keep(self, records: Records, headers: Mapping[str, str]) -> os.stat_result:
        """Its record, and all of it on the disk. From then on nothing is missing but its name."""
        with self._lock:
            told_ns = _modified_ns(headers)
            if told_ns is not None:
                os.utime(self._descriptor, ns=(told_ns, told_ns))
            status = os.fstat(self._descriptor)
            records.write(self._path, self._descriptor, Record(self.etag, status.st_size, status.st_mtime_ns, headers))
            os.fsync(self._descriptor)
            return status

    def place(self, name: str = "") -> None:
        """It is the object from now on; its name is on the disk after `sync_name`. name: another than `path` has."""
        with self._lock:
            self._name = name or self._name
            try:
                self._rename()
            except IsADirectoryError:
                if not remove_empty(self._root / self._path):
                    raise
                self._rename()

    def _rename(self) -> None:
        os.rename(self._temporary, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._temporary = ""

    def sync_name(self) -> None:
        os.fsync(self._folder)

    def discard(self) -> None:
        """What is in its place stays."""
        with self._lock:
            if self._descriptor < 0:
                return
            if self._temporary:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._temporary, dir_fd=self._folder)
                prune(self._root, self._path)
            os.close(self._descriptor)
            os.close(self._folder)
            self._descriptor = self._folder = -1


def _modified_ns(headers: Mapping[str, str]) -> int | None:
    """None: nobody says it, or not so that a file can have it."""
    try:
        told_ns = int(Decimal(headers[MTIME]) * 1_000_000_000)
    except (KeyError, InvalidOperation, ValueError, OverflowError):
        return None
    return told_ns if 0 <= told_ns < 1 << 62 else None


def clone(source: int, target: str) -> None:
    """The content of an open file as a new file, all of it or none; where the file system can share blocks, it takes no
    room."""
    descriptor = os.open(target, NEW_FLAGS, 0o600)
    try:
        with open(descriptor, "wb") as new:
            _fill(new, source)
    except BaseException:
        os.unlink(target)
        raise


def _fill(new: BinaryIO, source: int) -> None:
    try:
        while os.copy_file_range(source, new.fileno(), COPY_BYTES):
            pass
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
        with open(os.dup(source), "rb", buffering=0) as old:
            shutil.copyfileobj(old, new, COPY_BYTES)  # from where that has come to


def remove(root: Path, path: str) -> None:
    """Remove a file that may be there, and the folders in which nothing is left."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), folder_of(root, path) as (folder, name):
        if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=folder)
            os.fsync(folder)
            prune(root, path)


def prune(root: Path, path: str) -> None:
    """Remove the folders above a file in which nothing is, but not its bucket."""
    parts = path.split("/")
    with contextlib.suppress(OSError):
        for number in range(len(parts) - 1, 1, -1):
            os.rmdir(root.joinpath(*parts[:number]))


def remove_empty(path: Path) -> bool:
    """Remove a folder that holds nothing but folders that hold nothing. Returns whether it is gone."""
    for folder, _, files in os.walk(path, topdown=False):
        if files:
            return False
        with contextlib.suppress(OSError):  # one that is not empty any more
            os.rmdir(folder)
    return not path.exists()


def in_the_way(root: Path, path: str) -> str:
    """What keeps a file from being put at `path`: the path of a file where a folder must be, or its own where it is a
    folder in which something is; empty where nothing does."""
    parts = path.split("/")
    for number in range(1, len(parts)):
        above = "/".join(parts[:number])
        mode = _mode(root / above)
        if mode is None:
            return ""
        if not stat.S_ISDIR(mode):
            return above
    mode = _mode(root / path)
    return path if mode is not None and stat.S_ISDIR(mode) and not remove_empty(root / path) else ""


def _mode(path: Path) -> int | None:
    try:
        return path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def make_bucket(root: Path, bucket: str, *, marked: bool = False) -> None:
    """marked: with the markers of its folders inputs/ and outputs/."""
    (root / bucket).mkdir(mode=0o700, exist_ok=True)
    for name in (INPUTS, OUTPUTS) if marked else ():
        marker = root / bucket / name / FOLDER_FILE
        if not marker.exists():  # its time is that of the bucket: see `made_at`
            marker.parent.mkdir(mode=0o700, exist_ok=True)
            marker.touch(mode=0o600)


def made_at(root: Path, bucket: str) -> float:
    """When the bucket was made, as far as its folder tells, in seconds since 1970; 0 where it is not there."""
    for path in (root / bucket / INPUTS / FOLDER_FILE, root / bucket):
        with contextlib.suppress(OSError):
            return path.stat().st_mtime
    return 0.0


def sweep(root: Path) -> int:
    """Remove what earlier servers had begun to write. Returns how many files there were."""
    count = 0
    for folder, _, names in os.walk(root):
        for name in names:
            if name.startswith(TEMPORARY) and not name.startswith(TEMPORARY + _RUN):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(folder, name))
                    count += 1
    return count
