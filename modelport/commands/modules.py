"""`modelport modules`: what is installed."""

from __future__ import annotations

import click

from modelport.commands.shell.output import say, say_json
from modelport.contract import naming


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def command(as_json: bool) -> None:
    """List the modules that are installed here."""
    found = naming.installed()
    if as_json:
        say_json([each._asdict() for each in found])
        return
    if not found:
        say(f"no module is installed (entry points in the group {naming.GROUP})", err=True)
    widths = [max((len(row[column]) for row in found), default=0) for column in range(4)]
    for row in found:
        cells = zip((row.name, row.distribution, row.version, row.value), (0, 2, 3, 1), strict=True)
        say("  ".join(f"{cell:<{widths[column]}}" for cell, column in cells).rstrip())
