"""Lists: of objects, as rclone gives them and S3 clients understand them, and of buckets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote, unquote_plus
from xml.etree.ElementTree import Element

from aiohttp import web

from modelport.frontends.s3.documents import Markup, document, element, iso_time, text
from modelport.frontends.s3.door import Door
from modelport.frontends.s3.errors import S3Error
from modelport.frontends.s3.requests import Asked, whole_number
from modelport.objectstore import folders, keys

KEYS = 1000

# Whom objects and buckets belong to, as far as S3 wants to know.
OWNER = element("Owner", element("ID", "modelport"), element("DisplayName", "modelport"))


async def list_objects(door: Door, asked: Asked) -> web.Response:
    """Version 1: goes on from a key."""
    marker = asked.params.get("marker", "")
    page = await _page(door, asked, [("marker", keys.stored(marker))] if marker else [])
    encode = page.encode
    return _answer(
        asked,
        page,
        element("Marker", encode(marker)),
        element("NextMarker", encode(page.last)) if page.more else None,
    )


async def list_objects_v2(door: Door, asked: Asked) -> web.Response:
    if asked.params["list-type"] != "2":
        raise S3Error("InvalidArgument", "list-type can only be 2.")
    token, after = asked.params.get("continuation-token", ""), asked.params.get("start-after", "")
    query = [("list-type", "2")]
    if token:
        query.append(("continuation-token", token))
    elif after:
        query.append(("start-after", keys.stored(after)))
    page = await _page(door, asked, query)
    return _answer(
        asked,
        page,
        element("KeyCount", str(len(page.contents) + len(page.prefixes))),
        element("ContinuationToken", token) if token else None,
        element("StartAfter", page.encode(after)) if after else None,
        element("NextContinuationToken", page.token) if page.more else None,
    )


class _Page:
    """What rclone lists, in our words. encode: what is done to keys in the answer."""

    def __init__(self, root: Element, prefix: str, encode: Callable[[str], str]) -> None:
        found = [(keys.shown(unquote_plus(each.findtext("Key", ""))), each) for each in root.iter("Contents")]
        self.encode = encode
        # A marker's file has another name than the marker: who lists what begins like the file's must not see it.
        self.contents = [(key, each) for key, each in found if key.startswith(prefix)]
        self.prefixes = [unquote_plus(each.findtext("Prefix", "")) for each in root.iter("CommonPrefixes")]
        self.token = root.findtext("NextContinuationToken", "")
        self.more = root.findtext("IsTruncated", "") == "true"
        marker = unquote_plus(root.findtext("NextMarker", ""))
        self.last = keys.shown(marker) or max([*self.prefixes, *(key for key, _ in found)], key=str.encode, default="")


async def _page(door: Door, asked: Asked, query: list[tuple[str, str]]) -> _Page:
    """Raises S3Error."""
    params = asked.params
    if params.get("delimiter", "") not in ("", "/"):
        raise S3Error("NotImplemented", "The delimiter can only be /.")
    if params.get("encoding-type", "url") != "url":
        raise S3Error("InvalidArgument", "encoding-type can only be url.")
    encode: Callable[[str], str] = quote if "encoding-type" in params else str
    prefix = params.get("prefix", "")
    most = whole_number(asked, "max-keys", KEYS, 0, KEYS)
    if not most or "\0" in prefix:  # rclone takes 0 for no limit
        return _Page(Element("ListBucketResult"), prefix, encode)
    query += [("encoding-type", "url"), ("max-keys", str(most)), ("prefix", prefix)]
    if params.get("delimiter"):
        query.append(("delimiter", "/"))
    try:
        return _Page(await door.upstream.document("GET", asked.bucket, query), prefix, encode)
    except S3Error as error:
        if error.code == "InternalError" and "continuation-token" in params:
            raise S3Error("InvalidArgument", "The continuation token is not correct.") from error
        raise


def _answer(asked: Asked, page: _Page, *more: Markup | None) -> web.Response:
    params = asked.params
    owner = OWNER if "list-type" not in params or params.get("fetch-owner") == "true" else None
    body = document(
        "ListBucketResult",
        element("Name", asked.bucket),
        element("Prefix", page.encode(params.get("prefix", ""))),
        element("Delimiter", params["delimiter"]) if params.get("delimiter") else None,
        element("MaxKeys", str(whole_number(asked, "max-keys", KEYS, 0, KEYS))),
        element("EncodingType", "url") if "encoding-type" in params else None,
        element("IsTruncated", str(page.more).lower()),
        *more,
        *(_contents(page.encode(key), each, owner) for key, each in page.contents),
        *(element("CommonPrefixes", element("Prefix", page.encode(each))) for each in page.prefixes),
    )
    return web.Response(body=body, content_type="application/xml")


def _contents(key: str, found: Element, owner: Markup | None) -> Markup:
    """Written out, as there may be a thousand: `element` takes five times as long."""
    told = {each.tag: each.text or "" for each in found}
    etag = told.get("ETag", "").strip('"')
    return Markup(
        f"<Contents><Key>{text(key)}</Key><LastModified>{text(told.get('LastModified', ''))}</LastModified>"
        f"<ETag>&quot;{text(etag)}&quot;</ETag><Size>{text(told.get('Size', '0'))}</Size>{owner or ''}"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )


# Buckets


async def list_buckets(door: Door, asked: Asked) -> web.Response:
    """Those that the client's key reaches."""
    names = [each for each in door.arrivals.bucket_names() if asked.buckets is None or each in asked.buckets]
    created = await asyncio.to_thread(lambda: [folders.made_at(door.rclone.folder, each) for each in names])
    shown = [
        element("Bucket", element("Name", name), element("CreationDate", iso_time(datetime.fromtimestamp(made, UTC))))
        for name, made in zip(names, created, strict=True)
    ]
    body = document("ListAllMyBucketsResult", OWNER, element("Buckets", *shown))
    return web.Response(body=body, content_type="application/xml")


def locate_bucket(door: Door, asked: Asked) -> web.Response:
    region = door.settings.bucket_region
    body = document("LocationConstraint", "" if region == "us-east-1" else region)
    return web.Response(body=body, content_type="application/xml")


def head_bucket(door: Door, asked: Asked) -> web.Response:
    return web.Response(headers={"x-amz-bucket-region": door.settings.bucket_region})


def create_bucket(door: Door, asked: Asked) -> web.Response:
    """Buckets come and go with deployments. Clients that make sure that theirs is there find that it is."""
    return web.Response(headers={"Location": f"/{asked.bucket}"})
