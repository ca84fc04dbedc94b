"""`modelport tunnel`: a public address for the server on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from modelport.commands.calling import server as servers
from modelport.commands.shell.flags import duration
from modelport.commands.shell.output import say, say_json

if TYPE_CHECKING:
    from modelport.client.where import Where

TOOLS = ("ngrok", "cloudflared")


@servers.options
@click.command()
@click.option("--tool", type=click.Choice(TOOLS), help="Which program makes the tunnel.  [default: the one installed]")
@click.option("--port", metavar="N", type=click.IntRange(1, 65535), help="The server's port on this machine.")
@click.option(
    "--wait", "wait_s", metavar="TIME", type=duration, default="60s", help="Give up after this time.  [default: 60s]"
)
def command(tool: str | None, port: int | None, wait_s: float, as_json: bool, **options: Any) -> int:
    """Give the running server a public HTTPS address, by ngrok or cloudflared, until Ctrl-C.

    The command checks that the address needs the token, and prints what to register.
    """
    return servers.run(options, lambda server: _tunnel(server, tool, wait_s, as_json), _where(options, port))


def _where(options: dict[str, Any], port: int | None) -> Where:
    """With --port the server there; its token is that of the notice, if that speaks of this port."""
    from modelport.client.where import Where
    from modelport.errors import ModelportError

    if port is None:
        return Where.find(options)
    if options["url"]:
        raise click.UsageError("give --port or --url, not both")
    try:
        where = Where.find(options)
        if urlsplit(where.url).port == port:
            return where
    except ModelportError:
        pass  # none runs with this home
    return Where.find({**options, "url": f"http://127.0.0.1:{port}"})


async def _tunnel(server: servers.AsyncClient, tool: str | None, wait_s: float, as_json: bool) -> int:
    """Until the tunnel ends, or the user ends it."""
    import asyncio

    from modelport.commands.tunnelling import tunnels

    program = tunnels.choose(tool)
    deployments = await tunnels.callable_deployments(server)
    async with tunnels.Tunnel(program, server.where.url.removesuffix(server.where.path)) as tunnel:
        async with tunnels.deadline(wait_s, tunnel):
            public = await tunnel.wait_url() + server.where.path
            await tunnels.check(public, server, deployments, tunnel)
        try:
            with tunnels.noted(server.where.notice, public):
                if as_json:
                    rows = [tunnels.registered(public, deployment) for deployment in deployments]
                    say_json({"url": public, "deployments": rows})
                else:
                    _say(public, deployments)
                await tunnel.wait_end()
        except asyncio.CancelledError:
            # Ctrl-C or SIGTERM: that is how it ends.
            say("the tunnel is closed", err=True)
            return 0
    return 0


def _say(public: str, deployments: list[dict[str, Any]]) -> None:
    from modelport.commands.tunnelling import tunnels

    say(f"Public at {public}", bold=public)
    say("checked: 401 without a token, 200 with it\n")
    say("To register:" if deployments else "Nothing is deployed yet; use `modelport deploy MODULE`.")
    for deployment in deployments:
        row = tunnels.registered(public, deployment)
        say(f"  {row['name']}")
        say(f"    endpoint       {row['endpoint']}")
        say(f"    OSCAR          {row['run']}")
        say(f"    Authorization  Bearer {row['token'] or '<the token that this server was started with>'}")
    say(f"  OpenAPI          {public}/openapi.json\n")
    if deployments:
        say(f"Next: `modelport nevermined plan {deployments[0]['name']}` shows what a marketplace would be told.")
    say("Ctrl-C ends the tunnel.")
