"""`modelport services`: what is deployed on the running server."""

from __future__ import annotations

import click

from modelport.commands.calling import server as servers
from modelport.commands.shell.output import say, say_json

HEAD = ("NAME", "MODULE", "STATUS", "WORKERS", "CALLS", "ENDPOINT")


@servers.command
@click.option("--all", "everything", is_flag=True, help="Include modules named on the server's command line.")
async def command(server: servers.AsyncClient, everything: bool, as_json: bool) -> int:
    """List the services of the running server."""
    from modelport.commands.shell import tables

    deployments = await server.deployments(everything=everything)
    if as_json:
        say_json(deployments)
    elif deployments:
        rows = [
            {**deployment, "workers": tables.workers(deployment), "status": tables.status(deployment)}
            for deployment in deployments
        ]
        keys = ("name", "module", "status", "workers", "calls", "endpoint")
        tables.table([HEAD, *([row[key] for key in keys] for row in rows)])
    else:
        say("nothing is deployed yet; use `modelport deploy MODULE`", err=True)
    return 0
