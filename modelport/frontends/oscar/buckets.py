"""/system/buckets: the buckets of services and accounts, what is in them, and URLs for single objects.

A bucket is as private as its service's token, whoever may call the service: what others send to be worked on is nobody
else's business. One that somebody makes is his own, private too, and nothing in it is worked on.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from modelport.bucketjobs import BucketAccess, BucketJobs
from modelport.errors import Forbidden, InvalidJson, InvalidRequest, NotFound, NotImplementedByModel
from modelport.frontends.oscar.definition import OWNER, lower
from modelport.frontends.oscar.journal import stamp
from modelport.frontends.oscar.services import Calls, Handler
from modelport.http.access import Caller
from modelport.http.body import read_document
from modelport.http.gateway import Gateway
from modelport.http.json_answers import json_answer
from modelport.objectstore import sigv4
from modelport.objectstore.names import OWN
from modelport.objectstore.walking import after_token, token_after
from modelport.store.deployments import DeploymentRow

EXPIRES_S = 900
OPERATIONS = {"upload": "PUT", "download": "GET"}
NO_BUCKETS = "this server has no buckets"
# Signed anyway, or not the client's to choose.
RESERVED = ("host", "authorization", "content-length", "transfer-encoding", "connection")

HeaderName = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9-]{1,100}\Z")]
HeaderText = Annotated[str, Meta(pattern=r"\A[\x20-\x7e]{0,2000}\Z")]


class SentBucket(Struct):
    bucket_name: Annotated[str, Meta(pattern=r"\S")]
    visibility: str = ""
    allowed_users: Any = ()

    def check_private(self) -> None:
        """Raises InvalidRequest."""
        if self.visibility.strip().lower() not in ("", "private") or self.allowed_users:
            raise InvalidRequest("buckets are private here: visibility is private, and allowed_users is empty")


class SentPresign(Struct):
    object_key: Annotated[str, Meta(pattern=r"\A/*[^/\0][^\0]*\Z")]
    operation: str
    expires_in: Annotated[int, Meta(ge=0, le=sigv4.LONGEST_PRESIGNED_S)] = EXPIRES_S
    extra_headers: Annotated[dict[HeaderName, HeaderText], Meta(max_length=20)] = {}
    content_type: HeaderText = ""

    def __post_init__(self) -> None:
        """S3 allows a key of 1,024 bytes, in UTF-8."""
        self.object_key, self.operation = self.object_key.lstrip("/"), self.operation.strip().lower()
        if len(self.object_key.encode()) > 1024:
            raise ValueError("object_key has more than 1,024 bytes")
        if self.operation not in OPERATIONS:
            raise ValueError(f"operation is {self.operation[:100]!r}; allowed are {', '.join(OPERATIONS)}")


Sent = TypeVar("Sent", SentBucket, SentPresign)


class BucketCalls(Calls):
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
        rows = []
        for bucket in self._bucket_jobs.bucket_keys.bucket_names() if self._gateway.bucket_jobs is not None else ():
            row = self._row(bucket)
            if self._sees(caller, bucket, row):
                rows.append(self._document(bucket, row))
        return json_answer(rows)

    async def create(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        sent = await _read(request, self._gateway, SentBucket)
        sent.check_private()
        if self._gateway.bucket_jobs is None or self._gateway.bucket_jobs.tree is None:
            raise NotImplementedByModel("this server uses another S3 service; buckets cannot be created here")
        await self._bucket_jobs.make_bucket(sent.bucket_name.strip(), caller.user)
        return web.Response(status=201)

    async def update(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        sent = await _read(request, self._gateway, SentBucket)
        bucket, row = self._find(caller, sent.bucket_name.strip())
        if self._bucket_jobs.bucket_keys.owner_of(bucket) is not None:
            sent.check_private()
            return web.Response(status=204)
        if row is None:
            raise Forbidden(f"the service of the bucket {bucket} is gone; only the administrator can see it")
        raise Forbidden(
            f"the bucket {bucket} belongs to the service {row.name}; only callers with its token can see it"
        )

    async def remove(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        bucket, row = self._find(caller, request.match_info["bucket"])
        if row is not None:
            raise Forbidden(f"the bucket {bucket} belongs to the service {row.name}, which still exists")
        await self._bucket_jobs.remove_bucket(bucket)
        return web.Response(status=204)

    async def show(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        bucket, row = self._find(caller, request.match_info["bucket"])
        page, following = await self._bucket_jobs.objects.page(bucket, "", after_token(request.query.get("page", "")))
        document = self._document(bucket, row)
        objects = [
            {"object_name": info.key, "size_bytes": info.size_bytes, "last_modified": stamp(info.modified)}
            for info in page
            if not info.key.startswith(OWN)
        ]
        document |= {"objects": objects, "is_truncated": bool(following), "returned_items": len(objects)}
        if following:
            document["next_page"] = token_after(following)  # some clients would not encode the store's own
        return json_answer(document)

    async def presign(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        bucket, row = self._find(caller, request.match_info["bucket"])
        sent = await _read(request, self._gateway, SentPresign)
        key, method, headers = sent.object_key, OPERATIONS[sent.operation], _headers(sent)
        expires_s = sent.expires_in or EXPIRES_S
        access = await self._keys(bucket, row)
        url = _url(self._gateway.store_url(request, access.endpoint), bucket, key)
        keys = access.access_key, access.secret_key, access.region
        document = {
            "object_key": key,
            "operation": sent.operation,
            "method": method,
            "url": sigv4.presign(method, url, *keys, expires_s, headers),
            "expires_at": stamp(time.time() + expires_s),
        }
        return json_answer(document | ({"headers": headers} if headers else {}))

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
        owner = (row.owner if row is not None else self._bucket_jobs.bucket_keys.owner_of(bucket)) or OWNER
        metadata = {"owner": owner, "owner_name": owner.replace(" ", "_")}
        return {
            "bucket_name": bucket,
            "visibility": "private",
            "allowed_users": [],
            "owner": owner,
            "metadata": {**metadata, **({"from_service": row.name} if row is not None else {})},
        }


def _url(endpoint: str, bucket: str, key: str) -> str:
    """The host as clients send it: without the port that goes without saying."""
    parts = urlsplit(endpoint)
    host = parts.netloc.lower().removesuffix({"http": ":80", "https": ":443"}.get(parts.scheme, ":"))
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}/{bucket}/{quote(key, safe='/~')}"


# What was sent


async def _read(request: web.Request, gateway: Gateway, kind: type[Sent]) -> Sent:
    """Raises InvalidRequest, TooLarge."""
    try:
        sent = lower(await read_document(request, gateway.settings))
        return msgspec.convert({key: value for key, value in sent.items() if value is not None}, kind)
    except (InvalidJson, msgspec.ValidationError) as error:
        raise InvalidRequest(str(error).replace("`$.", "`")) from error


def _headers(sent: SentPresign) -> dict[str, str]:
    """Those that whoever uses the URL has to send. Raises InvalidRequest."""
    headers = sent.extra_headers | ({"Content-Type": sent.content_type} if sent.content_type else {})
    if reserved := [name for name in headers if name.lower() in RESERVED]:
        raise InvalidRequest(f"extra_headers: {reserved[0]!r} cannot be signed")
    return headers
