"""Rules about what is beside the code: licence, readme, requirements."""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.metadata
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from modelport.checks.module import Module
from modelport.checks.rule import ERROR, HINT, WARNING, Problem, rule
from modelport.contract import naming, packaging
from modelport.contract.packaging import Project

# What a licence's text says, and the beginning of its short name.
LICENCES = (
    ("GNU AFFERO", "agpl"),
    ("GNU LESSER", "lgpl"),
    ("GNU GENERAL", "gpl"),
    ("Apache License", "apache"),
    ("MIT License", "mit"),
    ("Permission is hereby granted, free of charge", "mit"),
    ("Redistribution and use in source and binary forms", "bsd"),
)
# The name that a requirement begins with.
REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[)?")
REQUIREMENTS = ("requirements.txt", "setup.cfg", "pyproject.toml")


@rule("licence-missing", ERROR, "The module has a licence file, without which the hub refuses it.")
def licence(module: Module) -> Iterator[Problem]:
    if module.folder is not None and module.licence_file() is None:
        yield Problem("there is no LICENSE file; without one nobody may use the module", module.folder)


@rule("licence-differs", WARNING, "The licence file and the metadata name the same licence.")
def same_licence(module: Module) -> Iterator[Problem]:
    file = module.licence_file()
    if file is None:
        return
    text = packaging.text_of(file)
    short = next((short for words, short in LICENCES if words.lower() in text.lower()), "")
    said = module.project.core.get("license")
    kind = f"{file.name} has the text of a licence of the kind {short.upper()}"
    for where, name in (("the packaging", said), ("ai4-metadata.yml", module.document.get("license"))):
        if short and isinstance(name, str) and not re.search(rf"\b{short}", name, re.I):
            yield Problem(f"{kind}, but {where} says {name}", file)


@rule("readme", HINT, "The module has a README.")
def readme(module: Module) -> Iterator[Problem]:
    names = ("README.md", "README.rst", "README.txt", "README")
    if module.folder is not None and not any(map(module.path, names)):
        yield Problem("there is no README.md", module.folder)


@rule("requirements", ERROR, "The requirements can be installed beside deepaas.")
def requirements(module: Module) -> Iterator[Problem]:
    requires = module.project.requires
    if not any(re.match(r"deepaas\b", requirement, re.I) for requirement in requires):
        return
    for name, below in (("webargs", 6), ("marshmallow", 4)):
        for requirement in requires:
            least = re.match(rf"{name}\b[^;#]*?(>=|==|~=)\s*(\d+)", requirement, re.I)
            if least and int(least[2]) >= below:
                file, line = module.find_line(name, *REQUIREMENTS)
                told = f"{requirement} cannot be installed beside deepaas 2, which needs {name}<{below}"
                yield Problem(told, file, line)


@rule("requirement-missing", WARNING, "What the module imports is among its requirements.")
def imported(module: Module) -> Iterator[Problem]:
    """As far as the libraries are installed here: only they tell which imports they are for."""
    if not module.project.requires:
        return
    distributions = _distributions()
    required = {naming.same_name(name) for name in _with_what_they_need(module.project.requires)}
    own = (path.stem for root in module.project.roots if root.is_dir() for path in root.iterdir())
    known = {"modelport", *sys.stdlib_module_names, *own, *module.project.places}
    for file in _sources(module.project):
        for name, line in _imports(file):
            owners = distributions.get(name, [])
            if name not in known and owners and not required & set(map(naming.same_name, owners)):
                known.add(name)
                owner = sorted(owners)[0]
                told = f"{name} is imported, but {owner} is not among the requirements; an image would lack it"
                yield Problem(told, file, line)


def _distributions() -> Mapping[str, list[str]]:
    """By packages, the distributions that have them. To look through all takes long, so again only after a change."""
    folders = [folder for folder in sys.path if os.path.isdir(folder)]
    return _in_folders(tuple((folder, os.stat(folder).st_mtime_ns) for folder in folders))


@functools.lru_cache(maxsize=1)
def _in_folders(_: tuple[tuple[str, int], ...]) -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _with_what_they_need(requirements: Iterable[str]) -> set[str]:
    """The names of these requirements, and of all that their distributions need, where these are installed."""
    seen: set[tuple[str, bool]] = set()  # names, and whether with extras: any extra counts as all
    waiting = list(requirements)
    while waiting:
        match = REQUIREMENT.match(waiting.pop().strip())
        if match is None or (key := (naming.same_name(match[1]), match[2] is not None)) in seen:
            continue
        seen.add(key)
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            needed = importlib.metadata.requires(match[1]) or []
            waiting += [text for text in needed if match[2] or not re.search(r"\bextra\s*==", text)]
    return {name for name, _ in seen}


def _sources(project: Project) -> Iterator[Path]:
    """The module's own code, without its tests and scripts."""
    plugin = naming.plugin_in(project)
    top = "" if plugin is None else plugin.value.partition(":")[0].partition(".")[0]
    for root in (*project.roots, *project.places.values()):
        yield from (file for file in (root / f"{top}.py",) if top and file.is_file())
        yield from sorted((root / top).rglob("*.py") if top and (root / top).is_dir() else ())


def _imports(file: Path) -> Iterator[tuple[str, int]]:
    """(the first part of what is imported, the line), but for imports in `try` and those of type checkers alone."""
    try:
        waiting: list[ast.AST] = [ast.parse(packaging.text_of(file))]
    except (SyntaxError, ValueError, RecursionError):
        return
    imports = []
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            imports += [(alias.name.partition(".")[0], node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            imports.append((node.module.partition(".")[0], node.lineno))
        elif isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING":
            waiting += node.orelse
        elif not isinstance(node, (ast.Try, ast.TryStar)):
            waiting += ast.iter_child_nodes(node)
    yield from sorted(imports, key=lambda place: place[1])
