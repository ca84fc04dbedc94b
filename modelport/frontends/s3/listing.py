"""Lists: of objects, and of buckets."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from aiohttp import web

from modelport.errors import InvalidRequest
from modelport.frontends.s3.documents import OWNER, Markup, access_control, document, element, iso_time, text
from modelport.frontends.s3.door import Door
from modelport.frontends.s3.errors import S3Error
from modelport.frontends.s3.requests import Asked, whole_number
from modelport.objectstore import ObjectInfo
from modelport.objectstore.walking import token_after

KEYS = 1000


async def list_objects(door: Door, asked: Asked) -> web.Response:
    """Version 1: goes on from a key."""
    encode = _encode(asked)
    marker = asked.params.get("marker", "")
    found, token = await _page(door, asked, token_after(marker))
    last = element("NextMarker", encode(found[-1].key)) if token and found else None
    return _answer(asked, found, token, element("Marker", encode(marker)), last)


async def list_objects_v2(door: Door, asked: Asked) -> web.Response:
    if asked.params["list-type"] != "2":
        raise S3Error("InvalidArgument", "list-type can only be 2.")
    told, after = asked.params.get("continuation-token", ""), asked.params.get("start-after", "")
    found, token = await _page(door, asked, told or token_after(after))
    return _answer(
        asked,
        found,
        token,
        element("KeyCount", str(len(found))),
        element("ContinuationToken", told) if told else None,
        element("StartAfter", _encode(asked)(after)) if after else None,
        element("NextContinuationToken", token) if token else None,
    )


def _encode(asked: Asked) -> Callable[[str], str]:
    """What is done to keys in the answer. Raises S3Error."""
    if asked.params.get("encoding-type", "url") != "url":
        raise S3Error("InvalidArgument", "encoding-type can only be url.")
    return quote if "encoding-type" in asked.params else str


async def _page(door: Door, asked: Asked, token: str) -> tuple[list[ObjectInfo], str]:
    """Raises S3Error."""
    params = asked.params
    if params.get("delimiter", "") not in ("", "/"):
        raise S3Error("NotImplemented", "The delimiter can only be /.")
    most = whole_number(asked, "max-keys", KEYS, 0, KEYS)
    if not most:
        return [], ""
    folded = params.get("delimiter") == "/"
    try:
        return await door.tree.page(asked.bucket, params.get("prefix", ""), token, folded=folded, limit=most)
    except InvalidRequest as error:
        raise S3Error("InvalidArgument", "The continuation token is not correct.") from error


def _answer(asked: Asked, found: list[ObjectInfo], token: str, *more: Markup | None) -> web.Response:
    params = asked.params
    encode = _encode(asked)
    owner = OWNER if "list-type" not in params or params.get("fetch-owner") == "true" else None
    body = document(
        "ListBucketResult",
        element("Name", asked.bucket),
        element("Prefix", encode(params.get("prefix", ""))),
        element("Delimiter", params["delimiter"]) if params.get("delimiter") else None,
        element("MaxKeys", str(whole_number(asked, "max-keys", KEYS, 0, KEYS))),
        element("EncodingType", "url") if "encoding-type" in params else None,
        element("IsTruncated", str(bool(token)).lower()),
        *more,
        *(_contents(encode(info.key), info, owner) for info in found if info.etag),
        *(element("CommonPrefixes", element("Prefix", encode(info.key))) for info in found if not info.etag),
    )
    return web.Response(body=body, content_type="application/xml")


def _contents(key: str, info: ObjectInfo, owner: Markup | None) -> Markup:
    """Written out, as there may be a thousand: `element` takes five times as long."""
    return Markup(
        f"<Contents><Key>{text(key)}</Key><LastModified>{iso_time(info.modified)}</LastModified>"
        f"<ETag>&quot;{info.etag}&quot;</ETag><Size>{info.size_bytes}</Size>{owner or ''}"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )


# Buckets


async def list_buckets(door: Door, asked: Asked) -> web.Response:
    """Those that the client's key reaches."""
    names = [
        each for each in door.bucket_jobs.bucket_keys.bucket_names() if asked.buckets is None or each in asked.buckets
    ]
    shown = [
        element("Bucket", element("Name", name), element("CreationDate", iso_time(made)))
        for name, made in zip(names, await door.tree.made_at(names), strict=True)
    ]
    body = document("ListAllMyBucketsResult", OWNER, element("Buckets", *shown))
    return web.Response(body=body, content_type="application/xml")


def locate_bucket(door: Door, asked: Asked) -> web.Response:
    region = door.settings.bucket_region
    body = document("LocationConstraint", "" if region == "us-east-1" else region)
    return web.Response(body=body, content_type="application/xml")


def get_versioning(door: Door, asked: Asked) -> web.Response:
    """There never was any."""
    return web.Response(body=document("VersioningConfiguration"), content_type="application/xml")


def get_acl(door: Door, asked: Asked) -> web.Response:
    return web.Response(body=access_control(), content_type="application/xml")


def head_bucket(door: Door, asked: Asked) -> web.Response:
    return web.Response(headers={"x-amz-bucket-region": door.settings.bucket_region})


def create_bucket(door: Door, asked: Asked) -> web.Response:
    """Buckets come and go with deployments. Clients that make sure that theirs is there find that it is."""
    return web.Response(headers={"Location": f"/{asked.bucket}"})
