"""What a call printed, as people read it."""

from __future__ import annotations

import re

# Terminals' escape sequences: colours, titles, cursor movements.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


def log_text(log: bytes) -> str:
    """What a call printed, readable and with a newline at its end."""
    text = _ESCAPES.sub("", log.decode(errors="replace")).replace("\r\n", "\n")
    return text if not text or text.endswith("\n") else f"{text}\n"
