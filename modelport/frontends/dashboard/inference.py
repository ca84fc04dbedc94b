"""The deployments: their list, one's page with how to call it, and its log."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
from aiohttp import web

from modelport.contract.card import Card
from modelport.contract.prediction import UNFINISHED
from modelport.deployments.deployments import Deployment
from modelport.describe.snippets import Call, plain_url
from modelport.errors import ModelportError
from modelport.frontends.dashboard.filters import when
from modelport.frontends.dashboard.rendering import HEADERS, Section, digest
from modelport.http.deployment_documents import DeploymentDocument, deployment_document
from modelport.http.frontend import ExampleCall, Frontend

FILES_COUNTED = 1000

# (id, label, text) of how to call a deployment, to be pasted.
Snippet = tuple[str, str, str]


class Inference(Section):
    """`/ui/inference`, `/ui/inference/<name>`, `/ui/inference/<name>/logs`."""

    async def overview(self, request: web.Request) -> web.StreamResponse:
        rows = await self._pages.deployments(request)
        seen = digest(rows, [when(row.created) for row in rows])
        return self._pages.fresh(request, "inference.html", "_deployments.html", seen, rows=rows)

    async def info(self, request: web.Request) -> web.StreamResponse:
        deployment = self._gateway.deployments.get(request.match_info["name"])
        facts, spec = deployment_document(self._gateway, request, deployment), deployment.spec
        values: dict[str, Any] = {"facts": facts, "spec": spec}
        if "HX-Request" not in request.headers:
            called, card = self._called(facts), await self._card(deployment)
            values |= {"called": called, "plain_url": plain_url(called), "card": card}
            values["snippets"] = await asyncio.to_thread(self._snippets, called, card)
            values["versions"] = self._versions(deployment)
            values["own_keys"] = self._gateway.bucket_jobs is not None and self._gateway.bucket_jobs.tree is not None
        seen = digest(facts, spec, when(facts.created))
        return self._pages.fresh(request, "info.html", "_figures.html", seen, **values)

    async def state(self, request: web.Request) -> web.StreamResponse:
        """How it is, for its other pages; nothing where that has not changed since `seen`."""
        facts = deployment_document(self._gateway, request, self._gateway.deployments.get(request.match_info["name"]))
        seen = digest(facts.status, facts.busy, facts.queued, facts.workers, facts.failure)
        return self._pages.fresh(request, "_service_state.html", "_service_state.html", seen, facts=facts)

    async def belongings(self, request: web.Request) -> web.StreamResponse:
        """What goes with it when it is deleted, and what stays: for the question before."""
        name = self._gateway.deployments.get(request.match_info["name"]).name
        jobs = self._gateway.jobs
        return self._pages.page(
            request,
            "_belongings.html",
            jobs=await jobs.count([name], method="predict"),
            trainings=await jobs.count([name], method="train"),
            unfinished=await jobs.count([name], statuses=UNFINISHED),
            files=await self._files(name),
            limit=FILES_COUNTED,
        )

    async def _files(self, name: str) -> int | None:
        """How many are in its bucket; any more than are counted are one. None: there is none, or it does not answer."""
        access, bucket_jobs = self._gateway.bucket_access(name), self._gateway.bucket_jobs
        if access is None or bucket_jobs is None:
            return None
        try:
            files, more = await bucket_jobs.objects.page(access.bucket, "", limit=FILES_COUNTED)
        except ModelportError:
            return None
        return sum(not file.key.endswith("/") for file in files) + bool(more)  # folders have markers

    def _versions(self, deployment: Deployment) -> list[str]:
        """The services to which its calls may be shifted, by name."""
        others, services = self._gateway.deployments, self._gateway.services
        if deployment.row is None or services.is_temporary(deployment.name) or deployment.price is not None:
            return []
        if others.service_of(deployment.name) is not None:
            return []
        return sorted(
            other.name
            for other in others
            if other is not deployment and other.row is not None and other.row.owner == deployment.row.owner
            if other.shift is None and other.price is None and not services.is_temporary(other.name)
        )

    async def _card(self, deployment: Deployment) -> Card | None:
        """Where it is known: a page does not wait for a module to load."""
        try:
            return deployment.card or (await deployment.wait_card() if deployment.row is None else None)
        except ModelportError:
            return None

    def _snippets(self, called: dict[str, Any], card: Card | None) -> list[Snippet]:
        call = Call(called, card)
        listed = [
            ("python", "Python", call.python()),
            ("client", "Python: modelport", call.client() if card else ""),
            ("requests", "Python: requests", call.requests() if card else ""),
            ("curl", "curl", "\n".join(call.shell())),
            ("command", "Command line", "\n".join(call.command_line())),
            ("javascript", "JavaScript", call.javascript() if card else ""),
            ("r", "R", call.r() if card else ""),
            ("boto3", "Python: asynchronous", call.asynchronous() if call.bucket else ""),
            *(self._of_frontends(call, card) if card else []),
            ("help", "Python: help", Call(called, None).python()),
        ]
        return [snippet for snippet in listed if snippet[2]]

    async def notebook(self, request: web.Request) -> web.StreamResponse:
        """The call, a table and a plot, to be opened in Jupyter."""
        deployment = self._gateway.deployments.get(request.match_info["name"])
        called = self._called(deployment_document(self._gateway, request, deployment))
        call = await asyncio.to_thread(Call, called, await deployment.wait_card())
        text = json.dumps(call.notebook(), indent=1, ensure_ascii=False)
        headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{deployment.name}.ipynb"'}
        return web.Response(text=text, content_type="application/x-ipynb+json", headers=headers)

    def _called(self, facts: DeploymentDocument) -> dict[str, Any]:
        # A module named on the command line shares the server's token.
        return {**msgspec.to_builtins(facts), "token": facts.token or self._gateway.settings.token}

    def _of_frontends(self, call: Call, card: Card) -> list[Snippet]:
        files = {name: paths[0] for name, paths in call.paths.items()}
        example = ExampleCall(call.name, call.root, call.token, card, call.values, files)
        frontends = [frontend for frontend in self._gateway.frontends.values() if isinstance(frontend, Frontend)]
        listed = [snippet for frontend in frontends for snippet in frontend.snippets(example)]
        return [(f"own-{number}", snippet.label, snippet.text) for number, snippet in enumerate(listed)]

    async def logs(self, request: web.Request) -> web.StreamResponse:
        deployment = self._gateway.deployments.get(request.match_info["name"])
        facts = deployment_document(self._gateway, request, deployment)
        return self._pages.page(request, "logs.html", facts=facts)
