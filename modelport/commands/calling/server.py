"""What the commands of a running server share: how it is named, and a client for it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import click

from modelport.commands.shell.flags import CONFIG_FILE

if TYPE_CHECKING:
    from modelport.client import AsyncClient as AsyncClient
    from modelport.client.where import Where

# With these, Ctrl-C is the only way to end a command, and nothing to complain about.
ENDLESS = ("follow", "watch")


def options(command: click.Command) -> click.Command:
    """A decorator: which server, and how errors are told."""
    command.params += [
        click.Option(["--url"], metavar="URL", help="The server.  [default: the one running with --home]"),
        click.Option(["--token"], metavar="TEXT", help="Its owner's token.  [better: set BEARER_TOKEN]"),
        click.Option(["--home"], metavar="TEXT", help="The server's folder.  [MODELPORT_HOME; default: ~/.modelport]"),
        CONFIG_FILE,
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON, for errors as well."),
        click.Option(["--debug"], is_flag=True, help="Show tracebacks."),
    ]
    return command


def command(work: Callable[..., Coroutine[Any, Any, int]]) -> click.Command:
    """A decorator that makes a command of `async work(server, …)`: called with the server that the options name."""

    @functools.wraps(work)
    def connected(**arguments: Any) -> int:
        options = {name: arguments.pop(name) for name in ("url", "token", "home", "config_file", "debug")}
        endless = any(arguments.get(name) for name in ENDLESS)
        return run(options, lambda server: work(server, **arguments), endless=endless)

    return options(click.command()(connected))


def run(
    named: dict[str, Any],
    work: Callable[[AsyncClient], Coroutine[Any, Any, int]],
    where: Where | None = None,
    *,
    endless: bool = False,
) -> int:
    """`work` with the server that these options name, or with the one at `where`. Returns its exit status."""
    from modelport.client import AsyncClient as AsyncClient
    from modelport.client.where import Where
    from modelport.commands.shell import event_loop, failures

    place = where or Where.find(named)

    async def connected() -> int:
        async with AsyncClient(place) as server:
            return await work(server)

    try:
        return event_loop.run(connected, debug=named["debug"])
    except KeyboardInterrupt:
        if not endless:
            raise
        return failures.INTERRUPTED
