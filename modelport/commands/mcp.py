"""`modelport mcp`: a server's models as tools of a program that starts this command."""

from __future__ import annotations

from pathlib import Path

import click

from modelport.commands.calling import server as servers


@servers.command
@click.argument("name", required=False, default="")
@click.option(
    "--files",
    "folders",
    metavar="FOLDER",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Let the agent send files of this folder to the model. Can be given several times.  [default: none]",
)
async def command(server: servers.AsyncClient, name: str, folders: tuple[Path, ...], as_json: bool) -> int:
    """Speak the Model Context Protocol on stdin and stdout, for hosts that start programs.

    Each message is forwarded to the server's /mcp/NAME; without NAME to /mcp, which has all models that the token
    opens.
    """
    from modelport.client.bridge import bridge

    await bridge(server.where, name, folders)
    return 0
