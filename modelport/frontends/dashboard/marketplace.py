"""The marketplace: what could be deployed, and one module's page."""

from __future__ import annotations

import asyncio
import os
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from markupsafe import Markup

from modelport.catalogue import Module, counted, provenance, rows
from modelport.catalogue.search import FIELDS, Query, choices, select
from modelport.checks.reports import Report
from modelport.checks.rule import LEVELS
from modelport.checks.rules import RULES
from modelport.errors import ModelportError
from modelport.frontends.dashboard.examples import cards_of, send_file
from modelport.frontends.dashboard.rendering import Section

LABELS = {
    "library": "Libraries",
    "task": "Tasks",
    "category": "Categories",
    "data_type": "Data types",
    "tag": "Tags",
}
# A filter with more values shows the rest when asked.
SHOWN_CHOICES = 8
RULE_TEXTS = {rule.id: rule.text for rule in RULES}


class Marketplace(Section):
    """`/ui/`, `/ui/modules/<id>`."""

    async def overview(self, request: web.Request) -> web.StreamResponse:
        """The whole page, or for htmx only what a search changes."""
        if request.query.get("refresh") == "1":
            await self._gateway.catalogue.refresh()
        modules = await self._gateway.catalogue.modules()
        self._gateway.catalogue.look_soon()
        query = Query.read(request.query.items())
        shown = sorted(select(modules, query), key=lambda module: not module.named)
        values: dict[str, Any] = {
            "query": query,
            "cards": self._cards(request, shown),
            "total": len(modules),
            "any_service": any(True for _ in self._gateway.deployments),
            "counted": counted(modules),
            "problems": self._gateway.catalogue.problems,
            "sources": [*self._gateway.catalogue.sources],
            "filters": {LABELS[name]: (name, values) for name, values in choices(modules, query).items() if values},
            "shown": SHOWN_CHOICES,
            "here": self._address(request, query),
        }
        # The filters stay where they are, lest an answer undo what was chosen meanwhile; their numbers follow.
        values["part"] = part = "HX-Request" in request.headers and "HX-History-Restore-Request" not in request.headers
        is_search = part and "look" not in request.query  # and not the results looking after themselves
        headers = {"HX-Replace-Url": values["here"]} if is_search else {}
        return self._pages.page(request, "_modules.html" if part else "modules.html", headers=headers, **values)

    def _cards(self, request: web.Request, modules: list[Module]) -> list[Markup]:
        deployed = self._deployed()
        running = [len(deployed.get((module.module, module.python), ())) for module in modules]
        return [
            self._pages.piece(request, "_card.html", (module, number), module=module, running=number)
            for module, number in zip(modules, running, strict=True)
        ]

    def _address(self, request: web.Request, query: Query) -> str:
        """Of this search: without what is empty, so that it can be kept and sent to others."""
        pairs = [("q", query.text)] if query.text.strip() else []
        pairs += [(name, value) for name in FIELDS for value in sorted(query.chosen.get(name, ()))]
        pairs += [("sort", query.sort)] if query.sort != "name" else []
        return self._pages.url(request) + (f"?{urlencode(pairs)}" if pairs else "")

    def _deployed(self) -> dict[tuple[str, str | None], list[str]]:
        """Names of deployments by module and interpreter."""
        names: dict[tuple[str, str | None], list[str]] = {}
        for deployment in self._gateway.deployments:
            names.setdefault((deployment.spec.module, deployment.spec.python), []).append(deployment.name)
        return names

    async def show(self, request: web.Request) -> web.StreamResponse:
        module = await self._gateway.catalogue.get(request.match_info["id"])
        names = self._deployed().get((module.module, module.python), [])
        mapped = await asyncio.to_thread(provenance.tool) is not None
        readme = rows.readme(module.row)
        values: dict[str, Any] = {"mapped": mapped, "readme": readme if readme != module.about.description else ""}
        values |= {"names": sorted(names), "facts": _facts(module), **self._checked(module)}
        return self._pages.page(request, "module.html", module=module, **values)

    async def check(self, request: web.Request) -> web.StreamResponse:
        """The panel, which asks again while a check runs."""
        module = await self._gateway.catalogue.get(request.match_info["id"])
        return self._pages.page(request, "_check.html", module=module, **self._checked(module))

    def _checked(self, module: Module) -> dict[str, Any]:
        checks = self._gateway.checks
        last = checks.last(module)
        report, failure = (None, last.message) if isinstance(last, ModelportError) else (last, "")
        groups = _groups(report) if report is not None else []
        return {"running": checks.is_running(module), "report": report, "failure": failure, "groups": groups}

    async def arguments(self, request: web.Request) -> web.StreamResponse:
        """Asked for by the module's page: the module may have to be imported for it."""
        module = await self._gateway.catalogue.get(request.match_info["id"])
        values: dict[str, Any] = {"module": module, "failure": "", "card": None, "tables": [], "examples": []}
        values["names"] = sorted(self._deployed().get((module.module, module.python), []))
        try:
            values["card"] = card = await self._gateway.catalogue.card(module.id)
        except ModelportError as error:
            values["failure"] = error.message
        else:
            train = [("Training", card.train_args)] if "train" in card.capabilities else []
            values["tables"] = [("Prediction", card.predict_args), *train]
            address = self._pages.url(request, "modules", module.id, "examples")
            values["examples"] = await cards_of(card, module.module, address)
        return self._pages.page(request, "_arguments.html", **values)

    async def example(self, request: web.Request) -> web.StreamResponse:
        module = await self._gateway.catalogue.get(request.match_info["id"])
        return await send_file(await self._gateway.catalogue.card(module.id), module.module, request.match_info["file"])


def _groups(report: Report) -> list[tuple[str, list[dict[str, Any]]]]:
    """(level, findings) from the worst on. Files are shown as they lie in the module's folder."""
    rows: dict[str, list[dict[str, Any]]] = {level: [] for level in LEVELS}
    for finding in report.findings:
        file = os.path.abspath(finding.file) if finding.file else ""
        if report.folder and os.path.commonpath([file or "/", report.folder]) == report.folder:
            file = os.path.relpath(file, report.folder).removeprefix(".")
        row = {"rule": finding.rule, "must": RULE_TEXTS.get(finding.rule, ""), "message": finding.message}
        rows[finding.level].append({**row, "place": f"{file}:{finding.line}" if finding.line else file})
    return list(rows.items())


def _facts(module: Module) -> list[tuple[str, tuple[str, ...], str]]:
    """(label, values, the filter that they are of) for the right column."""
    about = module.about
    lists = [(LABELS[name], getattr(about, attribute), name) for name, attribute in FIELDS.items()]
    return [row for row in lists if row[1]]
