"""If-Match and its like."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp.helpers import parse_http_date

from modelport.frontends.s3.errors import S3Error

COPY = "x-amz-copy-source-"


def check(headers: Mapping[str, str], etag: str, modified: str, prefix: str = "") -> bool:
    """Whether the object is wanted; false: it has not changed. Raises S3Error PreconditionFailed.

    etag, modified: as in the object's headers. prefix: of the names, for the source of a copy.
    """
    matches, others = headers.get(f"{prefix}If-Match"), headers.get(f"{prefix}If-None-Match")
    if matches is not None:
        if not _names(matches, etag):
            raise S3Error("PreconditionFailed")
    elif _is_after(modified, headers.get(f"{prefix}If-Unmodified-Since")):
        raise S3Error("PreconditionFailed")
    if others is not None:
        return not _names(others, etag)
    since = headers.get(f"{prefix}If-Modified-Since")
    return parse_http_date(since) is None or _is_after(modified, since)


def _names(header: str, etag: str) -> bool:
    tags = [part.strip().removeprefix("W/").strip('"') for part in header.split(",")]
    return "*" in tags or etag.strip('"') in tags


def _is_after(modified: str, limit: str | None) -> bool:
    """Whether `modified` is later; false where either is not a valid time."""
    first, second = parse_http_date(modified), parse_http_date(limit)
    return first is not None and second is not None and first > second


def check_write(headers: Mapping[str, str], etag: str | None) -> None:
    """Of a put. etag: of the object that is there; None: there is none. Raises S3Error."""
    matches, others = headers.get("If-Match"), headers.get("If-None-Match")
    if matches is not None:
        if etag is None:
            raise S3Error("NoSuchKey")
        if not _names(matches, etag):
            raise S3Error("PreconditionFailed")
    if others is not None:
        if others.strip() != "*":
            raise S3Error("NotImplemented", "If-None-Match of a put can only be *.")
        if etag is not None:
            raise S3Error("PreconditionFailed")
