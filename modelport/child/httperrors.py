"""HTTP exceptions that plugins raise: aiohttp's, werkzeug's, Starlette's.

The official template wraps every function in `except Exception as e: raise HTTPBadRequest(reason=e)`. aiohttp wants a
text of one line there; from version 3.10 on, or where the exception has a line break in it, building the exception
raises another one, and status and text are lost. Here aiohttp gets what the author meant.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from typing import Any

AIOHTTP = "aiohttp.web_exceptions"
# Where an exception keeps its status, and where what it says.
PAIRS = (("status", "reason"), ("code", "description"), ("status_code", "detail"))


def status_and_reason(error: BaseException) -> tuple[int | None, str]:
    """(None, "") where it is no HTTP exception. aiohttp's base class has no status of its own: 500."""
    for status_name, reason_name in PAIRS:
        status, reason = getattr(error, status_name, None), getattr(error, reason_name, None)
        if isinstance(status, int) and hasattr(error, reason_name) and not isinstance(error, SystemExit):
            text = getattr(error, "text", None)  # aiohttp's body, "400: Bad Request" unless the plugin gave one
            if isinstance(text, str) and text and not text.startswith(f"{status}: "):
                reason = text
            return (status if 400 <= status <= 599 else 500), " ".join(str(reason or "").split())
    return None, ""


def take_any_reason() -> None:
    """From now on aiohttp's exceptions take whatever can be shown as their reason, also where it is imported later."""
    loaded = sys.modules.get(AIOHTTP)
    if loaded is not None:
        _mend(loaded)
    elif not any(isinstance(finder, _MendAfterImport) for finder in sys.meta_path):
        finder: Any = _MendAfterImport()
        sys.meta_path.insert(0, finder)


def _mend(module: Any) -> None:
    cls = getattr(module, "HTTPException", None)
    built = getattr(cls, "__init__", None)
    if cls is None or built is None or hasattr(built, "__wrapped__"):
        return

    @functools.wraps(built)
    def build(self: Any, *arguments: Any, **options: Any) -> None:
        if options.get("reason") is not None:
            options["reason"] = " ".join(str(options["reason"]).split())
        if options.get("text") is not None:
            options["text"] = str(options["text"])
        built(self, *arguments, **options)

    cls.__init__ = build


class _MendAfterImport:
    """Finds nothing itself: lets the others find aiohttp's exceptions, and mends them once they are loaded."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != AIOHTTP:
            return None
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self]
        spec = importlib.util.find_spec(name)
        loader: Any = None if spec is None else spec.loader
        execute = getattr(loader, "exec_module", None)
        if execute is None:
            return spec

        def execute_and_mend(module: Any) -> None:
            execute(module)
            _mend(module)

        loader.exec_module = execute_and_mend
        return spec
