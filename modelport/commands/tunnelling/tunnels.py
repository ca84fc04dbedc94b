"""A tunnel from a public address to this machine, made by a program of others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
from collections import deque
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from modelport.client import AsyncClient
from modelport.client.connection import proxy_of
from modelport.client.where import bearer
from modelport.commands.shell.files import replaced
from modelport.contract import descent
from modelport.environment import child_environment
from modelport.errors import DeadlineExceeded, InvalidRequest, ModelportError, NotFound, Unauthorized
from modelport.tasks import end_group, to_its_end, wait_done

# How each is started, and the line in which it tells its public address.
COMMANDS = {
    "ngrok": ("http", "{origin}", "--log", "stdout", "--log-format", "json"),
    "cloudflared": ("tunnel", "--no-autoupdate", "--url", "{origin}"),
}
ADDRESSES = {
    "ngrok": re.compile(r'"url":"(https?://[^"]+)"'),
    "cloudflared": re.compile(r"(https://[a-z0-9-]+\.trycloudflare\.com)"),
}
HOW_TO_GET = (
    "neither ngrok nor cloudflared is installed here. ngrok: https://ngrok.com/download, then once "
    "`ngrok config add-authtoken <yours>`; cloudflared: https://github.com/cloudflare/cloudflared/releases, "
    "which needs no account for a short-lived address. Any other reverse proxy or tunnel does as well: "
    "point it at the server's port"
)

# `<home>/tunnel.json`: the public address that a running `modelport tunnel` gives. For other commands.
NOTICE = "tunnel.json"
# A new address is not known everywhere at once: ask again so often, each time so long.
CHECK_AGAIN_S = 0.5
CHECK_S = 10.0
END_S = 5.0
KEPT_LINES = 20


class TunnelFailed(ModelportError):
    """The tunnel's program ended, or its address does not do what it should."""


def choose(tool: str | None) -> tuple[str, str]:
    """(name, path) of the program. Raises NotFound, which says how to get one."""
    for name in [tool] if tool else COMMANDS:
        path = shutil.which(name)
        if path is not None:
            return name, path
    if tool is None:
        raise NotFound(HOW_TO_GET)
    raise NotFound(f"{tool} is not installed here, or not on PATH")


async def callable_deployments(server: AsyncClient) -> list[dict[str, Any]]:
    """All that can be called, once it is sure that nothing can be called without a token.

    Raises InvalidRequest where it can, Unauthorized where the token is not the owner's.
    """
    deployments = await server.deployments(everything=True)
    status, body = await _ask("GET", f"{server.where.url}/v2/models/", "")
    if status == 200 and json.loads(body)["models"]:
        open_ones = [str(deployment["name"]) for deployment in deployments if not deployment["kept"]] or ["something"]
        raise InvalidRequest(
            f"{', '.join(open_ones)} can be called without a token, so a public address would let in everybody. Start "
            "the server with one (export BEARER_TOKEN=$(openssl rand -hex 32)), or deploy the module: "
            "`modelport serve --empty`, then `modelport deploy MODULE`"
        )
    if status not in (200, 401):
        raise TunnelFailed(f"{server.where.url}/v2/models/ answers {status} without a token; 401 was expected")
    return deployments


def registered(public: str, deployment: dict[str, Any]) -> dict[str, str]:
    """What a marketplace wants to know."""
    name = quote(str(deployment["name"]), safe="")
    # A module named on the command line shares the owner's token, which is nothing to give away.
    token = str(deployment["token"]) if deployment["kept"] else ""
    return {
        "name": str(deployment["name"]),
        "endpoint": f"{public}/{name}",
        "run": f"{public}/run/{name}",
        "token": token,
    }


