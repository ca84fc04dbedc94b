"""Files that arrive in buckets, and what becomes of them: each object under inputs/ is a job, its results are outputs.

The S3 front end tells of an object after it is stored and before its client is answered; an external service tells by
events, or is asked for a list every few seconds. A job fetches its object when its turn comes, and its end is put into
the bucket by the durable outbox: first the result, last the log.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import secrets
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any, cast

from modelport.bucketjobs.batches import Batches
from modelport.bucketjobs.claims import Claims
from modelport.bucketjobs.inputs import Fetched, Inputs
from modelport.bucketjobs.keys import BucketAccess, BucketKeys
from modelport.bucketjobs.listing import Listing
from modelport.bucketjobs.marks import content, is_known
from modelport.bucketjobs.outputs import SOURCE, Outputs, stale_outputs
from modelport.contract.job import Job
from modelport.contract.prediction import Call
from modelport.deployments.deployments import Deployment, Deployments
from modelport.deployments.services import Services
from modelport.errors import BucketUnavailable, Cancelled, Conflict, Forbidden, ModelportError, NotFound
from modelport.jobs import Jobs
from modelport.jobs.deliveries import Deliveries
from modelport.objectstore import Locks, ObjectInfo, ObjectStore
from modelport.objectstore.names import is_input, may_start, stems
from modelport.objectstore.tree import Tree
from modelport.settings import Settings
from modelport.store import Store
from modelport.store.objects import (
    ArrivalRow,
    clear_arrivals,
    forget_arrivals,
    get_arrival,
    note_arrival,
)
from modelport.store.values import get_value, set_value
from modelport.tasks import Tasks

if TYPE_CHECKING:
    from modelport.objectstore.remote import RemoteStore

__all__ = ["BucketAccess", "BucketJobs", "open_store"]

logger = logging.getLogger(__name__)

# Whose objects the table of arrivals is about.
STORE_ADDRESS = "bucket/place"


class BucketJobs:
    """Buckets of deployments. Made before the jobs are restored, since they need what it registers.

    objects: what the buckets hold. tree: the same, where they are the server's own; None: another S3 service is used.
    accesses: whose is what. batches: what has become of the inputs of a folder.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        deployments: Deployments,
        services: Services,
        jobs: Jobs,
        deliveries: Deliveries,
        objects: ObjectStore,
    ) -> None:
        self._settings = settings
        self._store = store
        self._deployments = deployments
        self._jobs = jobs
        self._deliveries = deliveries
        self.objects = objects
        self.tree = objects if isinstance(objects, Tree) else None
        self.bucket_keys = BucketKeys(settings, store, deployments)
        self._locks = Locks()
        self._claims = None if self.tree is not None else Claims(settings, store, cast("RemoteStore", objects))
        self._watching: dict[str, Listing] = {}
        # What is stored has a job, also when its client leaves.
        self._tasks = Tasks("buckets")
        self.batches = Batches(settings, store, objects, self._tasks)
        self._running = False
        fetched: Fetched = {}
        inputs = Inputs(settings, deployments, self.objects, fetched)
        outputs = Outputs(store, jobs, self.objects, self._locks, fetched, self._claims, self._news)
        jobs.prepare[SOURCE] = inputs.prepare
        deliveries.deliverers[SOURCE] = outputs.deliver
        services.on_deployed.append(self._begun)
        services.on_undeployed.append(self._ended)

    async def restore(self) -> None:
        """A bucket and keys for every deployment. Raises what the store raises."""
        place = f"{self._settings.bucket_endpoint} {self._settings.bucket_prefix}".strip()
        if await self._store.read(get_value, STORE_ADDRESS) != place:
            await self._store.write(clear_arrivals)
            await self._store.write(set_value, STORE_ADDRESS, place)
        await self.bucket_keys.restore()
        if self._claims is not None:
            await self._claims.restore()
        for deployment in self._deployments:
            await self._begun(deployment)

    def start(self) -> None:
        """Look for objects that came while nobody looked, and on an external service go on with it."""
        self._running = True
        for bucket in self.bucket_keys.bucket_names():
            self._watch(bucket)

    async def stop(self) -> None:
        """Take no more. What is begun is finished; outputs that are on their way stay due."""
        self._tasks.closed = True
        for watching in list(self._watching.values()):
            await watching.stop()
        await self._tasks.end()

    async def make_bucket(self, name: str, user: str) -> None:
        """A bucket that is no deployment's, for an account, or for the owner of the server where `user` is empty.

        Raises InvalidRequest (its name), Forbidden (there are too many), BucketUnavailable.
        """
        assert self.tree is not None
        await self.bucket_keys.make(name, user)
        await self.tree.make_bucket(name, marked=False)

    async def remove_bucket(self, bucket: str) -> None:
        """With all that is in it. Raises NotFound, Conflict where its deployment is there, BucketUnavailable."""
        await self.bucket_keys.forget(bucket)
        await self.objects.remove_bucket(bucket)
        self.objects.forget(bucket)

    def passes(self, bucket: str) -> int:
        """How often the bucket has been gone through for new objects."""
        return self._watching[bucket].passes

    def health(self, *, whole: bool = True) -> dict[str, Any]:
        """Whether the object store answers, and why not. whole: also which buckets are concerned."""
        failures = {bucket: error.message for bucket, error in self.objects.failures.items()}
        health: dict[str, Any] = {"ready": not failures, "answer_s": round(self.objects.answer_s, 3)}
        if failures:
            health["reason"] = "; ".join(sorted(set(failures.values())))
            health |= {"failures": failures} if whole else {}
        return health

    # What comes

    async def begin_upload(self, bucket: str, key: str) -> None:
        """Only checks, before an object is put. Raises Overloaded, Cancelled, StorageFull, Conflict, Forbidden."""
        if self._tasks.closed:
            raise Cancelled("the server is stopping")
        name = self.bucket_keys.deployment_of(bucket)
        if name is not None and is_input(key):
            self._deployments.get(name)
            self._jobs.check_room()
        limit = self._settings.account_bucket_bytes
        limited = self.tree if limit and self.bucket_keys.owner_of(bucket) else None  # an account's, and ours
        if limited is not None and await limited.used_bytes(bucket) >= limit:
            raise Forbidden(f"the bucket holds {limit} bytes, the most that is allowed (account_bucket_bytes)")
        await self.objects.check_way(bucket, key)

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
        elsewhere: bool = False,
    ) -> Job | None:
        """An object has been stored: its job. An earlier job of the same key has ended, its outputs are gone.

        elsewhere: it may lie outside inputs/, since somebody asks for it. None where the key starts nothing (a folder
        marker, not under inputs/, no deployment's bucket), and where the object of an external service has a job
        already. Goes on if the caller leaves. Raises what refuses a job: Overloaded, Cancelled, StorageFull,
        BucketUnavailable; an object under inputs/ is then taken up later.
        """
        starts = may_start(key) if elsewhere else is_input(key)
        if not starts or self.bucket_keys.deployment_of(bucket) is None:
            return None
        info = ObjectInfo(key, size_bytes, etag.strip('"'), 0.0)
        more = {"principal": principal, "address": address, "event_time": event_time}
        return await self._tasks.finish(self._arrived(bucket, info, more))

    async def deleted(self, bucket: str, key: str) -> None:
        """An input has been removed: its stem is free. A job that it has goes on."""
        if may_start(key):
            await self._store.write(forget_arrivals, bucket, [key])

    async def _arrived(self, bucket: str, info: ObjectInfo, more: dict[str, str]) -> Job | None:
        if self._claims is None:
            return await self._take(bucket, info, more)
        try:
            info = await self.objects.head(bucket, info.key)
        except NotFound:
            return None  # deleted since
        if await self._is_taken(bucket, info):
            return None  # told twice, or listed before
        return await self._take(bucket, info, more, once=True) if await self._claims.take(bucket, info) else None

    async def _is_taken(self, bucket: str, info: ObjectInfo) -> bool:
        return is_known(await self._store.read(get_arrival, bucket, info.key), info)

    async def _take(self, bucket: str, info: ObjectInfo, more: dict[str, str], *, once: bool = False) -> Job | None:
        """The job of this content. once: not if it has one by now. Raises what refuses one."""
        key = info.key
        async with self._locks.of(bucket, key):
            name = self.bucket_keys.deployment_of(bucket)
            if name is None or (once and await self._is_taken(bucket, info)):
                return None
            await self._cancel_earlier(bucket, key)
            deployment = self._deployments.get(name)
            rows: list[ArrivalRow] = []

            def note(connection: Connection, job: Job) -> None:
                rows.append(note_arrival(connection, content(bucket, info, job_id=job.id), stems(key)))

            job, _ = await self._jobs.submit(
                deployment,
                Call(secrets.token_hex(8), text=True),
                source=SOURCE,
                owner="" if deployment.row is None else deployment.row.owner,
                origin={"bucket": bucket, "key": key, "etag": info.etag, "modified": int(info.modified), **more},
                deliver=(SOURCE,),
                in_transaction=note,
                version=self._deployments.version(deployment),
            )
            # What an earlier run has left, whoever's it was. The job's own outputs wait for the lock.
            await self.objects.delete(bucket, stale_outputs(rows[-1]))
        return job

    async def _cancel_earlier(self, bucket: str, key: str) -> None:
        """The job of the object's content before, if it has not ended."""
        row = await self._store.read(get_arrival, bucket, key)
        if row is not None and row.job_id and not row.done:
            with contextlib.suppress(NotFound, Conflict):
                await self._jobs.cancel(row.job_id)

    # Buckets that come and go

    async def _begun(self, deployment: Deployment) -> None:
        """A deployment is there. Where its bucket cannot be made now, that is tried again."""
        try:
            bucket = await self.bucket_keys.open(deployment)
        except ModelportError as error:
            logger.error("%s has no bucket: %s", deployment.name, error.message)
            return
        if self.tree is not None:
            with contextlib.suppress(OSError, ModelportError):
                await self.objects.make_bucket(bucket)
        if self._running:
            self._watch(bucket)

    async def _ended(self, deployment: str) -> None:
        """It has been undeployed: its bucket stays, its keys do not."""
        if (access := self.bucket_keys.access(deployment)) is not None:
            if (watching := self._watching.pop(access.bucket, None)) is not None:
                await watching.stop()
            await self.bucket_keys.close(deployment)
            self.objects.forget(access.bucket)

    def _watch(self, bucket: str) -> None:
        name = self.bucket_keys.deployment_of(bucket)
        if name is None or bucket in self._watching or self._tasks.closed:
            return
        window = 0 if self._claims is None else 4 * self._deployments.get(name).workers + 16
        self._watching[bucket] = Listing(
            bucket,
            self._settings,
            self._store,
            self.objects,
            lambda info: self._tasks.finish(self._take(bucket, info, {}, once=True)),
            recovered=lambda: self._deliveries.wake(SOURCE),
            claims=self._claims,
            window=window,
        )
        self._watching[bucket].start()

    def _news(self, bucket: str) -> None:
        """Outputs have been put: there is room for another."""
        if (watching := self._watching.get(bucket)) is not None:
            watching.wake()


async def open_store(settings: Settings) -> ObjectStore:
    """Raises OSError, and BucketUnavailable where the package for another service is not installed."""
    if not settings.bucket_endpoint:
        tree = Tree(settings.buckets_path, settings.least_room_bytes, settings.bucket_timeout_s)
        await tree.start()
        return tree
    if importlib.util.find_spec("obstore") is None:
        raise BucketUnavailable("another S3 service (bucket_endpoint) needs obstore: pip install obstore")
    from modelport.objectstore.remote import Connection, RemoteStore

    keys = settings.bucket_access_key, settings.bucket_secret_key
    at = Connection(settings.bucket_endpoint, *keys, settings.bucket_region)
    return RemoteStore(at, settings.bucket_timeout_s)
