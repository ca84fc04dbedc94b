"""Examples as cards: in a service's form, where a click fills them in, and on a module's page."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web

from modelport.contract.card import Card
from modelport.describe.examples import Example, examples_of, samples_of
from modelport.errors import NotFound
from modelport.frontends.dashboard.rendering import HEADERS
from modelport.frontends.dashboard.runs import shortened, type_of

# A larger file is not sent to try a form with.
LIMIT_BYTES = 16 << 20


@dataclass(frozen=True)
class ExampleCard:
    """picture: the address of a file of it that is one; empty for none. filled: what the form's script needs."""

    title: str
    picture: str
    what: str
    filled: dict[str, Any]


async def cards_of(card: Card, module: str, address: str) -> list[ExampleCard]:
    """address: below which the files are."""
    return [_card(example, address) for example in await asyncio.to_thread(_examples, card, module)]


def _card(example: Example, address: str) -> ExampleCard:
    files = [
        {"argument": name, "name": path.name, "path": str(path), "url": f"{address}/{quote(path.name, safe='')}"}
        for name, paths in example.files.items()
        for path in paths
    ]
    picture = next((file["url"] for file in files if type_of(file["name"]).startswith("image/")), "")
    what = shortened([file["name"] for file in files], example.values)
    return ExampleCard(example.title, picture, what, {"values": example.values, "files": files})


async def send_file(card: Card, module: str, name: str) -> web.Response:
    """A file of one of the examples, and of nothing else in that folder."""
    examples = await asyncio.to_thread(_examples, card, module)
    paths = [path for example in examples for paths in example.files.values() for path in paths]
    path = next((path for path in paths if path.name == name), None)
    body = await asyncio.to_thread(_read, path) if path is not None else None
    if body is None:
        raise NotFound(f"there is no example file called {name[:100]}")
    headers = {**HEADERS, "Content-Security-Policy": "sandbox"}
    return web.Response(body=body, content_type=type_of(name), headers=headers)


def _examples(card: Card, module: str) -> list[Example]:
    return examples_of(card, samples_of(module))


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.stat().st_size <= LIMIT_BYTES else None
