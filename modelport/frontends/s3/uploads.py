"""Putting objects: from a request's body, or from another object.

The order of things: what can be refused is refused before the body is read; the last piece goes to rclone when all of
it has been checked and nobody else is changing the object; then the object is made to last, what follows from it is
begun, and only then the client is answered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote, unquote_to_bytes

from aiohttp import web

from modelport.frontends.s3 import conditions
from modelport.frontends.s3.bodies import SMALL_BYTES, Body
from modelport.frontends.s3.documents import document, element, iso_time
from modelport.frontends.s3.door import Door
from modelport.frontends.s3.errors import S3Error
from modelport.frontends.s3.objects import META, TOLD, Found, head
from modelport.frontends.s3.requests import Asked
from modelport.frontends.s3.upstream import Query
from modelport.objectstore import folders

IN_PIECES = "aws-chunked"


async def put_object(door: Door, asked: Asked) -> web.Response:
    body = Body(asked, door.settings, door.settings.bucket_object_bytes)
    headers = {**object_headers(asked), **body.checksums}
    path = door.place(asked.bucket, asked.key)
    async with AsyncExitStack() as stack:
        stack.enter_context(door.paths.writing(path))
        await begin(door, asked, path)

        async def take_turn() -> None:
            await stack.enter_async_context(door.paths.turn(path))
            await check_write(door, asked, path)

        etag = await send(door, body.pieces(take_turn), body.size, path, (), headers)
        await door.stored(asked, path, etag.strip('"'), body.size)
    return web.Response(headers={"ETag": etag, **body.checksums})


async def begin(door: Door, asked: Asked, path: str) -> None:
    """What can be refused before the body is read. Raises what refuses it."""
    await door.check_way(path)
    await door.arrivals.begin_upload(asked.bucket, asked.key)
    await check_write(door, asked, path)


async def check_write(door: Door, asked: Asked, path: str) -> None:
    """If-Match and If-None-Match of a put. Raises S3Error."""
    if "If-Match" in asked.headers or "If-None-Match" in asked.headers:
        there = await asyncio.to_thread(folders.is_file, door.rclone.folder, path)
        conditions.check_write(asked.headers, (await head(door, path)).etag if there else None)


def object_headers(asked: Asked) -> dict[str, str]:
    """What the client says of the object, for rclone to keep. Raises S3Error."""
    found = {}
    for name, value in asked.headers.items():
        lower = name.lower()
        if lower.startswith(META) or lower.title() in TOLD:
            if not value.isprintable():  # nor are lone surrogates, which stand for what is not UTF-8
                raise S3Error("InvalidArgument", f"The header {lower[:100]} has characters that cannot be kept.")
            found[lower] = value.strip()
    encodings = [each.strip() for each in found.pop("content-encoding", "").split(",")]
    if rest := [each for each in encodings if each and each.lower() != IN_PIECES]:
        found["content-encoding"] = ",".join(rest)
    return found


async def send(
    door: Door, pieces: AsyncIterator[bytes], size: int, path: str, query: Query, headers: dict[str, str]
) -> str:
    """A body, to rclone. Returns the ETag with quotation marks. Raises S3Error; then nothing is stored.

    size: of all pieces.
    """
    began = time.monotonic()
    passing = Passing(pieces)
    tries = 1
    data: bytes | Passing = passing
    if size <= SMALL_BYTES:
        # rclone loses an upload, now and then, that comes while it removes the folder, where the last object has gone,
        # or looks at it again.
        data, tries = b"".join([piece async for piece in passing]), 2
    while True:
        tries -= 1
        try:
            async with door.upstream.ask("PUT", path, query, headers, data, size) as response:
                if response.status != 200:
                    raise await door.upstream.failure(response)
                return response.headers["ETag"]
        except S3Error as error:
            if passing.failure is not None:
                raise passing.failure from error
            failure = await door.upstream.after_failure(error, began, size)
            if not tries or failure.code not in ("InternalError", "ServiceUnavailable"):
                raise failure from error


class Passing:
    """Pieces on their way. failure: why they ended too early, which the one that they go to does not tell."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self.failure: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._pieces:
                yield piece
        except Exception as error:
            self.failure = error
            raise


# Copying


async def copy_object(door: Door, asked: Asked) -> web.Response:
    bucket, key = source_of(door, asked)
    replaced = asked.headers.get("x-amz-metadata-directive", "COPY").upper() == "REPLACE"
    if (bucket, key) == (asked.bucket, asked.key) and not replaced:
        message = "This copy request is illegal: it copies an object to itself without changing its metadata."
        raise S3Error("InvalidRequest", message)
    source_path = door.find(bucket, key)
    source = await head_source(door, asked, source_path)
    headers = {"x-amz-copy-source": quote(f"/{source_path}", safe="/-_.~")}
    if replaced:
        headers |= {"x-amz-metadata-directive": "REPLACE", **object_headers(asked)}
    path = door.place(asked.bucket, asked.key)
    with door.paths.writing(path):
        async with door.paths.turn(path):
            await begin(door, asked, path)
            began = time.monotonic()
            try:
                await door.upstream.document("PUT", path, (), headers, b"")
            except S3Error as error:
                raise await door.upstream.after_failure(error, began, source.size) from error
            found = await head(door, path)
            await door.stored(asked, path, found.etag.strip('"'), found.size)
    modified = element("LastModified", last_modified(found))
    return web.Response(
        body=document("CopyObjectResult", modified, element("ETag", found.etag)), content_type="application/xml"
    )


def source_of(door: Door, asked: Asked) -> tuple[str, str]:
    """Bucket and key of what is copied, which the same client must be able to read. Raises S3Error."""
    text, _, version = asked.headers["x-amz-copy-source"].partition("?")
    try:
        bucket, _, key = unquote_to_bytes(text).decode().removeprefix("/").partition("/")
    except UnicodeDecodeError as error:
        raise S3Error("InvalidArgument", "x-amz-copy-source is not UTF-8.") from error
    if not bucket or not key or version not in ("", "versionId=null"):
        raise S3Error("InvalidArgument", "x-amz-copy-source must be <bucket>/<key>, encoded as in a URL.")
    door.check_bucket(asked, bucket)
    return bucket, key


async def head_source(door: Door, asked: Asked, path: str) -> Found:
    """Raises S3Error."""
    found = await head(door, path)
    if not conditions.check(asked.headers, found.etag, found.modified, conditions.COPY):
        raise S3Error("PreconditionFailed")
    if found.size > door.settings.bucket_object_bytes:
        raise S3Error("EntityTooLarge")
    return found


def last_modified(found: Found) -> str:
    try:
        return iso_time(parsedate_to_datetime(found.modified))
    except ValueError:
        return iso_time(datetime.now(UTC))
