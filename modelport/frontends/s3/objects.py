"""Reading and deleting objects."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import ClientError, ClientResponse, web
from multidict import CIMultiDict

from modelport.errors import ModelportError
from modelport.frontends.s3 import conditions
from modelport.frontends.s3.bodies import Body
from modelport.frontends.s3.documents import document, element, parse
from modelport.frontends.s3.door import Door
from modelport.frontends.s3.errors import S3Error, code_of
from modelport.frontends.s3.requests import Asked
from modelport.objectstore import folders, keys
from modelport.objectstore.names import INPUTS, OUTPUTS

logger = logging.getLogger(__name__)

# What is told of an object as rclone tells it; x-amz-meta-… beside.
TOLD = (
    *("Content-Type", "Content-Encoding", "Content-Disposition", "Content-Language", "Cache-Control", "Expires"),
    *("ETag", "Last-Modified"),
)
META = "x-amz-meta-"
CHECKSUM = "x-amz-checksum-"

# A client that takes nothing of its answer for so long is left.
STALL_S = 300.0

DELETED_AT_ONCE = 8
DELETE_KEYS = 1000
DELETE_BYTES = 8 << 20

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


@dataclass(frozen=True)
class Found:
    """An object as rclone tells of it. etag: with quotation marks."""

    etag: str
    size: int
    modified: str
    headers: Mapping[str, str]


async def head(door: Door, path: str) -> Found:
    """Raises S3Error."""
    async with door.upstream.ask("HEAD", path) as response:
        if response.status != 200:
            raise await door.upstream.failure(response)
        return _found(response, int(response.headers["Content-Length"]))


def _found(response: ClientResponse, size: int) -> Found:
    headers = response.headers
    return Found(headers.get("ETag", '""'), size, headers.get("Last-Modified", ""), headers)


async def head_object(door: Door, asked: Asked) -> web.StreamResponse:
    found = await head(door, door.find(asked.bucket, asked.key))
    _check_part(asked)
    answer = _answer(asked, found)
    if answer.status == 200:
        span = _span(asked, found)
        answer.content_length = found.size if span is None else span[1] - span[0] + 1
        _tell_span(answer, span, found.size)
    return answer


async def get_object(door: Door, asked: Asked) -> web.StreamResponse:
    path = door.find(asked.bucket, asked.key)
    _check_part(asked)
    wanted = _RANGE.fullmatch(asked.headers.get("Range", "").strip())
    headers = {}
    if wanted is not None:
        # rclone refuses a range from the end that is longer than the object, so it is asked for where it lies.
        span = _span(asked, await head(door, path))
        headers = {"range": f"bytes={span[0]}-{span[1]}"} if span is not None else {}
    async with door.upstream.ask("GET", path, headers=headers) as response:
        if response.status not in (200, 206):
            raise S3Error("InvalidRange") if response.status == 416 else await door.upstream.failure(response)
        length = int(response.headers["Content-Length"])
        found = _found(response, length)
        part = response.headers.get("Content-Range")
        answer = _answer(asked, found, whole=part is None)
        if answer.status == 200:
            if part is not None:  # with which rclone answers 200
                answer.set_status(206)
                answer.headers["Content-Range"] = part
            answer.content_length = length
            await _pass_on(asked, response, answer)
        return answer


def _check_part(asked: Asked) -> None:
    """Parts are forgotten when an upload is complete: all is in the first."""
    if asked.params.get("partNumber", "1") != "1":
        raise S3Error("InvalidPartNumber")


def _span(asked: Asked, found: Found) -> tuple[int, int] | None:
    """First and last byte of what is asked for; None: all. Raises S3Error InvalidRange.

    What is no range, or several, means all, as it does in HTTP.
    """
    wanted = _RANGE.fullmatch(asked.headers.get("Range", "").strip())
    if wanted is None or not (wanted[1] or wanted[2]):
        return None
    if "If-Range" in asked.headers and asked.headers["If-Range"] not in (found.etag, found.modified):
        return None
    if not wanted[1]:
        first, last = max(0, found.size - int(wanted[2])), found.size - 1
    else:
        first, last = int(wanted[1]), min(int(wanted[2] or found.size), found.size - 1)
        if wanted[2] and int(wanted[2]) < first:
            return None
    if first > last:
        raise S3Error("InvalidRange")
    return first, last


def _tell_span(answer: web.StreamResponse, span: tuple[int, int] | None, size: int) -> None:
    if span is not None:
        answer.set_status(206)
        answer.headers["Content-Range"] = f"bytes {span[0]}-{span[1]}/{size}"


def _answer(asked: Asked, found: Found, whole: bool = True) -> web.StreamResponse:
    """With its headers: 200, or 304 where the object has not changed. Raises S3Error PreconditionFailed."""
    headers: CIMultiDict[str] = CIMultiDict(asked.answer_headers)
    for name in TOLD:
        if name in found.headers:
            headers[name] = found.headers[name]
    if not conditions.check(asked.headers, found.etag, found.modified):
        del headers["Content-Type"]
        return web.Response(status=304, headers=headers)
    checksums = whole and "Range" not in asked.headers and asked.headers.get("x-amz-checksum-mode") == "ENABLED"
    for name, value in found.headers.items():
        lower = name.lower()
        if lower.startswith(META) or (checksums and lower.startswith(CHECKSUM)):
            headers[lower] = value
    headers["Accept-Ranges"] = "bytes"
    headers["X-Content-Type-Options"] = "nosniff"
    for name, value in asked.params.items():
        if name.startswith("response-"):
            if not value.isprintable():
                raise S3Error("InvalidArgument", f"{name} has characters that no header can have.")
            headers[name.removeprefix("response-").title()] = value
    return web.StreamResponse(headers=headers)


async def _pass_on(asked: Asked, response: ClientResponse, answer: web.StreamResponse) -> None:
    """Send what comes. Where it breaks off, so does the answer."""
    await answer.prepare(asked.request)
    try:
        async for chunk in response.content.iter_any():
            async with asyncio.timeout(STALL_S):
                await answer.write(chunk)
        await answer.write_eof()
    except (ClientError, TimeoutError, ConnectionError) as error:
        logger.info("an object was not sent to its end: %s", type(error).__name__)
        if asked.request.transport is not None:
            asked.request.transport.abort()


# Deleting


async def delete_object(door: Door, asked: Asked) -> web.Response:
    await _delete(door, asked.bucket, asked.key)
    return web.Response(status=204)


async def _delete(door: Door, bucket: str, key: str) -> None:
    """It need not be there. The markers of a bucket's own folders stay: scripts expect to find something in it."""
    if keys.fault(key) or key in (INPUTS, OUTPUTS):
        return
    path = f"{bucket}/{keys.stored(key)}"
    async with door.paths.turn(path):
        # What rclone does to a folder of this name, it must not do.
        if await asyncio.to_thread(folders.is_file, door.rclone.folder, path):
            async with door.upstream.ask("DELETE", path) as response:
                if response.status not in (200, 204, 404):
                    raise await door.upstream.failure(response)
        await door.arrivals.deleted(bucket, key)


async def delete_objects(door: Door, asked: Asked) -> web.Response:
    root = parse(await Body(asked, door.settings, DELETE_BYTES).read())
    if root is None or root.tag != "Delete":
        raise S3Error("MalformedXML")
    names = [each.findtext("Key", "") for each in root.iter("Object")]
    if not 1 <= len(names) <= DELETE_KEYS or not all(names):
        raise S3Error("MalformedXML")
    quiet = root.findtext("Quiet", "").strip().lower() == "true"
    limit = asyncio.Semaphore(DELETED_AT_ONCE)

    async def delete(key: str) -> str | None:
        async with limit:
            try:
                await _delete(door, asked.bucket, key)
            except ModelportError as error:
                parts = element("Key", key), element("Code", code_of(error)), element("Message", error.message)
                return element("Error", *parts)
        return None if quiet else element("Deleted", element("Key", key))

    results = await asyncio.gather(*map(delete, names))
    return web.Response(body=document("DeleteResult", *results), content_type="application/xml")
