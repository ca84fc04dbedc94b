"""Which modules an interpreter has installed, or a folder holds: told without importing any of them.

Runs under the interpreter in question, started by child/boot.py; prints one JSON object:
{"modules": [...], "watched": [paths whose time of change says that there may be something new]}.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import re
import sys
from email import message_from_string
from pathlib import Path
from typing import Any, Iterator

from modelport.child import finding, projects
from modelport.contract import naming, packaging
from modelport.errors import ModelportError

METADATA_FILES = ("ai4-metadata.yml", "ai4-metadata.yaml")
# Larger files are no metadata; of a package's README the beginning will do.
FILE_LIMIT_BYTES = 1 << 18
# So many folders of a folder are looked at.
FOLDERS_LIMIT = 1000

# What makes a folder a project, so that it is looked at itself and not for projects in it.
PROJECT_FILES = (*METADATA_FILES, "setup.cfg", "setup.py", "pyproject.toml", "api.py", "__init__.py")


def main(arguments: list[str]) -> None:
    """arguments: none, for what is installed; or the path of a folder."""
    with contextlib.redirect_stdout(sys.stderr):
        modules = in_folder(Path(arguments[0])) if arguments else installed()
    json.dump(modules, sys.stdout)


def installed() -> dict[str, Any]:
    modules, watched = [], [folder for folder in sys.path if os.path.isdir(folder)]
    for point, distribution in naming.points():
        try:
            module = _installed(point, distribution)
        except Exception as error:  # one broken distribution must not hide the others
            module = {"name": point.name, "module": point.name, "failure": f"{type(error).__name__}: {error}"}
        watched += [module["file"]] if module.get("file") else []
        modules.append(module)
    return {"modules": modules, "watched": watched}


def _installed(point: naming.Installed, distribution: importlib.metadata.Distribution) -> dict[str, Any]:
    package = _package(point.value.partition(":")[0].partition(".")[0])
    return {
        "name": point.name,
        "module": point.name,
        "value": point.value,
        "folder": naming.editable_folder(distribution),
        "distribution": point.distribution,
        "version": point.version,
        "package": _core(distribution.metadata),
        "modified": _modified(package),
        **_metadata_file(_places(package, distribution)),
    }


def _package(name: str) -> Path | None:
    """The folder or file of a top-level package, which is not imported for it."""
    spec = projects.spec_of(name)
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or [])
    return Path(places[0]) if places else Path(spec.origin) if spec.origin else None


def _places(package: Path | None, distribution: importlib.metadata.Distribution) -> Iterator[Path]:
    """Where a module's metadata file may lie, the nearest first."""
    if package is not None and package.is_dir():
        yield package
    for file in distribution.files or []:
        if file.name in METADATA_FILES:
            yield Path(str(distribution.locate_file(file))).parent
    if folder := naming.editable_folder(distribution):
        yield Path(folder)
    beside = Path(str(distribution.locate_file("")))
    if beside.name not in ("site-packages", "dist-packages"):
        yield beside


def _metadata_file(places: Iterator[Path]) -> dict[str, Any]:
    for place in places:
        for name in METADATA_FILES:
            path = place / name
            if path.is_file():
                return {"file": str(path), **_read(path)}
    return {}


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > FILE_LIMIT_BYTES:
            return {"problem": f"is larger than {FILE_LIMIT_BYTES} bytes"}
        return {"text": path.read_bytes().decode("utf-8")}
    except (OSError, UnicodeDecodeError) as error:
        return {"problem": f"cannot be read: {error}"}


def _core(fields: Any) -> dict[str, Any]:
    """What the packaging says. fields: an email's Message, in every Python."""
    described = fields.get("Description") or fields.get_payload()
    core: dict[str, Any] = {
        "summary": fields.get("Summary"),
        "license": fields.get("License-Expression") or fields.get("License"),
        "author": fields.get("Author") or fields.get("Author-email"),
        "keywords": fields.get("Keywords"),
        "homepage": fields.get("Home-page"),
        "urls": [str(url) for url in fields.get_all("Project-URL") or []],
        "description": described if isinstance(described, str) else "",
        "description_type": fields.get("Description-Content-Type"),
    }
    return {name: text[:FILE_LIMIT_BYTES] if isinstance(text, str) else text for name, text in core.items()}


def _modified(path: Path | None) -> float:
    """Of a file, or of the newest right in a folder, whose own time changes when Python compiles into it."""
    try:
        if path is None or not path.is_dir():
            return path.stat().st_mtime if path is not None else 0.0
        with os.scandir(path) as entries:
            return max((entry.stat().st_mtime for entry in entries if entry.is_file()), default=0.0)
    except OSError:
        return 0.0


# Folders


def in_folder(folder: Path) -> dict[str, Any]:
    """A project's folder, or one that holds the folders of projects and single files; or one of these files."""
    if folder.is_file():
        return {"modules": [_file(folder)], "watched": [str(folder)]}
    if any((folder / file).exists() for file in PROJECT_FILES):
        return {"modules": [_project(folder)], "watched": _watched(folder)}
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith((".", "_"))]
    modules, watched = [], [str(folder)]
    for entry in inside[:FOLDERS_LIMIT]:
        modules.append(_project(entry))
        watched += _watched(entry)
    files = [path for path in sorted(folder.glob("*.py")) if path.name not in naming.NOT_PLUGINS and path.is_file()]
    for file in files[:FOLDERS_LIMIT]:
        watched.append(str(file))
        if _is_module(file):
            modules.append(_file(file))
    return {"modules": modules, "watched": watched}


def _file(file: Path) -> dict[str, Any]:
    failure = {} if _is_module(file) else {"failure": "it defines no function predict"}
    return {"name": file.stem, "module": str(file), "modified": _modified(file), **failure}


def _is_module(file: Path) -> bool:
    """Whether it defines `predict` itself: a folder of scripts is no folder of modules."""
    try:
        return re.search(r"^(async\s+)?def predict\b", file.read_text("utf-8", "replace"), re.MULTILINE) is not None
    except OSError:
        return False


def _watched(folder: Path) -> list[str]:
    return [str(folder), *(str(folder / file) for file in METADATA_FILES)]


def _project(folder: Path) -> dict[str, Any]:
    module: dict[str, Any] = {"name": folder.name, "module": str(folder), "modified": _modified(folder)}
    before, finders = list(sys.path), list(sys.meta_path)
    try:
        project = packaging.read(folder, naming.GROUP)
        package = _core(message_from_string(projects.core_metadata(project)))
        module.update(package=package, version=str(project.core.get("version", "")), distribution=project.name)
        target = finding.resolve(str(folder))
        module.update(name=target.name, value=target.origin)
    except ModelportError as error:
        module["failure"] = error.message
    except Exception as error:
        module["failure"] = f"{type(error).__name__}: {error}"
    finally:
        sys.path[:], sys.meta_path[:] = before, finders
    return {**module, **_metadata_file(iter([folder]))}
