"""`modelport modules`: what is installed here, and where the running server looks for more."""

from __future__ import annotations

import os
from operator import itemgetter
from typing import Any

import click

from modelport.commands.calling import server as servers
from modelport.commands.shell.output import say, tell
from modelport.contract import naming

KINDS = ("folder", "git", "catalogue")
HEAD = ("ID", "KIND", "ADDRESS", "FETCHED", "VERSIONS")


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the modules that are installed here.

    With a command: add sources of modules to the running server, list and remove them.
    """
    if context.invoked_subcommand is None:
        _list_installed(as_json)


def _list_installed(as_json: bool) -> None:
    from modelport.commands.shell import tables

    modules = [module._asdict() for module in naming.installed()]
    nothing = f"no module is installed (entry points in the group {naming.GROUP})"
    tables.listing(modules, (), itemgetter("name", "distribution", "version", "value"), nothing, as_json=as_json)


@servers.command
@click.argument("address", metavar="PATH|URL")
@click.option("--kind", type=click.Choice(KINDS), help="What it is.  [default: as its name says]")
async def add(server: servers.AsyncClient, address: str, kind: str | None, as_json: bool) -> int:
    """Add a source of modules to the running server.

    A folder, a .py file, a Git repository (https://….git), or a catalogue (.json, .yml, or an http address). A source
    that is there is fetched again.
    """
    source = await server.add_source(_from_here(address), kind or "")
    tell(source, f"added {source['address']} ({source['kind']}, {source['id']})", as_json=as_json)
    return 0


@servers.command
@click.argument("source", metavar="PATH|URL|ID")
async def remove(server: servers.AsyncClient, source: str, as_json: bool) -> int:
    """Remove a source from the running server, with what was fetched for it.

    Folders of your own stay.
    """
    names = (source, _from_here(source))
    known = {row["id"] for row in await server.sources() if row["id"] in names or row["address"] in names}
    id = next(iter(known), source)
    await server.remove_source(id)
    tell({"id": id, "status": "removed"}, f"removed {source}", as_json=as_json)
    return 0


@servers.command
async def sources(server: servers.AsyncClient, as_json: bool) -> int:
    """List the sources that were added to the running server."""
    from modelport.commands.shell import tables

    def row(source: dict[str, Any]) -> list[Any]:
        return [source["id"], source["kind"], source["address"], source["fetched"][:10], len(source["versions"])]

    sources = await server.sources()
    tables.listing(sources, HEAD, row, "no source was added; use `modelport modules add PATH|URL`", as_json=as_json)
    for source in sources:
        if source["problem"] and not as_json:
            say(f"{source['address']}: {source['problem']}", err=True)
    return 0


def _from_here(address: str) -> str:
    """A path from here on: the server's working folder is another."""
    path = os.path.abspath(os.path.expanduser(address))
    return path if os.path.exists(path) else address


for _name, _command in (("add", add), ("remove", remove), ("sources", sources)):
    command.add_command(_command, _name)
