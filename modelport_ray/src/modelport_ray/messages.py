"""Messages between gateway and driver: MessagePack arrays [number, kind, value], each behind its length (4 bytes, big
endian)."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec


def send(writer: asyncio.StreamWriter, number: int, kind: str, value: Any = None) -> None:
    data = msgspec.msgpack.encode([number, kind, value])
    writer.write(len(data).to_bytes(4, "big") + data)


async def receive(reader: asyncio.StreamReader) -> Any:
    """None at the end."""
    try:
        length = int.from_bytes(await reader.readexactly(4), "big")
        return msgspec.msgpack.decode(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
