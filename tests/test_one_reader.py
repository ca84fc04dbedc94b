"""Every byte of a request's body comes by one reader, `http/body.py`; who asks, and by which address, is said by one
other, `http/forwarded.py`: nothing else looks at a request for it. One module listens, `http/protocol.py`, for servers
whose requests pass the gate first."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import modelport

ROOT = Path(modelport.__file__).parent
READER = "http/body.py"
TOUCHES = {"content", "_payload", "read", "post", "json", "text", "multipart", "release", "body"}
ADDRESSES = "http/forwarded.py"
LOOKS = {"remote", "host", "secure", "scheme", "url", "forwarded"}
# Counts what no request could be made of; and the S3 port, whose clients sign the address that they have sent.
LOOK_THEMSELVES = ("http/protocol.py", "frontends/s3/uploads.py")
LISTENER = "http/protocol.py"
LISTENS = {"create_server", "start_server", "start_unix_server", "TCPSite", "UnixSite", "SockSite", "HTTPServer"}
# One port, and that of S3; and `serve --reload`, which looks for a free port before there is a server.
SERVERS, LOOKS_FOR_A_PORT = ("frontends/s3/server.py", "server.py"), "commands/serving/reload.py"
# What a request is called where it is one of a client.
REQUESTS = {"request", "_request", "req"}


def name_of(node: ast.expr) -> str:
    """The last part of `self._request` and the like."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def touches(tree: ast.AST, names: set[str] = TOUCHES) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in names and name_of(node.value) in REQUESTS:
            yield node.lineno, f"{name_of(node.value)}.{node.attr}"


def touched(names: set[str], *allowed: str) -> list[str]:
    """All places but the allowed ones."""
    return [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in sorted(ROOT.rglob("*.py"))
        if path.relative_to(ROOT).as_posix() not in allowed and not {"commands", "child"} & set(path.parts)
        for line, what in touches(ast.parse(path.read_text()), names)
    ]


def test_who_asks_is_said_by_one_place() -> None:
    found = touched(LOOKS, ADDRESSES, *LOOK_THEMSELVES)
    assert not found, "ask http/forwarded.Proxies.view:\n" + "\n".join(found)


def test_nothing_but_the_reader_touches_a_body() -> None:
    found = touched(TOUCHES, READER)
    assert not found, "read bodies with http/body.BodyReader:\n" + "\n".join(found)


def test_whatever_listens_passes_requests_by_the_gate() -> None:
    texts = {path.relative_to(ROOT).as_posix(): path.read_text() for path in ROOT.rglob("*.py")}
    named = {
        path: {name_of(node) for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.Name, ast.Attribute))}
        for path, text in texts.items()
    }
    assert {path for path, names in named.items() if names & LISTENS} == {LISTENER, LOOKS_FOR_A_PORT}
    assert {path for path, names in named.items() if "Connections" in names} == {LISTENER, *SERVERS}
    assert all(".wrap(" in texts[path] for path in SERVERS)


def test_the_walk_sees_what_it_looks_for() -> None:
    source = "async def f(request, asked):\n    await request.post()\n    asked.request.content\n    request.headers\n"
    assert sorted(what for _, what in touches(ast.parse(source))) == ["request.content", "request.post"]
    assert list(touches(ast.parse((ROOT / READER).read_text())))
