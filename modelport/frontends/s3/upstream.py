"""Our requests to rclone: signed with its keys, and with nothing in them that it would take amiss."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from urllib.parse import quote
from xml.etree.ElementTree import Element

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from yarl import URL

from modelport.errors import Starting
from modelport.frontends.s3.documents import parse
from modelport.frontends.s3.errors import S3Error
from modelport.objectstore import sigv4
from modelport.objectstore.rclone import Rclone
from modelport.store.room import room

logger = logging.getLogger(__name__)

# rclone answers within milliseconds; but it may have to read a large object that it did not store itself, for its ETag,
# and it lets a part wait for a minute until its turn comes.
ANSWER_S = 300.0
# How long a client waits for a store that is just starting.
READY_S = 15.0
READ_BYTES = 1 << 18
ANSWER_BYTES = 16 << 20

# A disk with less room than this, beside what was to be stored, is full.
ROOM_BYTES = 1 << 16

# What rclone says as it is; MetadataTooLarge of all that it keeps of an object, 2 KB.
SAME = {"NoSuchKey", "NoSuchBucket", "NoSuchUpload", "InvalidPart", "InvalidPartOrder", "SlowDown", "MetadataTooLarge"}

Query = Sequence[tuple[str, str]]


class Upstream:
    def __init__(self, rclone: Rclone) -> None:
        self._rclone = rclone
        timeout = ClientTimeout(total=None, sock_connect=ANSWER_S, sock_read=ANSWER_S)
        self._kept = self._session(timeout, fresh=False)
        # For what cannot be sent again, as aiohttp does by itself where a kept connection has just been closed.
        self._fresh = self._session(timeout, fresh=True)

    @staticmethod
    def _session(timeout: ClientTimeout, *, fresh: bool) -> ClientSession:
        connector = TCPConnector(limit=0, force_close=fresh)
        return ClientSession(
            connector=connector,
            timeout=timeout,
            auto_decompress=False,
            cookie_jar=DummyCookieJar(),
            read_bufsize=READ_BYTES,
            max_field_size=1 << 16,
            skip_auto_headers=("Content-Type", "User-Agent", "Accept-Encoding"),
        )

    async def close(self) -> None:
        await self._kept.close()
        await self._fresh.close()

    @contextlib.asynccontextmanager
    async def ask(
        self,
        method: str,
        path: str,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterable[bytes] | None = None,
        size: int = 0,
    ) -> AsyncIterator[ClientResponse]:
        """The answer, whose body has not been read. path: the bucket and the object's file.

        size: of the body, where it comes in pieces. Raises S3Error ServiceUnavailable where rclone does not answer,
        also if it ends meanwhile; a request without a body is sent once more when it is there again.
        """
        try:
            try:
                response = await self._send(method, path, query, headers or {}, body, size)
            except (ClientError, TimeoutError, ConnectionError):
                if body is not None:
                    raise
                response = await self._send(method, path, query, headers or {}, None, 0)
        except (ClientError, TimeoutError, ConnectionError) as error:
            logger.info("the object store did not answer %s: %s", method, type(error).__name__)
            raise S3Error("ServiceUnavailable") from error
        except Starting as error:
            raise S3Error("ServiceUnavailable", retry_after_s=error.retry_after_s) from error
        async with response:
            yield response

    async def _send(
        self,
        method: str,
        path: str,
        query: Query,
        headers: Mapping[str, str],
        body: bytes | AsyncIterable[bytes] | None,
        size: int,
    ) -> ClientResponse:
        rclone = self._rclone
        await rclone.ready(READY_S)
        url = f"{rclone.url}/{quote(path, safe='/-_.~')}"
        if query:
            url += "?" + "&".join(f"{name}={quote(value, safe='-_.~')}" for name, value in query)
        signed = sigv4.sign(method, url, headers, rclone.access_key, rclone.secret_key, rclone.region)
        if body is not None:
            signed["content-length"] = str(len(body) if isinstance(body, bytes) else size)
        once = method == "POST" or not (body is None or isinstance(body, bytes))
        session = self._fresh if once else self._kept
        return await session.request(method, URL(url, encoded=True), headers=signed, data=body, allow_redirects=False)

    async def document(
        self,
        method: str,
        path: str,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Element:
        """The root of the answer. Raises S3Error for any answer but a document."""
        async with self.ask(method, path, query, headers, body) as response:
            if response.status != 200:
                raise await self.failure(response)
            found = parse(await read(response))
        if found is None or found.tag == "Error":
            raise self._translated("" if found is None else found.findtext("Code", ""))
        return found

    async def failure(self, response: ClientResponse) -> S3Error:
        """What its answer says, in our words."""
        found = parse(await read(response))
        code = found.findtext("Code", "") if found is not None else ""
        if not code and response.status == 404:
            code = "NoSuchKey"
        return self._translated(code)

    def _translated(self, code: str) -> S3Error:
        if code in SAME:
            return S3Error(code)
        if code == "NotImplemented":
            message = "This part has been sent before, with another content: abort the upload and begin again."
            return S3Error("NotImplemented", message)
        logger.warning("the object store failed: %s", code or "no code")
        # After a failure, what it remembers of its folders may be wrong.
        self._rclone.refresh()
        return S3Error("InternalError")

    async def after_failure(self, error: S3Error, since: float, size: int) -> S3Error:
        """`error`, or that the disk is full, if that was the reason. since: on the monotonic clock."""
        if error.code not in ("InternalError", "ServiceUnavailable", "SlowDown"):
            return error
        full = self._rclone.full_at >= since or await asyncio.to_thread(room, self._rclone.folder) < size + ROOM_BYTES
        return S3Error("StorageFull") if full else error


async def read(response: ClientResponse) -> bytes:
    """A document. Raises S3Error where it breaks off, or does not end."""
    found = b""
    try:
        async for chunk in response.content.iter_any():
            found += chunk
            if len(found) > ANSWER_BYTES:
                raise S3Error("InternalError")
    except (ClientError, TimeoutError, ConnectionError) as error:
        raise S3Error("ServiceUnavailable") from error
    return found
