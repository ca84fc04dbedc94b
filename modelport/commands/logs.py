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
@click.option("--follow", "-f", is_flag=True, help="Keep printing new output until Ctrl-C.")
def command(name: str, follow: bool, as_json: bool, **options: Any) -> int:
    """Print the last output of a service's module.

    Control characters are shown as text (\\x1b), so that a terminal does not obey them; colours are left out. With
    --json, print one object, {"log": "…"}, with the unchanged output.
    """
    if follow and as_json:
        raise click.UsageError("--follow does not end, so it cannot be combined with --json")
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
