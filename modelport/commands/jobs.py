"""`modelport jobs`: the jobs of the running server."""

from __future__ import annotations

from typing import Any

import click

from modelport.commands.calling import completion
from modelport.commands.calling import server as servers
from modelport.commands.shell.output import say, say_json
from modelport.contract.prediction import Status

STATUSES = [status.value for status in Status]


@servers.options
@click.command()
@click.argument("name", metavar="[NAME]", required=False, default="", shell_complete=completion.complete_served)
@click.option(
    "--status", "statuses", type=click.Choice(STATUSES), multiple=True, help="In this state; may be repeated."
)
@click.option("--limit", metavar="N", type=click.IntRange(1), default=20, help="Show at most this many.  [default: 20]")
@click.option("--watch", "-w", is_flag=True, help="Keep watching for changes until Ctrl-C.")
def command(name: str, statuses: tuple[str, ...], limit: int, watch: bool, as_json: bool, **options: Any) -> int:
    """List the jobs of the running server, or of its service NAME; the newest first.

    With --watch, redraw the table when jobs change; if the output is not a terminal, print a line for each change. With
    --json, print a list of documents; with both, print a document for each change, one per line.
    """
    work = _watch if watch else _list
    return servers.run(options, lambda server: work(server, name, statuses, limit, as_json), endless=watch)


async def _list(server: servers.AsyncClient, name: str, statuses: tuple[str, ...], limit: int, as_json: bool) -> int:
    from modelport.commands.following import job_text
    from modelport.commands.shell import tables

    jobs = await server.jobs(name, statuses, limit)
    if as_json:
        say_json(jobs)
    elif jobs:
        tables.table(job_text.table(jobs))
    else:
        say("there are no such jobs; `modelport predict … --async` makes one", err=True)
    return 0


async def _watch(server: servers.AsyncClient, name: str, statuses: tuple[str, ...], limit: int, as_json: bool) -> int:
    from modelport.commands.following import job_watch

    board = job_watch.Board(name, statuses, limit)
    with job_watch.view(board, as_json=as_json) as view:
        await job_watch.watch(server, board, view)
    return 0
