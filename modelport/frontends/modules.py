"""The front end of the marketplace: which modules could be deployed here. For the owner only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta, Struct

from modelport.catalogue import Module, provenance
from modelport.catalogue.search import FIELDS, SORTS, Query, select
from modelport.catalogue.sources import AddedSource
from modelport.checks.reports import Report
from modelport.contract.card import Card
from modelport.errors import ModelportError, NotFound
from modelport.http.body import read_struct
from modelport.http.frontend import TEXT, Access, Route
from modelport.http.json_answers import HEADERS, json_answer
from modelport.http.operations import DescribedFrontend, query

JSON_LD = "application/ld+json"
SEVERAL = "One of these values must be there; may be repeated"
FILTERS = (
    query("q", "Words; each must be found"),
    *(query(name, SEVERAL, {"type": "array", "items": TEXT}) for name in FIELDS),
    query("sort", "By which the modules are sorted", {**TEXT, "enum": [*SORTS], "default": SORTS[0]}),
)


class ModuleLink(Struct):
    label: str
    url: str


class ModuleDocument(Struct, kw_only=True):
    """A module that could be deployed"""

    id: Annotated[str, Meta(description="For the paths here")]
    name: str
    module: Annotated[str, Meta(description="What a deployment is given, with `python`; empty: its code is not here")]
    python: str | None
    place: Annotated[str, Meta(description="Where it was found")]
    origin: Annotated[str, Meta(description="The source that it comes from")]
    versions: Annotated[list[str], Meta(description="The tags of its repository, the newest first")]
    distribution: str
    title: str
    summary: str
    description: str
    license: str
    version: str
    author: str
    doi: str
    libraries: list[str]
    tasks: list[str]
    categories: list[str]
    data_types: list[str]
    tags: list[str]
    links: list[ModuleLink]
    created: str | None
    updated: str | None
    resources: Annotated[dict[str, dict[str, float]], Meta(description="Asked for, by use: inference, training")]
    source: Annotated[str, Meta(description="Where this information comes from")]
    problems: Annotated[list[str], Meta(description="What is wrong with its metadata")]
    failure: Annotated[str | None, Meta(description="Why it does not load")]
    capabilities: Annotated[list[str] | None, Meta(description="null: not known yet")]


class ModulesFound(Struct):
    modules: list[ModuleDocument]
    problems: Annotated[list[str], Meta(description="Of a folder or an environment")]


class NewSource(Struct, forbid_unknown_fields=True):
    """Where modules are"""

    address: Annotated[str, Meta(min_length=1, max_length=2000, description="A path on the server, or a URL")]
    kind: Annotated[str | None, Meta(description="folder, git or catalogue; null: as the address says")] = None


class ModulesFrontend(DescribedFrontend):
    """`/modules`, JSON.

    Of the gateway it needs the catalogue and the checks.
    """

    segments = ("modules",)
    tag = "modules"
    access = Access.OWNER

    def routes(self) -> Iterable[Route]:
        one, listed, named = "/modules/{id}", {200: ModulesFound}, (401, 404)
        report, fails = {200: Report}, (*named, 409, 500, 504)
        source, added, refused = "/modules/sources", {200: AddedSource}, (400, 401, 422)
        known, linked, maps = {200: dict[str, Any]}, {200: JSON_LD}, (*named, 409, 500, 501, 504)
        return (
            self.route("GET /modules", self.list, "modules", "What could be deployed", listed, (401,), FILTERS),
            self.route("POST /modules/refresh", self.refresh, "refresh_modules", "Look again", listed, (401,)),
            self.route(f"GET {source}", self.sources, "sources", "Added sources", {200: list[AddedSource]}, (401,)),
            self.route(f"POST {source}", self.add, "add_source", "Add or fetch again", added, refused, body=NewSource),
            self.route(
                f"DELETE {source}/{{id}}", self.remove, "remove_source", "Remove it", {204: None}, (*named, 409)
            ),
            self.route(f"GET {one}", self.show, "module", "One of them", {200: ModuleDocument}, named),
            self.route(
                f"GET {one}/card", self.card, "module_card", "Its arguments", {200: Card}, (*named, 409, 500, 503)
            ),
            self.route(f"GET {one}/metadata", self.metadata, "module_metadata", "With provenance", known, named),
            self.route(f"GET {one}/metadata.jsonld", self.json_ld, "module_json_ld", "As MLDCAT-AP", linked, maps),
            self.route(f"GET {one}/check", self.last_check, "last_check", "The last report", report, fails),
            self.route(f"POST {one}/check", self.check, "check_module", "Check it", report, fails),
        )

    async def list(self, request: web.Request) -> web.StreamResponse:
        catalogue = self.gateway.catalogue
        modules = select(await catalogue.modules(), Query.read(request.query.items()))
        return json_answer(ModulesFound([document(module) for module in modules], list(catalogue.problems)))

    async def refresh(self, request: web.Request) -> web.StreamResponse:
        """Look everywhere again, and try again what did not load."""
        await self.gateway.catalogue.refresh()
        return await self.list(request)

    async def show(self, request: web.Request) -> web.StreamResponse:
        return json_answer(document(await self.gateway.catalogue.get(request.match_info["id"])))

    async def card(self, request: web.Request) -> web.StreamResponse:
        """Imports the module, in a process that ends afterwards, unless that has been done."""
        return json_answer((await self.gateway.catalogue.card(request.match_info["id"])).to_plain())

    async def metadata(self, request: web.Request) -> web.StreamResponse:
        return json_answer(await self._metadata(request))

    async def json_ld(self, request: web.Request) -> web.StreamResponse:
        """By the program `ai4-metadata`, if it is installed on the server."""
        text = await provenance.json_ld(await self._metadata(request), self.gateway.settings.check_timeout_s)
        return web.Response(body=text, headers={**HEADERS, "Content-Type": JSON_LD})

    async def _metadata(self, request: web.Request) -> dict[str, Any]:
        catalogue = self.gateway.catalogue
        return await provenance.document(catalogue, await catalogue.get(request.match_info["id"]))

    async def sources(self, request: web.Request) -> web.StreamResponse:
        return json_answer([*self.gateway.catalogue.sources])

    async def add(self, request: web.Request) -> web.StreamResponse:
        """It is fetched before the answer."""
        new = await read_struct(request, self.gateway.settings, NewSource)
        return json_answer(await self.gateway.catalogue.sources.add(new.address.strip(), new.kind or ""))

    async def remove(self, request: web.Request) -> web.StreamResponse:
        await self.gateway.catalogue.remove_source(request.match_info["id"])
        return web.Response(status=204)

    async def check(self, request: web.Request) -> web.StreamResponse:
        """Loads the module and asks it, in processes that end afterwards."""
        module = await self.gateway.catalogue.here(request.match_info["id"])
        return json_answer(await self.gateway.checks.check(module))

    async def last_check(self, request: web.Request) -> web.StreamResponse:
        module = await self.gateway.catalogue.get(request.match_info["id"])
        last = self.gateway.checks.last(module)
        if last is None:
            raise NotFound(f"{module.id} has not been checked since the server started; POST here checks it")
        if isinstance(last, ModelportError):
            raise last
        return json_answer(last)


def document(module: Module) -> ModuleDocument:
    about = module.about
    facts = {**vars(about), **vars(module), "title": module.title, "failure": module.failure or None}
    facts |= {"created": about.created or None, "updated": about.updated or None}
    facts["links"] = [ModuleLink(label, url) for label, url in about.links]
    facts["capabilities"] = module.capabilities if module.described else None
    return ModuleDocument(**{name: facts[name] for name in ModuleDocument.__struct_fields__})
