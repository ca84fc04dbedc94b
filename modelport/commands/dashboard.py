"""`modelport dashboard`: a link that signs a browser in."""

from __future__ import annotations

import click

from modelport.commands.calling import server as servers
from modelport.commands.shell.output import tell


@servers.command
@click.option("--open", "show", is_flag=True, help="Open it in this machine's browser, too.")
async def command(server: servers.AsyncClient, show: bool, as_json: bool) -> int:
    """Print a link to the dashboard of a running server. It signs one browser in, once, within a day."""
    url = await server.dashboard()
    tell({"url": url}, url, as_json=as_json)
    if show:
        click.launch(url)
    return 0
