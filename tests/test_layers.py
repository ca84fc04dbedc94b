"""Imports go down the layers (docs/architecture.md), never up, neighbours do not import each other, and no circle is
closed inside a room either."""

from __future__ import annotations

import ast
import graphlib
import re
import sys
from functools import cache
from pathlib import Path

import pytest

import modelport

ROOT = Path(modelport.__file__).parent
DOCUMENT = ROOT.parent / "docs" / "architecture.md"

# From the top to the bottom: a rung of rooms, and what they know. A room is a folder or a module of the package's root;
# `frontends.*` and `commands.*` are one room each for every front end and every group of commands.
LAYERS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("__main__",), "`python -m modelport`"),
    (("cli",), "which command was typed"),
    (("commands",), "one command each"),
    (("commands.publishing",), "what a marketplace is told"),
    (
        ("commands.serving", "commands.deepaas", "commands.exporting", "commands.scaffolding"),
        "`modelport serve`: reloading, announcing · what deepaas' commands share · files for other platforms · "
        "questions about a new module",
    ),
    (("testing",), "conformance suites for packages that extend modelport"),
    (("server",), "how a server is built, opened and closed"),
    (("frontends.plain",), "one protocol, with the answers of another's jobs"),
    (("frontends.*",), "one protocol each"),
    (("extending",), "what packages that extend modelport may rely on"),
    (("http",), "what front ends share: who may ask, reading requests, making answers"),
    (
        ("bucketjobs", "payments", "checks", "scaffold", "commands.calling", "commands.batching"),
        "objects that become jobs · calls that strangers pay for · what is wrong with a module · new modules · "
        "commands that call models · `modelport batch`",
    ),
    (
        ("jobs", "catalogue", "commands.following", "commands.tunnelling"),
        "durable calls · what could be deployed · jobs, shown and waited for · `modelport tunnel`",
    ),
    (
        ("deployments", "commands.model"),
        "what is deployed, and what runs when · arguments, answers and progress of a model on a command line",
    ),
    (
        ("executors", "objectstore", "client"),
        "the processes that run calls · objects in buckets · a server, called by programs and commands",
    ),
    (
        ("identity", "commands.shell"),
        "who the owner is, and whose links, sessions and accounts are accepted · names, files and errors of a command "
        "line",
    ),
    (
        ("child", "describe", "environment", "intake", "observe", "store", "tasks"),
        "the plugin itself · the card's other forms · variables of the processes that we start · from a body to a call "
        "· metrics and logs · what outlives the server, in SQLite · tasks, each with an owner",
    ),
    (
        ("contract", "settings"),
        "plain data that all agree on, which process comes from which, and what packaging files say · every setting",
    ),
    (("extensions",), "what other packages add"),
    (("errors",), "every error"),
    (("",), "the version, `modelport.progress` and `modelport.artifact`"),
)
# What runs in the model's process, under its interpreter: its own room, and what both sides need.
CHILD = re.compile(r"child(\..+)?")
# What an executor calls in the process that holds the plugin, which may be any.
PUBLIC = {"extending": {"child.batches", "child.invoke", "child.plugin"}}
SHARED = re.compile(r"(contract(\..+)?|errors|)")
# Parts of the standard library that Python 3.8 does not have.
YOUNGER_THAN_3_8 = {"graphlib", "tomllib", "zoneinfo"}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}
# The package that stands in for deepaas imports itself under deepaas' name.
MODULES = {name: path for name, path in FILES.items() if not name.startswith("child.compat.")}


def room(name: str) -> str:
    parts = name.split(".")
    nested = parts[0] == "frontends" or (parts[0] == "commands" and ".".join(parts[:2]) in PACKAGES)
    return ".".join(parts[: 2 if nested else 1])


PACKAGES = {name for name, path in FILES.items() if path.name == "__init__.py"}


def rung(name: str) -> int:
    own = room(name)
    wildcard = f"{own.partition('.')[0]}.*"
    for sought in (own, wildcard):
        for number, (rooms, _) in enumerate(LAYERS):
            if sought in rooms:
                return number
    raise AssertionError(f"modelport/{name.replace('.', '/')}.py has no place in the layers: give it one in {__file__}")


