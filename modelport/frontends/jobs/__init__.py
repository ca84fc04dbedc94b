"""The front end of jobs: show, follow, cancel and repeat them, and fetch their results. See docs/jobs.md."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import aclosing
from dataclasses import replace
from typing import Annotated

from aiohttp import web
from msgspec import Meta, Struct

from modelport.contract.job import Event, Job
from modelport.contract.prediction import UNFINISHED, Status
from modelport.errors import Conflict, InvalidRequest, ModelportError, NotFound
from modelport.frontends.jobs.answers import answer, artifact_file, input_file
from modelport.frontends.jobs.events import LOG, Feed, LogFeed
from modelport.http import paying, prefer
from modelport.http.frontend import TEXT, Access, GreetingRow, Route
from modelport.http.gateway import Gateway
from modelport.http.job_access import JobAccess, Sight
from modelport.http.job_documents import JobDocument, JobDocuments
from modelport.http.json_answers import json_answer
from modelport.http.operations import YES, DescribedFrontend, asks_for, next_page, query
from modelport.jobs.events import Subscription

LISTED, LISTED_LIMIT = 50, 1000
# A stream of many jobs begins with so many of those that have not ended.
SNAPSHOT = 100

LISTING, ONE, BUSY = (400, 401, 404), (401, 404), (401, 404, 503)
PRINTED, AGAIN = {200: "text/plain"}, {202: JobDocument}
PARAMETERS = (
    query("deployment", "Of this one"),
    query("status", "In one of these states, separated by commas", {**TEXT, "examples": [*Status]}),
    query("method", "Of this one", {**TEXT, "enum": ["predict", "train"]}),
    query("source", "Submitted via this front end"),
    query("limit", "Most on a page", {"type": "integer", "minimum": 1, "maximum": LISTED_LIMIT, "default": LISTED}),
    query("after", "`after` of the page before"),
)
FILTERS = tuple(parameter["name"] for parameter in PARAMETERS)

Allowed = Callable[[], Awaitable[object]]


class JobPage(Struct):
    jobs: list[JobDocument]
    after: Annotated[str | None, Meta(description="Where the next page begins; null on the last")]
    next: Annotated[str | None, Meta(description="Path of the next page")]


class Curves(Struct):
    step: Annotated[str, Meta(description="The metric that points are drawn over; empty: they are counted")]
    metrics: Annotated[dict[str, list[tuple[float, float]]], Meta(description="Points of each, [step, value]")]


class Removed(Struct):
    removed: int


class Secret(Struct):
    secret: str


class JobsFrontend(DescribedFrontend):
    """`/jobs…`, `/events`, and `/webhooks/secret` for the owner.

    Of the gateway it needs the jobs and the webhooks' secret.
    """

    segments = ("jobs", "events", "webhooks")
    tag = "jobs"

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self._access = JobAccess(gateway)
        gateway.gate.exposed.update(prefer.EXPOSED, ("Content-Disposition", "Retry-After"))

    def greeting(self) -> Iterable[GreetingRow]:
        return [
            GreetingRow("/jobs", "predictions and trainings that continue when their client disconnects", link=True)
        ]

    def routes(self) -> Iterable[Route]:
        one, job, stream = "/jobs/{id}", {200: JobDocument}, {200: "text/event-stream"}
        named = (query("deployment", "Of this one", required=True), query("status", "Only of these final states"))
        follow = query("follow", "1: as it is printed, until the end", YES)
        of_one = query("deployment", "Only of this one")
        values = query("values", "0: without the values of a generator", {**TEXT, "enum": ["0"]})
        ended, own = (401, 404, 409, 410, 422, 500, 504), Access.OWNER
        return (
            self.route("GET /jobs", self.list, "jobs", "The newest jobs first", {200: JobPage}, LISTING, PARAMETERS),
            self.route("DELETE /jobs", self.clear, "remove_jobs", "Remove ended jobs", {200: Removed}, LISTING, named),
            self.route(f"GET {one}", self.show, prefer.ROUTE, "One job", job, ONE),
            self.route(f"DELETE {one}", self.end, "end_job", "Cancel, or remove if ended", {**job, 204: None}, ONE),
            self.route(f"GET {one}/result", self.result, "job_result", "The model's own answer", {200: "*/*"}, ended),
            self.route(f"GET {one}/files/{{number}}", self.file, "job_file", "A file it was given", {200: "*/*"}, ONE),
            self.route(f"GET {one}/metrics", self.metrics, "job_metrics", "Its curves", {200: Curves}, ONE),
            self.route(f"GET {one}/artifacts/{{name}}", self.artifact, "artifact", "A file it kept", {200: "*/*"}, ONE),
            self.route(f"GET {one}/log", self.log, "job_log", "What it printed", PRINTED, BUSY, (follow,)),
            self.route(f"GET {one}/events", self.events_of_one, "job_events", "What it does", stream, BUSY, (values,)),
            self.route(f"POST {one}/cancel", self.cancel, "cancel_job", "Cancel it, unless it has ended", job, ONE),
            self.route(f"POST {one}/run-again", self.run_again, "run_job_again", "Run again", AGAIN, (*ONE, 409)),
            self.route("GET /events", self.events, "events", "What all jobs do", stream, BUSY, (of_one,)),
            self.route(
                "GET /webhooks/secret", self.secret, "secret", "Signs reports", {200: Secret}, (401,), access=own
            ),
        )

    def add_routes(self, app: web.Application) -> None:
        super().add_routes(app)
        app.on_shutdown.append(self._stop)

    async def _stop(self, app: web.Application) -> None:
        self.gateway.jobs.events.close()

    # Looking

    async def list(self, request: web.Request) -> web.StreamResponse:
        sight = await self._access.enter(request)
        if unknown := set(request.query) - set(FILTERS):
            raise InvalidRequest(f"{min(unknown)[:60]} is not a parameter of this list; give {', '.join(FILTERS)}")
        deployments, owner = sight.scope(self._named(request, sight))
        jobs, after = await self.gateway.jobs.list(
            deployments,
            statuses=_statuses(request),
            method=_method(request),
            source=request.query.get("source", ""),
            owner=owner,
            before=request.query.get("after", ""),
            limit=_limit(request),
        )
        documents, following = JobDocuments.of(self.gateway, request), next_page(self.gateway, request, after)
        return json_answer(JobPage([documents.row(job) for job in jobs], after or None, following))

    def _named(self, request: web.Request, sight: Sight) -> Collection[str]:
        """The deployments that are asked for. Raises as `Gateway.find`."""
        known = [deployment.name for deployment in self.gateway.deployments]
        name = request.query.get("deployment")
        if name is None:
            return known
        if name not in known and sight.everything:
            raise NotFound(f"there is no service called {name[:100]}")
        if not sight.everything and name not in sight.deployments | sight.shared:
            self.gateway.find(request, name)
        return [name]

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Without the log for who bought it, and what else a model may say or give away before its answer is paid."""
        job = await self._find(request, position=True, buyers=True)
        documents = JobDocuments.of(self.gateway, request)
        if paying.HEADERS in request:
            return json_answer(documents.with_log(replace(job, metrics={}, artifacts=()), b""))
        return json_answer(await documents.full(job))

    async def result(self, request: web.Request) -> web.StreamResponse:
        return await answer(self.gateway, await self._find(request, buyers=True))

    async def file(self, request: web.Request) -> web.StreamResponse:
        return await input_file(self.gateway, await self._find(request), request.match_info["number"])

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        job = await self._find(request)
        return json_answer(await self.gateway.jobs.curves(job.id))

    async def artifact(self, request: web.Request) -> web.StreamResponse:
        return await artifact_file(self.gateway, await self._find(request), request.match_info["name"])

    async def log(self, request: web.Request) -> web.StreamResponse:
        job = await self._find(request)
        if request.method == "GET" and asks_for(request, "follow") and not job.status.final:
            return await self._follow(request, job, LogFeed(self.gateway, request))
        return web.Response(body=await self.gateway.jobs.log(job.id), headers=LOG)

    async def secret(self, request: web.Request) -> web.StreamResponse:
        return json_answer(Secret(self.gateway.webhooks.secret))

    # Changing

    async def end(self, request: web.Request) -> web.StreamResponse:
        job = await self._find(request)
        if job.status.final:
            await self.gateway.jobs.delete(job.id)
            return web.Response(status=204)
        return await self._cancelled(request, job)

    async def clear(self, request: web.Request) -> web.StreamResponse:
        """Remove what has ended of a deployment, all or in these states."""
        sight = await self._access.enter(request)
        if set(request.query) - {"deployment", "status"} or "deployment" not in request.query:
            raise InvalidRequest(
                "name the service whose jobs are to be removed: ?deployment=NAME, optionally with &status="
            )
        statuses = _statuses(request)
        if not all(status.final for status in statuses):
            raise InvalidRequest("only jobs that have ended are removed; cancel the others first")
        deployments, owner = sight.scope(self._named(request, sight))
        counts = [await self.gateway.jobs.delete_ended(deployment, statuses, owner) for deployment in deployments]
        return json_answer(Removed(sum(counts)))

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """Unlike `end`, it removes nothing: of a job that has ended, also just now, it says how."""
        return await self._cancelled(request, await self._find(request))

    async def _cancelled(self, request: web.Request, job: Job) -> web.Response:
        try:
            job = await self.gateway.jobs.cancel(job.id)
        except Conflict:  # it has ended by itself; the client decides what it is worth now
            job = await self.gateway.jobs.get(job.id)
        return json_answer(await JobDocuments.of(self.gateway, request).full(job))

    async def run_again(self, request: web.Request) -> web.StreamResponse:
        job = await self._find(request)
        again = await self.gateway.jobs.again(job.id)
        headers = {"Location": prefer.location(self.gateway, request, again)}
        return prefer.accepted(self.gateway, request, again, headers)

    # As it happens

    async def events_of_one(self, request: web.Request) -> web.StreamResponse:
        return await self._follow(request, await self._find(request), Feed(self.gateway, request))

    async def _follow(self, request: web.Request, job: Job, feed: Feed) -> web.StreamResponse:
        with self.gateway.streams.place():
            response = await feed.begin()
            async with self.gateway.jobs.events.subscribe(lambda event: event.job_id == job.id) as subscription:
                # The log first: of a running job it is at hand, so no event comes between the subscription and it.
                log = await self.gateway.jobs.log(job.id)
                job = await self.gateway.jobs.get(job.id, position=True)
                if job.status.final:
                    await feed.log(job.id, await self.gateway.jobs.log(job.id))
                    await feed.values(job.id)
                    await feed.stand(job)
                else:
                    await feed.stand(job)
                    await feed.log(job.id, log)
                    await feed.values(job.id)
                    await self._tell(feed, subscription, lambda: self._find(request), until=job.id)
        await response.write_eof()
        return response

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Of all jobs that the caller may see, or of one deployment's."""
        sight = await self._access.enter(request)
        names = self._named(request, sight)
        chosen = set(names) if "deployment" in request.query else None

        def takes(event: Event) -> bool:
            if event.kind == "value":  # those are for who follows the job itself
                return False
            return (chosen is None or event.deployment in chosen) and sight.sees(event.deployment, event.owner)

        async def look_again() -> None:
            nonlocal sight
            sight = await self._access.enter(request)
            self._named(request, sight)

        with self.gateway.streams.place():
            feed = Feed(self.gateway, request)
            response = await feed.begin()
            async with self.gateway.jobs.events.subscribe(takes) as subscription:
                deployments, owner = sight.scope(names)
                jobs, more = await self.gateway.jobs.list(deployments, statuses=UNFINISHED, owner=owner, limit=SNAPSHOT)
                await feed.begin_with(jobs, more=bool(more))
                await self._tell(feed, subscription, look_again)
        await response.write_eof()
        return response

    async def _tell(self, feed: Feed, subscription: Subscription, allowed: Allowed, until: str = "") -> None:
        """allowed: raises where the client may not read on. until: the job whose end is the stream's."""
        async with aclosing(self.gateway.streams.news(subscription)) as news:
            async for event in news:
                if event is None:
                    try:
                        await allowed()
                    except ModelportError:  # the token has been replaced, the job removed
                        return
                    await feed.beat()
                    continue
                await feed.admit_missed(subscription.missed)
                await feed.tell(event)
                if event.job_id == until and event.kind == "state" and event.data.status.final:
                    return

    async def _find(self, request: web.Request, **options: bool) -> Job:
        return await self._access.find(request, request.match_info["id"], **options)


def _statuses(request: web.Request) -> tuple[Status, ...]:
    """`status=queued,running`, or several of it. Raises InvalidRequest."""
    names = [part.strip() for text in request.query.getall("status", []) for part in text.split(",") if part.strip()]
    try:
        return tuple(dict.fromkeys(Status(name) for name in names))
    except ValueError:
        raise InvalidRequest(f"status: give some of {', '.join(status.value for status in Status)}") from None


def _method(request: web.Request) -> str:
    method = request.query.get("method", "")
    if method not in ("", "predict", "train"):
        raise InvalidRequest("method: give predict or train")
    return method


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", str(LISTED))
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 0 < int(text) <= LISTED_LIMIT):
        raise InvalidRequest(f"limit: give 1 to {LISTED_LIMIT}")
    return int(text)