async def check(public: str, server: AsyncClient, deployments: list[dict[str, Any]], tunnel: Tunnel) -> None:
    """The public address answers with the token, and not without. Waits until it answers at all.

    Raises TunnelFailed, Unauthorized.
    """
    first = registered(public, deployments[0]) if deployments else None
    url = first["endpoint"] if first else f"{public}/deployments"
    token = (first["token"] if first else "") or server.where.token
    method = "HEAD" if first else "GET"
    while True:
        tunnel.check()
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            stranger, _ = await _ask(method, url, "")
            if stranger < 400:
                raise TunnelFailed(f"{url} answers {stranger} without a token: the tunnel leads elsewhere, or adds one")
            friend, _ = await _ask(method, url, token)
            if (stranger, friend) == (401, 200):
                return
            if (stranger, friend) == (401, 401):
                raise Unauthorized(f"{url} does not take the token: something on the way drops or changes the header")
        await asyncio.sleep(CHECK_AGAIN_S)


async def _ask(method: str, url: str, token: str) -> tuple[int, bytes]:
    timeout = aiohttp.ClientTimeout(total=CHECK_S)
    async with (
        aiohttp.ClientSession(headers=bearer(token), timeout=timeout) as session,
        session.request(method, url, allow_redirects=False, proxy=proxy_of(url)) as response,
    ):
        return response.status, await response.read()


@contextlib.asynccontextmanager
async def deadline(seconds: float, tunnel: Tunnel) -> AsyncIterator[None]:
    """Raises DeadlineExceeded with the last that the program said."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise DeadlineExceeded(f"{tunnel.name} gave no working address within {seconds:g} s{tunnel.said()}") from None


@contextlib.contextmanager
def noted(notice: str, public: str) -> Iterator[None]:
    """The file, beside the server's own notice, while the tunnel is open. notice: "" for a server that has none."""
    if not notice:
        yield
        return
    path = Path(notice).with_name(NOTICE)
    with replaced(path, mode=0o600) as file:
        file.write(json.dumps({"url": public, "pid": os.getpid()}).encode() + b"\n")
    try:
        yield
    finally:
        if running(path.parent) == public:
            path.unlink(missing_ok=True)


def running(home: Path) -> str:
    """The address of the tunnel that is open; "" if none is."""
    try:
        told = json.loads((home / NOTICE).read_text())
        os.kill(int(told["pid"]), 0)
        return str(told["url"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return ""  # none, or what a killed one has left


class Tunnel:
    """The program, while it runs; as a context manager it is gone at the end, however that comes."""

    def __init__(self, program: tuple[str, str], origin: str) -> None:
        self.name, self._path = program
        self._command = [self._path, *(command.format(origin=origin) for command in COMMANDS[self.name])]
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._url: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Tunnel:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=child_environment(),
            start_new_session=True,  # Ctrl-C is ours to pass on
            preexec_fn=descent.die_with_parent,
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *reason: object) -> None:
        try:
            await to_its_end(end_group(self._process, END_S))
        finally:
            self._reading.cancel()
            await wait_done(self._reading)

    async def _read(self) -> None:
        """All that it says, to its end: a full pipe would stop it."""
        stream = self._process.stdout
        assert stream is not None
        rest = b""
        while chunk := await stream.read(1 << 16):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-(1 << 16) :]
            for line in lines:
                text = line.decode(errors="replace").rstrip()
                self._lines.append(text)
                match = ADDRESSES[self.name].search(text)
                if match is not None and not self._url.done():
                    self._url.set_result(match[1].rstrip("/"))

    async def wait_url(self) -> str:
        """The public address. Raises TunnelFailed if the program ends without one."""
        first: set[asyncio.Future[Any]] = {self._url, self._reading}
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if not self._url.done():
            await self._process.wait()
            self.check()
        return await self._url

    async def wait_end(self) -> None:
        """Until the program ends, which it should not. Raises TunnelFailed."""
        await asyncio.wait({self._reading})
        await self._process.wait()
        self.check()

    def check(self) -> None:
        """Raises TunnelFailed if the program has ended."""
        code = self._process.returncode
        if code is not None:
            raise TunnelFailed(f"{self.name} has ended with status {code}{self.said()}")

    def said(self) -> str:
        return ": " + " | ".join(self._lines) if self._lines else ""
