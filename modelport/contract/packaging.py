"""What the packaging files of a module's folder say, read without running any of them.

pyproject.toml    [project], [tool.setuptools]
setup.cfg         setuptools' sections, and pbr's
setup.py          keywords of setup() that are written as plain values
"""

from __future__ import annotations

import ast
import configparser
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator, Mapping

from modelport.contract import toml

LEFT_OUT = ("node_modules", "__pycache__", "build", "dist", "site-packages")
PACKAGING_FILES = ("pyproject.toml", "setup.cfg", "setup.py")
FILE_LIMIT_BYTES = 1 << 18

# Names in setup.cfg and setup.py, setuptools' and pbr's, and ours.
SAME = {
    "description": "summary",
    "url": "homepage",
    "home_page": "homepage",
    "install_requires": "requires",
}
# Whose form differs; and `where`, a name of ours.
UNREAD = ("urls", "keywords", "where")


@dataclass(frozen=True)
class Project:
    """What the packaging says.

    core: name, version, summary, author, author_email, license, homepage, keywords, urls, readme.
    points: the plugins: (name, "module:attribute"). places: the folder of each package that does not lie where its name
    says. roots: the folders in which packages lie. requires: the requirements, or requirements.txt.
    """

    folder: Path
    core: Mapping[str, Any] = field(default_factory=dict)
    points: tuple[tuple[str, str], ...] = ()
    places: Mapping[str, Path] = field(default_factory=dict)
    roots: tuple[Path, ...] = ()
    requires: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return str(self.core.get("name") or "")


def read(folder: Path, group: str) -> Project:
    """What the files in `folder` say; entry points of `group`. What cannot be read says nothing."""
    said: dict[str, Any] = {}
    for reader in (_setup_py, _setup_cfg, _pyproject):
        for key, value in reader(folder, group).items():
            if value and key != "package_dir":
                said[key] = value
            elif value:
                said.setdefault(key, {}).update(value)
    directories = {str(name): str(place) for name, place in said.get("package_dir", {}).items()}
    where = [directories.pop("", ""), *said.get("where", [])]
    roots = [folder / name for name in (*where, "src", ".") if name and (folder / name).is_dir()]
    return Project(
        folder,
        core={key: said[key] for key in CORE if key in said},
        points=tuple(said.get("points", ())),
        places={name: folder / place for name, place in directories.items()},
        roots=tuple(dict.fromkeys(root.resolve() for root in roots)),
        requires=tuple(said.get("requires", ())),
    )


CORE = ("name", "version", "summary", "author", "author_email", "license", "homepage", "keywords", "urls", "readme")


# The files


def own_files(folder: Path) -> Iterator[Path]:
    """The files of a module, the nearest first: no environments, nothing hidden, nothing that tools make."""
    for place, folders, names in os.walk(str(folder)):
        folders[:] = sorted(
            name
            for name in folders
            if name[0] != "." and name not in LEFT_OUT and not os.path.exists(os.path.join(place, name, "pyvenv.cfg"))
        )
        for name in sorted(names):
            yield Path(place, name)


def text_of(path: Path) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(FILE_LIMIT_BYTES)
    except (OSError, ValueError):  # also a name that no file can have
        return ""


def _lines(text: str) -> list[str]:
    """A list in a file, one a line, without comments."""
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("-")]


def _pyproject(folder: Path, group: str) -> dict[str, Any]:
    document = toml.read(text_of(folder / "pyproject.toml"))
    project, tool = _table(document, "project"), _table(_table(document, "tool"), "setuptools")
    dynamic, said = _table(tool, "dynamic"), dict(project)
    people = _every(project.get("authors"), dict)
    points = _table(_table(project, "entry-points"), group)
    version, requires = _table(dynamic, "version"), _table(dynamic, "dependencies")
    license, readme = said.get("license"), said.get("readme")
    return {
        "name": said.get("name"),
        "version": said.get("version") or _directed(folder, version.get("file"), version.get("attr")),
        "summary": said.get("description"),
        "author": ", ".join(str(person["name"]) for person in people if "name" in person and "email" not in person),
        "author_email": ", ".join(_address(person) for person in people if "email" in person),
        "license": (license.get("text") or "") if isinstance(license, dict) else license,
        "keywords": ", ".join(_every(said.get("keywords"), str)),
        "urls": [f"{label}, {url}" for label, url in _table(project, "urls").items()],
        "readme": readme.get("file") if isinstance(readme, dict) else readme,
        "requires": _every(said.get("dependencies"), str) or _required(folder, requires.get("file")),
        "points": [(name, value) for name, value in points.items() if isinstance(value, str)],
        "package_dir": _table(tool, "package-dir"),
        "where": _every(_table(_table(tool, "packages"), "find").get("where"), str),
    }


