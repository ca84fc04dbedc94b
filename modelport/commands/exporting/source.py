"""What is to be exported: a deployment of a running server, or a module that lies here."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

from modelport.catalogue import about as abouts
from modelport.catalogue.about import About
from modelport.catalogue.scan import Source, scan
from modelport.client import AsyncClient
from modelport.commands.exporting.workload import Workload
from modelport.commands.shell import names
from modelport.contract import naming
from modelport.errors import NotFound
from modelport.settings import Settings

# Variables whose values are not written down, whatever is in them.
SECRET = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE|CONNECTION_?STRING|COOKIE"
    r"|(^|_|PG)(KEY|AUTH|PASS|PWD|PAT|JWT|DSN)$",
    re.I,
)
# A name alone may be a token, and a password need not have a name: https://TOKEN@host, redis://:PASSWORD@host.
USERINFO = re.compile(r"://[^/\s@]+@")
NAME_CHARS = 39
HUB_IMAGE = re.compile(r"^https://hub\.docker\.com/r/([\w.-]+/[\w.-]+)$")
MEGABYTE = 1_000_000


async def of_deployment(server: AsyncClient, name: str, command: str) -> Workload:
    """Raises NotFound."""
    deployment = await server.deployment(name)
    about, _ = await looked_up(deployment["module"], deployment["python"])
    return _workload(deployment["name"], deployment["module"], deployment, about, command)


async def of_module(module: str, command: str) -> Workload:
    """Raises NotFound for one that is neither installed nor lies here."""
    about, known = await looked_up(module, None)
    if not known:
        raise NotFound(
            f"there is no deployment and no module {module!r}; `modelport services` lists deployments, "
            "`modelport modules` installed modules, and a folder or file is named by its path"
        )
    return _workload(names.default_name(module), module, {}, about, command)


async def looked_up(module: str, python: str | None) -> tuple[About, bool]:
    """What the module's own metadata say, and whether it is there at all. It is not imported."""
    place = str(naming.split_path(module)[0]) if naming.is_path(module) else ""
    if place and not os.path.isdir(place):  # noqa: ASYNC240 (nothing else runs)
        return About(), os.path.exists(place)  # noqa: ASYNC240
    source = Source(python or sys.executable, "here", folder=place or None)
    modules, _, _ = await scan([source], Settings().scan_timeout_s)
    for _, row in modules:
        if place or naming.same_name(str(row["name"])) == naming.same_name(module):
            written = abouts.of_file(row["text"])[0] if "text" in row else About()
            return written.filled_by(abouts.of_package(row.get("package") or {}, str(row.get("version") or ""))), True
    return About(), False


def _workload(name: str, module: str, options: dict[str, Any], about: About, command: str) -> Workload:
    """options: a deployment's, null where the server decides."""
    own = {key: value for key, value in options.items() if value is not None}
    called = names.default_name(module)
    asked = about.resources.get("inference", {})
    cpu = own.get("cpu") or asked.get("cpu")
    memory_bytes = own.get("memory_bytes") or asked.get("memory_MB", 0) * MEGABYTE
    variables = dict(own.get("environment", {}))
    hidden = [key for key, value in variables.items() if SECRET.search(key) or USERINFO.search(value)]
    return Workload(
        name=_label(name),
        module=called,
        image=f"{called.lower()}:{about.version or 'latest'}",
        command=command,
        path=names.place(module),
        hub_image=_hub_image(about),
        cpu=float(cpu or Workload.cpu),
        memory_bytes=int(memory_bytes or Workload.memory_bytes),
        gpu=int(asked.get("gpu", 0)),
        variables={key: value for key, value in variables.items() if key not in hidden},
        secrets=tuple(sorted({*hidden, *own.get("secrets", [])})),
        assumed=tuple(name for name, value in (("cpu", cpu), ("memory", memory_bytes)) if not value),
        **{name: own[name] for name in ("python", "min_workers", "max_workers", "timeout_s") if name in own},
    )


def _hub_image(about: About) -> str:
    """What the marketplace runs, by the metadata's link to it."""
    images = [HUB_IMAGE.search(url) for label, url in about.links if label == abouts.LINKS["docker_image"]]
    return f"{images[0][1]}:{about.version or 'latest'}" if images and images[0] else ""


def _label(name: str) -> str:
    """As DNS and all platforms accept it."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:NAME_CHARS].strip("-") or "model"
