"""Where plugins are, and what they are called, as far as can be said without importing any: for both processes."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Iterator, NamedTuple
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    import importlib.metadata

    from modelport.contract.packaging import Project

GROUP = "deepaas.v2.model"
# A module of this name says nothing of the model; its package does.
PLAIN_NAMES = ("api", "predict", "model", "plugin", "__init__")
NOT_PLUGINS = ("setup.py", "conftest.py", "noxfile.py", "tasks.py")


class Installed(NamedTuple):
    """An installed plugin. value: module:attribute."""

    name: str
    value: str
    distribution: str = ""
    version: str = ""


def installed() -> list[Installed]:
    """By name; one that is found twice on the path counts once."""
    return sorted({point for point, _ in points()})


def points(path: list[str] | None = None) -> Iterator[tuple[Installed, importlib.metadata.Distribution]]:
    """Entry points with what they come from, as importlib.metadata finds them, the same way in Python 3.8 and 3.13."""
    from importlib import metadata  # 20 ms, which --help need not wait for

    seen = set()
    for distribution in metadata.distributions(path=sys.path if path is None else path):
        try:
            if GROUP not in (distribution.read_text("entry_points.txt") or ""):
                continue
            name, version = str(distribution.metadata["Name"]), str(distribution.version)
            points = [point for point in distribution.entry_points if point.group == GROUP]
        except Exception:  # one broken distribution must not hide the others
            continue
        normal = same_name(name)
        if normal not in seen:
            seen.add(normal)
            for point in points:
                yield Installed(point.name, re.sub(r"\s*\[.*", "", point.value), name, version), distribution


def editable_folder(distribution: importlib.metadata.Distribution) -> str:
    """The folder that is installed as it lies there; "" where it was copied."""
    direct = json.loads(distribution.read_text("direct_url.json") or "{}")
    return unquote(urlsplit(direct["url"]).path) if direct.get("dir_info", {}).get("editable") else ""


def same_name(name: str) -> str:
    """Equal for names that differ in case, or in - for _, only."""
    return re.sub(r"[-_.]+", "_", name).lower()


def is_path(module: str) -> bool:
    return "/" in module or os.sep in module or module.endswith(".py") or ".py:" in module or module[:1] in (".", "~")


def split_path(module: str) -> tuple[Path, str]:
    """`path[:attribute]` → (the path, which need not exist; the attribute)."""
    # For a user or a name that cannot exist, os.path says that there is none; pathlib raises.
    path, attribute = os.path.expanduser(module), ""
    if not os.path.exists(path) and ":" in module:
        before, _, attribute = module.rpartition(":")
        path = os.path.expanduser(before)
    return Path(os.path.realpath(path)), attribute


def last_part(module: str) -> str:
    parts = module.split(".")
    return parts[-2] if len(parts) > 1 and parts[-1] in PLAIN_NAMES else parts[-1]


def name_of_path(path: Path) -> str:
    """What the plugin in a file or folder is called."""
    if not os.path.isdir(path):
        in_package = path.stem in PLAIN_NAMES and os.path.exists(path.parent / "__init__.py")
        return path.parent.name if in_package else path.stem
    if (path / "__init__.py").exists():
        return path.name
    from modelport.contract import packaging  # nor for what this imports

    plugin = plugin_in(packaging.read(path, GROUP))
    return plugin.name if plugin is not None else path.name


def plugin_in(project: Project) -> Installed | None:
    """The plugin in a folder that is not a package: what its packaging says, else what lies there."""
    for name, value in project.points:
        return Installed(name, value)
    for installed_there, _ in points([str(root) for root in project.roots]):
        return installed_there
    for root in project.roots:
        module = _lying(root)
        if module:
            return Installed(project.folder.name if module in PLAIN_NAMES else last_part(module), module)
    return None


def _lying(root: Path) -> str:
    """The module that a folder without packaging most likely means; "" for none."""
    if (root / "api.py").exists():
        return "api"
    packages = [folder.name for folder in sorted(root.iterdir()) if (folder / "__init__.py").exists()]
    packages = [name for name in packages if name not in ("tests", "test", "docs")]
    with_api = [name for name in packages if has(root / name, "api")]
    if len(with_api) == 1:
        return with_api[0] + ".api"
    if len(packages) == 1:
        inside = root / packages[0]
        nested = has(inside, "predict") and not defines_predict(inside / "__init__.py")
        return packages[0] + ".predict" if nested else packages[0]
    files = [path for path in sorted(root.glob("*.py")) if path.name not in NOT_PLUGINS and defines_predict(path)]
    return files[0].stem if len(files) == 1 else ""


def has(package: Path, module: str) -> bool:
    return (package / f"{module}.py").exists() or (package / module / "__init__.py").exists()


def defines_predict(path: Path) -> bool:
    return re.search(r"\bpredict\b", path.read_text("utf-8", "replace")) is not None
