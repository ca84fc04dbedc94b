"""The plain front end's way to jobs: `POST /<name>/async`, `GET /status/<id>`, `GET /results/<id>`.

A job of any front end can be asked for here, and those of this one at /jobs, where there is more to be had.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from modelport.contract.job import Job
from modelport.contract.prediction import Status
from modelport.errors import InvalidArguments, ModelportError, Unauthorized
from modelport.frontends.jobs.answers import finished
from modelport.frontends.plain.answers import refusal, respond
from modelport.frontends.plain.arguments import Refused, row, rows_of
from modelport.frontends.plain.paths import BegunJob, JobProgressReport
from modelport.http.credentials import bearer
from modelport.http.gate import NAMED, PathRules
from modelport.http.gateway import Gateway, Handler, guarded
from modelport.http.job_access import JobAccess
from modelport.http.json_answers import encoded
from modelport.http.names import JSON
from modelport.http.routing import headed
from modelport.identity.links import LinkEnded


class PlainJobs:
    """`/status/<id>` and `/results/<id>`."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._access = JobAccess(gateway)
        for part in ("status", "results", NAMED):
            gateway.gate.rules[part] = PathRules(lambda request, error, status: error_answer(error, status))

    def add_routes(self, app: web.Application) -> None:
        base = self._gateway.settings.base_path
        for path, handler in (("status", self._status), ("results", self._result)):
            add_routes(app, f"{base}/{path}/{{id}}", {"GET": handler, "HEAD": headed(handler)})

    def accepted(self, request: web.Request, job: Job) -> web.Response:
        """202: where to ask."""
        begun = BegunJob(*self._begun(request, job))
        headers = {"Location": begun.status_url, "Retry-After": "1"}
        return web.Response(status=202, body=encoded(begun), content_type=JSON, headers=headers)

    def _begun(self, request: web.Request, job: Job) -> tuple[str, Status, str, str]:
        root = self._gateway.root(request)
        return job.id, job.status, f"{root}/status/{job.id}", f"{root}/results/{job.id}"

    async def _status(self, request: web.Request) -> web.StreamResponse:
        job = await self._find(request)
        error = None if job.error is None else job.error.message
        report = JobProgressReport(*self._begun(request, job), job.fraction, job.message, error)
        return web.Response(body=encoded(report), content_type=JSON, headers={"Cache-Control": "no-store"})

    async def _result(self, request: web.Request) -> web.StreamResponse:
        job = await self._find(request)
        try:
            outcome = await finished(self._gateway, job)
        except InvalidArguments as error:
            raise self._refused(job, error) from error
        return await respond(self._gateway, request, outcome)

    async def _find(self, request: web.Request) -> Job:
        try:
            return await self._access.find(request, request.match_info["id"], buyers=True)
        except Unauthorized as error:
            raise unauthorized(request, error) from error

    def _refused(self, job: Job, error: InvalidArguments) -> ModelportError:
        """In the shape that the synchronous call has."""
        deployments = self._gateway.deployments
        card = deployments.get(job.runs_on).card if job.runs_on in deployments else None
        if card is None:
            return error
        arguments = card.arguments(job.method)
        sources = {argument.wire_name: ("body", job.arguments.get(argument.name)) for argument in arguments}
        return Refused(rows_of(error, sources, "body", {argument.wire_name: argument for argument in arguments}))


def add_routes(app: web.Application, path: str, handlers: Mapping[str, Handler]) -> None:
    """These methods; others are refused in the shape of this front end."""
    methods = ", ".join([*handlers, "OPTIONS"])

    async def refuse(request: web.Request) -> web.StreamResponse:
        return refusal(405, "Method Not Allowed", {"Allow": methods})

    resource = app.router.add_resource(path)
    for method, handler in handlers.items():
        resource.add_route(method, guarded(handler, error_answer))
    resource.add_route("*", refuse)


def unauthorized(request: web.Request, error: Unauthorized) -> Unauthorized:
    if isinstance(error, LinkEnded):
        return error
    return Unauthorized("Invalid or missing token" if bearer(request) else "Not authenticated")


def error_answer(error: ModelportError, status: int) -> web.Response:
    if isinstance(error, Refused):
        return refusal(status, error.rows)
    if isinstance(error, InvalidArguments):
        return refusal(status, [row("value_error", ["body"], error.message, None)])
    return refusal(status, error.message)
