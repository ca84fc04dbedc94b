"""`modelport share`: a link by which somebody may call a service until a time."""

from __future__ import annotations

from typing import Any

import click

from modelport.commands.calling import completion
from modelport.commands.calling import server as servers
from modelport.commands.shell.output import labelled, say, say_json, tell

HEAD = ("ID", "STATE", "UNTIL", "CALLS", "NOTE")


@servers.command
@click.argument("name", metavar="NAME", shell_complete=completion.complete_served)
@click.option("--until", metavar="TIME", help="When it ends: 12h, 7d, or a date such as 2026-12-31.  [default: 7d]")
@click.option("--calls", "calls_limit", metavar="N", type=click.IntRange(1), help="Most calls.  [default: any number]")
@click.option("--note", metavar="TEXT", help="For yourself, such as for whom it is.")
@click.option("--list", "listed", is_flag=True, help="List the links of NAME instead.")
@click.option("--revoke", metavar="ID", help="Revoke a link instead: it stops working at once.")
async def command(
    server: servers.AsyncClient, name: str, listed: bool, revoke: str | None, as_json: bool, **options: Any
) -> int:
    """Make a link by which somebody may call a service, and nothing else, until a time.

    The URL opens the service's form in a browser. Programs send the token, as they would send the service's own.
    """
    from modelport.commands.shell import tables

    new = {option: value for option, value in options.items() if value is not None}
    if sum((bool(new), listed, revoke is not None)) > 1:
        raise click.UsageError("--list and --revoke stand alone: leave the other options out")
    if revoke is not None:
        await server.revoke_link(name, revoke)
        tell({"id": revoke, "state": "revoked"}, f"the link {revoke} is revoked", as_json=as_json)
    elif listed:
        tables.listing(await server.links(name), HEAD, _row, "there are no links", as_json=as_json)
    else:
        _tell(await server.share(name, **new), as_json)
    return 0


def _row(link: dict[str, Any]) -> list[str]:
    return [link["id"], link["state"], _time(link), _calls(link), link["note"]]


def _tell(link: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say_json(link)
        return
    told = {**link, "until": _time(link), "calls": _calls(link) if link["calls_limit"] else ""}
    labelled((name, told[name]) for name in ("url", "endpoint", "token", "until", "calls", "id"))
    say("\nThe token is not shown again. To call from a shell:\n")
    say(f"    TOKEN={link['token']}")
    say(f'    curl -s -H "Authorization: Bearer $TOKEN" -d \'{{"help": ""}}\' {link["endpoint"]}')


def _time(link: dict[str, Any]) -> str:
    return f"{link['until'][:16].replace('T', ' ')} UTC"


def _calls(link: dict[str, Any]) -> str:
    return str(link["calls"]) if link["calls_limit"] is None else f"{link['calls']} of {link['calls_limit']}"
