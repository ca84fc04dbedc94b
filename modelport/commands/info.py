"""`modelport info`: one service, and how to call it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from modelport.commands.calling import completion
from modelport.commands.calling import server as servers
from modelport.commands.shell.output import say_json

if TYPE_CHECKING:
    from modelport.contract.card import Card

# The examples are better with the module's arguments, but not worth a longer wait for a module that loads.
CARD_S = 5.0


@servers.command
@click.argument("name", metavar="NAME", shell_complete=completion.complete_served)
async def command(server: servers.AsyncClient, name: str, as_json: bool) -> int:
    """Show a service: its state, endpoint and token, and commands to call it.

    With --json, print an object with name, module, status, endpoint, token, bucket and more. bucket has bucket,
    endpoint, access_key, secret_key and region; it is null if the server has no buckets.
    """
    from modelport.commands.shell import tables

    deployment = await server.deployment(name)
    if as_json:
        say_json(deployment)
        return 0
    tables.facts(deployment)
    if deployment["status"] != "failed":
        tables.how_to_call(deployment, await _card(server, name))
    return 0


async def _card(server: servers.AsyncClient, name: str) -> Card | None:
    import asyncio

    from modelport.errors import ModelportError

    try:
        async with asyncio.timeout(CARD_S):
            return await server.card(name)
    except (ModelportError, TimeoutError):
        return None
