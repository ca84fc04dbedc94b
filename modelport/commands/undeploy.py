"""`modelport undeploy`: a service goes."""

from __future__ import annotations

import sys

import click

from modelport.commands.calling import completion
from modelport.commands.calling import server as servers
from modelport.commands.shell.output import say, tell


@servers.command
@click.argument("name", metavar="NAME", shell_complete=completion.complete_service)
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
async def command(server: servers.AsyncClient, name: str, yes: bool, as_json: bool) -> int:
    """Undeploy a service: its endpoint and token stop working, and running calls are cancelled."""
    from modelport.commands.shell import failures

    if not yes and not sys.stdin.isatty():
        raise click.UsageError(f"undeploying {name} cannot be undone: add --yes to confirm it in advance")
    deployment = await server.deployment(name)
    if not yes and not click.confirm(f"Undeploy {name} ({deployment['module']}, {deployment['calls']} calls so far)?"):
        say("nothing was done", err=True)
        return failures.FAILED
    await server.undeploy(name)
    tell({"name": name, "status": "undeployed"}, f"{name} is undeployed", as_json=as_json)
    return failures.DONE
