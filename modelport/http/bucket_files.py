"""The files in deployments' buckets, for front ends that do not speak S3: listed by folders, put, fetched, deleted.

What is put under inputs/ becomes a job, as through the S3 front end.
"""

from __future__ import annotations

import logging
import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from msgspec import Struct

from modelport.bucketjobs import BucketJobs
from modelport.contract.job import Job
from modelport.errors import Disabled, InvalidRequest, ModelportError, Unauthorized
from modelport.http.body import BodyReader
from modelport.http.credentials import basic
from modelport.http.gateway import Gateway
from modelport.http.job_documents import Moment, moment
from modelport.identity.owner import same_secret
from modelport.intake.scratch import save
from modelport.objectstore import ObjectInfo, keys

logger = logging.getLogger(__name__)

UNKNOWN = "application/octet-stream"
KIND_CHARS = 255
NEEDED = "this needs the owner's token, or the bucket's access key and secret key"


class FileDocument(Struct):
    """A file in a bucket"""

    key: str
    size_bytes: int
    etag: str
    modified: Moment


@dataclass(frozen=True)
class Page:
    """What lies in a folder of a bucket: folders (their keys end in a slash), and files; both by name.

    next: the token of the next page; empty at the end.
    """

    folders: list[str]
    files: list[ObjectInfo]
    next: str


class BucketFiles:
    """All methods raise BucketUnavailable where the object store does not answer."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    @property
    def bucket_jobs(self) -> BucketJobs:
        """Raises Disabled."""
        if self._gateway.bucket_jobs is None:
            raise Disabled("this server has no buckets: see the setting buckets")
        return self._gateway.bucket_jobs

    def enter(self, request: web.Request, deployment: str) -> str:
        """The bucket, for its owner, or for who has its keys (Basic: access key and secret key).

        Raises Unauthorized, the same for what is not there and what is not the caller's; NotFound, Disabled.
        """
        gateway, own = self._gateway, self._gateway.bucket_access(deployment)
        if gateway.is_owner(request):
            gateway.deployments.get(deployment)
            if self.bucket_jobs is None or own is None:
                raise Disabled(f"{deployment} has no bucket")
            return own.bucket
        access_key, secret = basic(request)
        if own is None or not access_key:
            raise Unauthorized(NEEDED)
        known = self.bucket_jobs.bucket_keys.secret_of(access_key)
        if known is None or not same_secret(secret, known[0]) or (known[1] is not None and own.bucket not in known[1]):
            raise Unauthorized(NEEDED)
        return own.bucket

    async def page(self, bucket: str, prefix: str, token: str = "", limit: int = 0) -> Page:
        """limit: so many of both together, at most a thousand; 0: a thousand."""
        infos, more = await self.bucket_jobs.objects.page(bucket, prefix, token, folded=True, limit=limit)
        names = sorted(info.key for info in infos if info.key.endswith("/") and info.key != prefix)
        files = [info for info in infos if not info.key.endswith("/") and info.key != prefix]
        return Page(names, sorted(files, key=lambda info: info.key), more)

    @asynccontextmanager
    async def read(self, bucket: str, key: str) -> AsyncIterator[tuple[ObjectInfo, AsyncIterator[bytes]]]:
        """Raises NotFound, InvalidRequest."""
        limit = self._gateway.settings.bucket_object_bytes
        async with self.bucket_jobs.objects.read(bucket, key, limit_bytes=limit) as opened:
            yield opened

    async def put(self, request: web.Request, bucket: str, key: str) -> tuple[ObjectInfo, Job | None]:
        """The request's body as an object, and the job that it has led to.

        Raises InvalidRequest, TooLarge, Conflict, and what refuses a job: Overloaded, Cancelled, StorageFull.
        """
        _check_name(key)
        objects = self.bucket_jobs.objects
        await self.bucket_jobs.begin_upload(bucket, key)
        async with self._gateway.predictions.scratch() as scratch:
            reader = BodyReader(request, self._gateway.settings, "bucket_object_bytes", as_sent=True)
            body = await save(scratch, reader.chunks())
            async with objects.changing.of(bucket, key):
                await objects.put(bucket, key, body, _kind(request, key))
                head = await objects.head(bucket, key)
                address = self._gateway.proxies.client(request)
                return head, await self.bucket_jobs.arrived(bucket, key, head.etag, head.size_bytes, address=address)

    async def delete(self, bucket: str, key: str) -> None:
        """It need not be there. A job that it has goes on. Raises InvalidRequest."""
        _check_name(key)
        async with self.bucket_jobs.objects.changing.of(bucket, key):
            await self.bucket_jobs.objects.delete(bucket, [key])
            await self.bucket_jobs.deleted(bucket, key)


async def send(request: web.BaseRequest, response: web.StreamResponse, pieces: AsyncIterator[bytes]) -> None:
    """The answer's body. Where it breaks off, so does the connection: the answer must not look whole."""
    await response.prepare(request)
    try:
        async for piece in pieces:
            await response.write(piece)
        await response.write_eof()
    except (ModelportError, OSError) as error:
        logger.info("%s was not sent to its end: %s", request.path, type(error).__name__)
        if request.transport is not None:
            request.transport.abort()


def _check_name(key: str) -> None:
    if (fault := keys.fault(key)) or key.endswith("/"):
        raise InvalidRequest(f"the name of the file {fault or 'ends in a slash'}")


def file_document(info: ObjectInfo) -> FileDocument:
    return FileDocument(info.key, info.size_bytes, info.etag, moment(info.modified) or "")


def kind_of(info: ObjectInfo) -> str:
    """The media type by the name, else as it was put."""
    return mimetypes.guess_type(info.key)[0] or info.content_type or UNKNOWN


def _kind(request: web.Request, key: str) -> str:
    declared = request.headers.get("Content-Type", "")
    return (
        declared
        if declared and declared.isascii() and len(declared) <= KIND_CHARS
        else mimetypes.guess_type(key)[0] or UNKNOWN
    )