def _table(document: Any, name: str) -> dict[str, Any]:
    table = document.get(name) if isinstance(document, dict) else None
    return table if isinstance(table, dict) else {}


def _every(values: Any, kind: type) -> list[Any]:
    """Those of a list that are of this kind; none where there is no list."""
    return [value for value in values if isinstance(value, kind)] if isinstance(values, (list, tuple)) else []


def _address(person: dict[str, Any]) -> str:
    return f"{person['name']} <{person['email']}>" if "name" in person else str(person["email"])


def _directed(folder: Path, file: Any, attribute: Any) -> str:
    """A version that lies in a file, or in an attribute of the package."""
    if attribute:
        module, _, name = str(attribute).rpartition(".")
        path = folder.joinpath(*module.split("."))
        for place in (path / "__init__.py", path.with_suffix(".py")):
            match = re.search(rf"^{re.escape(name)}\s*=\s*[\"']([^\"']+)", text_of(place), re.M)
            if match:
                return match[1]
    names = file if isinstance(file, list) else [file] if file else []
    return "".join(text_of(folder / str(name)).strip() for name in names)


def _required(folder: Path, files: Any) -> list[str]:
    names = files if isinstance(files, list) else [files or "requirements.txt"]
    return [line for name in names for line in _lines(text_of(folder / str(name)))]


def _setup_cfg(folder: Path, group: str) -> dict[str, Any]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text_of(folder / "setup.cfg"))
    except configparser.Error:
        return {}
    written = {name.replace("-", "_"): value for name, value in _section(parser, "metadata").items()}
    said: dict[str, Any] = {SAME.get(name, name): value for name, value in written.items() if name not in UNREAD}
    options = _section(parser, "options")
    for name in ("version", "summary", "license"):
        how, colon, what = str(said.get(name, "")).partition(":")
        if colon and how in ("file", "attr"):
            what = what.strip()
            said[name] = _directed(folder, *((what, None) if how == "file" else (None, what)))
    said["readme"] = said.pop("description_file", "").strip() or None
    said["requires"] = _lines(options.get("install_requires", ""))
    said["package_dir"] = dict(_pairs(options.get("package_dir", "")))
    said["where"] = _lines(_section(parser, "options.packages.find").get("where", ""))
    said["points"] = [
        pair
        for section in ("options.entry_points", "entry_points")  # setuptools' and pbr's
        for pair in _pairs(_section(parser, section).get(group, ""))
    ]
    return said


def _section(parser: configparser.ConfigParser, name: str) -> dict[str, str]:
    return dict(parser[name]) if parser.has_section(name) else {}


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            yield name.strip(), value.strip()


def _setup_py(folder: Path, group: str) -> dict[str, Any]:
    try:
        calls = [node for node in ast.walk(ast.parse(text_of(folder / "setup.py"))) if isinstance(node, ast.Call)]
    except (SyntaxError, ValueError, RecursionError):
        return {}
    setup = next((call for call in calls if getattr(call.func, "id", getattr(call.func, "attr", "")) == "setup"), None)
    said: dict[str, Any] = {}
    for keyword in setup.keywords if setup is not None else []:
        try:
            said[SAME.get(str(keyword.arg), str(keyword.arg))] = ast.literal_eval(keyword.value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue  # computed: only running it would tell
    points = said.get("entry_points")
    lines = points.get(group, []) if isinstance(points, dict) else []
    said["points"] = list(_pairs(lines if isinstance(lines, str) else "\n".join(_every(lines, str))))
    if not isinstance(said.get("package_dir"), dict):
        said.pop("package_dir", None)
    said["requires"] = _every(said.get("requires"), str)
    return {name: value for name, value in said.items() if name not in UNREAD}
