"""The running server, managed by its owner: where it is, and what the commands ask of it."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import click

from modelport import errors, settings
from modelport.commands.parts.connection import Connection, Unreachable
from modelport.errors import ModelportError

# What a server that listens on every address is called from its own machine.
HERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104


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


@dataclass(frozen=True)
class Where:
    """A server. token: the owner's. notice: the file that told of it; empty where the user did.

    own_token: the user has given the token, not the notice.
    """

    url: str
    token: str
    notice: str = ""
    pid: int = 0
    own_token: bool = False

    @classmethod
    def find(cls, options: dict[str, Any]) -> Where:
        """By --url and token, else by the notice that the server leaves in its home folder.

        Raises BadSetting, Unreachable.
        """
        from modelport import notice

        found = settings.read(options["config_file"], flags={"home": options["home"], "token": options["token"]})
        if options["url"]:
            url = options["url"] if "://" in options["url"] else f"http://{options['url']}"
            return cls(url.rstrip("/"), found.token)
        path = found.home_path / notice.NAME
        where = cls._noticed(path, options["token"])
        if where is None:
            raise Unreachable(
                f"no server is running: there is no {path}. Start one with `modelport serve`, "
                "or name one with --url and its owner's token"
            )
        return where

    @classmethod
    def _noticed(cls, path: Path, token: str | None) -> Where | None:
        from modelport import notice

        told = notice.read(path.parent)
        if told is None:
            return None
        # BEARER_TOKEN may be some deployment's; the notice has the owner's.
        url, pid = _here(str(told.get("url", ""))), int(told.get("pid", 0))
        return cls(url, token or str(told.get("token", "")), str(path), pid, bool(token))

    def again(self) -> Where:
        """Where it is now: a server that was started anew may have another port."""
        found = self._noticed(Path(self.notice), self.token if self.own_token else None) if self.notice else None
        return found or self

    @property
    def origin(self) -> str:
        """Without the base path."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def path(self) -> str:
        """The base path."""
        return urlsplit(self.url).path.rstrip("/")

    @property
    def port(self) -> int | None:
        return urlsplit(self.url).port

    def refused(self, reason: str) -> ModelportError:
        if self.notice and not _alive(self.pid):
            return Unreachable(
                f"no server is running: {self.notice} speaks of process {self.pid}, which has ended. "
                "Start one with `modelport serve`"
            )
        return Unreachable(f"{self.url} cannot be reached: {reason}")


def _here(url: str) -> str:
    host = urlsplit(url).netloc.rpartition(":")[0]
    return url.replace(f"//{host}:", f"//{HERE[host]}:", 1) if host in HERE else url


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass  # it is somebody else's
    return pid > 0


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
    from modelport.commands.parts import running

    where = Where.find(options)

    async def managed() -> int:
        async with door(where) as server:
            return await work(server)

    return running.run(managed, debug=options["debug"])
