"""Putting objects: from a request's body, from another object, or in parts, which objectstore/parts.py keeps.

The order of things: what can be refused is refused before the body is read; the body is the object when all of it has
been checked, is on the disk, and nobody else is changing the object; then what follows from it is begun, and only then
the client is answered.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from urllib.parse import quote, unquote_to_bytes
from xml.etree.ElementTree import Element

from aiohttp import web

from modelport.errors import ModelportError
from modelport.frontends.s3 import conditions
from modelport.frontends.s3.bodies import SMALL_BYTES, Body
from modelport.frontends.s3.documents import answer, document, element, iso_time, parse
from modelport.frontends.s3.errors import S3Error
from modelport.frontends.s3.objects import TOLD, http_time
from modelport.frontends.s3.requests import Asked, Context, whole_number
from modelport.objectstore import META, ObjectInfo
from modelport.objectstore.parts import Part, Upload
from modelport.objectstore.records import CHECKSUM

IN_PIECES = "aws-chunked"
# As S3 has it for metadata alone.
HEADERS_BYTES = 2048

PARTS = 10_000
LIST_BYTES = 4 << 20
# A client whose connection breaks while it completes an upload asks again.
REMEMBERED = 1000

_SPAN = re.compile(r"bytes=(\d{1,18})-(\d{1,18})", re.ASCII)


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


# Uploads in parts


async def create_upload(context: Context, asked: Asked) -> web.Response:
    headers = object_headers(asked)
    await context.begin(asked)
    await context.uploads.forget_old()
    limit = context.settings.bucket_uploads  # so that none takes all the room with uploads that are never completed
    if sum(upload.bucket == asked.bucket for upload in context.uploads.under_way.values()) >= limit:
        raise S3Error("SlowDown", f"There are {limit} uploads under way in this bucket: complete or abort some.")
    upload = await context.uploads.begin(asked.bucket, asked.key, headers)
    return answer("InitiateMultipartUploadResult", Bucket=asked.bucket, Key=asked.key, UploadId=upload.id)


def _find(context: Context, asked: Asked) -> Upload:
    """Raises S3Error."""
    upload = context.uploads.under_way.get(asked.params["uploadId"])
    if upload is None or (upload.bucket, upload.key) != (asked.bucket, asked.key):
        raise S3Error("NoSuchUpload")
    upload.used = time.monotonic()
    return upload


async def put_part(context: Context, asked: Asked) -> web.Response:
    upload = _find(context, asked)
    number = _number(asked)
    body = Body(asked, context.settings, _room(context, upload, number))
    part = await _put(context, upload, number, body.pieces())
    return web.Response(headers={"ETag": f'"{part.etag}"', **body.checksums})


async def copy_part(context: Context, asked: Asked) -> web.Response:
    """A part that is another object, or a span of it."""
    upload = _find(context, asked)
    number = _number(asked)
    async with context.tree.open(*source_of(context, asked)) as source:
        check_source(context, asked, source.info)
        size = source.info.size_bytes
        span = asked.headers.get("x-amz-copy-source-range", f"bytes=0-{max(0, size - 1)}")
        match = _SPAN.fullmatch(span)
        if match is None or not int(match[1]) <= int(match[2]) < max(1, size):
            message = f"x-amz-copy-source-range is not within the {size} bytes of the source."
            raise S3Error("InvalidArgument", message)
        first, last = int(match[1]), min(size - 1, int(match[2]))
        if last + 1 - first > _room(context, upload, number):
            raise S3Error("EntityTooLarge")
        part = await _put(context, upload, number, context.tree.chunks(source, first, last))
    return answer("CopyPartResult", LastModified=iso_time(part.modified), ETag=f'"{part.etag}"')


def _number(asked: Asked) -> int:
    number = whole_number(asked, "partNumber", 0, 1, PARTS + 1)
    if not 1 <= number <= PARTS:
        raise S3Error("InvalidArgument", f"partNumber must be a number from 1 to {PARTS}.")
    return number


def _room(context: Context, upload: Upload, number: int) -> int:
    """What a part may have, so that all together are not too large."""
    others = sum(part.size for other, part in upload.parts.items() if other != number)
    return max(0, context.settings.bucket_object_bytes - others)


async def _put(context: Context, upload: Upload, number: int, pieces: AsyncIterator[bytes]) -> Part:
    try:
        return await context.uploads.put(upload, number, pieces)
    except (ModelportError, FileNotFoundError):
        if upload.id not in context.uploads.under_way:
            raise S3Error("NoSuchUpload") from None  # it has been aborted meanwhile
        raise


async def complete_upload(context: Context, asked: Asked) -> web.Response:
    id = asked.params["uploadId"]
    remembered = context.completed.get(id)
    if remembered is not None and remembered[:2] == (asked.bucket, asked.key):
        return web.Response(body=remembered[2], content_type="application/xml")
    upload = _find(context, asked)
    numbers = _checked(upload, await parse(await Body(asked, context.settings, LIST_BYTES).read()))
    async with context.tree.changing.of(asked.bucket, asked.key):
        if upload.stored is None:
            await context.check_write(asked)
            await context.uploads.join(upload, numbers)
        assert upload.stored is not None
        await context.stored(asked, upload.stored)
    await context.uploads.forget(upload)
    body = document(
        "CompleteMultipartUploadResult",
        Location=f"http://{asked.request.host}/{quote(asked.bucket)}/{quote(asked.key)}",
        Bucket=asked.bucket,
        Key=asked.key,
        ETag=f'"{upload.stored.etag}"',
    )
    context.completed[id] = asked.bucket, asked.key, body
    while len(context.completed) > REMEMBERED:
        del context.completed[next(iter(context.completed))]
    return web.Response(body=body, content_type="application/xml")


def _checked(upload: Upload, root: Element | None) -> list[int]:
    """The numbers of the parts that the client lists. Raises S3Error."""
    if root is None or root.tag != "CompleteMultipartUpload":
        raise S3Error("MalformedXML")
    numbers = []
    for item in root.iter("Part"):
        number = item.findtext("PartNumber", "").strip()
        if not (number.isascii() and number.isdecimal()):
            raise S3Error("MalformedXML")
        part = upload.parts.get(int(number[:9]))
        if part is None or item.findtext("ETag", "").strip().strip('"') != part.etag:
            raise S3Error("InvalidPart")
        numbers.append(int(number))
    if not numbers:
        raise S3Error("MalformedXML")
    if numbers != sorted(set(numbers)):
        raise S3Error("InvalidPartOrder")
    return numbers


async def abort_upload(context: Context, asked: Asked) -> web.Response:
    await context.uploads.forget(_find(context, asked))
    return web.Response(status=204)


def list_parts(context: Context, asked: Asked) -> web.Response:
    upload = _find(context, asked)
    most = whole_number(asked, "max-parts", 1000, 0, 1000)
    after = whole_number(asked, "part-number-marker", 0, 0, PARTS)
    numbers = [part for part in sorted(upload.parts) if part > after]
    shown, more = numbers[:most], len(numbers) > most
    return answer(
        "ListPartsResult",
        *(_part(number, upload.parts[number]) for number in shown),
        Bucket=asked.bucket,
        Key=asked.key,
        UploadId=upload.id,
        StorageClass="STANDARD",
        PartNumberMarker=after,
        NextPartNumberMarker=shown[-1] if shown else None,
        MaxParts=most,
        IsTruncated=str(more).lower(),
    )


def _part(number: int, part: Part) -> str:
    modified = iso_time(part.modified)
    return element("Part", PartNumber=number, LastModified=modified, ETag=f'"{part.etag}"', Size=part.size)


def list_uploads(context: Context, asked: Asked) -> web.Response:
    """All at once: there are never many."""
    prefix = asked.params.get("prefix", "")
    encoded = asked.params.get("encoding-type") == "url"
    return answer(
        "ListMultipartUploadsResult",
        *(
            _upload(upload, quote(upload.key) if encoded else upload.key)
            for upload in sorted(context.uploads.under_way.values(), key=lambda upload: (upload.key, upload.begun))
            if upload.bucket == asked.bucket and upload.key.startswith(prefix)
        ),
        Bucket=asked.bucket,
        Prefix=prefix,
        MaxUploads=1000,
        IsTruncated="false",
        EncodingType="url" if encoded else None,
    )


def _upload(upload: Upload, key: str) -> str:
    return element("Upload", Key=key, UploadId=upload.id, StorageClass="STANDARD", Initiated=iso_time(upload.begun))
