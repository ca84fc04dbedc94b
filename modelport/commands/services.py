"""`modelport services`: what is deployed on the running server."""

from __future__ import annotations

from typing import Any

import click

from modelport.commands.calling import server as servers
from modelport.commands.shell.output import say

HEAD = ("NAME", "MODULE", "STATUS", "WORKERS", "CALLS", "ENDPOINT")


@servers.options
@click.command()
@click.option("--all", "everything", is_flag=True, help="Also what is named on the server's command line.")
def command(everything: bool, as_json: bool, **options: Any) -> int:
    """List the services of the running server."""
    return servers.run(options, lambda server: _list(server, everything, as_json))


async def _list(server: servers.AsyncClient, everything: bool, as_json: bool) -> int:
    from modelport.commands.shell import tables

    deployments = await server.deployments(everything=everything)
    if as_json:
        tables.as_json(deployments)
    elif deployments:
        keys = ("name", "module", "status", "workers", "calls", "endpoint")
        tables.table([HEAD, *([deployment[key] for key in keys] for deployment in deployments)])
    else:
        say("nothing is deployed; `modelport deploy MODULE` does it", err=True)
    return 0
