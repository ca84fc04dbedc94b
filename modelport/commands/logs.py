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
    document: dict[str, Any] | None = {} if as_json else None

    async def work(server: servers.AsyncClient) -> int:
        await print_log(server.log(name, follow=follow), document)
        return 0

    return servers.run(options, work, endless=follow)
