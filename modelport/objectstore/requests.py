"""Requests of our own to an object store: what obstore has not, or cannot do for any key."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, unquote_plus, urlencode
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import aiohttp
from yarl import URL

from modelport.errors import BucketUnavailable, Conflict
from modelport.objectstore import PAGE_KEYS, ObjectInfo
from modelport.objectstore.failures import code_in, refusal
from modelport.objectstore.sigv4 import sign

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


class SignedRequests:
    """Raises BucketUnavailable."""

    def __init__(self, at: Connection, timeout_s: float) -> None:
        self._at = at
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def list(
        self, bucket: str, prefix: str, token: str, folded: bool, limit: int
    ) -> tuple[list[ObjectInfo], str]:
        """See `ObjectStore.page`."""
        query = {"list-type": "2", "encoding-type": "url", "prefix": prefix, "max-keys": str(limit or PAGE_KEYS)}
        if folded:
            query["delimiter"] = "/"
        if token:
            query["continuation-token"] = token
        status, body = await self._ask("GET", bucket, query)
        if status != 200:
            raise refusal(str(status), code_in(body))
        try:
            return await asyncio.to_thread(_page, body)
        except (ElementTree.ParseError, ValueError) as error:
            raise BucketUnavailable("the object store answers with a list that cannot be read") from error

    async def make_bucket(self, bucket: str) -> None:
        """It may be there already. Raises Conflict where it is somebody else's."""
        status, _ = await self._ask("HEAD", bucket)
        if status == 200:
            return
        status, body = await self._ask("PUT", bucket, body=_location(self._at.region))
        code = code_in(body)
        if status == 200 or code == "BucketAlreadyOwnedByYou":
            return
        if status == 409:
            raise Conflict(f"the bucket {bucket} is somebody else's ({code})")
        raise refusal(str(status), code)

    async def remove_bucket(self, bucket: str) -> None:
        """An empty one; it need not be there."""
        status, body = await self._ask("DELETE", bucket)
        if status not in (200, 204, 404):
            raise refusal(str(status), code_in(body))

    async def _ask(
        self, method: str, bucket: str, query: dict[str, str] | None = None, body: bytes = b""
    ) -> tuple[int, bytes]:
        at = self._at
        url = f"{at.url.rstrip('/')}/{bucket}"
        if query:
            url = f"{url}?{urlencode(sorted(query.items()), quote_via=quote, safe='-_.~')}"
        payload_hash = hashlib.sha256(body).hexdigest()
        headers = sign(method, url, {}, at.access_key, at.secret_key, at.region, payload_hash=payload_hash)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                trust_env=True, cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout()
            )
        try:
            async with asyncio.timeout(self._timeout_s):
                async with self._session.request(
                    method, URL(url, encoded=True), headers=headers, data=body or None, allow_redirects=False
                ) as response:
                    return response.status, await _read(response)
        except TimeoutError as error:
            raise BucketUnavailable(f"the object store did not answer within {self._timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise BucketUnavailable("the object store cannot be reached") from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Raises BucketUnavailable for more than any list has."""
    body = await response.content.read(PAGE_BYTES + 1)
    while len(body) <= PAGE_BYTES and (more := await response.content.read(PAGE_BYTES + 1)):
        body += more
    if len(body) > PAGE_BYTES:
        raise BucketUnavailable("the object store answers with a list that does not end")
    return body


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
        etag = etag_of(_text(element, "ETag"), size, modified)
        infos.append(ObjectInfo(key_in(element, "Key"), size, etag, modified.timestamp()))
    infos += [ObjectInfo(key_in(element, "Prefix"), 0, "", 0.0) for element in root.iterfind("{*}CommonPrefixes")]
    more = _text(root, "IsTruncated").lower() == "true"
    return infos, _text(root, "NextContinuationToken") if more else ""


def _text(element: ElementTree.Element, name: str) -> str:
    """Of a child, whatever its namespace."""
    return element.findtext(f"{{*}}{name}") or ""


def etag_of(told: str | None, size_bytes: int, modified: datetime) -> str:
    """Without quotation marks. A service that tells none has one made of what it tells."""
    return (told or "").removeprefix("W/").strip('"') or f"{size_bytes:x}.{int(modified.timestamp()):x}"
