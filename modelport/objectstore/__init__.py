"""Objects in buckets: files in folders of this server (`tree`), or whatever speaks S3 elsewhere (`remote`).

    await objects.put("digits", "outputs/seven.json", b"[]", "application/json", {"modelport-source-etag": "…"})
    async with objects.read("digits", "inputs/seven.png", limit_bytes=1 << 30) as (info, chunks): ...
    async for page in objects.list("digits", "inputs/"): ...

Conditional requests are never relied on: S3 servers differ.
"""

from __future__ import annotations

import asyncio
import builtins
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakValueDictionary

from modelport.errors import InvalidRequest, ModelportError, NotFound, TooLarge

PAGE_KEYS = 1000  # the most that S3 lists at once
META = "x-amz-meta-"


@dataclass(frozen=True)
class ObjectInfo:
    """An object as it was when it was asked for.

    etag: without quotation marks; empty: not told, or a folder. modified: seconds since 1970.
    headers: what is kept beside the bytes, by S3's names in small letters; only where one object was asked for.
    """

    key: str
    size_bytes: int
    etag: str
    modified: float
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")

    @property
    def metadata(self) -> dict[str, str]:
        return {name.removeprefix(META): value for name, value in self.headers.items() if name.startswith(META)}


@dataclass(frozen=True)
class NewObject:
    """An object that is to be put. body: bytes, or a file that nobody writes to any more. metadata: ASCII."""

    key: str
    body: bytes | Path
    content_type: str = "application/octet-stream"
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        return {"content-type": self.content_type, **{META + name: value for name, value in self.metadata.items()}}


class Locks:
    """One thing at a time for an object: it is changed, its job is made, or its outputs are put."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def of(self, bucket: str, key: str) -> asyncio.Lock:
        if (lock := self._locks.get((bucket, key))) is None:
            lock = self._locks[bucket, key] = asyncio.Lock()
        return lock


class ObjectStore(ABC):
    """All buckets of one store.

    Every method raises BucketUnavailable where the store cannot be reached or has no such bucket. failures: the last
    error that was no fault of the request, by bucket, until the bucket answers again. answer_s: how long the last list
    took. changing: one at a time for what changes an object, and what follows from it.
    """

    def __init__(self) -> None:
        self.failures: dict[str, ModelportError] = {}
        self.answer_s = 0.0
        self.changing = Locks()

    @abstractmethod
    async def close(self) -> None:
        """When nobody asks any more."""

    @abstractmethod
    def read(
        self, bucket: str, key: str, *, limit_bytes: int
    ) -> AbstractAsyncContextManager[tuple[ObjectInfo, AsyncIterator[bytes]]]:
        """The object and its bytes. Raises NotFound, TooLarge, InvalidRequest (a key that cannot be asked for)."""

    async def read_small(self, bucket: str, keys: Sequence[str], limit_bytes: int) -> dict[str, bytes]:
        """By key, those of these objects that there are and that are no larger. All are in memory: ask for some."""

        async def small(key: str) -> bytes | None:
            try:
                async with self.read(bucket, key, limit_bytes=limit_bytes) as (_, chunks):
                    return b"".join([chunk async for chunk in chunks])
            except (NotFound, TooLarge, InvalidRequest):
                return None

        bodies = await asyncio.gather(*map(small, keys))
        return {key: body for key, body in zip(keys, bodies, strict=True) if body is not None}

    @abstractmethod
    async def fetch(self, bucket: str, key: str, path: Path, *, limit_bytes: int) -> ObjectInfo:
        """A copy of the object as a new file. Raises what `read` raises, and StorageFull."""

    @abstractmethod
    async def head(self, bucket: str, key: str) -> ObjectInfo:
        """Raises NotFound, InvalidRequest."""

    @abstractmethod
    async def put_all(self, bucket: str, objects: Sequence[NewObject]) -> None:
        """Objects, or new contents of them, one after the other. Raises StorageFull, TooLarge, InvalidRequest."""

    async def put(
        self,
        bucket: str,
        key: str,
        body: bytes | Path,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Raises what `put_all` raises."""
        await self.put_all(bucket, [NewObject(key, body, content_type, metadata or {})])

    @abstractmethod
    async def delete(self, bucket: str, keys: Sequence[str]) -> None:
        """They need not exist. At most 1000."""

    def pages_unread(self, bucket: str, prefix: str) -> AsyncIterator[builtins.list[ObjectInfo]]:
        """The same, perhaps without ETags, where these would have to be reckoned from the content."""
        return self.list(bucket, prefix)

    async def list(self, bucket: str, prefix: str) -> AsyncIterator[list[ObjectInfo]]:
        """All objects whose keys begin so, in pages, each asked for when it is wanted."""
        token = ""
        while True:
            page, token = await self.page(bucket, prefix, token)
            yield page
            if not token:
                return

    @abstractmethod
    async def page(
        self, bucket: str, prefix: str, token: str = "", *, folded: bool = False, limit: int = 0
    ) -> tuple[builtins.list[ObjectInfo], str]:
        """A page of the objects whose keys begin so, and the token of the next page; empty at the end.

        folded: what lies in folders below is one entry for each, without an ETag, whose key ends in a slash.
        limit: so many at most; 0: PAGE_KEYS.
        """

    @abstractmethod
    async def make_bucket(self, bucket: str) -> None:
        """It may be there already. Raises Conflict where it is somebody else's."""

    @abstractmethod
    async def remove_bucket(self, bucket: str) -> None:
        """With all that is in it."""

    @abstractmethod
    async def check(self) -> None:
        """Whether more can be kept, as far as is known without asking anybody; a disk that hangs keeps the caller
        waiting. Raises StorageFull, OSError."""

    @abstractmethod
    async def check_way(self, bucket: str, key: str) -> None:
        """Before an upload, as far as is known: raises Conflict where another object is in its way, and StorageFull."""

    def forget(self, bucket: str) -> None:
        """Nobody uses it any more."""
        self.failures.pop(bucket, None)
