"""The gateway's side of the driver: one process for each cluster, started when it is needed and shared."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator
from itertools import count
from typing import Any, ClassVar

from modelport.extending import LoadFailed, Node
from modelport_ray.messages import receive, send

logger = logging.getLogger(__name__)

CONNECT_S = 120.0  # a wrong token takes Ray half a minute to tell
END_S = 10.0
NODES_S = 2.0  # so long its answer is waited for, and is true
LOST = "the connection to the cluster was lost"


class Exchange:
    """What the driver says to one thing that it was asked to do."""

    def __init__(self, link: Link, number: int) -> None:
        self.number = number
        self._link = link
        self._items: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self.unwanted = asyncio.Event()

    def told(self, kind: str, value: Any) -> None:
        self._items.put_nowait((kind, value))

    async def items(self) -> AsyncIterator[tuple[str, Any]]:
        """The last is ("end", why)."""
        while True:
            item = await self._items.get()
            yield item
            if item[0] == "end":
                return

    def took(self) -> None:
        self._link.send(self.number, "took")

    def cancel(self, *, at_once: bool = False) -> None:
        """End what was begun. at_once: without asking a process on a node that is not heard."""
        self.unwanted.set()
        self._link.send(self.number, "kill" if at_once else "cancel")


class Link:
    """A driver process, and the exchanges that are going on with it."""

    _open: ClassVar[dict[tuple[str, str], Link]] = {}

    def __init__(self, address: str, token_file: str) -> None:
        self._address = address
        self._token_file = token_file
        self._users = 0
        self._numbers = count(1)
        self._exchanges: dict[int, Exchange] = {}
        self._opening = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._nodes: list[Node] = []
        self._nodes_until = 0.0
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    def to(cls, address: str, token_file: str) -> Link:
        """The one for this cluster. Each user closes it once."""
        link = cls._open.setdefault((address, token_file), cls(address, token_file))
        link._users += 1
        return link

    async def connect(self) -> None:
        """Start the driver where none runs. Raises LoadFailed."""
        async with self._opening:
            if self._reading is None or self._reading.done():
                await self._start()

    async def _start(self) -> None:
        ours, theirs = socket.socketpair()
        environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
        if self._token_file:
            environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": self._token_file}
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "modelport_ray.driver", str(theirs.fileno()), self._address),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env=environment,
                start_new_session=True,  # a terminal's interrupt is for the gateway
            )
        try:
            reader, self._writer = await asyncio.open_connection(sock=ours)
            async with asyncio.timeout(CONNECT_S):
                first = await receive(reader)
        except TimeoutError:
            first = None
        except BaseException:  # the server stops meanwhile
            await self._end()
            raise
        if first is None or first[1] != "connected":
            await self._end()
            why = LOST if first is None else first[2]
            raise LoadFailed(f"there is no connection to the Ray cluster {self._address} (ray_address): {why}")
        self._reading = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while (message := await receive(reader)) is not None:
                number, kind, value = message
                exchange = self._exchanges.get(number)
                if exchange is not None:
                    exchange.told(kind, value)
                    if kind == "end":
                        del self._exchanges[number]
        finally:
            for exchange in self._exchanges.values():
                exchange.told("end", LOST)
            self._exchanges.clear()
            await self._end()

    async def nodes(self) -> list[Node]:
        """As they were some seconds ago at most, or when the cluster was last heard."""
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if now >= self._nodes_until:
                self._nodes = await self._ask_nodes()
                self._nodes_until = asyncio.get_running_loop().time() + NODES_S
        return self._nodes

    async def _ask_nodes(self) -> list[Node]:
        exchange, nodes = self.begin("nodes", {}), self._nodes
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(NODES_S):
                async for kind, value in exchange.items():
                    if kind == "nodes":
                        nodes = [Node(**node) for node in value]
        return nodes

    def begin(self, kind: str, value: dict[str, Any]) -> Exchange:
        exchange = Exchange(self, next(self._numbers))
        if self._reading is None or self._reading.done():
            exchange.told("unbegun", None)
            exchange.told("end", LOST)
        else:
            self._exchanges[exchange.number] = exchange
            self.send(exchange.number, kind, value)
        return exchange

    def send(self, number: int, kind: str, value: Any = None) -> None:
        if self._writer is not None and not self._writer.is_closing():
            send(self._writer, number, kind, value)

    async def close(self) -> None:
        """By the last of its users, the driver ends, and with it all that it has placed."""
        self._users -= 1
        if self._users == 0:
            self._open.pop((self._address, self._token_file), None)
            async with self._opening:
                if self._reading is not None:
                    self._reading.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await self._reading

    async def _end(self) -> None:
        if self._writer is not None:
            self._writer.close()
        process, self._process = self._process, None
        if process is not None:
            try:
                async with asyncio.timeout(END_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
