"""The gateway's side of the driver: one process for each cluster, started when it is needed and shared."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, fields
from itertools import count
from typing import Any, ClassVar

from modelport.extending import LoadFailed, Node
from modelport_ray.messages import receive, send

logger = logging.getLogger(__name__)

ADDRESS = re.compile(r"local|(\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5}")
END_S = 10.0
NODES_S = 2.0  # so long its answer is waited for, and is true
LOST = "the connection to the cluster was lost"


@dataclass(frozen=True)
class Cluster:
    """Which one, and how it is spoken to: the settings of these names, each behind `ray_`."""

    address: str
    token_file: str
    namespace: str
    connect_timeout_s: float
    head_timeout_s: int

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Cluster:
        """Raises LoadFailed for a setting that cannot be right."""
        cluster = cls(**{field.name: options[f"ray_{field.name}"] for field in fields(cls)})
        if not cluster.address:
            raise LoadFailed("the executor ray needs the setting ray_address: the cluster's head, as host:port")
        if not ADDRESS.fullmatch(cluster.address):
            raise LoadFailed(f"ray_address is {cluster.address!r}; give the cluster's head as host:port, or local")
        if cluster.token_file and not os.access(cluster.token_file, os.R_OK):
            raise LoadFailed(f"ray_token_file is {cluster.token_file!r}, which is not a file that the server can read")
        if not cluster.namespace.strip():
            raise LoadFailed("ray_namespace is empty; give any name, such as modelport")
        return cluster

    @property
    def environment(self) -> dict[str, str]:
        """For a process that speaks to it."""
        own = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_gcs_rpc_server_reconnect_timeout_s": str(self.head_timeout_s)}
        if self.token_file:
            own |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": self.token_file}
        return own


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

    _open: ClassVar[dict[Cluster, Link]] = {}

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._users = 0
        self._numbers = count(1)
        self._exchanges: dict[int, Exchange] = {}
        self._opening = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._nodes: list[Node] = []
        self._nodes_until = 0.0
        self.heard = 0.0  # when the driver has last said anything, by the monotonic clock
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None  # while it is connected
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    def to(cls, cluster: Cluster) -> Link:
        """The one for this cluster. Each user closes it once."""
        link = cls._open.setdefault(cluster, cls(cluster))
        link._users += 1
        return link

    async def connect(self) -> None:
        """Start the driver where none runs. Raises LoadFailed."""
        async with self._opening:
            if self._writer is None:
                if self._reading is not None:
                    await asyncio.wait({self._reading})  # the driver before this one has to end
                await self._start()

    async def _start(self) -> None:
        ours, theirs = socket.socketpair()
        cluster = self._cluster
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "modelport_ray.driver", str(theirs.fileno())),
                *(cluster.address, cluster.namespace),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env={**os.environ, **cluster.environment},
                start_new_session=True,  # a terminal's interrupt is for the gateway
            )
        writer = None
        try:
            reader, writer = await asyncio.open_connection(sock=ours)
            async with asyncio.timeout(cluster.connect_timeout_s):
                first = await receive(reader)
        except TimeoutError:
            first = 0, "failed", f"no answer within {cluster.connect_timeout_s:g} s (ray_connect_timeout_s)"
        except BaseException:  # the server stops meanwhile
            await self._end(writer)
            raise
        if first is None or first[1] != "connected":
            await self._end(writer)
            why = LOST if first is None else first[2]
            raise LoadFailed(f"there is no connection to the Ray cluster {cluster.address} (ray_address): {why}")
        self._writer = writer
        self._reading = asyncio.create_task(self._read(reader))
        await asyncio.sleep(0)  # it has begun: a task that is cancelled before would not end the driver

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while (message := await receive(reader)) is not None:
                self.heard = time.monotonic()
                number, kind, value = message
                exchange = self._exchanges.get(number)
                if exchange is not None:
                    exchange.told(kind, value)
                    if kind == "end":
                        del self._exchanges[number]
        finally:
            writer, self._writer = self._writer, None  # nothing is begun any more: nobody would be told its end
            for exchange in self._exchanges.values():
                exchange.told("end", LOST)
            self._exchanges.clear()
            await self._end(writer)

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
        if self._writer is None:
            exchange.told("unbegun", None)
            exchange.told("end", LOST)
        else:
            self._exchanges[exchange.number] = exchange
            self.send(exchange.number, kind, value)
        return exchange

    def send(self, number: int, kind: str, value: Any = None) -> None:
        if self._writer is not None and not self._writer.is_closing():
            send(self._writer, number, kind, value)

    def give_up(self) -> None:
        """The driver hangs: end it, and with it all that it has placed. Those who wait are told that it is lost."""
        if self._process is not None:
            logger.error("the driver of the cluster %s does not answer; it is killed", self._cluster.address)
            self._process.kill()

    async def close(self) -> None:
        """By the last of its users, the driver ends, and with it all that it has placed."""
        self._users -= 1
        if self._users == 0:
            self._open.pop(self._cluster, None)
            async with self._opening:
                if self._reading is not None:
                    if self._writer is not None:  # else it is ending the driver already
                        self._reading.cancel()
                    await asyncio.wait({self._reading})

    async def _end(self, writer: asyncio.StreamWriter | None) -> None:
        if writer is not None:
            writer.close()
        process, self._process = self._process, None
        if process is not None:
            try:
                async with asyncio.timeout(END_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
