"""A request taken apart: bucket, key, and who asks; and what every operation works with."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from aiohttp import web

from modelport.bucketjobs import BucketJobs
from modelport.errors import NotFound
from modelport.frontends.s3 import conditions
from modelport.frontends.s3.errors import S3Error
from modelport.http.forwarded import Proxies
from modelport.objectstore import ObjectInfo, keys, sigv4
from modelport.objectstore.parts import Uploads
from modelport.objectstore.tree import Tree
from modelport.settings import Settings

# Headers that ask for what is not done; those beginning so, and values that ask for nothing.
_NOT_DONE = ("x-amz-grant-", "x-amz-server-side-encryption", "x-amz-object-lock-", "x-amz-tagging", "x-amz-website-")
_NO_CHANGE = {
    "x-amz-acl": {"private", "bucket-owner-full-control", "bucket-owner-read"},
    "x-amz-tagging-directive": {"COPY", "REPLACE"},
    "x-amz-tagging": {""},
}


@dataclass
class Asked:
    """One request. path: as it was sent, encoded. query: decoded, in its order; params: the same by name.

    bucket, key: empty where it is about none. access_key: whose signature it has; buckets: those that it reaches, None:
    all. answer_headers: of every answer. seed: for the signatures of pieces of the body.
    """

    request: web.BaseRequest
    path: str
    query: list[tuple[str, str]]
    params: Mapping[str, str]
    bucket: str
    key: str
    id: str = field(default_factory=lambda: secrets.token_hex(8).upper())
    access_key: str = ""
    buckets: frozenset[str] | None = frozenset()
    answer_headers: Mapping[str, str] = field(default_factory=dict)
    claim: sigv4.Claim | None = None
    seed: sigv4.Seed | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        return self.request.headers


@dataclass
class Context:
    """completed: answers to the last uploads in parts that were completed, by id."""

    settings: Settings
    bucket_jobs: BucketJobs
    tree: Tree
    uploads: Uploads
    proxies: Proxies
    completed: dict[str, tuple[str, str, bytes]] = field(default_factory=dict)

    def check_bucket(self, asked: Asked, bucket: str) -> None:
        """Raises S3Error: the same for one that is another's and one that is not there, but for who reaches all."""
        if asked.buckets is not None and bucket not in asked.buckets:
            raise S3Error("AccessDenied")
        if bucket not in self.bucket_jobs.bucket_keys.bucket_names():
            raise S3Error("NoSuchBucket")

    async def begin(self, asked: Asked) -> None:
        """What can be refused before the body is read. Raises what refuses it."""
        fault = keys.fault(asked.key)
        if fault:
            code = "KeyTooLongError" if "more than" in fault else "InvalidArgument"
            raise S3Error(code, f"The key {fault}.")
        await self.bucket_jobs.begin_upload(asked.bucket, asked.key)
        await self.check_write(asked)

    async def check_write(self, asked: Asked) -> None:
        """If-Match and If-None-Match of a put. Raises S3Error."""
        if "If-Match" in asked.headers or "If-None-Match" in asked.headers:
            etag: str | None = None
            with contextlib.suppress(NotFound):
                etag = (await self.tree.head(asked.bucket, asked.key)).etag
            conditions.check_write(asked.headers, etag)

    async def stored(self, asked: Asked, info: ObjectInfo) -> None:
        """An object has been put: tell of it. Raises what `arrived` raises."""
        address = self.proxies.client(asked.request)
        await self.bucket_jobs.arrived(
            asked.bucket, asked.key, info.etag, info.size_bytes, principal=asked.access_key, address=address
        )


def take_apart(request: web.BaseRequest) -> Asked:
    """The request, nothing checked yet. What cannot be read has the bucket and key that nothing has: none."""
    path, _, query = request.raw_path.partition("?")
    pairs = sigv4.decode_query(query)
    bucket, _, key = path.removeprefix("/").partition("/")
    return Asked(request, path, pairs, dict(pairs), _decoded(bucket), _decoded(key))


def _decoded(text: str) -> str:
    return unquote_to_bytes(text).decode(errors="surrogateescape")


def check_readable(asked: Asked) -> None:
    """Raises S3Error where the path is none, or is not UTF-8, and for a form, whose signature is in its body."""
    if asked.request.method == "POST" and asked.request.content_type == "multipart/form-data":
        raise S3Error("NotImplemented", "Forms are not taken here: sign a URL for PutObject.")
    try:
        f"{asked.bucket}{asked.key}{''.join(asked.params.values())}".encode()
    except UnicodeEncodeError as error:
        raise S3Error("InvalidURI") from error
    if not asked.path.startswith("/") or (asked.key and not asked.bucket):
        raise S3Error("InvalidURI")


def check_headers(asked: Asked) -> None:
    """Raises S3Error where a header asks for what would silently not be done."""
    for name, value in asked.headers.items():
        name = name.lower()
        allowed = _NO_CHANGE.get(name, set() if name.startswith(_NOT_DONE) else {value.strip()})
        if value.strip() not in allowed:
            raise S3Error("NotImplemented", f"The header {name} implies functionality that is not implemented.")


def whole_number(asked: Asked, name: str, default: int, least: int, most: int) -> int:
    """A parameter. Raises S3Error InvalidArgument."""
    text = asked.params.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal()) or not least <= int(text[:12]):
        raise S3Error("InvalidArgument", f"{name} must be a number from {least} on.")
    return min(int(text[:12]), most)
