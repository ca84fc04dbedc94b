"""What is kept of an object beside its bytes: its ETag, checksums, content type and metadata.

It is an extended attribute of the file, so it is written with the file, in one sync, and goes where the file goes:
`mv`, `cp -a`, `rsync -X` and `tar --xattrs` keep it. A copy without it loses the metadata only: the type follows from
the name, and the ETag, which is the MD5 of the content, is reckoned again. So it is where somebody has changed the file
by hand, which its size and time tell. (In the SQLite store it would be lost with every copy to another machine, and
every object would cost a commit.) Where the file system has no such attributes, or no room for one, the record is a
file in a folder of its own beside the buckets.

Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

ATTRIBUTE = "user.modelport"
# No bucket is called so.
FOLDER = ".modelport/records"
CHECKSUM = "x-amz-checksum-"
READ_BYTES = 1 << 20
# No such attributes here; or more of them than the file system takes.
_NONE_HERE = {errno.ENOTSUP, errno.EPERM, errno.ENOSPC, errno.E2BIG, errno.ERANGE}


class Record(msgspec.Struct, array_like=True, frozen=True):
    """headers: by S3's names in small letters. size, modified_ns: of the file that the ETag and checksums are of."""

    etag: str
    size: int
    modified_ns: int
    headers: Mapping[str, str]

    def fits(self, stat: os.stat_result) -> bool:
        return (self.size, self.modified_ns) == (stat.st_size, stat.st_mtime_ns)


class Records:
    def __init__(self, root: Path) -> None:
        self._folder = root / FOLDER

    def write(self, path: str, descriptor: int, record: Record) -> None:
        """path: the object's, its bucket first. Raises OSError."""
        data = msgspec.json.encode(record)
        try:
            os.setxattr(descriptor, ATTRIBUTE, data)
        except OSError as error:
            if error.errno not in _NONE_HERE:
                raise
            self._write_beside(self._beside(path), data)

    def _write_beside(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        with open(new, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)

    def read(self, path: str, file: int | str, stat: os.stat_result) -> Record | None:
        """file: its descriptor, or its path. None: there is none of the content that is there now."""
        record = self._find(path, file)
        return record if record is not None and record.fits(stat) else None

    def made(self, path: str, descriptor: int, stat: os.stat_result) -> Record:
        """The record of a file, reckoned and kept if there is none. Raises OSError where it cannot be read."""
        earlier = self._find(path, descriptor)
        if earlier is not None and earlier.fits(stat):
            return earlier
        headers = {} if earlier is None else earlier.headers
        headers = {name: value for name, value in headers.items() if not name.startswith(CHECKSUM)}
        record = Record(_digest(descriptor), stat.st_size, stat.st_mtime_ns, headers)
        with contextlib.suppress(OSError):  # somebody else's file, or a disk that is only read
            self.write(path, descriptor, record)
        return record

    def remove(self, path: str) -> None:
        with contextlib.suppress(OSError):
            self._beside(path).unlink()

    def _find(self, path: str, file: int | str) -> Record | None:
        try:
            data = os.getxattr(file, ATTRIBUTE)
        except OSError:
            try:
                data = self._beside(path).read_bytes()
            except OSError:
                return None
        try:
            return msgspec.json.decode(data, type=Record)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def _beside(self, path: str) -> Path:
        name = hashlib.sha256(path.encode(errors="surrogateescape")).hexdigest()
        return self._folder / name[:2] / name


def _digest(descriptor: int) -> str:
    """Of all of the file. Its offset stays."""
    md5 = hashlib.md5(usedforsecurity=False)
    place = 0
    while chunk := os.pread(descriptor, READ_BYTES, place):
        md5.update(chunk)
        place += len(chunk)
    return md5.hexdigest()
