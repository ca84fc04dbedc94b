"""Objects in buckets, on whatever speaks S3: `rclone serve s3` beside this server, Ceph, Garage, MinIO, AWS.

    objects = ObjectStore(connect, timeout_s=30)
    await objects.put("digits", "outputs/seven.json", b"[]", "application/json", {"modelport-source-etag": "…"})
    async with objects.read("digits", "inputs/seven.png") as (found, chunks): ...
    async for page in objects.list("digits", "inputs/"): ...

Conditional requests are never relied on: servers differ. Listing and making buckets are requests of our own, since one
key with a control character ends obstore's listing of the whole bucket.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from modelport.errors import BucketUnavailable, Conflict, InvalidRequest, NotFound, TooLarge
from modelport.objectstore.failures import translated
from modelport.objectstore.requests import PAGE_KEYS, Connection, SignedRequests, etag_of

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import ClientConfig, S3Store

__all__ = ["PAGE_KEYS", "Connection", "ObjectInfo", "ObjectStore"]

T = TypeVar("T")

# Quick faults, such as a connection that the server has just closed. What lasts longer is tried again by whoever asked,
# later, with a backoff of his own.
TRIES_AGAIN = 2
RETRY_FOR_S = 5.0

# Read and written in pieces of this size.
PIECE_BYTES = 1 << 20
PART_BYTES = 8 << 20
PARTS_AT_ONCE = 4
PARTS_LIMIT = 9000  # S3 takes 10,000

# A body may take its time, but not any: so much longer for each byte.
SLOWEST_BYTES_S = 1 << 20

STORES_LIMIT = 1000


@dataclass(frozen=True)
class ObjectInfo:
    """An object as it was when it was asked for.

    etag: without quotation marks; empty: not told. modified: seconds since 1970.
    content_type, metadata: only where one object was asked for, not in a list.
    """

    key: str
    size_bytes: int
    etag: str
    modified: float
    content_type: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


class ObjectStore:
    """All buckets of one S3 service.

    Every method raises BucketUnavailable where the service cannot be reached, takes too long or refuses our keys, or
    has no such bucket. failures: the last such error, by bucket, until the bucket answers again. answer_s: how long
    the last list took.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]], timeout_s: float) -> None:
        """connect: asked before each request; starts the store if need be. timeout_s: for each step of an answer."""
        self._connect = connect
        self._timeout_s = timeout_s
        self._stores: dict[tuple[Connection, str], S3Store] = {}
        self._requests = SignedRequests(timeout_s)
        self.failures: dict[str, BucketUnavailable] = {}
        self.answer_s = 0.0

    async def close(self) -> None:
        self._stores.clear()
        await self._requests.close()

    @contextlib.asynccontextmanager
    async def read(
        self, bucket: str, key: str, *, limit_bytes: int
    ) -> AsyncIterator[tuple[ObjectInfo, AsyncIterator[bytes]]]:
        """The object and its bytes. Raises NotFound, TooLarge, InvalidRequest (a key that cannot be asked for)."""
        import obstore

        store = await self._store(bucket)
        result = await self._wait(obstore.get_async(store, _checked(key)), bucket, key)
        found = _info(key, result)
        if found.size_bytes > limit_bytes:
            raise TooLarge(f"{key} has {found.size_bytes} bytes; at most {limit_bytes} are read (bucket_object_bytes)")
        yield found, self._chunks(result, bucket, key)

    async def _chunks(self, result: GetResult, bucket: str, key: str) -> AsyncIterator[bytes]:
        stream = result.stream(min_chunk_size=PIECE_BYTES).__aiter__()
        while True:
            try:
                yield bytes(await self._wait(stream.__anext__(), bucket, key))
            except StopAsyncIteration:
                return

    async def head(self, bucket: str, key: str) -> ObjectInfo:
        """Raises NotFound, InvalidRequest."""
        import obstore

        store = await self._store(bucket)
        asked = obstore.get_async(store, _checked(key), options={"head": True})
        return _info(key, await self._wait(asked, bucket, key))

    async def put(
        self,
        bucket: str,
        key: str,
        body: bytes | Path,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """An object, or a new content of it, all at once. metadata: ASCII.

        Raises StorageFull, TooLarge, InvalidRequest.
        """
        import obstore

        store = await self._store(bucket)
        size = len(body) if isinstance(body, bytes) else (await asyncio.to_thread(body.stat)).st_size
        work = obstore.put_async(
            store,
            _checked(key),
            body,
            attributes={"Content-Type": content_type, **(metadata or {})},
            use_multipart=size > PART_BYTES,
            chunk_size=max(PART_BYTES, size // PARTS_LIMIT),
            max_concurrency=PARTS_AT_ONCE,
        )
        await self._wait(work, bucket, key, size)

    async def create(self, bucket: str, key: str, body: bytes) -> bool:
        """Put it if there is none; whether it was put. A service that ignores the condition overwrites."""
        import obstore

        store = await self._store(bucket)
        try:
            await self._wait(obstore.put_async(store, _checked(key), body, mode="create"), bucket, key)
        except Conflict:
            return False
        return True

    async def delete(self, bucket: str, keys: Sequence[str]) -> None:
        """They need not exist. At most 1000."""
        import obstore

        if keys:
            store = await self._store(bucket)
            with contextlib.suppress(NotFound):
                await self._wait(obstore.delete_async(store, [_checked(each) for each in keys]), bucket, keys[0])

    async def list(self, bucket: str, prefix: str) -> AsyncIterator[list[ObjectInfo]]:
        """All objects whose keys begin so, in pages, each asked for when it is wanted."""
        token = ""
        while True:
            page, token = await self.page(bucket, prefix, token)
            yield page
            if not token:
                return

    async def page(
        self, bucket: str, prefix: str, token: str = "", *, folded: bool = False, limit: int = 0
    ) -> tuple[builtins.list[ObjectInfo], str]:
        """A page of the objects whose keys begin so, and the token of the next page; empty at the end.

        folded: what lies in folders below is one entry for each, whose key ends in a slash.
        limit: so many at most; 0: PAGE_KEYS.
        """
        with self._noting(bucket):
            connection = await self._connected(bucket)
            begun = time.monotonic()
            delimiter = "/" if folded else ""
            found, token = await self._requests.list(connection, bucket, prefix, token, delimiter, limit)
            self.answer_s = time.monotonic() - begun
        return [ObjectInfo(*each) for each in found], token

    async def make_bucket(self, bucket: str) -> None:
        """It may be there already. Raises Conflict where it is somebody else's."""
        with self._noting(bucket):
            await self._requests.make_bucket(await self._connected(bucket), bucket)

    async def remove_bucket(self, bucket: str) -> None:
        """With all that is in it."""
        async for page in self.list(bucket, ""):
            await self.delete(bucket, [each.key for each in page])
        await self._requests.remove_bucket(await self._connected(bucket), bucket)

    def forget(self, bucket: str) -> None:
        """Nobody uses it any more."""
        self.failures.pop(bucket, None)

    async def _connected(self, bucket: str) -> Connection:
        try:
            return await self._connect()
        except BucketUnavailable as error:
            self.failures[bucket] = error
            raise

    async def _store(self, bucket: str) -> S3Store:
        from obstore.store import S3Store

        connection = await self._connected(bucket)
        store = self._stores.get((connection, bucket))
        if store is None:
            if len(self._stores) >= STORES_LIMIT:
                self._stores.clear()
            options: ClientConfig = {
                "allow_http": connection.url.startswith("http:"),
                "connect_timeout": timedelta(seconds=self._timeout_s),
                # No end to a large body; `_wait` has the limits.
                "timeout": timedelta(days=1),
            }
            if connection.direct:
                # One that is never asked: without it, the environment's would be.
                options["proxy_url"] = "http://127.0.0.1:9"
                options["proxy_excludes"] = "127.0.0.1,localhost,::1"
            credential = {
                "access_key_id": connection.access_key,
                "secret_access_key": connection.secret_key,
                "token": None,
                "expires_at": None,
            }
            store = self._stores[connection, bucket] = S3Store(
                bucket,
                endpoint=connection.url,
                region=connection.region,
                virtual_hosted_style_request=False,
                skip_signature=False,
                # As keys, the environment's AWS_SESSION_TOKEN would be sent with them.
                credential_provider=lambda: credential,  # type: ignore[arg-type]
                client_options=options,
                retry_config={"max_retries": TRIES_AGAIN, "retry_timeout": timedelta(seconds=RETRY_FOR_S)},
            )
        return store

    async def _wait(self, work: Awaitable[T], bucket: str, key: str, size_bytes: int = 0) -> T:
        """What `work` gives, in time, and its errors in this project's words."""
        with self._noting(bucket):
            try:
                async with asyncio.timeout(self._timeout_s + size_bytes / SLOWEST_BYTES_S):
                    return await work
            except TimeoutError as error:
                raise BucketUnavailable(f"the object store did not answer within {self._timeout_s:g} s") from error
            except (StopAsyncIteration, asyncio.CancelledError):
                raise
            except Exception as error:
                raise translated(error, bucket, key) from error

    @contextlib.contextmanager
    def _noting(self, bucket: str) -> Iterator[None]:
        """Any answer is one, but for those that say that nothing will come of it."""
        try:
            yield
        except BucketUnavailable as error:
            self.failures[bucket] = error
            raise
        except asyncio.CancelledError:
            raise
        except BaseException:
            self.failures.pop(bucket, None)
            raise
        self.failures.pop(bucket, None)


def _checked(key: str) -> str:
    """obstore would take a slash from either end, and refuses what is no path."""
    parts = key.split("/")
    if any(part in ("", ".", "..") for part in parts) or any(ord(each) < 32 or ord(each) == 127 for each in key):
        raise InvalidRequest(
            f"an object of the name {key!r} cannot be used: it has an empty part, . or .., or a control character"
        )
    return key


def _info(key: str, result: GetResult) -> ObjectInfo:
    meta, attributes = result.meta, {str(name): str(value) for name, value in result.attributes.items()}
    return ObjectInfo(
        key=key,
        size_bytes=meta["size"],
        etag=etag_of(meta["e_tag"], meta["size"], meta["last_modified"]),
        modified=meta["last_modified"].timestamp(),
        content_type=attributes.pop("Content-Type", ""),
        metadata={name.lower(): value for name, value in attributes.items()},
    )
