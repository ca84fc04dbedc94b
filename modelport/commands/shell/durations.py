"""Times on a command line: 300, 300s, 5m, 1.5h."""

from __future__ import annotations

import math
import re

import click

SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
FORM = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[smhd]?)", re.ASCII)


def duration(text: str) -> float:
    """In seconds; the `type` of an option. Raises click.BadParameter."""
    match = FORM.fullmatch(text.strip())
    if match is None or not math.isfinite(float(match[1])):
        raise click.BadParameter(f"{text!r} is not a time; give seconds, or 300s, 5m, 1.5h")
    return float(match[1]) * SECONDS[match[2]]
