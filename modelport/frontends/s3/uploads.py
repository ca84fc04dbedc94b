"""Putting objects: from a request's body, or from another object.

The order of things: what can be refused is refused before the body is read; the body is the object when all of it has
been checked, is on the disk, and nobody else is changing the object; then what follows from it is begun, and only then
the client is answered.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from aiohttp import web

from modelport.frontends.s3 import conditions
from modelport.frontends.s3.bodies import SMALL_BYTES, Body
from modelport.frontends.s3.context import Context
from modelport.frontends.s3.documents import answer, iso_time
from modelport.frontends.s3.errors import S3Error
from modelport.frontends.s3.objects import TOLD, http_time
from modelport.frontends.s3.requests import Asked
from modelport.objectstore import META, ObjectInfo
from modelport.objectstore.records import CHECKSUM

IN_PIECES = "aws-chunked"
# As S3 has it for metadata alone.
HEADERS_BYTES = 2048


async def put_object(context: Context, asked: Asked) -> web.Response:
    body = Body(asked, context.settings, context.settings.bucket_object_bytes)
    headers = {**object_headers(asked), **body.checksums}
    await context.begin(asked)
    bucket, key = asked.bucket, asked.key
    if body.size <= SMALL_BYTES:
        data = await body.read()
        async with context.tree.changing.of(bucket, key):
            await context.check_write(asked)
            info = await context.tree.put_bytes(bucket, key, data, headers)
            await context.stored(asked, info)
    else:
        async with context.tree.receive(bucket, key, body.pieces()) as file, context.tree.changing.of(bucket, key):
            await context.check_write(asked)
            info = await context.tree.finish(file, bucket, key, headers)
            await context.stored(asked, info)
    return web.Response(headers={"ETag": f'"{info.etag}"', **body.checksums})


def object_headers(asked: Asked) -> dict[str, str]:
    """What the client says of the object, to be kept. Raises S3Error."""
    checksums = {}
    for name, value in asked.headers.items():
        lower = name.lower()
        if lower.startswith(META) or lower.title() in TOLD:
            if not value.isprintable():  # nor are lone surrogates, which stand for what is not UTF-8
                raise S3Error("InvalidArgument", f"The header {lower[:100]} has characters that cannot be kept.")
            checksums[lower] = value.strip()
    encodings = [part.strip() for part in checksums.pop("content-encoding", "").split(",")]
    if rest := [encoding for encoding in encodings if encoding and encoding.lower() != IN_PIECES]:
        checksums["content-encoding"] = ",".join(rest)
    if sum(len(name) + len(value.encode()) for name, value in checksums.items()) > HEADERS_BYTES:
        raise S3Error("MetadataTooLarge")
    return checksums


# Copying


async def copy_object(context: Context, asked: Asked) -> web.Response:
    bucket, key = source_of(context, asked)
    replaced = asked.headers.get("x-amz-metadata-directive", "COPY").upper() == "REPLACE"
    if (bucket, key) == (asked.bucket, asked.key) and not replaced:
        message = "This copy request is illegal: it copies an object to itself without changing its metadata."
        raise S3Error("InvalidRequest", message)
    async with context.tree.open(bucket, key) as source:
        check_source(context, asked, source.info)
        await context.begin(asked)
        headers = source.info.headers
        if replaced:
            kept = {name: value for name, value in headers.items() if name.startswith(CHECKSUM)}
            headers = {**object_headers(asked), **kept}
        async with context.tree.changing.of(asked.bucket, asked.key):
            await context.check_write(asked)
            info = await context.tree.put_copy(asked.bucket, asked.key, source, headers)
            await context.stored(asked, info)
    return answer("CopyObjectResult", LastModified=iso_time(info.modified), ETag=f'"{info.etag}"')


def source_of(context: Context, asked: Asked) -> tuple[str, str]:
    """Bucket and key of what is copied, which the same client must be able to read. Raises S3Error."""
    text, _, version = asked.headers["x-amz-copy-source"].partition("?")
    try:
        bucket, _, key = unquote_to_bytes(text).decode().removeprefix("/").partition("/")
    except UnicodeDecodeError as error:
        raise S3Error("InvalidArgument", "x-amz-copy-source is not UTF-8.") from error
    if not bucket or not key or version not in ("", "versionId=null"):
        raise S3Error("InvalidArgument", "x-amz-copy-source must be <bucket>/<key>, encoded as in a URL.")
    context.check_bucket(asked, bucket)
    return bucket, key


def check_source(context: Context, asked: Asked, info: ObjectInfo) -> None:
    """Raises S3Error."""
    if not conditions.check(asked.headers, info.etag, http_time(info), conditions.COPY):
        raise S3Error("PreconditionFailed")
    if info.size_bytes > context.settings.bucket_object_bytes:
        raise S3Error("EntityTooLarge")
