"""A client for modelport servers, also used by the commands: `from modelport.client import Client`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelport.client.aio import AsyncClient as AsyncClient
    from modelport.client.waiting import Client as Client

_HOMES = {"Client": "waiting", "AsyncClient": "aio"}
__all__ = ["AsyncClient", "Client"]


def __getattr__(name: str) -> Any:
    # aiohttp takes 0.3 s to import; a shell's completion needs only the server's address.
    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(importlib.import_module(f"modelport.client.{_HOMES[name]}"), name)
