"""`modelport undeploy`: a service goes."""

from __future__ import annotations

import sys
from typing import Any

import click

from modelport.commands.calling import completion
from modelport.commands.calling import server as servers
from modelport.commands.shell.output import say


@servers.options
@click.command()
@click.argument("name", metavar="NAME", shell_complete=completion.complete_service)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def command(name: str, yes: bool, as_json: bool, **options: Any) -> int:
    """Take a service away: its endpoint and token are gone, calls that run are cancelled."""
    if not yes and not sys.stdin.isatty():
        raise click.UsageError(f"undeploying {name} cannot be undone: say --yes where nobody can be asked")
    return servers.run(options, lambda server: _undeploy(server, name, yes, as_json))


async def _undeploy(server: servers.AsyncClient, name: str, yes: bool, as_json: bool) -> int:
    from modelport.commands.shell import failures, tables

    deployment = await server.deployment(name)
    if not yes and not click.confirm(f"Undeploy {name} ({deployment['module']}, {deployment['calls']} calls so far)?"):
        say("nothing was done", err=True)
        return failures.FAILED
    await server.undeploy(name)
    if as_json:
        tables.as_json({"name": name, "status": "undeployed"})
    else:
        say(f"{name} is undeployed")
    return failures.DONE
