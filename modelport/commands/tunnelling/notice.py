"""`<home>/tunnel.json`: the public address that a running `modelport tunnel` gives. For other commands."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from modelport.commands.shell.files import replaced

NAME = "tunnel.json"


@contextlib.contextmanager
def noted(notice: str, public: str) -> Iterator[None]:
    """The file, beside the server's own notice, while the tunnel is open. notice: "" for a server that has none."""
    if not notice:
        yield
        return
    path = Path(notice).with_name(NAME)
    with replaced(path, mode=0o600) as file:
        file.write(json.dumps({"url": public, "pid": os.getpid()}).encode() + b"\n")
    try:
        yield
    finally:
        if read(path.parent) == public:
            path.unlink(missing_ok=True)


def read(home: Path) -> str:
    """The address; "" if no tunnel is open."""
    try:
        told = json.loads((home / NAME).read_text())
        os.kill(int(told["pid"]), 0)
        return str(told["url"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return ""  # none, or what a killed one has left
