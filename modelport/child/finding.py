"""Where plugins are: entry points, dotted names, folders and files."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import re
import shlex
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelport.child import projects
from modelport.child.projects import Project
from modelport.errors import LoadFailed, NoSuchPlugin

GROUP = "deepaas.v2.model"
# A module of this name says nothing of the model; its package does.
PLAIN_NAMES = ("api", "predict", "model", "plugin", "__init__")
# So many file names or missing packages are told.
NAMES_SHOWN = 20
NOT_PLUGINS = ("setup.py", "conftest.py", "noxfile.py", "tasks.py")


@dataclass(frozen=True)
class Found:
    """An installed plugin."""

    name: str
    value: str
    distribution: str = ""
    version: str = ""


@dataclass(frozen=True)
class Target:
    """What is to be imported, with everything in place on `sys.path`.

    file: import the module from just this file. project: the folder that it lies in, with its packaging.
    """

    name: str
    module: str
    attribute: str = ""
    file: str | None = None
    project: Project | None = None

    @property
    def origin(self) -> str:
        where = self.file or self.module
        return f"{where}:{self.attribute}" if self.attribute else where


def available() -> list[Found]:
    """The installed plugins, by name; one that is found twice on the path counts once."""
    return sorted(set(_entry_points()), key=lambda each: (each.name, each.value))


def _entry_points(path: list[str] | None = None) -> Iterator[Found]:
    return (found for found, _ in points(path))


def points(path: list[str] | None = None) -> Iterator[tuple[Found, importlib.metadata.Distribution]]:
    """Entry points with what they come from, as importlib.metadata finds them, the same way in Python 3.8 and 3.13."""
    seen = set()
    for distribution in importlib.metadata.distributions(path=sys.path if path is None else path):
        try:
            if GROUP not in (distribution.read_text("entry_points.txt") or ""):
                continue
            name, version = str(distribution.metadata["Name"]), str(distribution.version)
            points = [point for point in distribution.entry_points if point.group == GROUP]
        except Exception:  # one broken distribution must not hide the others
            continue
        normal = re.sub(r"[-_.]+", "-", name).lower()
        if normal not in seen:
            seen.add(normal)
            for point in points:
                yield Found(point.name, re.sub(r"\s*\[.*", "", point.value), name, version), distribution


def resolve(spec: str) -> Target:
    """What `spec` means; folders are put on `sys.path`. Raises LoadFailed."""
    if "/" in spec or os.sep in spec or spec.endswith(".py") or ".py:" in spec or spec.startswith((".", "~")):
        return _path(spec)
    installed = available()
    for same in (lambda name: name == spec, lambda name: _normal(name) == _normal(spec)):
        for each in installed:
            if same(each.name):
                return _target(each.name, each.value)
    module, _, attribute = spec.partition(":")
    if _findable(module):
        return Target(_name(module), module, attribute)
    if Path(spec).exists():
        return _path(spec)
    raise NoSuchPlugin(f"there is no plugin {spec!r}: {_known(installed)}, and no module or path of that name")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def _known(installed: list[Found]) -> str:
    names = ", ".join(sorted({each.name for each in installed}))
    return f"the installed ones are {names}" if names else f"no plugin is installed (entry points in {GROUP})"


def _target(name: str, value: str) -> Target:
    module, _, attribute = value.partition(":")
    return Target(name, module.strip(), attribute.strip())


def _name(module: str) -> str:
    parts = module.split(".")
    return parts[-2] if len(parts) > 1 and parts[-1] in PLAIN_NAMES else parts[-1]


def _findable(module: str) -> bool:
    """Whether there is such a module, without importing any: the first part decides; the rest is told by the import."""
    head = module.partition(".")[0]
    if head in sys.modules:
        return True
    try:
        spec = importlib.util.find_spec(head)
    except (ImportError, ValueError):
        return False
    # A folder without __init__.py is a "namespace package" for Python; a plain folder is a path for us.
    return spec is not None and (spec.origin is not None or "." in module)


def _path(spec: str) -> Target:
    path, attribute = Path(spec).expanduser(), ""
    if not path.exists() and ":" in spec:
        before, _, attribute = spec.rpartition(":")
        path = Path(before).expanduser()
    if not path.exists():
        raise NoSuchPlugin(f"there is no plugin at {spec!r}: no such file or folder in {Path.cwd()}")
    path = path.resolve()
    if path.is_dir():
        return _package(path, attribute) if (path / "__init__.py").exists() else _project(path, attribute)
    if path.suffix != ".py":
        raise NoSuchPlugin(f"there is no plugin at {spec!r}: it is neither a Python file nor a folder")
    return _file(path, attribute)


def _file(path: Path, attribute: str) -> Target:
    if (path.parent / "__init__.py").exists():
        return _package(path, attribute)
    _prepend(path.parent)
    return Target(path.stem, path.stem.replace(".", "_"), attribute, str(path), _around(path.parent))


def _package(path: Path, attribute: str) -> Target:
    """A package's folder, or a file in one: imported under its full name."""
    parts, folder = [path.stem if path.is_file() else path.name], path.parent
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    _prepend(folder)
    if path.is_dir() and _has(path, "api") and not _defines_predict(path / "__init__.py"):
        parts.append("api")
    elif parts[-1] == "__init__":
        parts.pop()
    module = ".".join(parts)
    return Target(_name(module), module, attribute, project=_around(folder))


