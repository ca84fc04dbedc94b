"""The deployments: their list, one's page with how to call it, and its log."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from modelport.contract.card import Card
from modelport.deployments.deployments import Deployment
from modelport.describe import snippets
from modelport.errors import ModelportError
from modelport.frontends.dashboard.filters import when
from modelport.frontends.dashboard.rendering import Section, digest
from modelport.http.deployment_documents import deployment_document
from modelport.http.frontend import ExampleCall, Frontend

# (id, label, text) of how to call a deployment, to be pasted.
Snippet = tuple[str, str, str]


class Inference(Section):
    """`/ui/inference`, `/ui/inference/<name>`, `/ui/inference/<name>/logs`."""

    async def overview(self, request: web.Request) -> web.StreamResponse:
        """The page; for htmx the table alone, and nothing where it has not changed since `seen`."""
        rows = await self._pages.deployments(request)
        seen = digest(rows, [when(row.created) for row in rows])
        return self._pages.fresh(request, "inference.html", "_deployments.html", seen, rows=rows)

    async def info(self, request: web.Request) -> web.StreamResponse:
        deployment = self._gateway.deployments.get(request.match_info["name"])
        facts, spec = deployment_document(self._gateway, request, deployment), deployment.spec
        values: dict[str, Any] = {"facts": facts, "spec": spec}
        if "HX-Request" not in request.headers:
            # A module named on the command line shares the server's token.
            called = msgspec.to_builtins(facts) | {"token": facts.token or self._gateway.settings.token}
            values |= {"called": called, "plain_url": snippets.plain_url(called)}
            values["snippets"] = await self._snippets(deployment, called)
            values["own_keys"] = self._gateway.bucket_jobs is not None and self._gateway.bucket_jobs.tree is not None
        seen = digest(facts, spec, when(facts.created))
        return self._pages.fresh(request, "info.html", "_details.html", seen, **values)

    async def _snippets(self, deployment: Deployment, called: dict[str, Any]) -> list[Snippet]:
        """With the module's arguments where they are known: a page does not wait for a module to load."""
        card = deployment.card
        try:
            card = card or (await deployment.wait_card() if deployment.row is None else None)
        except ModelportError:
            card = None
        own = [] if card is None else self._of_frontends(called, card)
        return [
            ("python", "Python", snippets.python(called, card)),
            ("curl", "curl", "\n".join(snippets.shell(called, card))),
            ("command", "Command line", "\n".join(snippets.command_line(called, card))),
            *([("boto3", "Python: asynchronous", snippets.asynchronous(called, card))] if called["bucket"] else []),
            *own,
            ("help", "Python: help", snippets.python(called, None)),
        ]

    def _of_frontends(self, called: dict[str, Any], card: Card) -> list[Snippet]:
        values, files = snippets.examples(card, called["module"])
        url = str(called["endpoint"]).rpartition("/run/")[0]
        call = ExampleCall(called["name"], url, called["token"] or "", card, values, files)
        frontends = [each for each in self._gateway.frontends.values() if isinstance(each, Frontend)]
        listed = [snippet for frontend in frontends for snippet in frontend.snippets(call)]
        return [(f"own-{number}", snippet.label, snippet.text) for number, snippet in enumerate(listed)]

    async def logs(self, request: web.Request) -> web.StreamResponse:
        deployment = self._gateway.deployments.get(request.match_info["name"])
        facts = deployment_document(self._gateway, request, deployment)
        return self._pages.page(request, "logs.html", facts=facts)
