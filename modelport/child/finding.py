"""Where plugins are: entry points, dotted names, folders and files."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import shlex
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelport.child import projects
from modelport.contract import naming, packaging
from modelport.contract.naming import GROUP, Installed, installed, last_part, same_name
from modelport.contract.packaging import Project
from modelport.errors import LoadFailed, NoSuchPlugin

# So many file names or missing packages are told.
NAMES_SHOWN = 20


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


def resolve(spec: str) -> Target:
    """What `spec` means; folders are put on `sys.path`. Raises LoadFailed."""
    if naming.is_path(spec):
        return _path(spec)
    plugins = installed()
    for same in (lambda name: name == spec, lambda name: same_name(name) == same_name(spec)):
        for plugin in plugins:
            if same(plugin.name):
                return _target(plugin)
    module, _, attribute = spec.partition(":")
    if _findable(module):
        return Target(last_part(module), module, attribute)
    if os.path.exists(spec):
        return _path(spec)
    raise NoSuchPlugin(f"there is no module {spec!r}: {_known(plugins)}, and no file or folder has that name")


def _known(plugins: list[Installed]) -> str:
    names = ", ".join(sorted({plugin.name for plugin in plugins}))
    return f"the installed ones are {names}" if names else f"no module is installed (entry points in {GROUP})"


def _target(plugin: Installed, attribute: str = "", project: Project | None = None) -> Target:
    module, _, own = plugin.value.partition(":")
    return Target(plugin.name, module.strip(), own.strip() or attribute, project=project)


def _findable(module: str) -> bool:
    """Whether there is such a module, without importing any: the first part decides; the rest is told by the import."""
    head = module.partition(".")[0]
    if head in sys.modules:
        return True
    # A folder without __init__.py is a "namespace package" for Python; a plain folder is a path for us.
    spec = projects.spec_of(head)
    return spec is not None and (spec.origin is not None or "." in module)


def _path(spec: str) -> Target:
    path, attribute = naming.split_path(spec)
    if not os.path.exists(path):
        raise NoSuchPlugin(f"there is no module at {spec!r}: no such file or folder in {Path.cwd()}")
    if path.is_dir():
        return _package(path, attribute) if (path / "__init__.py").exists() else _project(path, attribute)
    if path.suffix != ".py":
        raise NoSuchPlugin(f"there is no module at {spec!r}: it is neither a Python file nor a folder")
    return _file(path, attribute)


def _file(path: Path, attribute: str) -> Target:
    if (path.parent / "__init__.py").exists():
        return _package(path, attribute)
    projects.prepend(path.parent)
    return Target(path.stem, path.stem.replace(".", "_"), attribute, str(path), _around(path.parent))


def _package(path: Path, attribute: str) -> Target:
    """A package's folder, or a file in one: imported under its full name."""
    parts, folder = [path.stem if path.is_file() else path.name], path.parent
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    projects.prepend(folder)
    if path.is_dir() and naming.has(path, "api") and not naming.defines_predict(path / "__init__.py"):
        parts.append("api")
    elif parts[-1] == "__init__":
        parts.pop()
    module = ".".join(parts)
    return Target(last_part(module), module, attribute, project=_around(folder))


def _around(folder: Path) -> Project | None:
    """The project whose folder this is, or its `src`."""
    root = folder.parent if folder.name == "src" else folder
    if not any((root / name).is_file() for name in packaging.PACKAGING_FILES):
        return None
    project = packaging.read(root, GROUP)
    projects.make_importable(project)
    return project


def _project(folder: Path, attribute: str) -> Target:
    """A folder with a plugin in it: what its packaging says, else what lies there."""
    project = packaging.read(folder, GROUP)
    projects.make_importable(project)
    plugin = naming.plugin_in(project)
    if plugin is not None:
        return _target(plugin, attribute, project)
    raise NoSuchPlugin(_nothing_in(folder))


def _nothing_in(folder: Path) -> str:
    names = ", ".join(sorted(path.name for path in folder.iterdir())[:NAMES_SHOWN])
    if names and next(folder.rglob("*.py"), None) is None:
        return (
            f"there is no module in {str(folder)!r}: it holds no Python code, only {names}; the module's code lies "
            "elsewhere (source_code in its ai4-metadata.yml, or what its Dockerfile clones)"
        )
    return (
        f"there is no module in {str(folder)!r}: looked for an entry point in {GROUP} (setup.cfg, pyproject.toml, "
        "setup.py), api.py, a package with api.py, and a single Python file"
    )


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
        told = f"the module {target.origin} ends the process when it is imported: sys.exit({error.code!r})"
        return LoadFailed(told, detail=trace)
    if type(error).__name__ in ("PackageNotFoundError", "DistributionNotFound"):
        # A ModuleNotFoundError by its class, but nothing that could be imported: the metadata of an installation.
        package = str(error.args[0] if error.args else error).partition(" ")[0]
        folder = "FOLDER, the module's own" if target.project is None else shlex.quote(str(target.project.folder))
        told = f"the module {target.origin} reads the metadata of the package {package!r}, which is not installed; "
        return LoadFailed(f"{told}install the module: {sys.executable} -m pip install -e {folder}", detail=trace)
    absent = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
    if absent and (target.module == absent or target.module.startswith(absent + ".")):
        told = f"there is no module {target.origin}: no module {absent!r}; {_known(installed())}"
        return NoSuchPlugin(told, detail=trace)
    told = f"the module {target.origin} cannot be imported: {explained(error)}"
    return LoadFailed(told + (_missing(target, absent) if absent else ""), detail=trace)


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