def _around(folder: Path) -> Project | None:
    """The project whose folder this is, or its `src`."""
    root = folder.parent if folder.name == "src" else folder
    if not any((root / name).is_file() for name in projects.PACKAGING_FILES):
        return None
    project = projects.read(root, GROUP)
    projects.make_importable(project)
    return project


def _project(folder: Path, attribute: str) -> Target:
    """A folder with a plugin in it: what its packaging says, else what lies there."""
    project = projects.read(folder, GROUP)
    projects.make_importable(project)
    declared = [
        *(Found(name, value) for name, value in project.points),
        *_entry_points([str(root) for root in project.roots]),
    ]
    if declared:
        return replace(_target(declared[0].name, declared[0].value), project=project)
    for root in project.roots:
        found = _lying(root)
        if found is not None:
            return Target(folder.name if found in PLAIN_NAMES else _name(found), found, attribute, project=project)
    raise NoSuchPlugin(_nothing_in(folder))


def _nothing_in(folder: Path) -> str:
    names = ", ".join(sorted(path.name for path in folder.iterdir())[:NAMES_SHOWN])
    if names and next(folder.rglob("*.py"), None) is None:
        return (
            f"there is no plugin in {str(folder)!r}: it holds no Python code, only {names}; the module's code lies "
            "elsewhere (source_code in its ai4-metadata.yml, or what its Dockerfile clones)"
        )
    return (
        f"there is no plugin in {str(folder)!r}: looked for an entry point in {GROUP} (setup.cfg, pyproject.toml, "
        "setup.py), api.py, a package with api.py, and a single Python file"
    )


