"""Starting a training: which deployment, and then its form."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from aiohttp import web

from modelport.errors import ModelportError
from modelport.frontends.dashboard.forms import fields_of
from modelport.frontends.dashboard.rendering import Pages


class TrainingPages:
    """`/ui/trainings/new`, `/ui/inference/<name>/train`."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._gateway = pages.gateway

    async def choose(self, request: web.Request) -> web.StreamResponse:
        """Of a deployment that has not been loaded yet nobody knows whether it can train."""
        found = sorted(self._gateway.deployments, key=lambda each: each.name)
        able = [each for each in found if each.card is None or "train" in each.card.capabilities]
        return self._pages.page(request, "choose_training.html", found=able, any=bool(found))

    async def form(self, request: web.Request) -> web.StreamResponse:
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
                base, quoted = self._gateway.root(request), quote(deployment.name, safe="")
                values |= {"form": True, "able": "train" in card.capabilities, "fields": fields_of(card, "train")}
                values["url"] = f"{base}/v2/models/{quoted}/train/"
                values["token"] = deployment.token or self._gateway.settings.token
                values["origin"] = self._gateway.proxies.view(request).origin
        return self._pages.page(request, "_train.html" if part else "train.html", **values)
