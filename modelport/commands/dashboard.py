"""`modelport dashboard`: a link that signs a browser in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from modelport.commands.client import management

if TYPE_CHECKING:
    from modelport.commands.client.management import Management


@management.options
@click.command()
@click.option("--open", "show", is_flag=True, help="Open it in this machine's browser, too.")
def command(show: bool, as_json: bool, **options: Any) -> int:
    """Print a link to the dashboard of a running server. It signs one browser in, once, within a day."""
    return management.run(options, lambda server: _dashboard(server, show, as_json))


async def _dashboard(server: Management, show: bool, as_json: bool) -> int:
    from modelport.commands.shell import shown

    url = await server.dashboard()
    if as_json:
        shown.as_json({"url": url})
    else:
        click.echo(url)
    if show:
        click.launch(url)
    return 0
