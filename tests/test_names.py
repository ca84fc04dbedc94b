"""Names in the product's code are those of the things, by the field's words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = [path for folder in ("modelport", "modelport_ray", "my_model/src") for path in (ROOT / folder).rglob("*.py")]
# A reader would have to look up each what, found where, given by whom, wanted for what.
VAGUE = {"each", "found", "given", "wanted"}
# docs/glossary.md has front end, endpoint, server. The first is still read in settings files, where it was a section.
HOUSE_WORDS = re.compile(r"\b(?:doors?|house|hall)\b", re.I)
OLD_SECTION = 'RENAMED = {"doors": "frontends"}'


def bound(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, name) of all that gets a name."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield node.lineno, name
            case ast.AsyncFunctionDef(name=name):
                yield node.lineno, name


def test_no_name_leaves_open_what_it_is_of() -> None:
    vague = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in SOURCES
        for line, name in bound(ast.parse(path.read_text()))
        if name.strip("_").lower() in VAGUE
    ]
    assert not vague, "\n".join(vague)


def test_a_front_end_is_not_called_a_door() -> None:
    lines = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in [*SOURCES, ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
        for line in path.read_text().splitlines()
        if HOUSE_WORDS.search(line) and line != OLD_SECTION
    ]
    assert not lines, "\n".join(lines)
