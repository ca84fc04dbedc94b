"""Reading and deleting objects."""

from __future__ import annotations

import asyncio
import re
from email.utils import formatdate

from aiohttp import web
from multidict import CIMultiDict

from modelport.errors import ModelportError
from modelport.frontends.s3 import conditions
from modelport.frontends.s3.bodies import Body
from modelport.frontends.s3.documents import access_control, answer, element, parse
from modelport.frontends.s3.errors import S3Error, code_of
from modelport.frontends.s3.requests import Asked, Context
from modelport.http.bucket_files import send
from modelport.objectstore import META, ObjectInfo, keys
from modelport.objectstore.names import INPUTS, OUTPUTS
from modelport.objectstore.records import CHECKSUM

# What a client may say of an object beside x-amz-meta-….
TOLD = ("Content-Type", "Content-Encoding", "Content-Disposition", "Content-Language", "Cache-Control", "Expires")


DELETED_AT_ONCE = 8
DELETE_KEYS = 1000
DELETE_BYTES = 8 << 20

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


async def head_object(context: Context, asked: Asked) -> web.StreamResponse:
    info = await context.tree.head(asked.bucket, asked.key)
    return _answer(asked, info)[0]


async def get_object(context: Context, asked: Asked) -> web.StreamResponse:
    async with context.tree.open(asked.bucket, asked.key) as opened:
        response, (first, last) = _answer(asked, opened.info)
        if response.status != 304:
            await send(asked.request, response, context.tree.chunks(opened, first, last))
        return response


async def get_tagging(context: Context, asked: Asked) -> web.Response:
    """Objects have no tags. Clients ask before they copy a large one."""
    await context.tree.head(asked.bucket, asked.key)
    return answer("Tagging", element("TagSet"))


async def get_acl(context: Context, asked: Asked) -> web.Response:
    await context.tree.head(asked.bucket, asked.key)
    return access_control()


def _span(asked: Asked, info: ObjectInfo) -> tuple[int, int] | None:
    """First and last byte of what is asked for; None: all. Raises S3Error InvalidRange.

    What is no range, or several, means all, as it does in HTTP.
    """
    match = _RANGE.fullmatch(asked.headers.get("Range", "").strip())
    if match is None or not (match[1] or match[2]):
        return None
    if "If-Range" in asked.headers and asked.headers["If-Range"] not in (f'"{info.etag}"', http_time(info)):
        return None
    size = info.size_bytes
    if not match[1]:
        first, last = max(0, size - int(match[2])), size - 1
    else:
        first, last = int(match[1]), min(int(match[2] or size), size - 1)
        if match[2] and int(match[2]) < first:
            return None
    if first > last:
        raise S3Error("InvalidRange")
    return first, last


def http_time(info: ObjectInfo) -> str:
    return formatdate(info.modified, usegmt=True)


def _answer(asked: Asked, info: ObjectInfo) -> tuple[web.StreamResponse, tuple[int, int]]:
    """With its headers, and first and last byte: 200, 206, or 304 where the object has not changed. Raises S3Error."""
    if asked.params.get("partNumber", "1") != "1":  # parts are forgotten in the end: all is in the first
        raise S3Error("InvalidPartNumber")
    etag, modified = f'"{info.etag}"', http_time(info)
    headers: CIMultiDict[str] = CIMultiDict({**asked.answer_headers, "ETag": etag, "Last-Modified": modified})
    headers.update({name: info.headers[name.lower()] for name in TOLD if name.lower() in info.headers})
    if not conditions.check(asked.headers, etag, modified):
        del headers["Content-Type"]
        return web.Response(status=304, headers=headers), (0, -1)
    checksums = "Range" not in asked.headers and asked.headers.get("x-amz-checksum-mode") == "ENABLED"
    prefixes = (META, CHECKSUM) if checksums else (META,)
    headers.update({name: value for name, value in info.headers.items() if name.startswith(prefixes)})
    headers.update({"Accept-Ranges": "bytes", "X-Content-Type-Options": "nosniff"})
    for name, value in asked.params.items():
        if name.startswith("response-"):
            if not value.isprintable():
                raise S3Error("InvalidArgument", f"{name} has characters that no header can have.")
            headers[name.removeprefix("response-").title()] = value
    span = _span(asked, info)
    first, last = span or (0, info.size_bytes - 1)
    if span is not None:
        headers["Content-Range"] = f"bytes {first}-{last}/{info.size_bytes}"
    headers["Content-Length"] = str(last + 1 - first)
    return web.StreamResponse(status=200 if span is None else 206, headers=headers), (first, last)


# Deleting


async def delete_object(context: Context, asked: Asked) -> web.Response:
    await _delete(context, asked.bucket, asked.key)
    return web.Response(status=204)


async def _delete(context: Context, bucket: str, key: str) -> None:
    """It need not be there. The markers of a bucket's own folders stay: scripts expect to find something in it."""
    if keys.fault(key) or key in (INPUTS, OUTPUTS):
        return
    async with context.tree.changing.of(bucket, key):
        await context.tree.delete(bucket, [key])
        await context.bucket_jobs.deleted(bucket, key)


async def delete_objects(context: Context, asked: Asked) -> web.Response:
    root = await parse(await Body(asked, context.settings, DELETE_BYTES).read())
    if root is None or root.tag != "Delete":
        raise S3Error("MalformedXML")
    names = [element.findtext("Key", "") for element in root.iter("Object")]
    if not 1 <= len(names) <= DELETE_KEYS or not all(names):
        raise S3Error("MalformedXML")
    quiet = root.findtext("Quiet", "").strip().lower() == "true"
    limit = asyncio.Semaphore(DELETED_AT_ONCE)

    async def delete(key: str) -> str | None:
        async with limit:
            try:
                await _delete(context, asked.bucket, key)
            except ModelportError as error:
                return element("Error", Key=key, Code=code_of(error), Message=error.message)
        return None if quiet else element("Deleted", Key=key)

    return answer("DeleteResult", *await asyncio.gather(*map(delete, names)))
