"""TOML, read by Python's own reader: where the child has none (before Python 3.11), by that of the gateway."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from typing import Any

# The folder of the gateway's `tomllib`, as the gateway tells it. It is written in Python that 3.8 understands.
gateways = ""


def read(text: str) -> dict[str, Any]:
    """The document; {} where it cannot be read."""
    try:
        return dict(_reader().loads(text))
    except (OSError, SyntaxError, ValueError):
        return {}


@functools.lru_cache(maxsize=None)
def _reader() -> Any:
    try:
        return importlib.import_module("tomllib")
    except ImportError:
        place = f"{gateways}/__init__.py"
        spec = importlib.util.spec_from_file_location(f"{__name__}lib", place, submodule_search_locations=[gateways])
        assert spec is not None and spec.loader is not None
        reader = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(reader)
        return reader
