"""What stands in for DEEPaaS in a child whose environment has none.

The folder beside this file holds a package `deepaas` with the two modules that plugins import. `supply_deepaas` puts
it at the end of `sys.path`: a folder there, unlike an import hook, is also seen by the processes that a plugin starts
with multiprocessing, which hands its `sys.path` on.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

WRAPPER = "deepaas.model.v2.wrapper"
FOLDER = str(Path(__file__).resolve().parent)

_Late = namedtuple(
    "_Late", ("name", "filename", "content_type", "original_filename"), defaults=(None, None, None, None)
)


class LateUploadedFile(_Late):
    """Passes for deepaas' own UploadedFile from the moment on that the plugin imports it.

    The real module takes a second to import (aiohttp, oslo), so it is not imported for plugins that never ask. One
    that asks late, inside `predict`, checks a file which is there already: `isinstance` believes `__class__`.
    """

    __slots__ = ()

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return _loaded() or LateUploadedFile

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled before the plugin has imported the class, it is a plain tuple: nobody over there needs modelport."""
        cls = _loaded()
        return (tuple, (tuple(self),)) if cls is None else (cls, tuple(self))


def supply_deepaas() -> None:
    """Make `deepaas.model.v2.wrapper` and `.base` importable where no real deepaas is installed."""
    if FOLDER in sys.path or "deepaas" in sys.modules:
        return
    spec = importlib.util.find_spec("deepaas")
    if spec is None or spec.origin is None:  # none, or just a folder of that name
        sys.path.append(FOLDER)
        importlib.invalidate_caches()


def uploaded_file(name: str, filename: str, content_type: str | None, original_filename: str | None) -> Any:
    """The named tuple that a plugin's file argument receives; `isinstance` holds for whichever class it imports."""
    cls = _loaded()
    if cls is None and FOLDER in sys.path:
        cls = getattr(importlib.import_module(WRAPPER), "UploadedFile", None)
    return (cls or LateUploadedFile)(name, filename, content_type, original_filename)


def _loaded() -> Any:
    return getattr(sys.modules.get(WRAPPER), "UploadedFile", None)
