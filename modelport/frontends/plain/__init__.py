"""The plain front end: `GET /<name>?a=1` and `POST /<name>`, JSON out; for marketplaces that take a URL and a token.

Its errors have the shape that clients of FastAPI know: `{"detail": "<sentence>"}`, and for arguments a list that says
of each where it is and what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from aiohttp import web

from modelport.contract.job import Job
from modelport.contract.prediction import VALUES, Call, Status
from modelport.deployments.deployments import Deployment
from modelport.describe.documents import Schema
from modelport.errors import InvalidArguments, ModelportError, NotFound, Unauthorized
from modelport.frontends.jobs.answers import finished
from modelport.frontends.plain.answers import add_routes, error_answer, respond, unauthorized
from modelport.frontends.plain.arguments import Plan, Refused, read, rows_of
from modelport.frontends.plain.paths import BegunJob, JobProgressReport, plain_paths, status_paths
from modelport.http import prefer, streaming
from modelport.http.frontend import GatewayFrontend, GreetingRow
from modelport.http.gate import NAMED, PathRules
from modelport.http.gateway import Gateway
from modelport.http.job_access import JobAccess
from modelport.http.json_answers import encoded
from modelport.http.names import JSON
from modelport.http.prefer import Preference
from modelport.http.routing import headed
from modelport.intake.accept import stream_type
from modelport.intake.calls import make_call

SOURCE = "plain"


class PlainFrontend(GatewayFrontend):
    """`/<name>` of every deployment, `/<name>/async`, and what belongs to jobs.

    Of the gateway it needs the jobs, and every name that no other front end has.
    """

    segments = (NAMED, "status", "results")

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self.settings = gateway.settings
        self._access = JobAccess(gateway)
        rules = PathRules(lambda request, error, status: error_answer(error, status))
        gateway.gate.rules |= dict.fromkeys(self.segments, rules)
        gateway.describers.append(self.openapi_paths)

    def greeting(self) -> Iterable[GreetingRow]:
        text = "GET and POST: arguments in the query, JSON or a form; the result as JSON"
        return [GreetingRow("/{name}", text)]

    def add_routes(self, app: web.Application) -> None:
        """What has a fixed path is found first (aiohttp looks from the longest prefix up). Others' names are left
        alone, so that a wrong method there stays a 405 of theirs."""
        others = "|".join(re.escape(segment) for segment in sorted(self.gateway.deployments.reserved))
        name = f"{self.settings.base_path}/{{name:(?!(?:{others})(?:/|$))[^/]+}}"
        now = {"GET": self.predict, "HEAD": self.look, "POST": self.predict}
        for path, handlers in ((name, now), (f"{name}/async", {"POST": self.predict_later})):
            for ending in ("", "/"):
                add_routes(app, path + ending, handlers)
        for path, handler in (("status", self.status), ("results", self.result)):
            job = f"{self.settings.base_path}/{path}/{{id}}"
            add_routes(app, job, {"GET": handler, "HEAD": headed(handler)})

    async def look(self, request: web.Request) -> web.StreamResponse:
        """HEAD: whether the endpoint is there and the token right. It makes no prediction."""
        self._deployment(request)
        return web.Response(content_type=JSON)

    async def predict_later(self, request: web.Request) -> web.StreamResponse:
        """POST /<name>/async: 202 and where to ask, whatever the client prefers."""
        return await self.predict(request, later=True)

    async def predict(self, request: web.Request, *, later: bool = False) -> web.StreamResponse:
        deployment = self._deployment(request)
        preference = (prefer.as_job if later else prefer.preference_of)(request, self.gateway)
        self.gateway.check_room(deployment, later=preference is not None)
        async with self.gateway.predictions.scratch() as scratch:
            card = deployment.card or await deployment.wait_card()
            arguments = await read(request, self.settings, scratch, card)
            stream = stream_type(request.headers.get("Accept")) if preference is None else ""
            if stream in card.answer_types:
                stream = ""
            try:
                values, files = arguments.values, arguments.files
                call = make_call(card, "predict", values, files, scratch, stream=VALUES if stream else "")
                if stream:
                    return await streaming.respond(self.gateway, request, deployment, call, stream)
                if preference is not None:
                    return await self._as_job(request, deployment, call, preference, later)
                outcome = await self.gateway.predict(deployment, call)
                scratch.untouched = outcome.untouched
            except InvalidArguments as error:
                plan = card.derive(Plan)
                raise Refused(rows_of(error, *arguments.sources(plan), plan.known)) from error
            return await respond(self.gateway, request, outcome)

    async def _as_job(
        self, request: web.Request, deployment: Deployment, call: Call, preference: Preference, later: bool
    ) -> web.StreamResponse:
        if later:
            job = await prefer.submit(self.gateway, request, deployment, call, preference, source=SOURCE)
            begun = BegunJob(*self._begun(request, job))
            headers = {"Location": begun.status_url, "Retry-After": "1"}
            return web.Response(status=202, body=encoded(begun), content_type=JSON, headers=headers)
        answer = await prefer.predict(self.gateway, request, deployment, call, preference, source=SOURCE)
        if isinstance(answer, web.Response):
            return answer
        return await respond(self.gateway, request, answer.answer(), answer.headers)

    # Jobs: those of any front end, and those of this one at /jobs, where there is more to be had

    def _begun(self, request: web.Request, job: Job) -> tuple[str, Status, str, str]:
        root = self.gateway.root(request)
        return job.id, job.status, f"{root}/status/{job.id}", f"{root}/results/{job.id}"

    async def status(self, request: web.Request) -> web.StreamResponse:
        job = await self._find(request)
        error = None if job.error is None else job.error.message
        report = JobProgressReport(*self._begun(request, job), job.fraction, job.message, error)
        return web.Response(body=encoded(report), content_type=JSON, headers={"Cache-Control": "no-store"})

    async def result(self, request: web.Request) -> web.StreamResponse:
        job = await self._find(request)
        try:
            outcome = await finished(self.gateway, job)
        except InvalidArguments as error:
            raise self._refused(job, error) from error
        return await respond(self.gateway, request, outcome)

    async def _find(self, request: web.Request) -> Job:
        try:
            return await self._access.find(request, request.match_info["id"], buyers=True)
        except Unauthorized as error:
            raise unauthorized(request, error) from error

    def _refused(self, job: Job, error: InvalidArguments) -> ModelportError:
        """In the shape that the synchronous call has."""
        deployments = self.gateway.deployments
        card = deployments.get(job.runs_on).card if job.runs_on in deployments else None
        if card is None:
            return error
        arguments = card.arguments(job.method)
        sources = {argument.wire_name: ("body", job.arguments.get(argument.name)) for argument in arguments}
        return Refused(rows_of(error, sources, "body", {argument.wire_name: argument for argument in arguments}))

    # Who may

    def _deployment(self, request: web.Request) -> Deployment:
        """Raises Unauthorized; NotFound only to who may know that there is none."""
        try:
            return self.gateway.find(request, request.match_info["name"], sells=True)
        except Unauthorized as error:
            raise unauthorized(request, error) from error
        except NotFound as error:
            raise NotFound("Not Found") from error

    # The document

    async def openapi_paths(self, request: web.Request) -> dict[str, Schema]:
        """Of what the caller may know. A service is not woken for it, and one that does not load hides no other."""
        if not self.settings.predict_endpoint:
            return {}
        base, paths, gateway = self.settings.base_path, dict[str, Schema](), self.gateway
        for deployment in gateway.deployments if self.settings.public_documents else gateway.visible(request):
            if deployment.name not in gateway.deployments.reserved and deployment.card is not None:
                needs_token = deployment.row is not None or bool(self.settings.token)
                sold = gateway.sells(deployment)
                paths |= plain_paths(base, deployment.spec, deployment.card, token=needs_token, sold=sold)
        return paths | status_paths(base) if paths else paths
