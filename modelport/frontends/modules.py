"""The door of the marketplace: which modules could be deployed here. For the owner only."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from modelport.catalogue import Module
from modelport.catalogue.search import FIELDS, Query, select
from modelport.frontends.deployments.paths import module_paths
from modelport.http.gate import error_answer
from modelport.http.gateway import Gateway, guarded


class ModulesFrontend:
    """`/modules`, JSON."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        gateway.describers.append(self.openapi_paths)

    def add_routes(self, app: web.Application) -> None:
        all, one = f"{self.gateway.settings.base_path}/modules", f"{self.gateway.settings.base_path}/modules/{{id}}"
        for method, path, handler in (
            ("GET", all, self.list),
            ("POST", f"{all}/refresh", self.refresh),
            ("GET", one, self.show),
            ("GET", f"{one}/card", self.card),
        ):
            app.router.add_route(method, path, guarded(handler, error_answer, check=self.gateway.check_owner))

    async def list(self, request: web.Request) -> web.StreamResponse:
        """?q= words, ?task= and the other filters, each as often as need be, ?sort=name or date."""
        catalogue = self.gateway.catalogue
        found = select(await catalogue.modules(), Query.read(request.query.items()))
        document = {"modules": [plain(each) for each in found], "problems": catalogue.problems}
        return _json(document)

    async def refresh(self, request: web.Request) -> web.StreamResponse:
        """Look everywhere again, and try again what did not load."""
        await self.gateway.catalogue.refresh()
        return await self.list(request)

    async def show(self, request: web.Request) -> web.StreamResponse:
        return _json(plain(await self.gateway.catalogue.get(request.match_info["id"])))

    async def card(self, request: web.Request) -> web.StreamResponse:
        """Imports the module, in a process that ends afterwards, unless that has been done."""
        return _json((await self.gateway.catalogue.card(request.match_info["id"])).to_plain())

    async def openapi_paths(self, request: web.Request) -> dict[str, Any]:
        """Only for who may use them."""
        return module_paths(self.gateway.settings.base_path) if self.gateway.is_owner(request) else {}


def plain(module: Module) -> dict[str, Any]:
    about = module.about
    return {
        "id": module.id,
        "name": module.name,
        "module": module.module,
        "python": module.python,
        "place": module.place,
        "distribution": module.distribution,
        "title": module.title,
        **{name: getattr(about, name) for name in ("summary", "description", "license", "version", "author", "doi")},
        **{name: list(getattr(about, name)) for name in FIELDS.values()},
        "links": [{"label": label, "url": url} for label, url in about.links],
        "created": about.created or None,
        "updated": about.updated or None,
        "resources": {use: dict(amounts) for use, amounts in about.resources.items()},
        "source": module.source,
        "problems": list(module.problems),
        "failure": module.failure or None,
        "capabilities": list(module.capabilities) if module.described else None,
    }


def _json(document: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), headers={"Content-Type": "application/json; charset=utf-8"})
