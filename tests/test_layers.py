"""Imports go down the ladder (docs/architecture.md), never up, and neighbours do not import each other."""

from __future__ import annotations

import ast
import sys
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pytest

import modelport

ROOT = Path(modelport.__file__).parent

# From the top to the bottom; names without "modelport.". A new module is placed here.
ROWS = (
    ("__main__",),
    ("cli", "cli_*"),
    ("commands", "commands.*"),
    ("commands.parts", "commands.parts.*"),
    ("server",),
    ("frontends.*",),
    ("frontends.plain.jobs",),
    ("frontends.plain.*",),
    ("frontends.oscar.job",),
    ("frontends.oscar.run", "frontends.oscar.cluster", "frontends.oscar.logs", "frontends.oscar.buckets"),
    ("frontends.oscar.services",),
    ("frontends.oscar.*",),
    ("frontends.oscar.echo",),
    ("frontends.oscar.definition", "frontends.oscar.events", "frontends.oscar.journal"),
    # What several doors are made of.
    ("frontends.parts.bucket_files", "frontends.parts.file_paths", "frontends.parts.cors"),
    ("frontends.parts.deployment_paths",),
    ("frontends.parts.job_*",),
    ("frontends.parts.access", "frontends.parts.names"),
    ("frontends.parts.prefer",),
    ("frontends.parts.job_documents",),
    ("frontends", "frontends.parts", "frontends.parts.http"),  # the front ends' common hall
    ("frontends.parts.*",),
    ("arrivals", "trainings", "webhooks"),
    ("arrivals.inputs", "arrivals.outputs", "arrivals.listing"),
    ("arrivals.*",),
    ("deliveries",),
    ("jobs",),
    ("jobs.accepting",),
    ("jobs.lines",),
    ("jobs.running", "jobs.retention"),
    ("jobs.attempt",),
    ("jobs.ledger",),
    ("jobs.*",),
    ("predictions", "services", "owner", "sessions", "catalogue"),
    ("catalogue.scan", "catalogue.search"),
    ("catalogue.about",),
    ("budget", "rows"),
    ("deployments",),
    ("deployment",),
    ("engine",),
    ("given",),
    ("jsonbody",),
    ("jsontokens",),
    ("jsonsource",),
    ("calls",),
    (
        "executors",
        "executors.*",
        "store",
        "store.*",
        "buckets",
        "buckets.*",
        "events",
        "progressbars",
        "scratch",
        "metrics",
        "tail",
        "usage",
        "notice",
        "oidc",
        "logtext",
    ),
    ("durable", "series"),
    ("plugin", "scanning", "media", "openapi", "swagger", "helptext", "snippets"),
    ("arguments", "content", "finding", "jsontext", "schemas", "curl"),
    ("refusals",),
    ("fields", "compat", "compat.*"),
    ("job",),
    ("card", "prediction"),
    ("settings",),
    ("errors",),
    ("",),  # modelport/__init__.py: the version
)
# What runs in the model's process, under its interpreter; only there is a plugin ever imported.
CHILD = {
    *("plugin", "scanning", "arguments", "media", "content", "finding", "jsontext", "refusals", "fields", "compat"),
    *("executors.worker", "executors.template", "executors.boot", "executors.reporter"),
}
# What both sides need.
SHARED = {"errors", "card", "prediction", "executors", "executors.wire", ""}
# Parts of the standard library that Python 3.8 does not have.
YOUNGER_THAN_3_8 = {"graphlib", "tomllib", "zoneinfo"}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}
MODULES = {name: path for name, path in FILES.items() if not name.startswith("compat.")}


def row(name: str) -> int:
    """The row of a module; an exact name counts more than a pattern, a longer pattern more than a shorter one."""
    found = [
        (each != name, -len(each), number)
        for number, patterns in enumerate(ROWS)
        for each in patterns
        if fnmatchcase(name, each)
    ]
    assert found, f"modelport/{name.replace('.', '/')}.py has no place on the ladder: give it one in {__file__}"
    return min(found)[2]


@cache
def imports(name: str) -> tuple[frozenset[str], frozenset[str]]:
    """(modules of modelport, other top-level packages) that a module imports, anywhere in its text."""
    own, others = set(), set()
    package = f"modelport.{name}".rstrip(".").split(".")
    if FILES[name].name != "__init__.py":
        package.pop()
    for node in ast.walk(ast.parse(FILES[name].read_text())):
        if isinstance(node, ast.Import):
            wanted = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            wanted = [f"{module}.{each.name}" for each in node.names]
        else:
            continue
        for each in wanted:
            first, _, rest = each.partition(".")
            if first != "modelport":
                others.add(first)
            else:
                own.add(rest if rest in FILES else rest.rpartition(".")[0])
    return frozenset(own), frozenset(others)


def one_thing(first: str, second: str) -> bool:
    """Files of one package below a row's, such as frontends.dashboard.*, or all of executors, are one neighbour."""

    def thing(name: str) -> str:
        parts = name.split(".")
        return ".".join(parts[:2]) if parts[0] in ("frontends", "commands") and parts[1:2] != ["parts"] else parts[0]

    return thing(first) == thing(second)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_what_is_below_it(name: str) -> None:
    here = row(name)
    up = {each for each in imports(name)[0] if row(each) < here}
    assert not up, f"{name} imports {', '.join(sorted(up))}, which is above it"
    beside = {each for each in imports(name)[0] - {name} if row(each) == here and not one_thing(name, each)}
    assert not beside, f"{name} imports its neighbour {', '.join(sorted(beside))}"


@pytest.mark.parametrize("name", MODULES)
def test_the_model_is_imported_only_in_the_child(name: str) -> None:
    found = imports(name)[0]
    if name in SHARED:
        assert found <= SHARED, f"{name} runs on both sides and imports {', '.join(sorted(found - SHARED))}"
    elif name in CHILD:
        assert found <= CHILD | SHARED, f"{name} runs in the child and imports {', '.join(sorted(found))}"
    else:
        assert not found & CHILD, f"{name} runs in the gateway and imports {', '.join(sorted(found & CHILD))}"


@pytest.mark.parametrize("name", sorted(CHILD | SHARED))
def test_the_child_needs_only_the_standard_library_of_python_3_8(name: str) -> None:
    others = imports(name)[1]
    foreign = {each for each in others if each not in sys.stdlib_module_names} | others & YOUNGER_THAN_3_8
    assert not foreign, f"{name} imports {', '.join(sorted(foreign))}"


@pytest.mark.parametrize("name", sorted(each for each in FILES if each in CHILD | SHARED or each.startswith("compat.")))
def test_what_runs_in_the_child_is_written_in_python_3_8(name: str) -> None:
    ast.parse(FILES[name].read_text(), feature_version=(3, 8))


def test_a_module_without_a_place_is_named() -> None:
    with pytest.raises(AssertionError, match=r"modelport/novelty\.py has no place on the ladder"):
        row("novelty")
