"""Calling a deployment from a form."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from aiohttp import web

from modelport.deployments.validation import RESERVED
from modelport.errors import ModelportError
from modelport.frontends.dashboard.forms import fields_of
from modelport.frontends.dashboard.rendering import Pages


class Invoking:
    """`/ui/inference/<name>/invoke`."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._gateway = pages.gateway

    async def page(self, request: web.Request) -> web.StreamResponse:
        """At once: the form comes when the module is described, which htmx asks for."""
        deployment = self._gateway.deployments.get(request.match_info["name"])
        values: dict[str, Any] = {"name": deployment.name, "row": deployment.row, "form": False, "failure": ""}
        if deployment.card is None and "HX-Request" not in request.headers:
            return self._pages.page(request, "invoke.html", **values)
        try:
            card = await deployment.wait_card()
        except ModelportError as error:
            values["failure"] = error.message
        else:
            values |= {"form": True, "fields": fields_of(card), "url": self._url(request, deployment.name)}
            values["token"] = deployment.token or self._gateway.settings.token
            values["origin"] = self._gateway.proxies.view(request).origin
        part = "HX-Request" in request.headers
        return self._pages.page(request, "_invoke.html" if part else "invoke.html", **values)

    def _url(self, request: web.Request, name: str) -> str:
        """The plain endpoint, which tells of each argument what is wrong; where another door has its name, DEEPaaS'."""
        base, quoted = self._gateway.root(request), quote(name, safe="")
        return f"{base}/v2/models/{quoted}/predict/" if name in RESERVED else f"{base}/{quoted}"
