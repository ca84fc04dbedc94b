"""docs/troubleshooting.md quotes only what the code still says, and settings and options that exist."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator

from modelport.settings import table
from tests.docs.test_serverless import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
ROW = re.compile(r"^\| (?!You see)(.+?) \| (.+?) \| (.+?) \|$", re.M)
LEAST_CHARS = 12  # shorter ones are names, kinds and the like
ELSEWHERE = ("signal 9", "signal 11", "SIGKILL", "SIGSEGV", "ModuleNotFoundError", "Connection refused")


@functools.cache
def texts() -> str:
    """Every text in the code, one a line, with … for what is put in."""
    paths = sorted((ROOT / "modelport").rglob("*.py"))
    return "\n".join(text for path in paths for text in constants(path.read_text()))


def constants(code: str) -> Iterator[str]:
    """Texts of a module, without docstrings but for those of commands, which --help shows; … for what is put in."""
    tree = ast.parse(code)
    hidden = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    commands = [
        node
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == "command"
    ]
    yield from (ast.get_docstring(node) or "" for node in commands)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
            yield "".join(map(str, parts)).replace("`", "").replace("\n", " ")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in hidden:
            yield node.value.replace("`", "").replace("\n", " ")


def test_every_message_is_in_the_code() -> None:
    quoted = [text for first, _, _ in ROW.findall(PAGE) for text in re.findall(r"`([^`]+)`", first)]
    messages = [text for text in quoted if " " in text and len(text) >= LEAST_CHARS]
    assert len(messages) >= 30
    for message in messages:
        said = re.sub("(" + "|".join(map(re.escape, ELSEWHERE)) + ").*$", "", message)
        parts = [re.escape(part.strip(": ")) for part in re.split("…", said) if len(part.strip(": ")) > 2]
        own = [part for part in parts if "already" not in part]  # the system's words
        assert re.search(".*".join(own), texts()), f"no text in modelport says {message!r}"


def test_every_setting_is_one() -> None:
    known = {row.name for row in table()}
    named = set(re.findall(r"`([a-z]+(?:_[a-z0-9]+)+)`", PAGE))
    others = {"model_failed", "module_not_found", "no_proxy"}
    assert named - others <= known
