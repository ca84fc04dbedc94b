"""Objects in buckets of whatever speaks S3: Ceph, Garage, MinIO, AWS.

Listing and making buckets are requests of our own: obstore makes no buckets, and one key with a control character ends
its listing of the whole bucket.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import hashlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, unquote_plus, urlencode
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import aiohttp
import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import S3Store
from yarl import URL

from modelport.errors import (
    BucketUnavailable,
    Conflict,
    InvalidRequest,
    ModelportError,
    NotFound,
    StorageFull,
    TooLarge,
)
from modelport.intake.scratch import Writer
from modelport.objectstore import META, PAGE_KEYS, NewObject, ObjectInfo, ObjectStore
from modelport.objectstore.keys import is_plain
from modelport.objectstore.sigv4 import sign

if TYPE_CHECKING:  # obstore has no names for these when it runs
    from obstore import GetResult
    from obstore.store import ClientConfig

T = TypeVar("T")

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")
FULL = {"XMinioStorageFull", "QuotaExceeded", "QuotaExceededException", "InsufficientStorage"}

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
# A page of a thousand keys of 1,024 bytes, each of them written as %XX.
PAGE_BYTES = 16 << 20
DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True)
class Connection:
    """Where the store is, and by which keys."""

    url: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = DEFAULT_REGION


class RemoteStore(ObjectStore):
    """All buckets of one S3 service, with the server's own keys."""

    def __init__(self, connection: Connection, timeout_s: float) -> None:
        """timeout_s: for each step of an answer."""
        super().__init__()
        self._connection = connection
        self._timeout_s = timeout_s
        self._store = lru_cache(STORES_LIMIT)(self._new_store)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        self._store.cache_clear()
        if self._session is not None:
            await self._session.close()

    @contextlib.asynccontextmanager
    async def read(
        self, bucket: str, key: str, *, limit_bytes: int
    ) -> AsyncIterator[tuple[ObjectInfo, AsyncIterator[bytes]]]:
        store = self._store(bucket)
        result = await self._wait(obstore.get_async(store, _checked(key)), bucket, key)
        info = _info(key, result)
        if info.size_bytes > limit_bytes:
            raise TooLarge(f"{key} has {info.size_bytes} bytes; at most {limit_bytes} are read (bucket_object_bytes)")
        yield info, self._chunks(result, bucket, key)

    async def _chunks(self, result: GetResult, bucket: str, key: str) -> AsyncIterator[bytes]:
        stream = result.stream(min_chunk_size=PIECE_BYTES).__aiter__()
        while True:
            try:
                yield bytes(await self._wait(stream.__anext__(), bucket, key))
            except StopAsyncIteration:
                return

    async def fetch(self, bucket: str, key: str, path: Path, *, limit_bytes: int) -> ObjectInfo:
        async with self.read(bucket, key, limit_bytes=limit_bytes) as (info, chunks), Writer(path) as writer:
            async for chunk in chunks:
                await writer.write(chunk)
        return info

    async def head(self, bucket: str, key: str) -> ObjectInfo:
        store = self._store(bucket)
        asked = obstore.get_async(store, _checked(key), options={"head": True})
        return _info(key, await self._wait(asked, bucket, key))

    async def put_all(self, bucket: str, objects: Sequence[NewObject]) -> None:
        store = self._store(bucket)
        for new in objects:
            body = new.body
            size = len(body) if isinstance(body, bytes) else (await asyncio.to_thread(body.stat)).st_size
            work = obstore.put_async(
                store,
                _checked(new.key),
                body,
                attributes={"Content-Type": new.content_type, **new.metadata},
                use_multipart=size > PART_BYTES,
                chunk_size=max(PART_BYTES, size // PARTS_LIMIT),
                max_concurrency=PARTS_AT_ONCE,
            )
            await self._wait(work, bucket, new.key, size)

    async def check(self) -> None:
        """The service is asked when there is something for it."""

    async def check_way(self, bucket: str, key: str) -> None:
        """The service sees to that itself."""

    async def create(self, bucket: str, key: str, body: bytes) -> bool:
        """Put it if there is none; whether it was put. A service that ignores the condition overwrites."""
        store = self._store(bucket)
        try:
            await self._wait(obstore.put_async(store, _checked(key), body, mode="create"), bucket, key)
        except Conflict:
            return False
        return True

    async def delete(self, bucket: str, keys: Sequence[str]) -> None:
        if keys:
            store = self._store(bucket)
            with contextlib.suppress(NotFound):
                await self._wait(obstore.delete_async(store, [_checked(key) for key in keys]), bucket, keys[0])

    async def page(
        self, bucket: str, prefix: str, token: str = "", *, folded: bool = False, limit: int = 0
    ) -> tuple[builtins.list[ObjectInfo], str]:
        query = {"list-type": "2", "encoding-type": "url", "prefix": prefix, "max-keys": str(limit or PAGE_KEYS)}
        query |= {**({"delimiter": "/"} if folded else {}), **({"continuation-token": token} if token else {})}
        with self._noting(bucket):
            begun = time.monotonic()
            status, body = await self._ask("GET", bucket, query)
            if status != 200:
                raise _refusal(str(status), _code_in(body))
            try:
                page = await asyncio.to_thread(_page, body)
            except (ElementTree.ParseError, ValueError) as error:
                raise BucketUnavailable("the object store answers with a list that cannot be read") from error
            self.answer_s = time.monotonic() - begun
        return page

    async def make_bucket(self, bucket: str) -> None:
        with self._noting(bucket):
            status, _ = await self._ask("HEAD", bucket)
            if status == 200:
                return
            status, body = await self._ask("PUT", bucket, body=_location(self._connection.region))
            code = _code_in(body)
            if status == 409 and code != "BucketAlreadyOwnedByYou":
                raise Conflict(f"the bucket {bucket} is somebody else's ({code})")
            if status not in (200, 409):
                raise _refusal(str(status), code)

    async def remove_bucket(self, bucket: str) -> None:
        async for page in self.list(bucket, ""):
            await self.delete(bucket, [info.key for info in page])
        status, body = await self._ask("DELETE", bucket)
        if status not in (200, 204, 404):
            raise _refusal(str(status), _code_in(body))

    async def _ask(
        self, method: str, bucket: str, query: dict[str, str] | None = None, body: bytes = b""
    ) -> tuple[int, bytes]:
        """A request of our own, about a bucket. Returns (status, body of the answer)."""
        at = self._connection
        url = f"{at.url.rstrip('/')}/{bucket}"
        if query:
            url = f"{url}?{urlencode(sorted(query.items()), quote_via=quote, safe='-_.~')}"
        payload_hash = hashlib.sha256(body).hexdigest()
        headers = sign(method, url, {}, at.access_key, at.secret_key, at.region, payload_hash=payload_hash)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                trust_env=True, cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout()
            )
        asking = self._session.request(
            method, URL(url, encoded=True), headers=headers, data=body or None, allow_redirects=False
        )
        return await self._wait(_answer(asking), bucket, "")

    def _new_store(self, bucket: str) -> S3Store:
        connection = self._connection
        options: ClientConfig = {
            "allow_http": connection.url.startswith("http:"),
            "connect_timeout": timedelta(seconds=self._timeout_s),
            # No end to a large body; `_wait` has the limits.
            "timeout": timedelta(days=1),
        }
        keys = {"access_key_id": connection.access_key, "secret_access_key": connection.secret_key}
        credential = {**keys, "token": None, "expires_at": None}
        return S3Store(
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

    async def _wait(self, work: Awaitable[T], bucket: str, key: str, size_bytes: int = 0) -> T:
        """What `work` gives, in time, and its errors in this project's words."""
        with self._noting(bucket):
            try:
                async with asyncio.timeout(self._timeout_s + size_bytes / SLOWEST_BYTES_S):
                    return await work
            except TimeoutError as error:
                raise BucketUnavailable(f"the object store did not answer within {self._timeout_s:g} s") from error
            except (StopAsyncIteration, asyncio.CancelledError, ModelportError):
                raise
            except Exception as error:
                raise _translated(error, bucket, key) from error

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
    if not all(map(is_plain, key.split("/"))):
        raise InvalidRequest(
            f"an object of the name {key!r} cannot be used: it has an empty part, . or .., or a control character"
        )
    return key


async def _answer(asking: AbstractAsyncContextManager[aiohttp.ClientResponse]) -> tuple[int, bytes]:
    """Raises BucketUnavailable for more than any list has."""
    body = bytearray()
    async with asking as response:
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > PAGE_BYTES:
                raise BucketUnavailable("the object store answers with a list that does not end")
    return response.status, bytes(body)


def _location(region: str) -> bytes:
    if region in ("", DEFAULT_REGION):
        return b""
    name = "http://s3.amazonaws.com/doc/2006-03-01/"
    text = f'<CreateBucketConfiguration xmlns="{name}"><LocationConstraint>{escape(region)}</LocationConstraint>'
    return f"{text}</CreateBucketConfiguration>".encode()


def _page(body: bytes) -> tuple[list[ObjectInfo], str]:
    """Raises ParseError, ValueError."""
    root = ElementTree.fromstring(body)  # noqa: S314 (of the store that the operator chose; expat limits entities)
    encoded = _text(root, "EncodingType").lower() == "url"

    def key_in(element: ElementTree.Element, name: str) -> str:
        return unquote_plus(_text(element, name)) if encoded else _text(element, name)

    infos = []
    for element in root.iterfind("{*}Contents"):
        size, modified = int(_text(element, "Size")), datetime.fromisoformat(_text(element, "LastModified"))
        etag = _etag(_text(element, "ETag"), size, modified)
        infos.append(ObjectInfo(key_in(element, "Key"), size, etag, modified.timestamp()))
    infos += [ObjectInfo(key_in(element, "Prefix"), 0, "", 0.0) for element in root.iterfind("{*}CommonPrefixes")]
    more = _text(root, "IsTruncated").lower() == "true"
    return infos, _text(root, "NextContinuationToken") if more else ""


def _text(element: ElementTree.Element, name: str) -> str:
    """Of a child, whatever its namespace."""
    return element.findtext(f"{{*}}{name}") or ""


def _etag(told: str | None, size_bytes: int, modified: datetime) -> str:
    """Without quotation marks. A service that tells none has one made of what it tells."""
    return (told or "").removeprefix("W/").strip('"') or f"{size_bytes:x}.{int(modified.timestamp()):x}"


def _info(key: str, result: GetResult) -> ObjectInfo:
    meta, attributes = result.meta, {str(name): str(value) for name, value in result.attributes.items()}
    headers = {"content-type": attributes.pop("Content-Type", "")}
    return ObjectInfo(
        key=key,
        size_bytes=meta["size"],
        etag=_etag(meta["e_tag"], meta["size"], meta["last_modified"]),
        modified=meta["last_modified"].timestamp(),
        headers=headers | {META + name.lower(): value for name, value in attributes.items()},
    )


def _translated(error: Exception, bucket: str, key: str) -> ModelportError:
    """obstore's errors say most in their text, which begins with the answer of the service. It is not passed on: the
    answer to a wrong signature shows what was signed."""
    text = str(error)
    match = _STATUS.search(text)
    code, status = _code_in(text.encode(errors="replace")), match[1] if match else ""
    if isinstance(error, FileNotFoundError) and code != "NoSuchBucket":
        return NotFound(f"there is no object {key} in the bucket {bucket}")
    if isinstance(error, (AlreadyExistsError, PreconditionError)):
        return Conflict(f"the object {key} in the bucket {bucket} is another by now")
    return _refusal(status, code)


def _refusal(status: str, code: str) -> ModelportError:
    """What an answer that is no success means. status: empty where there was none."""
    if code == "EntityTooLarge" or status == "413":
        return TooLarge("the object store takes no object of this size")
    if code in FULL or status == "507":
        return StorageFull("the object store is full")
    if code == "NoSuchBucket":
        return BucketUnavailable("the object store does not have the bucket")
    if status in ("401", "403"):
        return BucketUnavailable(f"the object store rejects the server's keys ({code or status})")
    answer = code or status
    return BucketUnavailable(f"the object store answers {answer}" if answer else "the object store cannot be reached")


def _code_in(document: bytes) -> str:
    """Of an error document; empty where there is none."""
    match = _CODE.search(document)
    return match[1].decode() if match else ""
