"""`<home>/nevermined.json`: what has been registered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from modelport.commands.shell.files import replaced
from modelport.errors import Conflict

NAME = "nevermined.json"
IN_DOUBT = (
    "an earlier `register` of {name} ended before the answer came, so {name} may be registered already. Look at your "
    "agents in Nevermined's web app; if it is there, give --agent-id ID, else --again"
)


class Records:
    """Registrations by server, backend and deployment.

    A registration is noted before it is sent. If its answer is lost, nothing is registered a second time unasked.
    """

    def __init__(self, home: Path, server: str, backend: str, name: str) -> None:
        self.path = home / NAME
        self._key = f"{server} {backend} {name}".strip()
        self._name = name

    def read(self) -> dict[str, Any]:
        """{"agentId", "planId", "public"}; {} if there is none. Raises Conflict if one is in doubt."""
        entry: dict[str, Any] = self._all().get(self._key, {})
        if entry and not entry.get("agentId"):
            raise Conflict(IN_DOUBT.format(name=self._name))
        return entry

    def write(self, entry: dict[str, Any] | None) -> None:
        """None: remove it."""
        entries = self._all()
        entries.pop(self._key, None)
        if entry is not None:
            entries[self._key] = entry
        with replaced(self.path, mode=0o600) as file:
            file.write(json.dumps(entries, indent=2).encode() + b"\n")

    def _all(self) -> dict[str, Any]:
        try:
            entries: dict[str, Any] = json.loads(self.path.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise Conflict(f"{self.path} is not valid JSON: {error}. Mend it, or move it away") from error
        return entries
