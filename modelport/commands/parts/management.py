"""The running server, managed by its owner: where it is, and what the commands ask of it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit

import click

from modelport import errors, settings
from modelport.errors import ModelportError

# A server on this machine answers at once; a deployment is described within the server's start_wait_s.
CONNECT_S = 10.0
ERROR_LIMIT_BYTES = 64 << 10

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
    """A server. token: the owner's. notice: the file that told of it; empty where the user did."""

    url: str
    token: str
    notice: str = ""
    pid: int = 0

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
        told = notice.read(found.home_path)
        if told is None:
            raise _unreachable(
                f"no server is running: there is no {path}. Start one with `modelport serve`, "
                "or name one with --url and its owner's token"
            )
        # BEARER_TOKEN may be some deployment's; the notice has the owner's.
        token = options["token"] or str(told.get("token", ""))
        return cls(_here(str(told.get("url", ""))), token, str(path), int(told.get("pid", 0)))

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
            return _unreachable(
                f"no server is running: {self.notice} speaks of process {self.pid}, which has ended. "
                "Start one with `modelport serve`"
            )
        return _unreachable(f"{self.url} cannot be reached: {reason}")


def _unreachable(message: str) -> ModelportError:
    from modelport.commands.parts.remote import Unreachable

    return Unreachable(message)


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


class Management:
    """The owner's door of a server; open as a context manager."""

    def __init__(self, where: Where) -> None:
        self.where = where

    async def __aenter__(self) -> Management:
        import aiohttp

        headers = {"Authorization": f"Bearer {self.where.token}"} if self.where.token else {}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        self._session = aiohttp.ClientSession(headers=headers, timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def deployments(self, *, everything: bool = False) -> list[dict[str, Any]]:
        """The services; with `everything` also the modules named on the server's command line."""
        found: list[dict[str, Any]] = await self._json("GET", "/deployments" + ("?all=1" if everything else ""))
        return found

    async def deploy(self, document: dict[str, Any]) -> dict[str, Any]:
        return await self._one("POST", "/deployments", json=document)

    async def get(self, name: str) -> dict[str, Any]:
        return await self._one("GET", _path(name))

    async def undeploy(self, name: str) -> None:
        async with self._request("DELETE", _path(name)):
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
        async with self._request("GET", f"{_path(name)}/log" + ("?follow=1" if follow else "")) as response:
            async for chunk in response.content.iter_any():
                yield chunk

    async def _one(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        found: dict[str, Any] = await self._json(method, path, **options)
        return found

    async def _json(self, method: str, path: str, **options: Any) -> Any:
        async with self._request(method, path, **options) as response:
            try:
                return json.loads(await response.read())
            except ValueError as error:
                raise _unreachable(f"{self.where.url} is no modelport server: it answers with no JSON") from error

    @contextlib.asynccontextmanager
    async def _request(self, method: str, path: str, **options: Any) -> AsyncIterator[Any]:
        """A successful response. Raises ModelportError for all else."""
        import aiohttp

        from modelport.commands.parts.remote import _reason

        try:
            async with self._session.request(method, self.where.url + path, **options) as response:
                if response.status >= 400:
                    raise _error(response.status, await response.content.read(ERROR_LIMIT_BYTES), self.where)
                yield response
        except TimeoutError as error:
            raise self.where.refused(f"no connection within {CONNECT_S:g} s") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise self.where.refused(_reason(error)) from error


def _path(name: str) -> str:
    return f"/deployments/{quote(name, safe='')}"


def _error(status: int, body: bytes, where: Where) -> ModelportError:
    """The server's own words, as its own error."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("message"), str):
        return _unreachable(f"{where.url} is no modelport server, or an older one: it answers {status} to /deployments")
    fields = document.get("fields")
    kind = errors.KINDS.get(str(document.get("error")), ModelportError)
    return kind(document["message"], fields=fields if isinstance(fields, dict) else None)


def run(options: dict[str, Any], work: Callable[[Management], Coroutine[Any, Any, int]]) -> int:
    """`work` with the server that the options name. Returns its exit status."""
    from modelport.commands.parts import running

    where = Where.find(options)

    async def managed() -> int:
        async with Management(where) as management:
            return await work(management)

    return running.run(managed, debug=options["debug"])
