"""/system/buckets: the buckets of services and accounts, what is in them, and URLs for single objects.

A bucket is as private as its service's token, whoever may call the service: what others send to be worked on is nobody
else's business. One that somebody makes is his own, private too, and nothing in it is worked on.
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlsplit

from aiohttp import web

from modelport.bucketjobs import BucketAccess, BucketJobs
from modelport.errors import Forbidden, InvalidJson, InvalidRequest, NotFound, NotImplementedByModel
from modelport.frontends.oscar import echo as oscar_echo
from modelport.frontends.oscar.definition import lower
from modelport.frontends.oscar.documents import json_response
from modelport.frontends.oscar.journal import stamp
from modelport.frontends.oscar.services import Handler
from modelport.http.access import Access, Caller
from modelport.http.body import read_document
from modelport.http.gateway import Gateway
from modelport.objectstore import sigv4
from modelport.objectstore.names import OWN
from modelport.store.deployments import DeploymentRow

EXPIRES_S = 900
KEY_BYTES = 1024
HEADERS_LIMIT = 20
OPERATIONS = {"upload": "PUT", "download": "GET"}
NO_BUCKETS = "this server has no buckets"

_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}", re.ASCII)
_VALUE = re.compile(r"[\x20-\x7e]{0,2000}", re.ASCII)
# Signed anyway, or not the client's to choose.
_RESERVED = ("host", "authorization", "content-length", "transfer-encoding", "connection")


class BucketCalls:
    """The handlers of /system/buckets."""

    def __init__(self, gateway: Gateway, access: Access) -> None:
        self._gateway = gateway
        self._access = access

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return (
            ("GET", "/buckets", self.list),
            ("POST", "/buckets", self.create),
            ("PUT", "/buckets", self.update),
            ("GET", "/buckets/{bucket}", self.show),
            ("DELETE", "/buckets/{bucket}", self.remove),
            ("POST", "/buckets/{bucket}/presign", self.presign),
        )

    async def list(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        found = []
        for bucket in self._bucket_jobs.bucket_keys.bucket_names() if self._gateway.bucket_jobs is not None else ():
            row = self._row(bucket)
            if self._sees(caller, bucket, row):
                found.append(self._document(bucket, row))
        return json_response(found)

    async def create(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        given = await _read(request, self._gateway)
        bucket = _name(given)
        _check_private(given)
        if self._gateway.bucket_jobs is None or self._gateway.bucket_jobs.tree is None:
            raise NotImplementedByModel("this server keeps no buckets of its own to make another beside")
        await self._bucket_jobs.make_bucket(bucket, caller.user)
        return web.Response(status=201)

    async def update(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        given = await _read(request, self._gateway)
        bucket, row = self._find(caller, _name(given))
        if self._bucket_jobs.bucket_keys.owner_of(bucket) is not None:
            _check_private(given)
            return web.Response(status=204)
        if row is None:
            raise Forbidden(f"the service of the bucket {bucket} is gone; nobody but the administrator sees it")
        raise Forbidden(f"the bucket {bucket} is that of the service {row.name}; it is seen by who has its token")

    async def remove(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        bucket, row = self._find(caller, request.match_info["bucket"])
        if row is not None:
            raise Forbidden(f"the bucket {bucket} is that of the service {row.name}; it stays as long as that")
        await self._bucket_jobs.remove_bucket(bucket)
        return web.Response(status=204)

    async def show(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        bucket, row = self._find(caller, request.match_info["bucket"])
        page, following = await self._bucket_jobs.objects.page(bucket, "", _place(request.query.get("page", "")))
        document = self._document(bucket, row)
        objects = [
            {"object_name": each.key, "size_bytes": each.size_bytes, "last_modified": stamp(each.modified)}
            for each in page
            if not each.key.startswith(OWN)
        ]
        document |= {"objects": objects, "is_truncated": bool(following), "returned_items": len(objects)}
        if following:
            document["next_page"] = base64.urlsafe_b64encode(following.encode()).decode()
        return json_response(document)

    async def presign(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        bucket, row = self._find(caller, request.match_info["bucket"])
        given = await _read(request, self._gateway)
        key, operation, headers = _key(given), _operation(given), _headers(given)
        expires_s = _expires_s(given)
        access = await self._keys(bucket, row)
        url = sigv4.presign(
            OPERATIONS[operation],
            _url(self._gateway.store_url(request, access.endpoint), bucket, key),
            access.access_key,
            access.secret_key,
            access.region,
            expires_s,
            headers,
        )
        document = {
            "object_key": key,
            "operation": operation,
            "method": OPERATIONS[operation],
            "url": url,
            "expires_at": stamp(time.time() + expires_s),
        }
        return json_response(document | ({"headers": headers} if headers else {}))

    @property
    def _bucket_jobs(self) -> BucketJobs:
        """Raises NotFound."""
        if self._gateway.bucket_jobs is None:
            raise NotFound(NO_BUCKETS)
        return self._gateway.bucket_jobs

    def _row(self, bucket: str) -> DeploymentRow | None:
        """The service that the bucket is that of; None: it has gone."""
        name = self._bucket_jobs.bucket_keys.deployment_of(bucket)
        return self._access.known(name) if name is not None else None

    def _sees(self, caller: Caller, bucket: str, row: DeploymentRow | None) -> bool:
        if row is not None:
            return self._access.owns(caller, row)
        return caller.administrator or (
            bool(caller.user) and self._bucket_jobs.bucket_keys.owner_of(bucket) == caller.user
        )

    def _find(self, caller: Caller, bucket: str) -> tuple[str, DeploymentRow | None]:
        """Raises NotFound, Forbidden."""
        if bucket not in self._bucket_jobs.bucket_keys.bucket_names():
            raise NotFound(f"there is no bucket called {bucket[:100]}")
        row = self._row(bucket)
        if not self._sees(caller, bucket, row):
            raise Forbidden(f"the bucket {bucket} is not yours")
        return bucket, row

    async def _keys(self, bucket: str, row: DeploymentRow | None) -> BucketAccess:
        """The service's or the account's own where there are some: a URL is worth nothing once they are changed."""
        if user := self._bucket_jobs.bucket_keys.owner_of(bucket):
            return await self._bucket_jobs.bucket_keys.account_access(user)
        access = self._bucket_jobs.bucket_keys.access(row.name) if row is not None else None
        return access if access is not None and access.access_key else self._bucket_jobs.bucket_keys.owner_access()

    def _document(self, bucket: str, row: DeploymentRow | None) -> dict[str, Any]:
        owner = (row.owner if row is not None else self._bucket_jobs.bucket_keys.owner_of(bucket)) or oscar_echo.OWNER
        metadata = {"owner": owner, "owner_name": owner.replace(" ", "_")}
        return {
            "bucket_name": bucket,
            "visibility": "private",
            "allowed_users": [],
            "owner": owner,
            "metadata": {**metadata, **({"from_service": row.name} if row is not None else {})},
        }


def _check_private(given: dict[str, Any]) -> None:
    """Raises InvalidRequest."""
    visibility, others = _text(given, "visibility").strip().lower() or "private", given.get("allowed_users") or []
    if visibility != "private" or others:
        raise InvalidRequest("buckets are private here: visibility is private, and allowed_users is empty")


def _url(endpoint: str, bucket: str, key: str) -> str:
    """The host as clients send it: without the port that goes without saying."""
    parts = urlsplit(endpoint)
    host = parts.netloc.lower().removesuffix({"http": ":80", "https": ":443"}.get(parts.scheme, ":"))
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}/{bucket}/{quote(key, safe='/~')}"


# What was sent


async def _read(request: web.Request, gateway: Gateway) -> dict[str, Any]:
    """Raises InvalidRequest, TooLarge."""
    try:
        return lower(await read_document(request, gateway.settings))
    except InvalidJson as error:
        raise InvalidRequest(error.message) from error


def _text(given: dict[str, Any], key: str) -> str:
    value = given.get(key)
    if value is not None and not isinstance(value, str):
        raise InvalidRequest(f"{key} is not text")
    return value or ""


def _name(given: dict[str, Any]) -> str:
    name = _text(given, "bucket_name").strip()
    if not name:
        raise InvalidRequest("bucket_name is missing")
    return name


def _key(given: dict[str, Any]) -> str:
    key = _text(given, "object_key").lstrip("/")
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidRequest("object_key is not text") from None
    if not 0 < size <= KEY_BYTES or "\0" in key:
        raise InvalidRequest(f"object_key is the name of an object, of 1 to {KEY_BYTES} bytes")
    return key


def _operation(given: dict[str, Any]) -> str:
    operation = _text(given, "operation").strip().lower()
    if operation not in OPERATIONS:
        raise InvalidRequest(f"operation is {operation[:100]!r}; allowed are {', '.join(OPERATIONS)}")
    return operation


def _expires_s(given: dict[str, Any]) -> int:
    value = given.get("expires_in") or EXPIRES_S
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= sigv4.LONGEST_PRESIGNED_S:
        raise InvalidRequest(f"expires_in is a whole number of seconds, 1 to {sigv4.LONGEST_PRESIGNED_S}")
    return value


def _headers(given: dict[str, Any]) -> dict[str, str]:
    """Those that whoever uses the URL has to send."""
    extra = given.get("extra_headers") or {}
    if not isinstance(extra, dict) or len(extra) > HEADERS_LIMIT:
        raise InvalidRequest(f"extra_headers is an object of at most {HEADERS_LIMIT} texts")
    headers = {**extra, **({"Content-Type": type} if (type := _text(given, "content_type")) else {})}
    for name, value in headers.items():
        if not _HEADER.fullmatch(name) or name.lower() in _RESERVED:
            raise InvalidRequest(f"extra_headers: {name[:100]!r} cannot be signed")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise InvalidRequest(f"extra_headers: {name} is not plain text")
    return headers


def _place(page: str) -> str:
    """The store's own token, which some clients would not encode. Raises InvalidRequest."""
    try:
        return base64.b64decode(page.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidRequest("page is what the last page called next_page") from None
