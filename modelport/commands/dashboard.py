"""`modelport dashboard`: a link that signs a browser in."""

from __future__ import annotations

import click

from modelport.commands.calling import server as servers
from modelport.commands.shell.output import say


@servers.command
@click.option("--open", "show", is_flag=True, help="Open it in this machine's browser, too.")
async def command(server: servers.AsyncClient, show: bool, as_json: bool) -> int:
    """Print a link to the dashboard of a running server. It signs one browser in, once, within a day."""
    from modelport.commands.shell import tables

    url = await server.dashboard()
    if as_json:
        tables.as_json({"url": url})
    else:
        say(url)
    if show:
        click.launch(url)
    return 0