@cache
def imports(name: str) -> tuple[frozenset[str], frozenset[str]]:
    """(modules of modelport, other top-level packages) that a module imports, anywhere in its text."""
    own, others = set(), set()
    package = f"modelport.{name}".rstrip(".").split(".")
    if FILES[name].name != "__init__.py":
        package.pop()
    for node in ast.walk(ast.parse(FILES[name].read_text())):
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            imported = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for full in imported:
            first, _, rest = full.partition(".")
            if first != "modelport":
                others.add(first)
            else:
                own.add(rest if rest in FILES else rest.rpartition(".")[0])
    return frozenset(own), frozenset(others)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_what_is_below_its_room(name: str) -> None:
    foreign = {other for other in imports(name)[0] if room(other) != room(name)}
    wrong = {other for other in foreign if rung(other) <= rung(name)}
    assert not wrong, f"{name} imports {', '.join(sorted(wrong))}, which is not below it"


@pytest.mark.parametrize("own", sorted({room(name) for name in MODULES}))
def test_no_circle_is_closed_inside_a_room(own: str) -> None:
    inside = {name for name in MODULES if room(name) == own}
    graph = {name: (imports(name)[0] & inside) - {name} for name in inside}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("name", MODULES)
def test_the_model_is_imported_only_in_the_child(name: str) -> None:
    own = imports(name)[0] - {"child"} - PUBLIC.get(name, set())  # the package itself: only where its files are
    if SHARED.fullmatch(name):
        wrong = {other for other in own if not SHARED.fullmatch(other)}
    elif CHILD.fullmatch(name):
        wrong = {other for other in own if not (CHILD.fullmatch(other) or SHARED.fullmatch(other))}
    else:
        wrong = {other for other in own if CHILD.fullmatch(other)}
    assert not wrong, f"{name} imports {', '.join(sorted(wrong))} from the other side"


RUNS_IN_THE_CHILD = sorted(name for name in FILES if CHILD.fullmatch(name) or SHARED.fullmatch(name))


@pytest.mark.parametrize("name", [name for name in RUNS_IN_THE_CHILD if name in MODULES])
def test_the_child_needs_only_the_standard_library_of_python_3_8(name: str) -> None:
    others = imports(name)[1]
    foreign = {other for other in others if other not in sys.stdlib_module_names} | others & YOUNGER_THAN_3_8
    assert not foreign, f"{name} imports {', '.join(sorted(foreign))}"


@pytest.mark.parametrize("name", RUNS_IN_THE_CHILD)
def test_what_runs_in_the_child_is_written_in_python_3_8(name: str) -> None:
    ast.parse(FILES[name].read_text(), feature_version=(3, 8))


@pytest.mark.parametrize("path", sorted((ROOT.parent / "modelport_ray").rglob("*.py")), ids=lambda path: path.stem)
def test_the_package_for_ray_needs_only_the_public_face(path: Path) -> None:
    """And only the processes that belong to the cluster import Ray: it ends its process when the head is lost."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module or "")
    ours = {name for name in modules if name.partition(".")[0] == "modelport"}
    assert ours <= {"modelport", "modelport.extending", "modelport.settings"}
    assert path.stem in ("driver", "host") or not {"ray", "modelport_ray.driver", "modelport_ray.host"} & modules


def test_a_module_without_a_place_is_named() -> None:
    with pytest.raises(AssertionError, match=r"modelport/novelty\.py has no place in the layers"):
        rung("novelty")


def printed() -> str:
    """The layers as docs/architecture.md shows it."""
    rows = [
        f"| {number} | {', '.join(f'`{name}`' if name else '`__init__`' for name in rooms)} | {knows} |"
        for number, (rooms, knows) in enumerate(LAYERS, 1)
    ]
    return "\n".join(["| layer | packages | what they know |", "|---|---|---|", *rows])


def test_the_document_shows_these_layers() -> None:
    assert printed() in DOCUMENT.read_text(), f"docs/architecture.md should have:\n\n{printed()}"