def _prepend(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _lying(root: Path) -> str | None:
    """The module that a folder without packaging most likely means."""
    if (root / "api.py").exists():
        return "api"
    packages = [path.name for path in sorted(root.iterdir()) if (path / "__init__.py").exists()]
    packages = [package for package in packages if package not in ("tests", "test", "docs")]
    with_api = [package for package in packages if _has(root / package, "api")]
    if len(with_api) == 1:
        return with_api[0] + ".api"
    if len(packages) == 1:
        inside = root / packages[0]
        nested = _has(inside, "predict") and not _defines_predict(inside / "__init__.py")
        return packages[0] + ".predict" if nested else packages[0]
    files = [path for path in sorted(root.glob("*.py")) if path.name not in NOT_PLUGINS and _defines_predict(path)]
    return files[0].stem if len(files) == 1 else None


def _has(package: Path, module: str) -> bool:
    return (package / f"{module}.py").exists() or (package / module / "__init__.py").exists()


def _defines_predict(path: Path) -> bool:
    return re.search(r"\bpredict\b", path.read_text("utf-8", "replace")) is not None


def bring(target: Target) -> Any:
    """Import it. Raises LoadFailed, whatever the plugin's own code raised."""
    if target.project is not None:
        projects.provide_metadata(target.project)
    try:
        thing = _import_file(target) if target.file else importlib.import_module(target.module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit too, and what test frameworks raise
        raise _failure(target, error) from error
    for part in target.attribute.split(".") if target.attribute else []:
        try:
            thing = getattr(thing, part)
        except AttributeError as error:
            raise LoadFailed(f"{target.module} has no {target.attribute!r}") from error
    return thing


def _import_file(target: Target) -> Any:
    """Under the file's stem, unless another module has that name (a plugin called json.py)."""
    assert target.file is not None
    name, number = target.module, 1
    while name in sys.modules:
        if getattr(sys.modules[name], "__file__", None) == target.file:
            return sys.modules[name]
        number += 1
        name = f"{target.module}_{number}"
    spec = importlib.util.spec_from_file_location(name, target.file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Decorators that put functions onto the plugin's module find it here.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _failure(target: Target, error: BaseException) -> LoadFailed:
    trace = traceback.format_exc()
    if isinstance(error, SystemExit):
        told = f"the plugin {target.origin} ends the process when it is imported: sys.exit({error.code!r})"
        return LoadFailed(told, detail=trace)
    if type(error).__name__ in ("PackageNotFoundError", "DistributionNotFound"):
        # A ModuleNotFoundError by its class, but nothing that could be imported: the metadata of an installation.
        told = f"the plugin {target.origin} reads the metadata of the package {_package_name(error)!r}, which is not "
        return LoadFailed(f"{told}installed; {_install_itself(target)}", detail=trace)
    absent = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
    if absent and (target.module == absent or target.module.startswith(absent + ".")):
        told = f"there is no plugin {target.origin}: no module {absent!r}; {_known(available())}"
        return NoSuchPlugin(told, detail=trace)
    told = f"the plugin {target.origin} cannot be imported: {explained(error)}"
    return LoadFailed(told + (_missing(target, absent) if absent else ""), detail=trace)


def _package_name(error: BaseException) -> str:
    return str(error.args[0] if error.args else error).partition(" ")[0]


def _install_itself(target: Target) -> str:
    folder = "FOLDER, the module's own" if target.project is None else shlex.quote(str(target.project.folder))
    return f"install the module: {sys.executable} -m pip install -e {folder}"


def _missing(target: Target, absent: str) -> str:
    """What else the project's files import in vain, and how to install it."""
    project = target.project
    if project is None:
        return ""
    also = [name for name in projects.missing_imports(project.folder) if name != absent.partition(".")[0]]
    told = f"; also missing: {', '.join(also[:NAMES_SHOWN])}" if also else ""
    if (project.folder / "requirements.txt").is_file():
        what = "-r " + shlex.quote(str(project.folder / "requirements.txt"))
    elif project.requires:
        what = shlex.quote(str(project.folder))
    else:
        return told
    return f"{told}; install what it needs: {sys.executable} -m pip install {what}"


def explained(error: BaseException) -> str:
    """The exception in one line, with the remedy where one is known."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    absent = (getattr(error, "name", None) or "").partition(".")[0] if isinstance(error, ImportError) else ""
    if absent in ("distutils", "pkg_resources"):
        # Python 3.12 dropped distutils, setuptools 82 pkg_resources; setuptools 81 and older supply both.
        return f'{text}; install "setuptools<81" in the module\'s environment'
    marshmallow = sys.modules.get("marshmallow")
    if isinstance(error, TypeError) and "unexpected keyword argument" in text and marshmallow is not None:
        version = installed_version("marshmallow")
        if version.partition(".")[0].isdigit() and int(version.partition(".")[0]) >= 4:
            return f'{text}; the plugin is written for marshmallow 3 and finds {version}: install "marshmallow<4"'
    return text


def installed_version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except Exception:  # not installed as a distribution
        return ""
