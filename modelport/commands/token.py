"""`modelport token`: the token of a service, or a new one."""

from __future__ import annotations

import click

from modelport.commands.calling import completion
from modelport.commands.calling import server as servers
from modelport.commands.shell.output import tell


@servers.command
@click.argument("name", metavar="NAME", shell_complete=completion.complete_service)
@click.option("--rotate", is_flag=True, help="Make a new token; the old one stops working.")
async def command(server: servers.AsyncClient, name: str, rotate: bool, as_json: bool) -> int:
    """Print the token that callers of a service send: TOKEN=$(modelport token NAME)."""
    from modelport.errors import NotFound

    token = await server.rotate_token(name) if rotate else str((await server.deployment(name))["token"])
    if not token:
        raise NotFound(f"{name} has no token of its own: it is named on the server's command line")
    tell({"name": name, "token": token}, token, as_json=as_json)
    return 0
