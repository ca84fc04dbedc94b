"""`modelport jobs`: the jobs of the running server."""

from __future__ import annotations

import click

from modelport.commands.calling import completion
from modelport.commands.calling import server as servers
from modelport.contract.prediction import Status

STATUSES = [status.value for status in Status]


@servers.command
@click.argument("name", metavar="[NAME]", required=False, default="", shell_complete=completion.complete_served)
@click.option(
    "--status", "statuses", type=click.Choice(STATUSES), multiple=True, help="In this state; may be repeated."
)
@click.option("--limit", metavar="N", type=click.IntRange(1), default=20, help="Show at most this many.  [default: 20]")
@click.option("--watch", "-w", is_flag=True, help="Keep watching for changes until Ctrl-C.")
async def command(
    server: servers.AsyncClient, name: str, statuses: tuple[str, ...], limit: int, watch: bool, as_json: bool
) -> int:
    """List the jobs of the running server, or of its service NAME; the newest first.

    With --watch, redraw the table when jobs change; if the output is not a terminal, print a line for each change. With
    --json, print a list of documents; with both, print a document for each change, one per line.
    """
    from modelport.commands.following import job_text, job_watch
    from modelport.commands.shell import tables

    if watch:
        board = job_watch.Board(name, statuses, limit)
        with job_watch.view(board, as_json=as_json) as view:
            await job_watch.watch(server, board, view)
    jobs = await server.jobs(name, statuses, limit)
    nothing = "there are no such jobs; `modelport predict … --async` makes one"
    tables.listing(jobs, job_text.HEAD, job_text.row, nothing, as_json=as_json)
    return 0
