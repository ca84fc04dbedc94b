"""POST /job/<name>: a call that is kept and runs later; or a store's event: the object that it tells of is the call."""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from modelport.bucketjobs import BucketJobs
from modelport.contract.card import Card
from modelport.contract.job import Job
from modelport.deployments.deployments import Deployment
from modelport.describe.helptext import help_text
from modelport.errors import Forbidden, InvalidRequest, NotFound
from modelport.frontends.oscar import body as oscar_body
from modelport.frontends.oscar import events as oscar_events
from modelport.frontends.oscar.events import CREATED, REMOVED, StorageEvent
from modelport.frontends.oscar.journal import SUCCEEDED
from modelport.frontends.oscar.run import PROG, SOURCE
from modelport.frontends.oscar.services import Calls
from modelport.http import prefer
from modelport.http.access import Caller
from modelport.http.arguments import MULTIPART
from modelport.http.body import BodyReader
from modelport.http.gateway import Gateway
from modelport.intake.calls import make_call
from modelport.intake.received import asks_for_help, settle
from modelport.objectstore.names import may_start

# An event is taken without the model's description, which may have to be waited for. One has a kilobyte or two, and
# what the uploader told of the object, which S3 limits to 2 KiB. A larger one is seen later.
EVENT_BYTES = 64 << 10


class JobCalls(Calls):
    async def listening(self, request: web.Request) -> web.StreamResponse:
        """Stores ask so, without a token, whether anybody is there."""
        return web.Response()

    async def job(self, request: web.Request) -> web.StreamResponse:
        deployment, caller = await self._access.call(request, request.match_info["name"])
        gateway = self._gateway
        reader = BodyReader(request, gateway.settings, "client_max_size")
        if (event := _event(await _begin(reader))) is not None:
            return await self._arrived(request, deployment, caller, event)
        gateway.check_room(deployment, later=True)
        version = deployment if deployment.shift is None else gateway.version(request, deployment)
        preference = prefer.as_job(request, gateway)
        card = await version.wait_card()
        async with gateway.predictions.scratch() as scratch:
            arguments = await oscar_body.read(reader, gateway.settings, card, scratch)
            if oscar_events.is_event(arguments.values):
                return await self._arrived(request, deployment, caller, oscar_events.parse(arguments.values))
            if asks_for_help(arguments, card):
                await self._help(deployment, caller, card)
                return _accepted(gateway, request, None)
            values, files = await settle(card, arguments, scratch)
            call = make_call(card, "predict", values, files, scratch, text=True)
            job = await prefer.submit(gateway, request, version, call, preference, source=SOURCE, owner=caller.user)
        self._journal.meet(deployment.name, caller.user)
        return _accepted(gateway, request, job)

    async def _help(self, deployment: Deployment, caller: Caller, card: Card) -> None:
        """A text that is there already is no job to keep: it is listed as calls of /run are."""
        entry = self._journal.begin(deployment.name, caller.user)
        self._journal.end(deployment.name, entry, SUCCEEDED, await asyncio.to_thread(help_text, card, prog=PROG))

    async def _arrived(
        self, request: web.Request, deployment: Deployment, caller: Caller, event: StorageEvent
    ) -> web.Response:
        """Raises Forbidden, InvalidRequest (no such bucket here), and what refuses a job."""
        bucket_jobs = self._gateway.bucket_jobs
        if bucket_jobs is None:
            raise InvalidRequest("this is an event of an object store, and this server has no buckets")
        self._access.check_objects(caller, deployment)
        if bucket_jobs.bucket_keys.deployment_of(event.bucket) != deployment.name:
            raise Forbidden(f"the bucket {event.bucket[:100]} is not that of {deployment.name}")
        return _accepted(self._gateway, request, await _taken(bucket_jobs, event))


async def _taken(bucket_jobs: BucketJobs, event: StorageEvent) -> Job | None:
    """The store is asked what is there now: events come late, twice, or from whoever has the token."""
    if event.kind not in (CREATED, REMOVED) or not may_start(event.key):
        return None
    try:
        head = await bucket_jobs.objects.head(event.bucket, event.key)
    except NotFound:
        if event.kind == REMOVED:
            await bucket_jobs.deleted(event.bucket, event.key)
        return None
    if event.kind == REMOVED:
        return None
    return await bucket_jobs.arrived(
        event.bucket,
        event.key,
        head.etag,
        head.size_bytes,
        principal=event.principal,
        address=event.address,
        event_time=event.time,
        elsewhere=True,
    )


async def _begin(reader: BodyReader) -> bytes:
    """The whole body, if it is small enough for an event; nothing of it else."""
    size = reader.request.content_length
    if size is None or not 0 < size <= EVENT_BYTES or reader.request.content_type == MULTIPART:
        return b""
    return await reader.peek(size)


def _event(body: bytes) -> StorageEvent | None:
    """Raises InvalidRequest for one that does not say of which object."""
    if oscar_events.RECORDS.encode() not in body:
        return None
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # whoever reads it as arguments says what is wrong
    return oscar_events.parse(document) if oscar_events.is_event(document) else None


def _accepted(gateway: Gateway, request: web.Request, job: Job | None) -> web.Response:
    """No body: clients would take it for JSON."""
    headers = {} if job is None else {"Location": prefer.location(gateway, request, job)}
    return web.Response(status=201, headers=headers)
