"""A module's folder that is not installed: what an installation would have done, and what is missing."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import re
import sys
import tempfile
from pathlib import Path
from typing import Any, Iterator, Mapping

from modelport.contract.packaging import Project, text_of


class PlacedPackages:
    """Finds packages that do not lie where their names say, as an editable installation does."""

    def __init__(self, places: Mapping[str, Path]) -> None:
        self.places = dict(places)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        place = self.places.get(name)
        if place is None:
            return None
        init = place / "__init__.py"
        if init.is_file():
            return importlib.util.spec_from_file_location(name, init, submodule_search_locations=[str(place)])
        file = place.with_suffix(".py")
        return importlib.util.spec_from_file_location(name, file) if file.is_file() else None


def prepend(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def make_importable(project: Project) -> None:
    for root in reversed(project.roots):
        prepend(root)
    known = [finder for finder in sys.meta_path if isinstance(finder, PlacedPackages)]
    if project.places and not any(finder.places == project.places for finder in known):
        finder: Any = PlacedPackages(project.places)
        sys.meta_path.insert(0, finder)


def provide_metadata(project: Project) -> None:
    """What `importlib.metadata` says of the project, as if it were installed: modules ask it while they are imported.

    A folder at the end of `sys.path`, so that an installation goes first, and that processes which the plugin starts
    find it too. It lies in the temporary folder, which goes with the deployment.
    """
    if not project.name:
        return
    try:
        importlib.metadata.distribution(project.name)
    except importlib.metadata.PackageNotFoundError:
        folder = Path(tempfile.mkdtemp(prefix="metadata-"))
        name = re.sub(r"[^0-9a-z]+", "_", project.name.lower())
        version = re.sub(r"[^0-9A-Za-z.+!]", "_", str(project.core.get("version") or "0"))
        record = folder / f"{name}-{version}.dist-info"
        record.mkdir()
        (record / "METADATA").write_text(core_metadata(project), encoding="utf-8")
        sys.path.append(str(folder))


FIELDS = {
    "Name": "name",
    "Version": "version",
    "Summary": "summary",
    "Home-page": "homepage",
    "Author": "author",
    "Author-email": "author_email",
    "License": "license",
    "Keywords": "keywords",
}


def core_metadata(project: Project) -> str:
    core = {"version": "0", **project.core}
    lines = ["Metadata-Version: 2.1"]
    for label, name in FIELDS.items():
        if core.get(name):
            lines.append(f"{label}: {_one_line(core[name])}")
    lines += [f"Project-URL: {_one_line(url)}" for url in core.get("urls", [])]
    lines += [f"Requires-Dist: {_one_line(require)}" for require in project.requires]
    return "\n".join([*lines, "", readme(project)])


def readme(project: Project) -> str:
    return text_of(project.folder / str(project.core.get("readme") or "README.md"))


def _one_line(value: Any) -> str:
    return " ".join(str(value).split())


# What is missing


def missing_imports(folder: Path) -> list[str]:
    """Top-level packages that files below `folder` import in any case, and that are not there."""
    names: set[str] = set()
    for path in sorted(folder.rglob("*.py"))[:FILES_LIMIT]:
        parts = path.relative_to(folder).parts
        if not any(part.startswith((".", "test")) or part in ("docs", "setup.py") for part in parts):
            names.update(_imports(path))
    return sorted(name for name in names if name not in sys.modules and spec_of(name) is None)


FILES_LIMIT = 500


def _imports(path: Path) -> Iterator[str]:
    """Only those at the top: others may be meant for another case."""
    try:
        body = ast.parse(text_of(path)).body
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def spec_of(name: str) -> Any:
    """Where a top-level package or module lies, which is not imported for it; None where there is none."""
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
