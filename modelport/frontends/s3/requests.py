"""A request taken apart: bucket, key, operation, and who asks."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from aiohttp import web

from modelport.frontends.s3.errors import S3Error
from modelport.objectstore import sigv4


@dataclass(frozen=True)
class Rule:
    """An operation: by its method, what it is about, and the parameters that make it this one; it may have others."""

    operation: str
    method: str
    about: str
    needed: frozenset[str] = frozenset()
    allowed: frozenset[str] = frozenset()


def _rule(operation: str, method: str, about: str, needed: str = "", allowed: str = "") -> Rule:
    return Rule(operation, method, about, frozenset(needed.split()), frozenset(allowed.split()))


_LIST = "prefix delimiter max-keys encoding-type"
_READ = (
    "versionId partNumber response-content-type response-content-disposition response-content-encoding "
    "response-content-language response-cache-control response-expires"
)

# The first that fits. What is not here is not done.
RULES = (
    _rule("ListBuckets", "GET", "service", "", "max-buckets prefix bucket-region continuation-token"),
    _rule("HeadBucket", "HEAD", "bucket"),
    _rule("CreateBucket", "PUT", "bucket"),
    _rule("GetBucketLocation", "GET", "bucket", "location"),
    _rule("GetBucketVersioning", "GET", "bucket", "versioning"),
    _rule("GetBucketAcl", "GET", "bucket", "acl"),
    _rule("ListMultipartUploads", "GET", "bucket", "uploads", "prefix max-uploads encoding-type"),
    _rule("ListObjectsV2", "GET", "bucket", "list-type", f"{_LIST} start-after continuation-token fetch-owner"),
    _rule("ListObjects", "GET", "bucket", "", f"{_LIST} marker"),
    _rule("DeleteObjects", "POST", "bucket", "delete"),
    _rule("HeadObject", "HEAD", "object", "", _READ),
    _rule("GetObjectTagging", "GET", "object", "tagging", "versionId"),
    _rule("GetObjectAcl", "GET", "object", "acl", "versionId"),
    _rule("ListParts", "GET", "object", "uploadId", "max-parts part-number-marker encoding-type"),
    _rule("GetObject", "GET", "object", "", _READ),
    _rule("UploadPart", "PUT", "object", "partNumber uploadId"),
    _rule("PutObject", "PUT", "object"),
    _rule("CreateMultipartUpload", "POST", "object", "uploads"),
    _rule("CompleteMultipartUpload", "POST", "object", "uploadId"),
    _rule("AbortMultipartUpload", "DELETE", "object", "uploadId"),
    _rule("DeleteObject", "DELETE", "object", "", "versionId"),
)
COPIES = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}

# Only the name that a client has for its own call, the signature, and what the SDKs' presigned URLs carry with them:
# the checksum in these is that of no body, since the body is not known when a URL is signed.
_SILENT = ("x-id", "X-Amz-", "x-amz-sdk-checksum-algorithm", "x-amz-checksum-", "x-amz-user-agent")

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

    @property
    def resource(self) -> str:
        return f"/{self.bucket}/{self.key}" if self.key else f"/{self.bucket}"


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


def operation(asked: Asked) -> str:
    """What is asked for. Raises S3Error NotImplemented for all that is not done here, and for versions."""
    if asked.params.get("versionId", "null") != "null":
        raise S3Error("NoSuchVersion")
    about = "object" if asked.key else "bucket" if asked.bucket else "service"
    names = {param for param in asked.params if not param.startswith(_SILENT)}
    for rule in RULES:
        fits = rule.needed <= names <= rule.needed | rule.allowed
        if (rule.method, rule.about) == (asked.request.method, about) and fits:
            copies = "x-amz-copy-source" in asked.headers
            return COPIES.get(rule.operation, rule.operation) if copies else rule.operation
    raise S3Error("NotImplemented")


def check_headers(asked: Asked) -> None:
    """Raises S3Error where a header asks for what would silently not be done."""
    for name, value in asked.headers.items():
        name = name.lower()
        allowed = _NO_CHANGE.get(name, set() if name.startswith(_NOT_DONE) else {value.strip()})
        if value.strip() not in allowed:
            raise S3Error("NotImplemented", f"The header {name} implies functionality that is not implemented.")


def identify(asked: Asked, secret: str, hosts: Iterable[str]) -> None:
    """Check the signature. Raises BadSignature."""
    assert asked.claim is not None
    asked.seed = sigv4.check(
        asked.claim,
        secret,
        asked.request.method,
        asked.path,
        asked.query,
        list(asked.request.headers.items()),
        hosts=tuple(hosts),
    )


def whole_number(asked: Asked, name: str, default: int, least: int, most: int) -> int:
    """A parameter. Raises S3Error InvalidArgument."""
    text = asked.params.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal()) or not least <= int(text[:12]):
        raise S3Error("InvalidArgument", f"{name} must be a number from {least} on.")
    return min(int(text[:12]), most)
