"""`modelport deploy`: a module becomes a service of the running server."""

from __future__ import annotations

import os
from typing import Any

import click

from modelport.commands.calling import server as servers
from modelport.commands.shell import names, pricing
from modelport.commands.shell.flags import duration, key_value
from modelport.commands.shell.output import say, say_json
from modelport.contract import naming

# While it is still loading, its state is asked for so often.
POLL_S = 0.2


@servers.command
@click.argument("module", metavar="MODULE", shell_complete=names.complete_module)
@click.option("--name", metavar="NAME", help="Its name in URLs.  [default: MODULE and a short id]")
@click.option("--title", metavar="TEXT", help="Shown to people.")
@click.option("--description", metavar="TEXT")
@click.option("--python", metavar="PATH", help="The interpreter of the module's own environment.")
@click.option("--min-workers", metavar="N", type=int, help="Minimum workers, kept while idle.  [default: 0]")
@click.option("--max-workers", metavar="N", type=int, help="Maximum workers, while calls wait.")
@click.option(
    "--idle", "idle_s", metavar="TIME", type=duration, help="Idle workers stop after this time.  [default: 300s]"
)
@click.option("--timeout", "timeout_s", metavar="TIME", type=duration, help="A prediction is stopped after this time.")
@click.option("--memory", metavar="SIZE", help="Memory limit per worker: 512Mi, 2Gi.")
@click.option("--cpu", metavar="N", type=float, help="Threads for numeric libraries per worker.")
@click.option("--executor", metavar="NAME", help="What runs its predictions.  [default: the server's setting]")
@click.option("--env", "environment", metavar="K=V", multiple=True, help="A variable for the module; may be repeated.")
@pricing.options
@click.option("--wait", is_flag=True, help="Return when the module is loaded, or has failed.")
async def command(server: servers.AsyncClient, module: str, wait: bool, as_json: bool, **options: Any) -> int:
    """Deploy a module on the running server, and print its endpoint and token.

    MODULE is the name of an installed module, package.module[:attribute], a folder or a Python file. It is loaded when
    it is first called, gives its memory back when idle, and is there again after a restart of the server.
    """
    from modelport.commands.shell import failures, tables

    options["price"] = pricing.of(options)
    options["environment"] = dict(key_value("--env", text, "NAME=VALUE") for text in options["environment"]) or None
    options["python"] = options["python"] and _interpreter(options["python"])
    # Options have the names that the server knows.
    document = {name: value for name, value in options.items() if value is not None}
    deployment = await server.deploy(_module(module), **document)
    if wait:
        deployment = await _wait(server, deployment["name"])
    if as_json:
        say_json(deployment)
    else:
        tables.facts(deployment)
        say(f"\n`modelport info {deployment['name']}` shows how to call it.")
    return failures.FAILED if wait and deployment["status"] == "failed" else failures.DONE


def _module(module: str) -> str:
    """A path from here on: the server is elsewhere."""
    if not naming.is_path(module):
        return module
    if not os.path.exists(naming.split_path(module)[0]):  # the server may be on another machine
        say(f"note: there is no {module} here; the server looks for it on its own disk", err=True)
        return module
    return names.place(module)


def _interpreter(path: str) -> str:
    # Not resolved: an environment's interpreter is a link to another one.
    return os.path.abspath(os.path.expanduser(path)) if os.sep in path else path


async def _wait(server: servers.AsyncClient, name: str) -> dict[str, Any]:
    """The deployment when it is loaded, or has failed."""
    import asyncio

    from modelport.errors import ModelportError, NotFound

    while True:
        try:
            await server.card(name)
        except NotFound:
            raise  # somebody has undeployed it
        except ModelportError:
            pass  # its state says so
        deployment = await server.deployment(name)
        if deployment["status"] != "loading":
            return deployment
        await asyncio.sleep(POLL_S)
