"""Forms that call a deployment: a prediction's, a training's."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from aiohttp import web

from modelport.errors import ModelportError
from modelport.frontends.dashboard.forms import fields_of
from modelport.frontends.dashboard.rendering import Section


class CallForms(Section):
    """`/ui/inference/<name>/invoke`, `/ui/inference/<name>/train`, `/ui/trainings/new`."""

    async def invoke(self, request: web.Request) -> web.StreamResponse:
        """Calls the plain endpoint, which tells of each argument what is wrong; where another front end has its name,
        DEEPaaS'."""
        name = request.match_info["name"]
        quoted, hidden = quote(name, safe=""), name in self._gateway.deployments.reserved
        path = f"/v2/models/{quoted}/predict/" if hidden else f"/{quoted}"
        return await self._form(request, "predict", path, "invoke.html")

    async def train(self, request: web.Request) -> web.StreamResponse:
        path = f"/v2/models/{quote(request.match_info['name'], safe='')}/train/"
        return await self._form(request, "train", path, "train.html")

    async def choose(self, request: web.Request) -> web.StreamResponse:
        """Which deployment to train. Of one that has not been loaded yet nobody knows whether it can."""
        deployments = sorted(self._gateway.deployments, key=lambda deployment: deployment.name)
        able = [each for each in deployments if each.card is None or "train" in each.card.capabilities]
        return self._pages.page(request, "choose_training.html", found=able, any=bool(deployments))

    async def _form(self, request: web.Request, method: str, path: str, template: str) -> web.StreamResponse:
        """At once: the form comes when the module is described, which htmx asks for."""
        deployment = self._gateway.deployments.get(request.match_info["name"])
        part = "HX-Request" in request.headers
        values: dict[str, Any] = {"name": deployment.name, "row": deployment.row, "form": False, "failure": ""}
        if deployment.card is not None or part:
            try:
                card = await deployment.wait_card()
            except ModelportError as error:
                values["failure"] = error.message
            else:
                values |= {"form": True, "able": method in card.capabilities, "fields": fields_of(card, method)}
                values["url"] = self._gateway.root(request) + path
                values["token"] = deployment.token or self._gateway.settings.token
                values["origin"] = self._gateway.proxies.view(request).origin
        return self._pages.page(request, f"_{template}" if part else template, **values)
