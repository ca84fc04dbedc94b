"""A module as the rules see it: its folder, what its files say, and what came of running it."""

from __future__ import annotations

import functools
import itertools
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelport.catalogue.scan import Source, scan
from modelport.checks import metadata
from modelport.checks.trial import Trial
from modelport.contract import naming, packaging
from modelport.contract.card import Argument, Card
from modelport.errors import NoSuchPlugin, NotFound
from modelport.settings import Settings

METADATA_FILE = "ai4-metadata.yml"
# Organisations whose repositories the hub takes.
HUB = re.compile(r"https?://github\.com/(ai4os|ai4os-hub|deephdc)/", re.I)
HUB_IMAGE = re.compile(r"(docker\.io/)?ai4oshub/", re.I)
# A file beyond this is data.
TEXT_LIMIT_BYTES = 1 << 20
FILES_LIMIT = 5000


@dataclass(frozen=True)
class Module:
    """name, spec: as a deployment has them. folder: None for a single file, and where only the package is installed."""

    name: str
    spec: str
    folder: Path | None = None
    metadata_file: Path | None = None
    trial: Trial = field(default_factory=Trial)

    def path(self, name: str) -> Path | None:
        """A file in the folder, if it is there."""
        path = None if self.folder is None else self.folder / name
        return path if path is not None and path.is_file() else None

    def text(self, name: str) -> str:
        """Of a file in the folder; "" where there is none."""
        path = self.path(name)
        return packaging.text_of(path) if path is not None else ""

    @functools.cached_property
    def document(self) -> metadata.Document:
        """`ai4-metadata.yml`; an empty one where there is none."""
        file = self.metadata_file
        return metadata.Document() if file is None else metadata.read(file.read_bytes().decode("utf-8", "replace"))

    @functools.cached_property
    def project(self) -> packaging.Project:
        """An empty one where there is no folder."""
        return packaging.Project(Path()) if self.folder is None else packaging.read(self.folder, naming.GROUP)

    @property
    def card(self) -> Card:
        """For rules that are asked only where there is one."""
        assert self.trial.card is not None
        return self.trial.card

    def arguments(self) -> Iterator[tuple[str, Argument]]:
        """With the method that takes them."""
        for method in ("predict", "train"):
            for argument in self.card.arguments(method):
                yield method, argument

    @property
    def for_hub(self) -> bool:
        """Whether its metadata says that the hub builds it."""
        source, image = (str(self.document.get("links", name) or "") for name in ("source_code", "docker_image"))
        return HUB.match(source) is not None or HUB_IMAGE.match(image) is not None

    def files(self) -> Iterator[Path]:
        return itertools.islice(packaging.own_files(self.folder) if self.folder is not None else (), FILES_LIMIT)

    def find_line(self, text: str, *names: str) -> tuple[Path | None, int]:
        """The first of these files that has `text`, and in which line."""
        for name in names:
            for number, line in enumerate(self.text(name).splitlines(), 1):
                if text in line:
                    return self.path(name), number
        return None, 0

    def licence_file(self) -> Path | None:
        paths = sorted(self.folder.iterdir()) if self.folder is not None else []
        named = (path for path in paths if path.name.lower().startswith(("licen", "copying")) and path.is_file())
        return next(named, None)


async def find(name: str, settings: Settings) -> Module:
    """What a command line names. Raises NotFound, NoSuchPlugin."""
    if naming.is_path(name):
        return _at_path(name)
    source = Source(settings.python or sys.executable, "installed")
    modules, _, problems = await scan([source], settings.scan_timeout_s)
    for _, row in modules:
        if naming.same_name(str(row["name"])) == naming.same_name(name):
            return _installed(name, row)
    if "." in name:  # package.module, of which only the interpreter knows where it is
        return Module(naming.last_part(name), name)
    raise NoSuchPlugin(
        f"{name} is not an installed module{''.join(f'; {problem}' for problem in problems)}; "
        f"name one that `modelport modules` lists, or a folder such as ./{name}"
    )


def _at_path(name: str) -> Module:
    path, _ = naming.split_path(name)
    if not os.path.exists(path):
        raise NotFound(f"{name} does not exist; name a module's folder, a Python file or an installed module")
    if not path.is_dir():
        return Module(naming.name_of_path(path), name)
    file = path / METADATA_FILE
    return Module(naming.name_of_path(path), str(path), path, file if file.is_file() else None)


def _installed(name: str, row: dict[str, Any]) -> Module:
    """One that the scan has found; its folder is known if it was installed as it lies there."""
    folder = Path(str(row["folder"])) if row.get("folder") else None
    near = folder / METADATA_FILE if folder is not None else None
    file = near if near is not None and near.is_file() else Path(str(row["file"])) if row.get("file") else None
    return Module(str(row["name"]), name, folder, file)


def shown(path: Path) -> str:
    """From the working folder, if the path is below it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
