"""What every operation of the S3 door works with."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from modelport.errors import StorageFull
from modelport.frontends.s3.errors import S3Error
from modelport.frontends.s3.requests import Asked
from modelport.frontends.s3.upstream import Upstream
from modelport.objectstore import folders, keys
from modelport.objectstore.paths import Paths
from modelport.objectstore.rclone import Rclone
from modelport.settings import Settings

logger = logging.getLogger(__name__)


class Arrivals(Protocol):
    """What follows from an upload, and whose keys are whose (modelport/arrivals.py)."""

    def secret_of(self, access_key: str) -> tuple[str, frozenset[str] | None] | None: ...

    def bucket_names(self) -> list[str]: ...

    def set_endpoint(self, url: str) -> None: ...

    async def begin_upload(self, bucket: str, key: str) -> None: ...

    async def arrived(
        self,
        bucket: str,
        key: str,
        etag: str,
        size_bytes: int,
        *,
        principal: str = "",
        address: str = "",
        event_time: str = "",
    ) -> Any: ...

    async def deleted(self, bucket: str, key: str) -> None: ...


@dataclass(frozen=True)
class Part:
    """etag: without quotation marks."""

    etag: str
    size: int
    modified: datetime


@dataclass
class Upload:
    """A multipart upload that is under way. used: on the monotonic clock, by what its client last did.

    process: which of rclone's processes has it, by their count. stored: whether the object is there, and only what
    follows from it could not be done yet.
    """

    bucket: str
    key: str
    process: int
    begun: datetime
    used: float
    parts: dict[int, Part] = field(default_factory=dict)
    stored: bool = False


@dataclass
class Door:
    """uploads: by rclone's id, which nobody can guess. completed: answers to the last that were completed, by id."""

    settings: Settings
    arrivals: Arrivals
    rclone: Rclone
    upstream: Upstream
    uploads: dict[str, Upload] = field(default_factory=dict)
    completed: dict[str, tuple[str, str, bytes]] = field(default_factory=dict)

    @property
    def paths(self) -> Paths:
        """Shared with the other doors to the same store."""
        return self.rclone.paths

    def check_bucket(self, asked: Asked, bucket: str) -> None:
        """Raises S3Error: the same for one that is another's and one that is not there, but for who reaches all."""
        if asked.buckets is not None and bucket not in asked.buckets:
            raise S3Error("AccessDenied")
        if bucket not in self.arrivals.bucket_names():
            raise S3Error("NoSuchBucket")

    def place(self, bucket: str, key: str) -> str:
        """The path for an object that is to be put. Raises S3Error for a key that none can have."""
        fault = keys.fault(key)
        if fault:
            code = "KeyTooLongError" if "more than" in fault else "InvalidArgument"
            raise S3Error(code, f"The key {fault}.")
        return f"{bucket}/{keys.stored(key)}"

    async def check_way(self, path: str) -> None:
        """Raises S3Error where another object keeps one from being put there."""
        other = await asyncio.to_thread(folders.in_the_way, self.rclone.folder, path)
        if other == path:
            raise S3Error("KeyConflict", "There are objects whose keys begin with this key and a slash.")
        if other:
            key = other.partition("/")[2]
            raise S3Error("KeyConflict", f"There is an object {key}, which cannot be a folder as well.")

    def find(self, bucket: str, key: str) -> str:
        """The path of an object that may be there. Raises S3Error where it cannot be."""
        if keys.fault(key):
            raise S3Error("NoSuchKey")
        return f"{bucket}/{keys.stored(key)}"

    async def stored(self, asked: Asked, path: str, etag: str, size: int) -> None:
        """An object has been put: make it last, and tell of it. Raises what `arrived` raises."""
        try:
            await asyncio.to_thread(folders.sync, self.rclone.folder, path)
        except FileNotFoundError:
            logger.warning("an object was removed from the folder of the buckets while it was put")
        except OSError as error:
            raise StorageFull(f"the object cannot be kept: {error.strerror}") from error
        address = asked.request.remote or ""
        await self.arrivals.arrived(asked.bucket, asked.key, etag, size, principal=asked.access_key, address=address)
