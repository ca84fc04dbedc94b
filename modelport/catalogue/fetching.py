"""What is fetched from elsewhere: the text of a catalogue, and Git repositories by the git program."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import NoReturn

import aiohttp
from yarl import URL

from modelport.catalogue.processes import said_by
from modelport.errors import InvalidArguments
from modelport.intake.public import REDIRECTS, open_session, redirected
from modelport.settings import Settings

READ_BYTES = 64 << 10
ACCEPT = "application/json, application/yaml, text/yaml, */*;q=0.5"
# No program of a repository runs while it is fetched, nothing is asked, and no other protocols are tried, whatever a
# redirect says.
GIT = ("git", "-c", "core.hooksPath=/dev/null")
GIT_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "http:https:ssh",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
}
# Some thousand tags.
GIT_OUTPUT_BYTES = 1 << 20
TAGS_LIMIT = 100


def refuse(problem: str) -> NoReturn:
    """Raises InvalidArguments: what is wrong with the address of a source."""
    raise InvalidArguments.of("address", problem)


async def fetch(url: str, settings: Settings, limit_bytes: int) -> bytes:
    """The text at an http or https address. Whoever answers there may lead on: from https to https only, and to another
    server only in the public internet. Raises InvalidArguments."""
    address, is_public, timeout_s = URL(url), False, settings.catalogue_timeout_s
    try:
        async with asyncio.timeout(timeout_s):
            for _ in range(settings.redirect_limit + 1):
                async with (
                    open_session(is_public, timeout_s, proxies=not is_public) as session,
                    session.get(address, headers={"Accept": ACCEPT}, allow_redirects=False) as response,
                ):
                    if response.status not in REDIRECTS or "Location" not in response.headers:
                        if response.status != 200:
                            refuse(f"{url} answered {response.status} {response.reason}")
                        return await _limited(response.content, url, limit_bytes)
                    leads_to = followed(address, response.headers["Location"])
                is_public = is_public or leads_to.host != address.host or leads_to.port not in (address.port, 443)
                address = leads_to
    except TimeoutError:
        refuse(f"{url} did not answer within catalogue_timeout_s, {timeout_s:g} s")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        refuse(f"{url} cannot be fetched: {error or type(error).__name__}")
    refuse(f"{url} leads on more than {settings.redirect_limit} times (redirect_limit)")


def followed(address: URL, location: str) -> URL:
    leads_to = URL(redirected(address, location))
    if leads_to.scheme not in (("https",) if address.scheme == "https" else ("http", "https")):
        refuse(f"{address} leads to {leads_to}, which is not followed; give that address if you trust it")
    return leads_to


async def _limited(content: aiohttp.StreamReader, url: str, limit_bytes: int) -> bytes:
    text = bytearray()
    async for piece in content.iter_chunked(READ_BYTES):
        text += piece
        if len(text) > limit_bytes:
            too_large(url, limit_bytes)
    return bytes(text)


def too_large(address: str, limit_bytes: int) -> NoReturn:
    refuse(f"{address} is larger than catalogue_limit_bytes, {limit_bytes} bytes")


# Git


async def clone(url: str, folder: Path, timeout_s: float) -> tuple[str, list[str]]:
    """The newest state of a repository's main branch; its commit, and the tags, the newest first.

    Raises InvalidArguments.
    """
    await _git(url, timeout_s, "clone", "--quiet", "--depth=1", "--", url, str(folder))
    listed = await _git(url, timeout_s, "ls-remote", "--tags", "--refs", "--sort=-version:refname", "--", url)
    versions = [line.rpartition("refs/tags/")[2] for line in listed.splitlines()]
    return await commit(folder, timeout_s), versions[:TAGS_LIMIT]


async def commit(folder: Path, timeout_s: float) -> str:
    """Raises InvalidArguments."""
    return await _git(str(folder), timeout_s, "-C", str(folder), "rev-parse", "HEAD")


async def tags(folder: Path, timeout_s: float) -> list[str]:
    """Of a repository that is here, the newest first. Raises InvalidArguments."""
    listed = await _git(str(folder), timeout_s, "-C", str(folder), "tag", "--list", "--sort=-version:refname")
    return listed.splitlines()[:TAGS_LIMIT]


async def _git(address: str, timeout_s: float, *arguments: str) -> str:
    try:
        said = await said_by([*GIT, *arguments], timeout_s, GIT_OUTPUT_BYTES, environment=GIT_ENVIRONMENT)
    except TimeoutError:
        refuse(f"git did not fetch {address} within git_timeout_s, {timeout_s:g} s")
    except OSError as error:
        refuse(f"the program git cannot be started on the server: {error.strerror or error}")
    if said.status != 0:
        refuse(f"git cannot fetch {address}: {_last_line(said.complaint) or f'status {said.status}'}")
    return said.out.decode(errors="replace").strip()


def _last_line(text: str) -> str:
    return re.sub(r"^(fatal|error): ", "", text.rpartition("\n")[2])
