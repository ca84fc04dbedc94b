"""`modelport shift`: another service answers a share of a service's calls, as its new version."""

from __future__ import annotations

import click

from modelport.commands.calling import completion
from modelport.commands.calling import server as servers
from modelport.commands.shell.output import say, say_json


@servers.command
@click.argument("name", metavar="NAME", shell_complete=completion.complete_service)
@click.option("--to", metavar="VERSION", help="The service that answers them, deployed before.")
@click.option("--share", metavar="PERCENT", type=click.IntRange(1, 100), help="Of all calls of NAME.  [default: 100]")
@click.option("--back", is_flag=True, help="NAME answers all of its calls itself again.")
async def command(
    server: servers.AsyncClient, name: str, to: str | None, share: int | None, back: bool, as_json: bool
) -> int:
    """Shift calls of a service to a new version, some or all of them, or take them back.

    A version is a service like any other. Callers notice nothing: they call NAME, with its token. Without an option,
    print how the calls are shifted now.
    """
    from modelport.commands.shell import tables

    if (back and (to or share)) or (share and not to):
        raise click.UsageError("give --to VERSION, with --share PERCENT if you like, or --back alone")
    if back:
        deployment = await server.shift_back(name)
    elif to:
        deployment = await server.shift(name, to, share or 100)
    else:
        deployment = await server.deployment(name)
    if as_json:
        say_json({"name": name, "shift": deployment["shift"], "versions": deployment["versions"]})
    elif deployment["versions"]:
        tables.versions(deployment)
    else:
        say(f"{name} answers all of its calls itself")
    return 0
