"""TOML for Pythons that have no reader of it (before 3.11): what pyproject.toml files hold, and no more.

Dates and dotted keys on the left of `=` are left out; a table that cannot be read says nothing.
"""

from __future__ import annotations

import ast
import importlib
import re
from typing import Any, Iterator

KEY = r"""(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[A-Za-z0-9_-]+)"""
HEADER = re.compile(rf"\s*\[\s*({KEY}(?:\s*\.\s*{KEY})*)\s*\]\s*(#.*)?$")
PAIR = re.compile(rf"\s*({KEY})\s*=\s*(.*)$", re.S)
# Of a value: texts and comments are taken whole, so that what is in them is not mistaken for something else.
TOKENS = re.compile(
    rf'("""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\')|(#[^\n]*)|({KEY})(\s*=)|\b(true|false)\b|([\[\]{{}}])'
)


def read(text: str) -> dict[str, Any]:
    """The document; {} where it cannot be read."""
    try:
        reader = importlib.import_module("tomllib")
    except ImportError:
        return _read(text)
    try:
        return dict(reader.loads(text))
    except ValueError:
        return {}


def _read(text: str) -> dict[str, Any]:
    document: dict[str, Any] = {}
    table: dict[str, Any] | None = document
    for statement in _statements(text):
        header = HEADER.match(statement)
        if header:
            table = _table(document, [_plain(key) for key in re.findall(KEY, header[1])])
            continue
        pair = PAIR.match(statement)
        if pair and table is not None:
            try:
                table[_plain(pair[1])] = ast.literal_eval(_as_python(pair[2]).strip())
            except (ValueError, SyntaxError):
                continue
        elif statement.lstrip().startswith("["):
            table = None  # [[an array of tables]]
    return document


def _table(document: dict[str, Any], keys: list[str]) -> dict[str, Any] | None:
    table: Any = document
    for key in keys:
        table = table.setdefault(key, {}) if isinstance(table, dict) else None
    return table if isinstance(table, dict) else None


def _plain(key: str) -> str:
    return str(ast.literal_eval(key)) if key[:1] in "\"'" else key


def _statements(text: str) -> Iterator[str]:
    """Lines, joined where brackets or texts go on over several."""
    statement = ""
    for line in text.splitlines():
        statement += line + "\n"
        if HEADER.match(statement) or _complete(statement):
            yield statement.rstrip("\n")
            statement = ""


def _complete(statement: str) -> bool:
    rest = TOKENS.sub(lambda token: token[6] or "", statement)
    opened = sum(rest.count(bracket) for bracket in "[{")
    return opened <= sum(rest.count(bracket) for bracket in "]}") and '"' not in rest and "'" not in rest


def _as_python(value: str) -> str:
    """Comments go, inline tables become dicts, true and false get their capitals; Python reads texts as they are."""

    def token(match: re.Match[str]) -> str:
        if match[1]:
            text = re.sub(r"^(\"{3}|'{3})\n", r"\1", match[1])
            return f"r{text}" if text.startswith("'") else text
        if match[3]:
            return f"{_plain(match[3])!r}:"
        return match[5].capitalize() if match[5] else match[6] or ""

    return TOKENS.sub(token, value)
