"""What a shell can complete that only a server or a module knows: services, jobs, a model's arguments."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from modelport.contract.card import Argument, Card

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

# Nobody waits longer for a completion that a server knows, or for a module to load.
PATIENCE_S = 1.0
JOBS = 50
LOADING_S = 5.0


def _completing(
    path: str, key: str, about: str
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """With the `key` of each row that the server has there."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        told = _asked(context.params, path) or []
        rows = told.get("jobs", []) if isinstance(told, dict) else told
        fitting = [row for row in rows if str(row[key]).startswith(incomplete)]
        return [CompletionItem(row[key], help=f"{row[about]}, {row['status']}") for row in fitting]

    return complete


complete_served = _completing("/deployments?all=1", "name", "module")  # also what the server's command line names
complete_service = _completing("/deployments", "name", "module")
complete_job = _completing(f"/jobs?limit={JOBS}", "id", "deployment")


def complete_arguments(options: Mapping[str, Any], method: str, name: str, incomplete: str) -> list[CompletionItem]:
    """The options of a model, by the card that a running server has of it; else the module is loaded, if that is
    quick. options: the command's."""
    from click.shell_completion import CompletionItem

    plain = _asked(options, f"/deployments/{quote(name, safe='')}/card")
    card = Card.from_plain(plain) if isinstance(plain, dict) else _loaded(options, name)
    offered = (
        [option for argument in card.arguments(method) for option in _options(argument)] if card is not None else []
    )
    return [CompletionItem(option, help=text) for option, text in offered if option.startswith(incomplete)]


def _loaded(options: Mapping[str, Any], module: str) -> Card | None:
    if options.get("url") or "name" in options:
        return None
    import asyncio
    import contextlib
    import dataclasses
    import os

    from modelport import settings
    from modelport.commands.calling.local import named_model

    async def load() -> Card:
        table = settings.read(options.get("config_file"), flags={"python": options.get("python")})
        table = dataclasses.replace(table, workers=0)
        async with asyncio.timeout(LOADING_S), named_model(table, module, None) as model:
            return model.card

    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            return asyncio.run(load())
    except Exception:
        return None


def _options(argument: Argument) -> list[tuple[str, str]]:
    text = " ".join(argument.description.split())[:60] or argument.type
    names = [f"--{argument.name}"] + ([f"--no-{argument.name}"] if argument.type == "boolean" else [])
    return [(name, text) for name in names]


def _asked(options: Mapping[str, Any], path: str) -> Any:
    """None where that does not work: a shell's prompt is no place for errors."""
    from urllib.request import ProxyHandler, Request, build_opener  # no aiohttp, which takes 0.3 s to import

    from modelport.client.where import Where, bearer

    try:
        where = Where.find(options)
        direct = [ProxyHandler({})] if where.notice else []
        request = Request(where.url + path, headers=bearer(where.token))  # noqa: S310 (our own server's notice, or the user's)
        with build_opener(*direct).open(request, timeout=PATIENCE_S) as response:
            return json.load(response)
    except Exception:
        return None
