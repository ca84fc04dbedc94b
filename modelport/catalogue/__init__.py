"""The catalogue: which modules could be deployed here, and what is known of them.

Modules are found where they are installed (the server's own interpreter, those of the setting `module_pythons`) and in
folders (`module_folders`), by a child process that imports none of them. What was found holds until something changes.
The owner may add further sources (`sources.py`). The code of what a catalogue lists may be elsewhere.
A module is imported, in a process of its own that ends afterwards, to learn its arguments: when somebody wants to know
them, and for a module without a metadata file when somebody looks at the list.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelport.catalogue import rows
from modelport.catalogue.about import About
from modelport.catalogue.scan import Rows, Source, scan, stamps
from modelport.catalogue.sources import GIT, Sources
from modelport.contract.card import Card
from modelport.contract.naming import is_path, split_path
from modelport.deployments.deployments import Deployment, DeploymentRow, Deployments
from modelport.errors import Conflict, LoadFailed, ModelportError, NotFound
from modelport.settings import Settings
from modelport.store import Store
from modelport.store.values import delete_value, get_values, set_value
from modelport.tasks import Tasks

KEPT = "module-card/"
# Whether files have changed is looked at no more often than this.
LOOK_S = 1.0
# If one of these changes, what was learnt of a module holds no longer.
IDENTITY = ("name", "module", "value", "version", "modified")


@dataclass(frozen=True, eq=False)  # it never changes: whoever keeps what was made of one knows it by its identity
class Module:
    """A module that could be deployed.

    id: for addresses; no two have the same. module, python: what a deployment is given; module is empty where the code
    is elsewhere. origin: the source that it comes from. versions: the tags of its repository. place: where it was
    found, for people. problems: what is wrong with its metadata. failure: why it does not load.
    described: its card is known. looking: it is being found out. named: on the server's command line.
    """

    id: str
    name: str
    module: str
    python: str | None = None
    place: str = ""
    origin: str = ""
    versions: tuple[str, ...] = ()
    value: str = ""
    distribution: str = ""
    about: About = field(default_factory=About)
    source: str = ""  # of what is known: the metadata file, get_metadata(), or the package
    problems: tuple[str, ...] = ()
    failure: str = ""
    capabilities: tuple[str, ...] = ()
    described: bool = False
    looking: bool = False
    named: bool = False
    key: str = field(default="", repr=False)
    row: dict[str, Any] = field(default_factory=dict, repr=False)  # as it was found

    @property
    def title(self) -> str:
        return self.about.title or self.name

    @property
    def is_here(self) -> bool:
        """Whether it can be deployed."""
        return bool(self.module)


class Catalogue:
    """All modules; scanned when first asked for, and again when something has changed."""

    def __init__(
        self, settings: Settings, store: Store, deployments: Deployments, folder: Path, sources: Sources
    ) -> None:
        """folder: for the files of modules that are being described; it need not exist."""
        self.sources = sources
        self._settings = settings
        self._store = store
        self._deployments = deployments
        self._folder = folder
        self._scanned: Rows | None = None
        self._scans = 0
        self._seen = 0  # of the changes of the sources
        self._made: tuple[Any, list[Module]] | None = None
        self._stamps: dict[str, int] = {}
        self._looked = 0.0
        self._scanning = asyncio.Lock()
        self._cards: dict[str, Card] = {}
        self._failures: dict[str, str] = {}
        self._describing = asyncio.Lock()
        self._coming: dict[str, asyncio.Task[Card]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._tasks = Tasks("catalogue")
        self._count = 0
        self.problems: list[str] = []  # of whole sources: an interpreter or a folder that cannot be looked at

    async def modules(self) -> list[Module]:
        """All, in no order that means anything."""
        await self._scan(again=False)
        return list(self._modules())

    async def get(self, id: str) -> Module:
        """Raises NotFound."""
        for module in await self.modules():
            if module.id == id:
                return module
        raise NotFound(f"there is no module called {id[:100]}")

    async def here(self, id: str) -> Module:
        """One that can be loaded. Raises NotFound, Conflict."""
        module = await self.get(id)
        if not module.is_here:
            repository = module.about.repository
            how = f"add its repository, {repository}" if repository else "its catalogue names no repository"
            raise Conflict(f"the code of {id} is not on this server: {how}")
        return module

    async def remove_source(self, id: str) -> None:
        """Raises NotFound, and Conflict while services run from what was fetched for it."""
        source = self.sources.get(id)
        fetched = source.path if source.kind == GIT else None
        names = [row.name for row in self._deployments if fetched and _is_below(row.spec.module, fetched)]
        if names:
            raise Conflict(f"{', '.join(names)} runs from this source; undeploy it first")
        await self.sources.remove(id)

    async def refresh(self) -> None:
        """Look at everything again, fetch the catalogues, and try again what did not load."""
        self._failures.clear()
        await self.sources.refresh()
        await self._scan(again=True)

    async def card(self, id: str) -> Card:
        """A module described; from a deployment of it, or by importing it in a process that ends afterwards.

        Raises NotFound, Conflict, LoadFailed.
        """
        module = await self.here(id)
        if (card := self._card(module.module, module.python, module.key)) is not None:
            return card
        if module.key in self._failures:
            raise LoadFailed(self._failures[module.key])
        return await asyncio.shield(self._describe_soon(module))

    def look_soon(self) -> None:
        """Describe, one after another, the modules of which nothing else tells what they are."""
        if self._looking is None or self._looking.done():
            self._looking = self._tasks.spawn(self._look(), cancel=True)

    async def stop(self) -> None:
        await self._tasks.end()

    # Scanning

    async def _scan(self, *, again: bool) -> None:
        async with self._scanning:
            now, changes = time.monotonic(), self.sources.changes
            if not again and self._scanned is not None and changes == self._seen:
                if now - self._looked < LOOK_S:
                    return
                self._looked = now
                if await asyncio.to_thread(stamps, self._stamps) == self._stamps:
                    return
            first = self._scanned is None
            scanned, watched, problems = await scan(self._sources(), self._settings.scan_timeout_s)
            scanned += await self.sources.entries()
            self.problems, self._seen = problems + self.sources.problems, changes
            self._stamps = await asyncio.to_thread(stamps, watched)
            await asyncio.to_thread(rows.read_files, [row for _, row in scanned])
            self._looked = time.monotonic()
            self._scanned = scanned
            self._scans += 1
            if first:
                await self._restore()
            if not problems:
                await self._forget_others({module.key for module in self._modules()})

    def _sources(self) -> list[Source]:
        pythons = [part.strip() for part in self._settings.module_pythons.split(",") if part.strip()]
        folders = [part.strip() for part in self._settings.module_folders.split(",") if part.strip()]
        return [
            Source(self._settings.python or sys.executable, "installed", python=None),
            *(Source(os.path.expanduser(python), python, python=os.path.expanduser(python)) for python in pythons),
            *(Source(sys.executable, folder, folder=os.path.abspath(os.path.expanduser(folder))) for folder in folders),
            *self.sources.folders(),
        ]

    async def _restore(self) -> None:
        """Cards of an earlier run."""
        for key, text in (await self._store.read(get_values, KEPT)).items():
            try:
                self._cards[key] = Card.from_plain(json.loads(text))
            except (ValueError, TypeError, AttributeError, LookupError):  # of another version
                await self._store.write(delete_value, KEPT + key)

    async def _forget_others(self, keys: set[str]) -> None:
        """What was learnt of modules that have changed or gone since."""
        self._failures = {key: failure for key, failure in self._failures.items() if key in keys}
        for key in self._cards.keys() - keys:
            del self._cards[key]
            await self._store.write(delete_value, KEPT + key)

    # Modules

    def _modules(self) -> list[Module]:
        """As long as nothing new is known of any, the same ones."""
        deployed = {point: id(card) for point, card in self._deployed().items()}
        state = (self._scans, deployed, len(self._cards), dict(self._failures), set(self._coming))
        if self._made is None or self._made[0] != state:
            taken = Counter({"sources": 1})  # a path here has this name
            shown = rows.with_named(rows.once(self._scanned or []), self._deployments)
            self._made = state, [self._module(source, row, taken) for source, row in shown]
        return self._made[1]

    def _module(self, source: Source, row: dict[str, Any], taken: Counter[str]) -> Module:
        """With all that is known of it."""
        name, module = str(row["name"]), str(row["module"])
        id = name.replace("/", "-")
        if id in taken:
            id += "~" + _digest(source.label, module)[:6]
        while number := taken[id]:
            taken[id] += 1
            id += f"~{number}"
        taken[id] = 1
        key = _digest(source.label, *(str(row.get(name)) for name in IDENTITY))
        card = self._card(module, source.python, key)
        about, origin, problems = rows.said(row, card)
        return Module(
            id=id,
            name=name,
            module=module,
            python=source.python,
            place=source.label if source.folder is None else module,
            origin=source.label,
            versions=source.versions,
            value=str(row.get("value", "")),
            distribution=str(row.get("distribution", "")),
            about=about,
            source=origin,
            problems=tuple(problems),
            failure=str(row.get("failure") or self._failures.get(key, "")),
            capabilities=tuple(card.capabilities) if card is not None else (),
            described=card is not None,
            looking=key in self._coming,
            named=bool(row.get("named")),
            key=key,
            row=row,
        )

    def _card(self, module: str, python: str | None, key: str) -> Card | None:
        return self._deployed().get((module, python)) or self._cards.get(key)

    def _deployed(self) -> dict[tuple[str, str | None], Card]:
        """The cards of what is deployed, by module and interpreter."""
        return {
            (deployment.spec.module, deployment.spec.python): deployment.card
            for deployment in self._deployments
            if deployment.card
        }

    # Describing

    async def _look(self) -> None:
        """Whatever a metadata file tells of needs no import to be shown."""
        for module in await self.modules():
            if module.is_here and module.source == "package" and not module.failure:
                with contextlib.suppress(ModelportError):  # shown with the module
                    await asyncio.shield(self._describe_soon(module))

    def _describe_soon(self, module: Module) -> asyncio.Task[Card]:
        if module.key not in self._coming:
            self._coming[module.key] = self._tasks.spawn(self._describe(module), cancel=True, awaited=True)
        return self._coming[module.key]

    async def _describe(self, module: Module) -> Card:
        try:
            return await self._describe_now(module)
        except Exception as error:
            self._failures[module.key] = error.message if isinstance(error, ModelportError) else type(error).__name__
            raise
        finally:
            del self._coming[module.key]

    async def _describe_now(self, module: Module) -> Card:
        # One at a time: modules are heavy, and nobody has asked for speed.
        async with self._describing:
            self._count += 1
            spec = DeploymentRow(module.name, module.module, module.python, max_workers=1, min_workers=0)
            deployment = Deployment(spec, self._settings, self._folder / str(self._count))
            try:
                card = self._cards[module.key] = await deployment.start()
            finally:
                await deployment.stop()
                await deployment.remove_folder()
        text = await asyncio.to_thread(lambda: json.dumps(card.to_plain()))
        with contextlib.suppress(ModelportError):  # it is only a copy
            await self._store.write(set_value, KEPT + module.key, text)
        return card


def _is_below(module: str, folder: str) -> bool:
    return is_path(module) and split_path(module)[0].is_relative_to(os.path.realpath(folder))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def counted(modules: Sequence[Module]) -> dict[str, int]:
    """How many are being looked at, and how many have something wrong."""
    return {
        "looking": sum(module.looking for module in modules),
        "failed": sum(bool(module.failure or module.problems) for module in modules),
    }
