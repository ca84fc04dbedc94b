"""`<home>/server.json`: where the running server is, and how its owner is known there. For the command line."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

from modelport.errors import DISK_FULL

NAME = "server.json"


class ServerFile:
    """The file, while its server listens. Only its user may read it."""

    def __init__(self, home: Path) -> None:
        self.path = home / NAME
        self._written = False

    def write(self, url: str, token: str) -> None:
        """Complete under its name, or not there; on a full disk in the place of an earlier server's. Raises OSError."""
        self._written = True
        beside = self.path.with_name(f".{NAME}.{secrets.token_hex(4)}")
        text = json.dumps({"url": url, "pid": os.getpid(), "token": token}) + "\n"
        try:
            with open(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "w") as file:
                file.write(text)
            beside.replace(self.path)
        except OSError as error:
            if error.errno not in DISK_FULL or not self.path.exists():
                raise
            with open(os.open(self.path, os.O_WRONLY | os.O_CLOEXEC), "r+b") as file:
                file.write(text.encode())
                file.truncate()
        finally:
            beside.unlink(missing_ok=True)

    def remove(self) -> None:
        """If we have written it; a second time does nothing."""
        if self._written:
            self._written = False
            self.path.unlink(missing_ok=True)


def read(home: Path) -> dict[str, Any] | None:
    """What a running server, or one that was killed, has written; None: nothing."""
    try:
        document = json.loads((home / NAME).read_text())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None
