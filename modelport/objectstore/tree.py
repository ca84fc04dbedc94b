"""The server's own objects: a bucket is a folder, an object a file in it, which people may look at, copy and back up.

What has been put is on the disk, with its name, before anybody is told. A server that dies leaves what was there
before, and a temporary file that the next one removes.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import errno
import itertools
import logging
import mimetypes
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from modelport.errors import (
    BucketUnavailable,
    Conflict,
    InvalidRequest,
    ModelportError,
    NotFound,
    StorageFull,
    TooLarge,
)
from modelport.objectstore import PAGE_KEYS, NewObject, ObjectInfo, ObjectStore, files
from modelport.objectstore.disk import Disk
from modelport.objectstore.files import NewFile, Opened
from modelport.objectstore.keys import fault, stored
from modelport.objectstore.names import OWN
from modelport.objectstore.records import Records
from modelport.objectstore.walking import after_token, token_after, walk
from modelport.store.disk import check_room, take_lock

logger = logging.getLogger(__name__)

READ_BYTES = 512 << 10
WRITE_BYTES = 1 << 20
# What is smaller is read where it is opened.
SMALL_BYTES = 256 << 10
UNKNOWN = "application/octet-stream"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Tree(ObjectStore):
    """folder: of the buckets. least_room_bytes: with less, its disk is full. limit_s: its disk must answer within."""

    def __init__(self, folder: Path, least_room_bytes: int = 0, limit_s: float = 30.0) -> None:
        super().__init__()
        self._least_room_bytes = least_room_bytes
        self.folder = folder.absolute()
        self._disk = Disk(self.folder, limit_s)
        self.in_thread = self._disk.in_thread
        self.records = Records(self.folder)
        self._sweeping: asyncio.Future[int] | None = None
        self._lock: int | None = None

    async def start(self) -> None:
        """Raises StoreInUse, OSError."""
        await asyncio.to_thread(self._take)
        self._sweeping = asyncio.get_running_loop().run_in_executor(self._disk.threads, files.sweep, self.folder)

    def _take(self) -> None:
        """Another server would remove what this one is just writing."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        own = self.folder / OWN
        try:
            own.mkdir(mode=0o700, exist_ok=True)
            self._lock = take_lock(own / "server", f"the buckets' folder {self.folder}", "a bucket_folder")
        except OSError as error:  # some file systems know no locks
            logger.warning("a second server on the folder %s would not be noticed: %s", self.folder, error)

    async def close(self) -> None:
        await self._disk.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # Reading

    @contextlib.asynccontextmanager
    async def open(self, bucket: str, key: str, limit_bytes: int | None = None) -> AsyncIterator[Opened]:
        """Raises NotFound, TooLarge."""
        opened = await self._disk.run(partial(self._open, bucket, key, limit_bytes), Opened.close)
        try:
            yield opened
        finally:
            opened.close()

    def _open(self, bucket: str, key: str, limit_bytes: int | None, *, small_bytes: int = SMALL_BYTES) -> Opened:
        with self._reading(bucket, key):
            descriptor, status = files.open_file(self.folder, self._path(bucket, key))
            try:
                if limit_bytes is not None and status.st_size > limit_bytes:
                    raise TooLarge(
                        f"{key} has {status.st_size} bytes; at most {limit_bytes} are read (bucket_object_bytes)"
                    )
                record = self.records.made(self._path(bucket, key), descriptor, status)
                headers = {"content-type": mimetypes.guess_type(key)[0] or UNKNOWN, **record.headers}
                info = ObjectInfo(key, status.st_size, record.etag, status.st_mtime, headers)
                small = os.read(descriptor, status.st_size) if status.st_size <= small_bytes else None
                opened = Opened(info, -1 if small is not None else descriptor, small)
            except BaseException:
                os.close(descriptor)
                raise
            if small is not None:
                os.close(descriptor)
            return opened

    async def chunks(self, opened: Opened, first: int = 0, last: int | None = None) -> AsyncIterator[bytes]:
        """Its bytes, from the one to the other. Raises BucketUnavailable where somebody has cut the file short."""
        end = opened.info.size_bytes if last is None else last + 1
        if opened.small is not None:
            yield opened.small[first:end]
            return
        while first < end:
            chunk = await self.in_thread(os.pread, opened.descriptor, min(READ_BYTES, end - first), first)
            if not chunk:
                raise BucketUnavailable(f"{opened.info.key} has become shorter while it was read")
            first += len(chunk)
            yield chunk

    @contextlib.asynccontextmanager
    async def read(
        self, bucket: str, key: str, *, limit_bytes: int
    ) -> AsyncIterator[tuple[ObjectInfo, AsyncIterator[bytes]]]:
        async with self.open(bucket, key, limit_bytes) as opened:
            yield opened.info, self.chunks(opened)

    async def read_small(self, bucket: str, keys: Sequence[str], limit_bytes: int) -> dict[str, bytes]:
        return await self.in_thread(self._read_small, bucket, keys, limit_bytes)

    def _read_small(self, bucket: str, keys: Sequence[str], limit_bytes: int) -> dict[str, bytes]:
        bodies = {}
        for key in keys:
            with contextlib.suppress(NotFound, TooLarge):
                bodies[key] = self._open(bucket, key, limit_bytes, small_bytes=limit_bytes).small or b""
        return bodies

    async def fetch(self, bucket: str, key: str, path: Path, *, limit_bytes: int) -> ObjectInfo:
        return await self.in_thread(self._fetch, bucket, key, path, limit_bytes)

    def _fetch(self, bucket: str, key: str, path: Path, limit_bytes: int) -> ObjectInfo:
        """Not a link: models may change what they are given."""
        opened = self._open(bucket, key, limit_bytes, small_bytes=-1)
        try:
            with self._writing(bucket, key):
                files.clone(opened.descriptor, str(path))
        finally:
            opened.close()
        return opened.info

    async def head(self, bucket: str, key: str) -> ObjectInfo:
        return await self.in_thread(self._head, bucket, key)

    def _head(self, bucket: str, key: str) -> ObjectInfo:
        opened = self._open(bucket, key, None, small_bytes=-1)
        opened.close()
        return opened.info

    # Writing

    async def check(self) -> None:
        # Whoever gives up waiting for a disk that hangs is not kept.
        await asyncio.shield(self._disk.probe())
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._disk.threads, check_room, self.folder, self._least_room_bytes)

    async def check_way(self, bucket: str, key: str) -> None:
        await self.in_thread(self._check_way, bucket, key)

    def _check_way(self, bucket: str, key: str) -> None:
        files.make_bucket(self.folder, bucket)  # somebody may have removed it
        check_room(self.folder / bucket, self._least_room_bytes)
        self._check_others(bucket, key)

    def _check_others(self, bucket: str, key: str) -> None:
        """Raises Conflict."""
        path = self._path(bucket, key)
        other = files.in_the_way(self.folder, path)
        if other == path:
            raise Conflict(f"there are objects whose keys begin with {key}/: a name is that of a file or of a folder")
        if other:
            raise Conflict(f"there is an object {other.partition('/')[2]}, which cannot be a folder as well")

    async def put_all(self, bucket: str, objects: Sequence[NewObject]) -> None:
        for new in objects:
            if flaw := fault(new.key):
                raise InvalidRequest(f"the key {new.key[:100]!r} {flaw}")
        await self.in_thread(self._put_all, bucket, objects)

    def _put_all(self, bucket: str, objects: Sequence[NewObject]) -> None:
        """All are on the disk before the first has its name, so what is seen last is never seen alone."""
        with self._writing(bucket, objects[0].key), ExitStack() as stack:
            made = []
            for new in objects:
                source = new.body if isinstance(new.body, Path) else None
                file = NewFile(self.folder, self._path(bucket, new.key), source)
                stack.callback(file.discard)
                if isinstance(new.body, bytes):
                    file.write(new.body)
                file.keep(self.records, new.headers)
                made.append(file)
            for file in made:
                file.place()
            for file in made:
                file.sync_name()

    async def put_bytes(self, bucket: str, key: str, body: bytes, headers: Mapping[str, str]) -> ObjectInfo:
        """An object with all its headers. Raises what `put` raises."""
        return await self.put_filled(bucket, key, headers, lambda file: file.write(body))

    async def put_copy(self, bucket: str, key: str, source: Opened, headers: Mapping[str, str]) -> ObjectInfo:
        """Another object as this one. Raises what `put` raises."""
        if source.small is not None:
            return await self.put_bytes(bucket, key, source.small, headers)
        own = os.dup(source.descriptor)  # whoever waits for the copy may leave

        def put() -> ObjectInfo:
            with open(own, "rb", buffering=0) as opened:
                return self._put(bucket, key, headers, lambda file: file.copy(opened.fileno()))

        return await self.in_thread(put)

    async def put_filled(
        self, bucket: str, key: str, headers: Mapping[str, str], fill: Callable[[NewFile], None]
    ) -> ObjectInfo:
        """fill: is called in a thread. Raises what `put` raises."""
        return await self.in_thread(self._put, bucket, key, headers, fill)

    def _put(self, bucket: str, key: str, headers: Mapping[str, str], fill: Callable[[NewFile], None]) -> ObjectInfo:
        with self._writing(bucket, key):
            file = NewFile(self.folder, self._path(bucket, key))
            try:
                fill(file)
                return self._finish(file, bucket, key, headers)
            finally:
                file.discard()

    def _finish(self, file: NewFile, bucket: str, key: str, headers: Mapping[str, str]) -> ObjectInfo:
        with self._writing(bucket, key):
            status = file.keep(self.records, headers)
            file.place()
            file.sync_name()
            return ObjectInfo(key, file.size, file.etag, status.st_mtime, headers)

    @contextlib.asynccontextmanager
    async def receive(
        self, bucket: str, key: str, pieces: AsyncIterator[bytes], place: str = ""
    ) -> AsyncIterator[NewFile]:
        """A new content, filled as its pieces come, for `finish`. Raises what `put` raises, and what `pieces` does.

        place: in a folder that is there, where it is not to be the object.
        """
        with self._writing(bucket, key):
            path = place or self._path(bucket, key)
            file = await self._disk.run(partial(NewFile, self.folder, path, make=not place), NewFile.discard)
        try:
            with self._writing(bucket, key):
                await self._fill(file, pieces)
            yield file
        finally:
            await self._disk.run(file.discard, anyway=True)

    async def _fill(self, file: NewFile, pieces: AsyncIterator[bytes]) -> None:
        """The next pieces are received while the last are written. Raises OSError."""
        gathered = bytearray()
        writing: asyncio.Future[None] | None = None
        try:
            async for piece in pieces:
                gathered += piece
                if len(gathered) >= WRITE_BYTES:
                    if writing is not None:
                        await writing
                    writing = asyncio.ensure_future(self.in_thread(file.write, gathered))
                    gathered = bytearray()
        finally:
            if writing is not None:
                await asyncio.wait({writing})
        if writing is not None:
            writing.result()
        await self.in_thread(file.write, gathered)

    async def finish(self, file: NewFile, bucket: str, key: str, headers: Mapping[str, str]) -> ObjectInfo:
        """It is the object from now on, and stays so. Raises what `put` raises."""
        return await self.in_thread(self._finish, file, bucket, key, headers)

    async def delete(self, bucket: str, keys: Sequence[str]) -> None:
        await self.in_thread(self._delete, bucket, keys)

    def _delete(self, bucket: str, keys: Sequence[str]) -> None:
        for key in keys:
            if not fault(key):
                path = self._path(bucket, key)
                with self._writing(bucket, key):
                    files.remove(self.folder, path)
                    self.records.remove(path)

    # Lists

    async def page(
        self, bucket: str, prefix: str, token: str = "", *, folded: bool = False, limit: int = 0
    ) -> tuple[builtins.list[ObjectInfo], str]:
        """Raises InvalidRequest for a token that is none."""
        begun = time.monotonic()
        page = await self.in_thread(self._page, bucket, prefix, after_token(token), folded, limit or PAGE_KEYS)
        self.answer_s = time.monotonic() - begun
        return page

    def _page(
        self, bucket: str, prefix: str, after: str, folded: bool, limit: int
    ) -> tuple[builtins.list[ObjectInfo], str]:
        object_infos: list[ObjectInfo] = []
        last = after
        for key, file in walk(str(self.folder / bucket), prefix, after, folded=folded):
            if len(object_infos) == limit:
                return object_infos, token_after(last)
            if (info := self._listed(bucket, key, file)) is not None:
                object_infos.append(info)
            last = key
        return object_infos, ""

    def _listed(self, bucket: str, key: str, file: str) -> ObjectInfo | None:
        """None: it has just gone."""
        if not file:
            return ObjectInfo(key, 0, "", 0.0)
        try:
            status = os.stat(file, follow_symlinks=False)
            record = self.records.read(self._path(bucket, key), file, status)
            if record is not None:
                return ObjectInfo(key, status.st_size, record.etag, status.st_mtime)
            return self._head(bucket, key)
        except (OSError, ModelportError):
            return None

    async def pages_unread(self, bucket: str, prefix: str) -> AsyncIterator[builtins.list[ObjectInfo]]:
        """All, without ETags: to tell one, a file that somebody has laid there would have to be read."""
        infos = self._unread(bucket, prefix)
        while page := await self.in_thread(lambda: list(itertools.islice(infos, PAGE_KEYS))):
            yield page

    def _unread(self, bucket: str, prefix: str) -> Iterator[ObjectInfo]:
        for key, file in walk(str(self.folder / bucket), prefix):
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(file, follow_symlinks=False)
                yield ObjectInfo(key, status.st_size, "", status.st_mtime)

    # Buckets

    async def make_bucket(self, bucket: str, *, marked: bool = True) -> None:
        await self.in_thread(files.make_bucket, self.folder, bucket, marked=marked)

    async def used_bytes(self, bucket: str) -> int:
        """Of all its objects together."""
        return await self.in_thread(lambda: sum(info.size_bytes for info in self._unread(bucket, "")))

    async def remove_bucket(self, bucket: str) -> None:
        await self.in_thread(shutil.rmtree, self.folder / bucket, ignore_errors=True)

    async def made_at(self, buckets: Sequence[str]) -> builtins.list[float]:
        """Seconds since 1970, of each; 0 where one is not there."""
        return await self.in_thread(lambda: [files.made_at(self.folder, bucket) for bucket in buckets])

    # Errors

    @staticmethod
    def _path(bucket: str, key: str) -> str:
        return f"{bucket}/{stored(key)}"

    @contextlib.contextmanager
    def _reading(self, bucket: str, key: str) -> Iterator[None]:
        if flaw := fault(key):
            raise NotFound(f"there is no object {key[:100]!r}: it {flaw}")
        try:
            yield
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(f"there is no object {key} in the bucket {bucket}") from error
        except OSError as error:
            raise self._failed(bucket, f"{key} cannot be read: {error.strerror}") from error
        self.failures.pop(bucket, None)

    @contextlib.contextmanager
    def _writing(self, bucket: str, key: str) -> Iterator[None]:
        try:
            yield
        except (NotADirectoryError, IsADirectoryError) as error:
            self._check_others(bucket, key)
            raise Conflict(f"another object is in the way of {key}, or has just been") from error
        except FileNotFoundError as error:
            raise self._failed(bucket, f"the object store does not have the bucket {bucket}") from error
        except OSError as error:
            if error.errno not in FULL:
                raise self._failed(bucket, f"{key} cannot be written: {error.strerror}") from error
            self.failures[bucket] = full = StorageFull(f"there is no room for the object: {error.strerror}")
            raise full from error
        self.failures.pop(bucket, None)

    def _failed(self, bucket: str, message: str) -> BucketUnavailable:
        self.failures[bucket] = error = BucketUnavailable(message)
        return error
