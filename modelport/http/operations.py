"""Our own front ends that are described in /openapi.json: which handler answers, and what is said of it, in one row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from aiohttp import web

from modelport.describe.documents import Schema
from modelport.http.frontend import TEXT, Access, GatewayFrontend, Route, path_items
from modelport.http.gateway import Gateway, Handler, guarded
from modelport.http.json_answers import error_answer

YES: Schema = {"type": "string", "enum": ["1"]}


class DescribedFrontend(GatewayFrontend):
    """A front end whose routes are all described, under its tag.

    access: of routes that say nothing else. OWNER: nobody else is told of any of them.
    """

    tag: ClassVar[str]
    access: ClassVar[Access] = Access.ANYONE

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        gateway.describers.append(self.openapi_paths)

    def routes(self) -> Iterable[Route]:
        """Those of one path follow each other."""
        raise NotImplementedError

    def route(
        self,
        route: str,
        handler: Handler,
        id: str,
        summary: str,
        answers: Mapping[int, Any],
        errors: Sequence[int] = (),
        parameters: Sequence[Schema] = (),
        *,
        body: Any = None,
        access: Access | None = None,
    ) -> Route:
        """route: such as "GET /jobs/{id}"."""
        method, _, path = route.partition(" ")
        access = self.access if access is None else access
        return Route(method, path, handler, access, summary, answers, errors, parameters, body, id)

    def add_routes(self, app: web.Application) -> None:
        """A path has the name of its first operation."""
        names: dict[str, str] = {}
        for route in self.routes():
            path = self.gateway.settings.base_path + route.path
            check = self.gateway.check_owner if route.access is Access.OWNER else None
            handler = guarded(route.handler, error_answer, check=check)
            app.router.add_route(route.method, path, handler, name=names.setdefault(path, route.id))

    async def openapi_paths(self, request: web.Request) -> dict[str, Schema]:
        if self.access is Access.OWNER and not self.gateway.is_owner(request):
            return {}
        base = self.gateway.settings.base_path
        return {base + path: item for path, item in path_items(self.routes(), self.tag).items()}


def query(name: str, description: str, schema: Any = TEXT, *, required: bool = False) -> Schema:
    return {"name": name, "in": "query", "required": required, "description": description, "schema": schema}


def next_page(gateway: Gateway, request: web.Request, after: str) -> str | None:
    """The path of the same list, one page on; None behind the last."""
    return f"{gateway.proxies.view(request).prefix}{request.rel_url.update_query(after=after)}" if after else None


def asks_for(request: web.Request, name: str) -> bool:
    """Whether the query has `name=1`, or another word for it."""
    return request.query.get(name, "").lower() in ("1", "true", "yes")
