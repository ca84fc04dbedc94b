"""Multipart uploads. rclone writes the parts to one file as they come, in the order of their numbers.

It destroys an upload whose list of parts is not quite right, so the list is checked here. What it cannot do is refused
before it tries: numbers that do not go 1, 2, 3, …, parts that are left out at the end, and a part that is sent again
with another content. Uploads live as long as rclone's process; a client whose upload is gone begins it anew.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from urllib.parse import quote
from xml.etree.ElementTree import Element

from aiohttp import web

from modelport.frontends.s3.bodies import Body
from modelport.frontends.s3.documents import Markup, document, element, iso_time, parse
from modelport.frontends.s3.door import Door, Part, Upload
from modelport.frontends.s3.errors import S3Error
from modelport.frontends.s3.objects import head
from modelport.frontends.s3.requests import Asked, whole_number
from modelport.frontends.s3.uploads import begin, check_write, head_source, object_headers, send, source_of

PARTS = 10_000
LIST_BYTES = 4 << 20
# Of one bucket, so that none takes all that rclone lets be under way (1,000).
UPLOADS_LIMIT = 200
# As rclone has it.
EXPIRY_S = 24 * 3600.0
# A client whose connection breaks while it completes an upload asks again.
REMEMBERED = 1000

_SPAN = re.compile(r"bytes=(\d{1,18})-(\d{1,18})", re.ASCII)


async def create(door: Door, asked: Asked) -> web.Response:
    path = door.place(asked.bucket, asked.key)
    headers = object_headers(asked)
    with door.paths.writing(path):
        await begin(door, asked, path)
    _forget_old(door)
    if sum(each.bucket == asked.bucket for each in door.uploads.values()) >= UPLOADS_LIMIT:
        raise S3Error(
            "SlowDown", f"There are {UPLOADS_LIMIT} uploads under way in this bucket: complete or abort some."
        )
    found = await door.upstream.document("POST", path, (("uploads", ""),), headers, b"")
    id = found.findtext("UploadId", "")
    door.uploads[id] = Upload(asked.bucket, asked.key, door.rclone.answered, datetime.now(UTC), time.monotonic())
    return _answer("InitiateMultipartUploadResult", *_about(asked), element("UploadId", id))


def _forget_old(door: Door) -> None:
    limit = time.monotonic() - EXPIRY_S
    for id in [id for id, each in door.uploads.items() if each.used < limit]:
        del door.uploads[id]


def _find(door: Door, asked: Asked) -> Upload:
    """Raises S3Error."""
    id = asked.params["uploadId"]
    upload = door.uploads.get(id)
    if upload is None or (upload.bucket, upload.key) != (asked.bucket, asked.key):
        raise S3Error("NoSuchUpload")
    if _is_lost(door, upload):
        del door.uploads[id]
        raise S3Error("NoSuchUpload")
    upload.used = time.monotonic()
    return upload


def _is_lost(door: Door, upload: Upload) -> bool:
    """Whether the process of rclone that had it has ended."""
    return upload.process != door.rclone.answered and not upload.stored


async def put_part(door: Door, asked: Asked) -> web.Response:
    upload = _find(door, asked)
    number = _number(asked)
    body = Body(asked, door.settings, _room(door, upload, number))
    part = await _put(door, asked, upload, number, body.pieces(), body.size)
    return web.Response(headers={"ETag": f'"{part.etag}"', **body.checksums})


async def copy_part(door: Door, asked: Asked) -> web.Response:
    """A part that is another object, or a span of it."""
    upload = _find(door, asked)
    number = _number(asked)
    source_path = door.find(*source_of(door, asked))
    source = await head_source(door, asked, source_path)
    span = asked.headers.get("x-amz-copy-source-range", f"bytes=0-{max(0, source.size - 1)}")
    wanted = _SPAN.fullmatch(span)
    if wanted is None or not int(wanted[1]) <= int(wanted[2]) < max(1, source.size):
        raise S3Error(
            "InvalidArgument", f"x-amz-copy-source-range is not within the {source.size} bytes of the source."
        )
    size = min(source.size, int(wanted[2]) - int(wanted[1]) + 1)
    if size > _room(door, upload, number):
        raise S3Error("EntityTooLarge")
    async with door.upstream.ask("GET", source_path, headers={"range": span} if size else {}) as response:
        if response.status not in (200, 206) or response.headers.get("ETag") != source.etag:
            raise S3Error("ServiceUnavailable")  # it has just changed
        part = await _put(door, asked, upload, number, response.content.iter_any(), size)
    modified, etag = element("LastModified", iso_time(part.modified)), element("ETag", f'"{part.etag}"')
    return web.Response(body=document("CopyPartResult", modified, etag), content_type="application/xml")


def _number(asked: Asked) -> int:
    number = whole_number(asked, "partNumber", 0, 1, PARTS + 1)
    if not 1 <= number <= PARTS:
        raise S3Error("InvalidArgument", f"partNumber must be a number from 1 to {PARTS}.")
    return number


def _room(door: Door, upload: Upload, number: int) -> int:
    """What a part may have, so that all together are not too large."""
    others = sum(each.size for other, each in upload.parts.items() if other != number)
    return max(0, door.settings.bucket_object_bytes - others)


async def _put(door: Door, asked: Asked, upload: Upload, number: int, pieces: AsyncIterator[bytes], size: int) -> Part:
    path = door.find(asked.bucket, asked.key)
    query = ("partNumber", str(number)), ("uploadId", asked.params["uploadId"])
    with door.paths.writing(path):
        try:
            etag = await send(door, pieces, size, path, query, {})
        except S3Error as error:
            # It refuses a part of an upload that it does not know without reading it, and may cut the connection before
            # its answer can be read.
            raise _noted(door, asked, S3Error("NoSuchUpload") if _is_lost(door, upload) else error) from error
    part = upload.parts[number] = Part(etag.strip('"'), size, datetime.now(UTC))
    upload.used = time.monotonic()
    return part


def _noted(door: Door, asked: Asked, error: S3Error) -> S3Error:
    """rclone may have lost the upload, with its process."""
    if error.code == "NoSuchUpload":
        door.uploads.pop(asked.params["uploadId"], None)
    return error


async def complete(door: Door, asked: Asked) -> web.Response:
    id = asked.params["uploadId"]
    remembered = door.completed.get(id)
    if remembered is not None and remembered[:2] == (asked.bucket, asked.key):
        return web.Response(body=remembered[2], content_type="application/xml")
    upload = _find(door, asked)
    body = Body(asked, door.settings, LIST_BYTES)
    numbers = _checked(upload, parse(await body.read()))
    path = door.place(asked.bucket, asked.key)
    with door.paths.writing(path):
        await door.check_way(path)
        async with door.paths.turn(path):
            if not upload.stored:
                await check_write(door, asked, path)
                await _complete(door, asked, path, _listed(upload, numbers))
                upload.stored = True
            # rclone answers with an ETag of the parts, and has another, that of the content, for who asks later.
            found = await head(door, path)
            await door.stored(asked, path, found.etag.strip('"'), found.size)
            door.uploads.pop(id, None)
    location = element("Location", f"http://{asked.request.host}/{quote(asked.bucket)}/{quote(asked.key)}")
    answer = document("CompleteMultipartUploadResult", location, *_about(asked), element("ETag", found.etag))
    door.completed[id] = asked.bucket, asked.key, answer
    while len(door.completed) > REMEMBERED:
        del door.completed[next(iter(door.completed))]
    return web.Response(body=answer, content_type="application/xml")


async def _complete(door: Door, asked: Asked, path: str, parts: bytes) -> None:
    began = time.monotonic()
    query = (("uploadId", asked.params["uploadId"]),)
    try:
        await door.upstream.document("POST", path, query, {"content-type": "application/xml"}, parts)
    except S3Error as error:
        raise _noted(door, asked, await door.upstream.after_failure(error, began, 0)) from error


def _checked(upload: Upload, root: Element | None) -> list[int]:
    """The numbers of the parts that the client lists. Raises S3Error."""
    if root is None or root.tag != "CompleteMultipartUpload":
        raise S3Error("MalformedXML")
    numbers = []
    for each in root.iter("Part"):
        number = each.findtext("PartNumber", "").strip()
        if not (number.isascii() and number.isdecimal()):
            raise S3Error("MalformedXML")
        part = upload.parts.get(int(number[:9]))
        if part is None or each.findtext("ETag", "").strip().strip('"') != part.etag:
            raise S3Error("InvalidPart")
        numbers.append(int(number))
    if not numbers:
        raise S3Error("MalformedXML")
    if numbers != sorted(set(numbers)):
        raise S3Error("InvalidPartOrder")
    if numbers != list(range(1, len(numbers) + 1)) or len(numbers) != len(upload.parts):
        raise S3Error("NotImplemented", "Parts must have the numbers 1, 2, 3, …, and none can be left out.")
    return numbers


def _listed(upload: Upload, numbers: list[int]) -> bytes:
    return document(
        "CompleteMultipartUpload",
        *(
            element("Part", element("PartNumber", str(each)), element("ETag", f'"{upload.parts[each].etag}"'))
            for each in numbers
        ),
    )


async def abort(door: Door, asked: Asked) -> web.Response:
    _find(door, asked)
    id = asked.params["uploadId"]
    path = door.find(asked.bucket, asked.key)
    async with door.upstream.ask("DELETE", path, (("uploadId", id),)) as response:
        door.uploads.pop(id, None)
        if response.status not in (200, 204, 404):
            raise await door.upstream.failure(response)
    return web.Response(status=204)


def list_parts(door: Door, asked: Asked) -> web.Response:
    upload = _find(door, asked)
    most = whole_number(asked, "max-parts", 1000, 0, 1000)
    after = whole_number(asked, "part-number-marker", 0, 0, PARTS)
    numbers = [each for each in sorted(upload.parts) if each > after]
    shown, more = numbers[:most], len(numbers) > most
    return _answer(
        "ListPartsResult",
        *_about(asked),
        element("UploadId", asked.params["uploadId"]),
        element("StorageClass", "STANDARD"),
        element("PartNumberMarker", str(after)),
        element("NextPartNumberMarker", str(shown[-1])) if shown else None,
        element("MaxParts", str(most)),
        element("IsTruncated", str(more).lower()),
        *(_part(number, upload.parts[number]) for number in shown),
    )


def _part(number: int, part: Part) -> Markup:
    return element(
        "Part",
        element("PartNumber", str(number)),
        element("LastModified", iso_time(part.modified)),
        element("ETag", f'"{part.etag}"'),
        element("Size", str(part.size)),
    )


def list_uploads(door: Door, asked: Asked) -> web.Response:
    """All at once: there are never many."""
    prefix = asked.params.get("prefix", "")
    return _answer(
        "ListMultipartUploadsResult",
        element("Bucket", asked.bucket),
        element("Prefix", prefix),
        element("MaxUploads", "1000"),
        element("IsTruncated", "false"),
        element("EncodingType", "url") if asked.params.get("encoding-type") == "url" else None,
        *_uploads(door, asked, prefix),
    )


def _uploads(door: Door, asked: Asked, prefix: str) -> Iterator[Markup]:
    encoded = asked.params.get("encoding-type") == "url"
    for id, each in sorted(door.uploads.items(), key=lambda pair: (pair[1].key, pair[1].begun)):
        if each.bucket == asked.bucket and each.key.startswith(prefix):
            yield element(
                "Upload",
                element("Key", quote(each.key) if encoded else each.key),
                element("UploadId", id),
                element("StorageClass", "STANDARD"),
                element("Initiated", iso_time(each.begun)),
            )


def _about(asked: Asked) -> tuple[Markup, Markup]:
    return element("Bucket", asked.bucket), element("Key", asked.key)


def _answer(name: str, *children: Markup | None) -> web.Response:
    return web.Response(body=document(name, *children), content_type="application/xml")
