"""`modelport logs`: what a service's module has printed."""

from __future__ import annotations

from typing import Any

import click

from modelport.commands.calling import completion
from modelport.commands.calling import server as servers
from modelport.commands.shell.output import print_log


@servers.options
@click.command()
@click.argument("name", metavar="NAME", shell_complete=completion.complete_served)
@click.option("--follow", "-f", is_flag=True, help="Go on with what it will print, until Ctrl-C.")
def command(name: str, follow: bool, as_json: bool, **options: Any) -> int:
    """Print what the module of a service has printed: the last part of it.

    Control characters are written out (\\x1b), so that a terminal does not obey them; colours are left out. With --json
    one object, {"log": "…"}, which has all as it is.
    """
    if follow and as_json:
        raise click.UsageError("--follow has no end, and so no JSON")
    try:
        return servers.run(options, lambda server: _print(server, name, follow, as_json))
    except KeyboardInterrupt:
        if not follow:
            raise
        from modelport.commands.shell import failures

        return failures.INTERRUPTED  # the only way to end it; nothing to complain about


async def _print(server: servers.AsyncClient, name: str, follow: bool, as_json: bool) -> int:
    from modelport.commands.shell import tables

    if as_json:
        log = b"".join([chunk async for chunk in server.log(name, follow=False)])
        tables.as_json({"log": log.decode(errors="replace")})
        return 0
    await print_log(server.log(name, follow=follow))
    return 0
