"""`modelport logs`: what a service's module has printed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime

import click

from modelport.commands.calling import completion
from modelport.commands.calling import server as servers
from modelport.commands.shell.output import print_log

TIME = "%Y-%m-%d %H:%M:%S  "


@servers.command
@click.argument("name", metavar="NAME", shell_complete=completion.complete_served)
@click.option("--follow", "-f", is_flag=True, help="Keep printing new output until Ctrl-C.")
@click.option("--times", "-t", is_flag=True, help="Begin each line with the time when the server got it.")
async def command(server: servers.AsyncClient, name: str, follow: bool, times: bool, as_json: bool) -> int:
    """Print the last output of a service's module.

    Control characters are shown as text (\\x1b), so that a terminal does not obey them; colours are left out. With
    --json, print one object, {"log": "…"}, with the unchanged output.
    """
    if follow and as_json:
        raise click.UsageError("--follow does not end, so it cannot be combined with --json")
    if times and as_json:
        raise click.UsageError("--json prints the unchanged output, so it cannot be combined with --times")
    chunks = server.log(name, follow=follow, records=times)
    await print_log(_stamped(chunks) if times else chunks, {} if as_json else None)
    return 0


async def _stamped(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Whole lines, each with the local time of its beginning; the beginning of a line waits for the rest."""
    begun: dict[int, bytes] = {}
    rest = b""
    async for chunk in chunks:
        *records, rest = (rest + chunk).split(b"\n")
        for record in map(json.loads, records):
            at = datetime.fromisoformat(record["time"]).astimezone().strftime(TIME)
            *lines, last = record["text"].encode().split(b"\n")
            for line in lines:
                yield begun.pop(record["process"], at.encode()) + line + b"\n"
            if last:
                begun[record["process"]] = begun.get(record["process"], at.encode()) + last
    for line in begun.values():
        yield line + b"\n"
