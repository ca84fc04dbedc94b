"""The form of a new deployment, and of one that is to be changed. What it says goes to the public API."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from modelport.catalogue import Module
from modelport.deployments.memory import machine_memory_bytes
from modelport.deployments.validation import NAME_LIMIT, TITLE_LIMIT, default_name
from modelport.errors import ModelportError
from modelport.frontends.dashboard.rendering import Section
from modelport.store.deployments import DeploymentRow


@dataclass(frozen=True)
class Machine:
    """What there is here."""

    cpus: int
    memory_bytes: int
    gpus: int

    @classmethod
    def look(cls) -> Machine:
        gpus = sum(1 for path in Path("/dev").glob("nvidia[0-9]*"))
        return cls(len(os.sched_getaffinity(0)), machine_memory_bytes(), gpus)

    def lacks(self, asked: dict[str, float]) -> list[str]:
        """A sentence for each thing of which the module asks for more than there is."""
        missing = []
        if asked.get("cpu", 0) > self.cpus:
            missing.append(f"The module asks for {asked['cpu']:g} CPUs; this machine has {self.cpus}.")
        if asked.get("memory_MB", 0) * 1e6 > self.memory_bytes:
            has = f"{self.memory_bytes / 1e6:,.0f} MB"
            missing.append(f"The module asks for {asked['memory_MB']:,.0f} MB of memory; this machine has {has}.")
        if asked.get("gpu", 0) > self.gpus:
            plural = "s" if asked["gpu"] != 1 else ""
            missing.append(f"The module asks for {asked['gpu']:g} GPU{plural}; this machine has {self.gpus or 'none'}.")
        return missing


class Deploying(Section):
    """`/ui/deploy?module=…`, `/ui/inference/<name>/edit`."""

    async def form(self, request: web.Request) -> web.StreamResponse:
        catalogue = self._gateway.catalogue
        id = request.query.get("module", "")
        if not id:
            modules = [module for module in await catalogue.modules() if module.is_here]
            modules.sort(key=lambda module: module.title.casefold())
            return self._pages.page(request, "choose.html", modules=modules)
        module, machine = await catalogue.here(id), Machine.look()
        asked = dict(module.about.resources.get("inference", {}))
        return self._form(request, module, _asked(module, asked, machine), machine, "", machine.lacks(asked))

    async def edit(self, request: web.Request) -> web.StreamResponse:
        row = self._gateway.services.get(request.match_info["name"])
        return self._form(request, await self._module(row.module, row.python), row, Machine.look(), row.name)

    def _form(
        self,
        request: web.Request,
        module: Module,
        row: DeploymentRow,
        machine: Machine,
        name: str,
        lacks: Sequence[str] = (),
    ) -> web.Response:
        """name: of the deployment; empty for a new one."""
        settings = self._gateway.settings
        shown: dict[str, Any] = {"module": module, "name": name, "lacks": lacks, "machine": machine}
        shown |= {"name_limit": NAME_LIMIT, "title_limit": TITLE_LIMIT}
        defaults = {field: getattr(settings, field) for field in ("min_workers", "max_workers", "idle_s")}
        defaults["timeout_s"] = settings.predict_timeout_s
        values = vars(row) | {field: value for field, value in defaults.items() if getattr(row, field) is None}
        values["memory"] = f"{row.memory_bytes // 2**20}Mi" if row.memory_bytes else ""
        return self._pages.page(request, "deploy.html", values=values, **shown)

    async def _module(self, module: str, python: str | None) -> Module:
        """As the catalogue knows it; one that has gone from there can be edited all the same."""
        try:
            for known in await self._gateway.catalogue.modules():
                if (known.module, known.python) == (module, python):
                    return known
        except ModelportError:
            pass
        return Module(id="", name=module, module=module, python=python)


def _asked(module: Module, asked: dict[str, float], machine: Machine) -> DeploymentRow:
    """What the module asks for, as far as it is there."""
    memory_bytes = math.ceil(asked.get("memory_MB", 0) * 1e6 / 2**20) * 2**20
    return DeploymentRow(
        default_name(module.name),
        module.module,
        title=module.title if module.title != module.name else "",
        cpu=min(asked["cpu"], machine.cpus) if asked.get("cpu") else None,
        memory_bytes=memory_bytes if memory_bytes <= machine.memory_bytes else None,
    )
