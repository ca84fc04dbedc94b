"""Files that arrive in buckets, and what becomes of them: each object under inputs/ is a job, its results are outputs.

The S3 door tells of an object after it is stored and before its client is answered; an external service tells by
events, or is asked for a list every few seconds. A job fetches its object when its turn comes, and its end is put into
the bucket by the durable outbox: first the result, last the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from modelport.bucketjobs.access import Accesses, BucketAccess
from modelport.bucketjobs.claims import Claims
from modelport.bucketjobs.fetched import Fetched
from modelport.bucketjobs.inputs import Inputs
from modelport.bucketjobs.listing import Listing, folder_pages, store_pages
from modelport.bucketjobs.locks import Locks
from modelport.bucketjobs.marks import content, is_known
from modelport.bucketjobs.outputs import Outputs, stale_outputs
from modelport.bucketjobs.place import check_room, sync_all
from modelport.contract.job import Job
from modelport.contract.prediction import Call
from modelport.deployments.deployments import Deployment, Deployments
from modelport.deployments.services import Services
from modelport.errors import BucketUnavailable, Cancelled, Conflict, ModelportError, NotFound, Starting
from modelport.intake.removal import remove_tree
from modelport.jobs import Jobs
from modelport.jobs.deliveries import Deliveries
from modelport.objectstore import Connection, ObjectInfo, ObjectStore
from modelport.objectstore.names import is_input, stems
from modelport.objectstore.rclone import Rclone
from modelport.settings import Settings
from modelport.store import Store
from modelport.store.objects import (
    ArrivalRow,
    begin_arrival,
    clear_arrivals,
    forget_arrivals,
    forget_unfinished,
    get_arrival,
    note_job,
)
from modelport.store.values import get_value, set_value

__all__ = ["Arrivals", "BucketAccess"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

SOURCE = "bucket"
# Whose objects the table of arrivals is about.
PLACE = "bucket/place"


class Arrivals:
    """Buckets of deployments. Made before the jobs are restored, since they need what it registers.

    objects: what the buckets hold. rclone: the server's own store; None: another S3 service is used.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        deployments: Deployments,
        services: Services,
        jobs: Jobs,
        deliveries: Deliveries,
        rclone: Rclone | None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._deployments = deployments
        self._jobs = jobs
        self._deliveries = deliveries
        self.rclone = rclone
        self.objects = ObjectStore(self._connect, settings.bucket_timeout_s)
        self._accesses = Accesses(settings, store, deployments)
        self._locks = Locks()
        self._claims = None if rclone is not None else Claims(settings, store, self.objects)
        self._watching: dict[str, Listing] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._running = False
        self._stopping = False
        fetched = Fetched()
        inputs = Inputs(settings, deployments, self.objects, fetched)
        settle = None if rclone is None else self._settle
        outputs = Outputs(store, jobs, self.objects, self._locks, fetched, self._claims, self._news, settle)
        jobs.prepare[SOURCE] = inputs.prepare
        deliveries.deliverers[SOURCE] = outputs.deliver
        services.begun.append(self._begun)
        services.ended.append(self._ended)

    async def restore(self) -> None:
        """A bucket and keys for every deployment. Raises what the store raises."""
        place = f"{self._settings.bucket_endpoint} {self._settings.bucket_prefix}".strip()
        if await self._store.read(get_value, PLACE) != place:
            await self._store.write(clear_arrivals)
            await self._store.write(set_value, PLACE, place)
        await self._accesses.restore()
        if self._claims is not None:
            await self._claims.restore()
        for each in self._deployments:
            await self._begun(each)

    def start(self) -> None:
        """Look for objects that came while nobody looked, and on an external service go on with it."""
        self._running = True
        for bucket in self._accesses.bucket_names():
            self._watch(bucket)

    async def stop(self) -> None:
        """Take no more. What is begun is finished; outputs that are on their way stay due."""
        self._stopping = True
        for each in list(self._watching.values()):
            await each.stop()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """When no door is open any more."""
        await self.objects.close()
        if self.rclone is not None:
            await self.rclone.stop()

    # Whose is what

    def set_endpoint(self, url: str) -> None:
        """Where users reach the S3 door, unless the settings say it."""
        if not self._accesses.endpoint:
            self._accesses.endpoint = url

    def access(self, deployment: str) -> BucketAccess | None:
        """None where it has no bucket."""
        return self._accesses.access(deployment)

    def owner_access(self) -> BucketAccess:
        """Keys that reach every bucket."""
        return self._accesses.owner_access()

    async def account_access(self, user: str) -> BucketAccess:
        """Keys that reach the buckets of all services of this account."""
        return await self._accesses.account_access(user)

    def secret_of(self, access_key: str) -> tuple[str, frozenset[str] | None] | None:
        """For the S3 door: (secret, buckets that it reaches; None: all); None for a key that is nobody's."""
        return self._accesses.secret_of(access_key)

    def bucket_names(self) -> list[str]:
        """All, also of what is deployed no more."""
        return self._accesses.bucket_names()

    def deployment_of(self, bucket: str) -> str | None:
        """None where the bucket is nobody's now."""
        return self._accesses.deployment_of(bucket)

    async def rotate(self, deployment: str) -> BucketAccess:
        """New keys; from now on the old ones are nobody's. Raises NotFound."""
        return await self._accesses.rotate(deployment)

    async def remove_bucket(self, bucket: str) -> None:
        """With all that is in it. Raises NotFound, Conflict where its deployment is there, BucketUnavailable."""
        await self._accesses.forget(bucket)
        if self.rclone is not None:
            await asyncio.to_thread(remove_tree, self._folder(bucket))
            self.rclone.refresh()
        else:
            await self.objects.remove_bucket(bucket)
        self.objects.forget(bucket)

    @property
    def looking(self) -> bool:
        """Whether there may be objects that came while nobody looked, and have not been found yet."""
        return any(not each.passes for each in self._watching.values())

    def passes(self, bucket: str) -> int:
        """How often the bucket has been gone through for new objects."""
        return self._watching[bucket].passes

    def health(self, *, whole: bool = True) -> dict[str, Any]:
        """Whether the object store answers, and why not. whole: also which buckets are concerned."""
        failures = {bucket: error.message for bucket, error in self.objects.failures.items()}
        reasons = set(failures.values())
        if self.rclone is not None and self.rclone.failure:
            reasons.add(self.rclone.failure)
        found: dict[str, Any] = {"ready": not reasons, "answer_s": round(self.objects.answer_s, 3)}
        if reasons:
            found["reason"] = "; ".join(sorted(reasons))
        if failures and whole:
            found["failures"] = failures
        return found

    # What comes

    async def begin_upload(self, bucket: str, key: str) -> None:
        """For the S3 door, before an object is put: nothing but checks. Raises Overloaded, Cancelled, StorageFull."""
        if self._stopping:
            raise Cancelled("the server is stopping")
        name = self.deployment_of(bucket)
        if name is not None and is_input(key):
            self._jobs.check_room(self._deployments.get(name))
        if self.rclone is not None:
            await asyncio.to_thread(check_room, self._folder(bucket))

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
    ) -> Job | None:
        """An object has been stored: its job. An earlier job of the same key has ended, its outputs are gone.

        None where the key starts nothing (a folder marker, not under inputs/, no deployment's bucket), and where the
        object of an external service has a job already. Goes on if the caller leaves. Raises what refuses a job:
        Overloaded, Cancelled, StorageFull, BucketUnavailable; the object is then taken up later.
        """
        if not is_input(key) or self.deployment_of(bucket) is None:
            return None
        found = ObjectInfo(key, size_bytes, etag.strip('"'), 0.0)
        more = {"principal": principal, "address": address, "event_time": event_time}
        return await self._finish(self._arrived(bucket, found, more))

    async def deleted(self, bucket: str, key: str) -> None:
        """An input has been removed: its stem is free. A job that it has goes on."""
        if is_input(key):
            await self._store.write(forget_arrivals, bucket, [key])

    async def _arrived(self, bucket: str, found: ObjectInfo, more: dict[str, str]) -> Job | None:
        if self._claims is None:
            return await self._take(bucket, found, more)
        try:
            found = await self.objects.head(bucket, found.key)
        except NotFound:
            return None  # deleted since
        if await self._is_taken(bucket, found):
            return None  # told twice, or listed before
        return await self._take(bucket, found, more, once=True) if await self._claims.take(bucket, found) else None

    async def _is_taken(self, bucket: str, found: ObjectInfo) -> bool:
        return is_known(await self._store.read(get_arrival, bucket, found.key), found)

    async def _take(self, bucket: str, found: ObjectInfo, more: dict[str, str], *, once: bool = False) -> Job | None:
        """The job of this content. once: not if it has one by now. Raises what refuses one."""
        key = found.key
        async with self._locks.of(bucket, key):
            name = self.deployment_of(bucket)
            if name is None or (once and await self._is_taken(bucket, found)):
                return None
            deployment = self._deployments.get(name)
            row = await self._store.write(begin_arrival, bucket, key, stems(key))
            if row.job_id and not row.done:
                with contextlib.suppress(NotFound, Conflict):
                    await self._jobs.cancel(row.job_id)
            await self._remove_stale(bucket, row)
            job, _ = await self._jobs.submit(
                deployment,
                Call(secrets.token_hex(8), text=True),
                source=SOURCE,
                owner="" if deployment.row is None else deployment.row.owner,
                origin={"bucket": bucket, "key": key, "etag": found.etag, "modified": int(found.modified), **more},
                deliver=(SOURCE,),
            )
            await self._store.write(note_job, content(bucket, found, job_id=job.id))
        return job

    async def _remove_stale(self, bucket: str, row: ArrivalRow) -> None:
        """What an earlier run has left, whoever's it was."""
        keys = stale_outputs(row)
        if self.rclone is not None:
            # Most inputs are new; the store need not be asked to see that.
            folder = self._folder(bucket)
            keys = await asyncio.to_thread(lambda: [each for each in keys if os.path.lexists(folder / each)])
        await self.objects.delete(bucket, keys)

    # Buckets that come and go

    async def _begun(self, deployment: Deployment) -> None:
        """A deployment is there. Where its bucket cannot be made now, that is tried again."""
        try:
            bucket = await self._accesses.open(deployment)
        except ModelportError as error:
            logger.error("%s has no bucket: %s", deployment.name, error.message)
            return
        if self.rclone is not None:
            with contextlib.suppress(OSError, ModelportError):
                await self._make_bucket(bucket)
        if self._running:
            self._watch(bucket)

    async def _make_bucket(self, bucket: str) -> None:
        """It may be there already. Raises OSError, BucketUnavailable."""
        if self.rclone is not None:
            await self.rclone.make_bucket(bucket)
            if self.rclone.pid is None:
                return  # it will see it when it starts
            # What it remembers of the folder above has no new one; asked to make it, it knows it from now on.
        await self.objects.make_bucket(bucket)

    async def _ended(self, deployment: str) -> None:
        """It has been undeployed: its bucket stays, its keys do not."""
        bucket = await self._accesses.close(deployment)
        if bucket is not None:
            if (watching := self._watching.pop(bucket, None)) is not None:
                await watching.stop()
            await self._store.write(forget_unfinished, bucket)
            self.objects.forget(bucket)

    def _watch(self, bucket: str) -> None:
        name = self.deployment_of(bucket)
        if name is None or bucket in self._watching or self._stopping:
            return
        pages = store_pages(self.objects, bucket) if self.rclone is None else folder_pages(self._folder(bucket))
        window = 0 if self._claims is None else 4 * self._deployments.get(name).workers + 16
        self._watching[bucket] = Listing(
            bucket,
            self._settings,
            self._store,
            self.objects,
            pages,
            self._take_listed,
            make=self._make_bucket,
            recovered=lambda: self._deliveries.wake(SOURCE),
            claims=self._claims,
            window=window,
        )
        self._watching[bucket].start()

    async def _take_listed(self, bucket: str, found: ObjectInfo) -> bool:
        """Whether it has got a job now. Raises what refuses one."""
        return await self._finish(self._take(bucket, found, {}, once=True)) is not None

    def _news(self, bucket: str) -> None:
        """Outputs have been put: there is room for another."""
        if (watching := self._watching.get(bucket)) is not None:
            watching.wake()

    async def _settle(self, bucket: str, keys: Sequence[str]) -> None:
        """Raises OSError."""
        assert self.rclone is not None
        await asyncio.to_thread(sync_all, self._folder(bucket), keys)

    def _folder(self, bucket: str) -> Path:
        assert self.rclone is not None
        return self.rclone.folder / bucket

    async def _connect(self) -> Connection:
        settings, rclone = self._settings, self.rclone
        if rclone is None:
            keys = settings.bucket_access_key, settings.bucket_secret_key
            return Connection(settings.bucket_endpoint, *keys, settings.bucket_region)
        try:
            await rclone.ready()
        except Starting as error:
            raise BucketUnavailable(error.message) from error
        return Connection(rclone.url, rclone.access_key, rclone.secret_key, direct=True)

    async def _finish(self, work: Coroutine[Any, Any, T]) -> T:
        """To its end, also when the caller leaves: an object that is stored has a job."""
        if self._stopping:
            work.close()
            raise Cancelled("the server is stopping")
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended_task)
        return await asyncio.shield(task)

    def _ended_task(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, ModelportError):
            logger.error("an arrival failed", exc_info=error)
