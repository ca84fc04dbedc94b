"""The running server, managed by its owner: where it is, and what the commands ask of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar
from urllib.parse import quote

import click

from modelport import errors
from modelport.commands.client.connection import Connection
from modelport.commands.client.where import Unreachable, Where
from modelport.errors import ModelportError


def options(command: click.Command) -> click.Command:
    """A decorator: which server, and how errors are told."""
    command.params += [
        click.Option(["--url"], metavar="URL", help="The server.  [default: the one running with --home]"),
        click.Option(["--token"], metavar="TEXT", help="Its owner's token.  [better by BEARER_TOKEN]"),
        click.Option(["--home"], metavar="TEXT", help="The server's folder.  [MODELPORT_HOME; default: ~/.modelport]"),
        click.Option(
            ["--config-file"], metavar="FILE", envvar="MODELPORT_CONFIG", help="Read settings from this file."
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="For programs: JSON, also for errors."),
        click.Option(["--debug"], is_flag=True, help="Show tracebacks."),
    ]
    return command


Door = TypeVar("Door", bound=Connection)


class Management(Connection):
    """The owner's door of a server."""

    async def deployments(self, *, everything: bool = False) -> list[dict[str, Any]]:
        """The services; with `everything` also the modules named on the server's command line."""
        found: list[dict[str, Any]] = await self.json_of("GET", "/deployments" + ("?all=1" if everything else ""))
        return found

    async def deploy(self, document: dict[str, Any]) -> dict[str, Any]:
        return await self._one("POST", "/deployments", json=document)

    async def get(self, name: str) -> dict[str, Any]:
        return await self._one("GET", _path(name))

    async def undeploy(self, name: str) -> None:
        async with self.request("DELETE", _path(name)):
            pass

    async def rotate(self, name: str) -> str:
        return str((await self._one("POST", f"{_path(name)}/token"))["token"])

    async def dashboard(self) -> str:
        """A link that signs a browser in. Raises ModelportError where there is no dashboard."""
        return str((await self._one("POST", "/ui/code"))["url"])

    async def card(self, name: str) -> dict[str, Any]:
        """When the module is described. Raises LoadFailed's like as ModelFailed, Starting as Overloaded."""
        return await self._one("GET", f"{_path(name)}/card")

    async def log(self, name: str, *, follow: bool) -> AsyncIterator[bytes]:
        async with self.request("GET", f"{_path(name)}/log" + ("?follow=1" if follow else "")) as response:
            async for chunk in response.content.iter_any():
                yield chunk

    async def _one(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        found: dict[str, Any] = await self.json_of(method, path, **options)
        return found

    def refusal(self, response: Any, body: bytes) -> ModelportError:
        return _error(response.status, body, self.where)


def _path(name: str) -> str:
    return f"/deployments/{quote(name, safe='')}"


def _error(status: int, body: bytes, where: Where) -> ModelportError:
    """The server's own words, as its own error."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("message"), str):
        return Unreachable(f"{where.url} is no modelport server, or an older one: it answers {status} to /deployments")
    fields = document.get("fields")
    kind = errors.KINDS.get(str(document.get("error")), ModelportError)
    return kind(document["message"], fields=fields if isinstance(fields, dict) else None)


def run(options: dict[str, Any], work: Callable[[Management], Coroutine[Any, Any, int]]) -> int:
    """`work` with the server that the options name, at its owner's door. Returns its exit status."""
    return run_at(Management, options, work)


def run_at(door: type[Door], options: dict[str, Any], work: Callable[[Door], Coroutine[Any, Any, int]]) -> int:
    from modelport.commands.shell import event_loop

    where = Where.find(options)

    async def managed() -> int:
        async with door(where) as server:
            return await work(server)

    return event_loop.run(managed, debug=options["debug"])
