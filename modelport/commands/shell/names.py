"""What a module is called: the name of its deployment, and the names that a shell can complete."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

GROUP = "deepaas.v2.model"

# A module of this name says nothing of the model; its package does (as modelport.child.finding has it).
PLAIN_NAMES = ("api", "predict", "model", "plugin", "__init__")
NOT_PLUGINS = ("setup.py", "conftest.py", "noxfile.py", "tasks.py")

# `name=module`; the name becomes a part of URLs.
NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)=(.+)")


class Installed(NamedTuple):
    """A plugin in this environment."""

    name: str
    value: str
    distribution: str
    version: str


def installed() -> list[Installed]:
    """By name; one that is found twice on the path counts once."""
    from importlib import metadata  # 20 ms, which --help need not wait for

    found: dict[tuple[str, str], Installed] = {}
    for point in metadata.entry_points(group=GROUP):
        distribution = point.dist
        row = Installed(
            point.name,
            point.value,
            distribution.name if distribution else "",
            distribution.version if distribution else "",
        )
        found.setdefault((row.name, row.value), row)
    return sorted(found.values())


def split(given: str) -> tuple[str, str]:
    """`[NAME=]MODULE` → (the name of the deployment, the module)."""
    named = NAMED.fullmatch(given)
    return (named[1], named[2]) if named else (default_name(given), given)


def is_path(module: str) -> bool:
    """As modelport.child.finding decides it in the child."""
    return "/" in module or os.sep in module or module.endswith(".py") or ".py:" in module or module[:1] in (".", "~")


def default_name(module: str) -> str:
    """What a deployment of `module` is called when nobody says: the plugin's name, the last part, the file's stem."""
    if is_path(module):
        return _plain(_path_name(module))
    if re.search("[.-]", module):  # looking at what is installed takes 20 ms
        for each in installed():
            if _normal(each.name) == _normal(module):
                return _plain(each.name)
        return _plain(_last_part(module.partition(":")[0]))
    return _plain(module.partition(":")[0])


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def _plain(name: str) -> str:
    """Fit for a URL."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-") or "model"


def _last_part(module: str) -> str:
    parts = module.split(".")
    return parts[-2] if len(parts) > 1 and parts[-1] in PLAIN_NAMES else parts[-1]


def file_of(module: str) -> Path:
    """The path in `path[:attribute]`."""
    path = Path(module).expanduser()
    if not path.exists() and ":" in module:
        path = Path(module.rpartition(":")[0]).expanduser()
    return path.resolve()


def _path_name(module: str) -> str:
    path = file_of(module)
    if path.is_dir():
        return path.name if (path / "__init__.py").exists() else _project_name(path)
    in_package = path.stem in PLAIN_NAMES and (path.parent / "__init__.py").exists()
    return path.parent.name if in_package else path.stem


def _project_name(folder: Path) -> str:
    """A folder that is no package: what its packaging calls the plugin, else the package or file that lies there."""
    declared = _declared(folder)
    if declared:
        return declared
    for root in (folder / "src", folder):
        found = _lying(root)
        if found:
            return folder.name if found in PLAIN_NAMES else found
    return folder.name


def _lying(root: Path) -> str:
    if (root / "api.py").exists():
        return "api"
    packages = [path.parent for path in sorted(root.glob("*/__init__.py"))]
    packages = [package for package in packages if package.name not in ("tests", "test", "docs")]
    with_api = [package for package in packages if (package / "api.py").exists()]
    for candidates in (with_api, packages):
        if len(candidates) == 1:
            return candidates[0].name
    files = [path for path in root.glob("*.py") if path.name not in NOT_PLUGINS]
    return files[0].stem if len(files) == 1 else ""


def _declared(folder: Path) -> str:
    import configparser
    import tomllib

    setup = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        setup.read(folder / "setup.cfg", encoding="utf-8-sig")
        toml = tomllib.loads((folder / "pyproject.toml").read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError, configparser.Error, tomllib.TOMLDecodeError):
        toml = {}
    for section in ("options.entry_points", "entry_points"):
        for line in setup.get(section, GROUP, fallback="").splitlines():
            name, equals, _ = line.partition("=")
            if equals:
                return name.strip()
    points = toml.get("project", {}).get("entry-points", {}).get(GROUP, {})
    return str(next(iter(points), ""))


def complete_module(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Installed plugins; where none fits, files and folders."""
    from click.shell_completion import CompletionItem

    found = [
        CompletionItem(each.name, help=f"{each.distribution} {each.version}")
        for each in installed()
        if each.name.startswith(incomplete)
    ]
    return found or [CompletionItem(incomplete, type="file")]
