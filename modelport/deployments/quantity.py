"""Amounts as people write them: 512Mi, 1.5 GiB, 2G, 0.5, 500m, 1e9."""

from __future__ import annotations

import math
import re
from typing import Any

_AMOUNT = re.compile(r"\s*(\d{1,15}(?:\.\d{0,9})?|\.\d{1,9})(?:e([+-]?\d{1,3}))?\s*([kmgtpe]?i?)b?\s*", re.ASCII | re.I)
_UNITS = {
    "": 1.0,
    **{unit: 1000.0**power for power, unit in enumerate("kmgtpe", 1)},
    **{f"{unit}i": 1024.0**power for power, unit in enumerate("kmgtpe", 1)},
}


def quantity(text: str) -> float:
    """A Kubernetes quantity, where a small m says thousandths: 500m is 0.5. Raises ValueError."""
    text = text.strip()
    return amount(text[:-1]) / 1000 if text.endswith("m") else amount(text)


def amount(text: str) -> float:
    """The same in whatever letters, m for millions. Raises ValueError."""
    parts = _AMOUNT.fullmatch(text)
    if parts is None or parts[3].lower() not in _UNITS:
        raise ValueError(text)
    number = float(f"{parts[1]}e{parts[2] or 0}") * _UNITS[parts[3].lower()]
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def memory_bytes(value: Any) -> int:
    """Bytes of a number, or of text such as "512Mi", "2G", "1.5 GiB". Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        return int(amount(value if isinstance(value, str) else ""))
    except ValueError:
        raise ValueError(f"{value!r:.40} is not an amount of memory; give bytes, or 512Mi, 2Gi, 500M …") from None
