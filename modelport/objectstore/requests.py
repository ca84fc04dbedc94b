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
from modelport.objectstore import PAGE_KEYS
from modelport.objectstore.failures import code_in, refusal
from modelport.objectstore.sigv4 import sign

# A page of a thousand keys of 1,024 bytes, each of them written as %XX.
PAGE_BYTES = 16 << 20
DEFAULT_REGION = "us-east-1"

# (key, size in bytes, ETag, seconds since 1970)
Listed = tuple[str, int, str, float]


@dataclass(frozen=True)
class Connection:
    """Where the store is, and by which keys."""

    url: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = DEFAULT_REGION


class SignedRequests:
    """Raises BucketUnavailable."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def list(
        self, at: Connection, bucket: str, prefix: str, token: str, delimiter: str = "", limit: int = 0
    ) -> tuple[list[Listed], str]:
        """A page, and the token of the next one; empty at the end.

        delimiter: what has it behind the prefix is one entry, up to there, without size, ETag and time.
        limit: of both together; 0: PAGE_KEYS.
        """
        query = {"list-type": "2", "encoding-type": "url", "prefix": prefix, "max-keys": str(limit or PAGE_KEYS)}
        if delimiter:
            query["delimiter"] = delimiter
        if token:
            query["continuation-token"] = token
        status, body = await self._ask(at, "GET", bucket, query)
        if status != 200:
            raise refusal(str(status), code_in(body.decode(errors="replace")))
        try:
            return await asyncio.to_thread(_page, body)
        except (ElementTree.ParseError, ValueError) as error:
            raise BucketUnavailable("the object store answers with a list that cannot be read") from error

    async def make_bucket(self, at: Connection, bucket: str) -> None:
        """It may be there already. Raises Conflict where it is somebody else's."""
        status, _ = await self._ask(at, "HEAD", bucket)
        if status == 200:
            return
        status, body = await self._ask(at, "PUT", bucket, body=_location(at.region))
        code = code_in(body.decode(errors="replace"))
        if status == 200 or code == "BucketAlreadyOwnedByYou":
            return
        if status == 409:
            raise Conflict(f"the bucket {bucket} is somebody else's ({code})")
        raise refusal(str(status), code)

    async def remove_bucket(self, at: Connection, bucket: str) -> None:
        """An empty one; it need not be there."""
        status, body = await self._ask(at, "DELETE", bucket)
        if status not in (200, 204, 404):
            raise refusal(str(status), code_in(body.decode(errors="replace")))

    async def _ask(
        self, at: Connection, method: str, bucket: str, query: dict[str, str] | None = None, body: bytes = b""
    ) -> tuple[int, bytes]:
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


def _page(body: bytes) -> tuple[list[Listed], str]:
    """Raises ParseError, ValueError."""
    root = ElementTree.fromstring(body)  # noqa: S314 (of the store that the operator chose; expat limits entities)
    space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""

    def text(of: ElementTree.Element, name: str) -> str:
        return of.findtext(f"{space}{name}") or ""

    encoded = text(root, "EncodingType").lower() == "url"
    found = []
    for each in root.iter(f"{space}Contents"):
        key = text(each, "Key")
        size, modified = int(text(each, "Size")), datetime.fromisoformat(text(each, "LastModified"))
        etag = etag_of(text(each, "ETag"), size, modified)
        found.append((unquote_plus(key) if encoded else key, size, etag, modified.timestamp()))
    for each in root.iter(f"{space}CommonPrefixes"):
        folder = text(each, "Prefix")
        found.append((unquote_plus(folder) if encoded else folder, 0, "", 0.0))
    more = text(root, "IsTruncated").lower() == "true"
    return found, text(root, "NextContinuationToken") if more else ""


def etag_of(told: str | None, size_bytes: int, modified: datetime) -> str:
    """Without quotation marks. A service that tells none has one made of what it tells."""
    return (told or "").removeprefix("W/").strip('"') or f"{size_bytes:x}.{int(modified.timestamp()):x}"
