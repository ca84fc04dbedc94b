"""Forms that call a deployment: a prediction's with its last runs, a training's."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from aiohttp import web

from modelport.contract.job import Job
from modelport.deployments.deployments import Deployment
from modelport.errors import ModelportError, NotFound
from modelport.frontends.dashboard import runs
from modelport.frontends.dashboard.examples import cards_of, send_file
from modelport.frontends.dashboard.forms import fields_of
from modelport.frontends.dashboard.rendering import POLICY, Section
from modelport.http.job_documents import JobDocuments

# The browser fetches files from addresses that are typed into the form. Nothing but files of ours can ask for them.
FETCHING = {"Content-Security-Policy": POLICY.replace("connect-src 'self'", "connect-src 'self' http: https:")}


class CallForms(Section):
    """`/ui/inference/<name>/` with `invoke`, `runs`, `examples/<file>` and `train`; `/ui/trainings/new`.

    place, form: the first and last parts of the form's address. template: its page.
    """

    place: str = "inference"
    form: tuple[str, ...] = ("invoke",)
    template: str = "invoke.html"

    async def invoke(self, request: web.Request) -> web.StreamResponse:
        """Calls the plain endpoint, which tells of each argument what is wrong; where another front end has its name,
        DEEPaaS'."""
        deployment = self._deployment(request)
        quoted, hidden = quote(deployment.name, safe=""), deployment.name in self._gateway.deployments.reserved
        path = f"/v2/models/{quoted}/predict/" if hidden else f"/{quoted}"
        job = await self._run(request, deployment)
        values: dict[str, Any] = {"runs": await self._runs(request, deployment), "chosen": job.id if job else ""}
        training = await self._run(request, deployment, "training", "train")
        values["training"] = training if job is None else None
        values["query"] = f"?run={job.id}" if job else f"?training={training.id}" if training else ""
        return await self._form(request, "predict", path, self.template, job, **values)

    async def strip(self, request: web.Request) -> web.StreamResponse:
        """The strip alone: asked for when a run has begun or ended."""
        deployment = self._deployment(request)
        values: dict[str, Any] = {"name": deployment.name, **self._places(request)}
        values |= {"runs": await self._runs(request, deployment), "chosen": request.query.get("run", "")}
        return self._pages.page(request, "_runs.html", **values)

    async def example(self, request: web.Request) -> web.StreamResponse:
        deployment = self._deployment(request)
        return await send_file(await deployment.wait_card(), deployment.spec.module, request.match_info["file"])

    async def train(self, request: web.Request) -> web.StreamResponse:
        path = f"/v2/models/{quote(request.match_info['name'], safe='')}/train/"
        return await self._form(request, "train", path, "train.html")

    async def choose(self, request: web.Request) -> web.StreamResponse:
        """Which deployment to train. Of one that has not been loaded yet nobody knows whether it can."""
        deployments = sorted(self._gateway.deployments, key=lambda deployment: deployment.name)
        able = [
            deployment
            for deployment in deployments
            if deployment.card is None or "train" in deployment.card.capabilities
        ]
        return self._pages.page(request, "choose_training.html", deployments=able, any=bool(deployments))

    def _deployment(self, request: web.Request) -> Deployment:
        """Raises NotFound."""
        return self._gateway.deployments.get(request.match_info["name"])

    def _here(self, request: web.Request, *parts: str) -> str:
        """The address of what belongs to this form."""
        return self._pages.url(request, self.place, request.match_info["name"], *parts)

    def _places(self, request: web.Request) -> dict[str, Any]:
        """Of the form and its strip, for templates."""
        here, shared = self._here(request, *self.form), self.place != "inference"
        return {"here": here, "runs_url": self._here(request, "runs"), "shared": shared}

    def _owner(self, request: web.Request) -> str | None:
        """Whose runs are shown; None: everybody's."""
        return None

    def _more(self, request: web.Request, deployment: Deployment) -> dict[str, Any]:
        """For the page: the token, and what only the page of a shared link has."""
        return {"token": deployment.token or self._gateway.settings.token}

    async def _run(
        self, request: web.Request, deployment: Deployment, name: str = "run", method: str = "predict"
    ) -> Job | None:
        """The one that the address names; None where there is none any more."""
        id, owner = request.query.get(name, ""), self._owner(request)
        try:
            job = await self._gateway.jobs.get(id) if id else None
        except NotFound:
            return None
        if job is None or (job.deployment, job.method) != (deployment.name, method):
            return None
        return job if owner in (None, job.owner) else None

    async def _runs(self, request: web.Request, deployment: Deployment) -> list[runs.Run]:
        owner = self._owner(request)
        jobs, _ = await self._gateway.jobs.list([deployment.name], method="predict", owner=owner, limit=runs.SHOWN)
        documents, root = JobDocuments.of(self._gateway, request), self._gateway.root(request)
        return [runs.run_of(job, documents, root) for job in jobs]

    async def _form(
        self,
        request: web.Request,
        method: str,
        path: str,
        template: str,
        job: Job | None = None,
        **more: Any,
    ) -> web.StreamResponse:
        """At once: the form comes when the module is described, which htmx asks for. job: a run to be shown in it."""
        deployment = self._deployment(request)
        part = "HX-Request" in request.headers
        values: dict[str, Any] = {"name": deployment.name, "row": deployment.row, "form": False, "failure": "", **more}
        values |= {**self._places(request), **self._more(request, deployment)}
        if deployment.card is not None or part:
            try:
                card = await deployment.wait_card()
            except ModelportError as error:
                values["failure"] = error.message
            else:
                values |= {"form": True, "able": method in card.capabilities, "fields": fields_of(card, method)}
                address, predicts = self._here(request, "examples"), method == "predict"
                values["examples"] = await cards_of(card, deployment.spec.module, address) if predicts else []
                values["run"] = runs.told(job, card, self._gateway.root(request)) if job is not None else None
                values["url"] = self._gateway.root(request) + path
                values["origin"] = self._gateway.proxies.view(request).origin
        return self._pages.page(request, f"_{template}" if part else template, headers=FETCHING, **values)
