"""What every operation of the S3 front end works with."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from modelport.bucketjobs import BucketJobs
from modelport.errors import NotFound
from modelport.frontends.s3 import conditions
from modelport.frontends.s3.errors import S3Error
from modelport.frontends.s3.requests import Asked
from modelport.objectstore import ObjectInfo, keys
from modelport.objectstore.parts import Uploads
from modelport.objectstore.tree import Tree
from modelport.settings import Settings


@dataclass
class Context:
    """completed: answers to the last uploads in parts that were completed, by id."""

    settings: Settings
    bucket_jobs: BucketJobs
    tree: Tree
    uploads: Uploads
    completed: dict[str, tuple[str, str, bytes]] = field(default_factory=dict)

    def check_bucket(self, asked: Asked, bucket: str) -> None:
        """Raises S3Error: the same for one that is another's and one that is not there, but for who reaches all."""
        if asked.buckets is not None and bucket not in asked.buckets:
            raise S3Error("AccessDenied")
        if bucket not in self.bucket_jobs.bucket_keys.bucket_names():
            raise S3Error("NoSuchBucket")

    async def begin(self, asked: Asked) -> None:
        """What can be refused before the body is read. Raises what refuses it."""
        fault = keys.fault(asked.key)
        if fault:
            code = "KeyTooLongError" if "more than" in fault else "InvalidArgument"
            raise S3Error(code, f"The key {fault}.")
        await self.bucket_jobs.begin_upload(asked.bucket, asked.key)
        await self.check_write(asked)

    async def check_write(self, asked: Asked) -> None:
        """If-Match and If-None-Match of a put. Raises S3Error."""
        if "If-Match" in asked.headers or "If-None-Match" in asked.headers:
            etag: str | None = None
            with contextlib.suppress(NotFound):
                etag = (await self.tree.head(asked.bucket, asked.key)).etag
            conditions.check_write(asked.headers, etag)

    async def stored(self, asked: Asked, info: ObjectInfo) -> None:
        """An object has been put: tell of it. Raises what `arrived` raises."""
        address = asked.request.remote or ""
        await self.bucket_jobs.arrived(
            asked.bucket, asked.key, info.etag, info.size_bytes, principal=asked.access_key, address=address
        )
