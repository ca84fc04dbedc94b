"""Where the server is: named by the user, or known from what it leaves in its home folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from modelport import settings
from modelport.errors import ModelportError
from modelport.identity import server_file
from modelport.settings import BadSetting

# What a server that listens on every address is called from its own machine.
HERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104


class Unreachable(ModelportError):
    """There is no server at the address, or it hung up."""


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
    def find(cls, options: Mapping[str, Any]) -> Where:
        """By `url` and `token`, else by the notice that the server leaves in its home folder. All are optional.

        Raises BadSetting, Unreachable.
        """
        token = options.get("token")
        configured = settings.read(options.get("config_file"), flags={"home": options.get("home"), "token": token})
        if url := options.get("url"):
            return cls(_address(url), configured.token)
        path = configured.home_path / server_file.NAME
        where = cls._noticed(path, token)
        if where is None:
            raise Unreachable(
                f"no server is running: there is no {path}. Start one with `modelport serve`, "
                "or name one with --url and its owner's token"
            )
        return where

    @classmethod
    def _noticed(cls, path: Path, token: str | None) -> Where | None:
        told = server_file.read(path.parent)
        if told is None:
            return None
        # BEARER_TOKEN may be some deployment's; the notice has the owner's.
        url, pid = str(told.get("url", "")), int(told.get("pid", 0))
        host = urlsplit(url).netloc.rpartition(":")[0]
        url = url.replace(f"//{host}:", f"//{HERE.get(host, host)}:", 1)
        return cls(url, token or str(told.get("token", "")), str(path), pid, bool(token))

    def again(self) -> Where:
        """Where it is now: a server that was started anew may have another port."""
        notice = self._noticed(Path(self.notice), self.token if self.own_token else None) if self.notice else None
        return notice or self

    @property
    def path(self) -> str:
        """The base path."""
        return urlsplit(self.url).path.rstrip("/")

    def refused(self, reason: str) -> ModelportError:
        if self.notice and not _alive(self.pid):
            return Unreachable(
                f"no server is running: {self.notice} names process {self.pid}, which has ended. "
                "Start one with `modelport serve`"
            )
        return Unreachable(f"{self.url} cannot be reached: {reason}")


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token; none without one."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def _address(text: str) -> str:
    """Raises BadSetting."""
    url = (text if "://" in text else f"http://{text}").rstrip("/")
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        url.encode()
    except ValueError:
        known = False
    if not known or not url.isprintable() or " " in url:
        raise BadSetting(f"{text[:100]!r} is not a server's address; give one such as http://127.0.0.1:5000")
    return url


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass  # it is somebody else's
    return pid > 0
