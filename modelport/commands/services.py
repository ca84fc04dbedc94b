"""`modelport services`: what is deployed on the running server."""

from __future__ import annotations

from typing import Any

import click

from modelport.commands.calling import server as servers

HEAD = ("NAME", "MODULE", "STATUS", "WORKERS", "CALLS", "ENDPOINT")


@servers.command
@click.option("--all", "everything", is_flag=True, help="Include modules named on the server's command line.")
async def command(server: servers.AsyncClient, everything: bool, as_json: bool) -> int:
    """List the services of the running server."""
    from modelport.commands.shell import tables

    def row(deployment: dict[str, Any]) -> list[Any]:
        told = {**deployment, "workers": tables.workers(deployment), "status": tables.status(deployment)}
        return [told[name.lower()] for name in HEAD]

    deployments = await server.deployments(everything=everything)
    tables.listing(deployments, HEAD, row, "nothing is deployed yet; use `modelport deploy MODULE`", as_json=as_json)
    return 0
