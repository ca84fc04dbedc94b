"""The driver: the process that has loaded Ray, started by `python -m modelport_ray.driver FD ADDRESS NAMESPACE`.

FD is a socket to the gateway. The number of a message (`messages`) is one exchange, which the gateway begins and the
kind "end" closes:

    host    {"spec", "resources", …}      placed, output, card, ready, failed, pending …; end, with why the actor ended
    call    {"host": number, "call", …}   printed, progress, values …; outcome; end
    nodes   {}                            nodes; end

Each "values" is answered with "took"; few are sent before. "unbegun" stands for an outcome where the actor had ended
before. "cancel" ends what an exchange has begun, "kill" does not wait for an actor that is not heard. When the socket
closes, this process ends, and with it all its actors.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from socket import socket
from typing import Any

import ray
import ray.exceptions

from modelport.extending import ModelportError, StorageFull, TooLarge, WorkerLost
from modelport_ray.host import Host
from modelport_ray.messages import receive, send

INLINE_BYTES = 64 << 10  # a file up to this size goes along with its call
PIECE_BYTES = 8 << 20
STOP_S = 5.0
PENDING_S = 2.0
AHEAD = 8  # an actor may be so many chunks ahead of us, and we of the gateway


class Driver:
    """Serves one gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._hosts: dict[int, Any] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._windows: dict[int, asyncio.Semaphore] = {}  # of calls that stream
        self._calls: dict[int, Any] = {}  # the actor that is at it

    async def serve(self) -> None:
        """Until the gateway closes the socket."""
        while (message := await receive(self._reader)) is not None:
            number, kind, value = message
            if kind == "took":
                if (window := self._windows.get(number)) is not None:
                    window.release()
                continue
            if kind in ("cancel", "kill"):
                self._cancel(number, at_once=kind == "kill")
                continue
            work: dict[str, Callable[..., Coroutine[Any, Any, None]]]
            work = {"host": self._host, "call": self._call, "nodes": self._nodes}
            task = self._tasks[number] = asyncio.create_task(work[kind](number, **value))
            task.add_done_callback(partial(self._ended, number))

    def _send(self, number: int, kind: str, value: Any = None) -> None:
        send(self._writer, number, kind, value)

    def _ended(self, number: int, task: asyncio.Task[None]) -> None:
        """Also where it was cancelled before its first step."""
        del self._tasks[number]
        error = None if task.cancelled() else task.exception()
        self._send(number, "end", "" if error is None else reason_of(error))

    def _cancel(self, number: int, *, at_once: bool) -> None:
        if at_once and number in self._hosts:
            ray.kill(self._hosts[number])
        if (actor := self._calls.get(number)) is not None:
            self._tasks[-number] = asyncio.create_task(self._end_call(number, actor))
        elif (task := self._tasks.get(number)) is not None:
            task.cancel()

    async def _end_call(self, number: int, actor: Any) -> None:
        """What an actor cannot end in time ends with the actor."""
        try:
            async with asyncio.timeout(STOP_S):
                await actor.end.remote(number)
        except Exception:
            ray.kill(actor)
        finally:
            del self._tasks[-number]

    async def _nodes(self, number: int) -> None:
        self._send(number, "nodes", await asyncio.to_thread(nodes))

    # Actors

    async def _host(
        self, number: int, version: str, spec: dict[str, Any], shared: bool, resources: dict[str, Any]
    ) -> None:
        actor = (
            ray.remote(Host)
            .options(max_restarts=0, max_task_retries=0, max_concurrency=8, runtime_env={}, **resources)
            .remote()
        )
        self._hosts[number] = actor
        pending = asyncio.create_task(self._tell_pending(number, resources))
        try:
            live = actor.live.options(num_returns="streaming")  # type: ignore[attr-defined]
            async for reference in live.remote(version, spec, shared):
                kind, value = await reference
                pending.cancel()
                self._send(number, kind, value)
                await self._writer.drain()
        finally:
            pending.cancel()
            self._hosts.pop(number, None)
            await self._stop(actor)

    async def _tell_pending(self, number: int, resources: dict[str, Any]) -> None:
        while True:
            await asyncio.sleep(PENDING_S)
            self._send(number, "pending", await asyncio.to_thread(missing, resources))

    async def _stop(self, actor: Any) -> None:
        try:
            async with asyncio.timeout(STOP_S):
                await actor.stop.remote()
        except Exception:
            pass  # it has ended already, or ends now
        ray.kill(actor)

    # Calls

    async def _call(self, number: int, host: int, call: dict[str, Any], shared: bool, limit_bytes: int) -> None:
        try:
            if (actor := self._hosts.get(host)) is None:
                self._send(number, "unbegun")
                return
            contents = (
                [None] * len(call["files"]) if shared else await asyncio.to_thread(load, call["files"], limit_bytes)
            )
            self._calls[number] = actor
            options = {"num_returns": "streaming", "_generator_backpressure_num_objects": AHEAD}
            items = actor.run.options(**options).remote(number, call, contents)
            outcome = await self._follow(number, items, call["scratch"])
        except ModelportError as error:
            outcome = {"error": error.to_plain()}
        except ray.exceptions.ObjectStoreFullError:
            outcome = {"error": StorageFull("the object store of the cluster is full").to_plain()}
        except Exception as error:
            if isinstance(error, ray.exceptions.RayActorError):
                self._hosts.pop(host, None)  # later calls must not be taken for begun
            outcome = {"error": WorkerLost(f"the worker was lost: {reason_of(error)}").to_plain()}
        finally:
            self._calls.pop(number, None)
        self._send(number, "outcome", outcome)

    async def _follow(self, number: int, items: Any, scratch: str) -> dict[str, Any]:
        path = Path(scratch, "answer")
        file = None
        try:
            async for reference in items:
                kind, value = await reference
                if kind == "bytes":
                    if file is None:
                        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                        file = await asyncio.to_thread(path.open, "xb")
                    await asyncio.to_thread(file.write, value)
                elif kind == "outcome":
                    return {**value, "path": str(path)} if file is not None else dict(value)
                else:
                    if kind == "values":
                        await self._windows.setdefault(number, asyncio.Semaphore(AHEAD)).acquire()
                    self._send(number, kind, value)
                    await self._writer.drain()
        finally:
            self._windows.pop(number, None)
            if file is not None:
                file.close()
        raise WorkerLost("the worker ended without an answer")


def load(files: list[dict[str, Any]], limit_bytes: int) -> list[Any]:
    """Of each file its bytes, or references to its pieces. Raises TooLarge."""
    sizes = [os.path.getsize(file["path"]) for file in files]
    if sum(sizes) > limit_bytes:
        raise TooLarge(
            f"the files have {sum(sizes)} bytes; ray_object_limit_bytes is {limit_bytes}. With ray_shared_home, files "
            "are not copied"
        )
    contents: list[Any] = []
    for file, size in zip(files, sizes, strict=True):
        with open(file["path"], "rb") as opened:
            if size <= INLINE_BYTES:
                contents.append(opened.read())
            else:
                contents.append([ray.put(piece) for piece in iter(lambda: opened.read(PIECE_BYTES), b"")])
    return contents


def missing(resources: dict[str, Any]) -> str:
    """Why there is no place for a worker, as far as the nodes tell."""
    own = dict(resources.get("resources", {}))
    needed = {"CPU": resources["num_cpus"], "GPU": resources["num_gpus"], "memory": resources.get("memory", 0), **own}
    needed = {name: amount for name, amount in needed.items() if amount}
    asked = ", ".join(
        f"{amount:g} {name}" if not name.startswith("interpreter:") else name for name, amount in needed.items()
    )
    if any(all(node["Resources"].get(name, 0) >= amount for name, amount in needed.items()) for node in living()):
        return f"every node that has {asked} is in use, or the worker is just starting there"
    return f"no node of the cluster has {asked}"


def living() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def nodes() -> list[dict[str, Any]]:
    """As fields of `Node`."""
    return [
        {
            "id": node["NodeID"],
            "name": node["NodeManagerAddress"],
            "cpus": node["Resources"].get("CPU", 0.0),
            "gpus": node["Resources"].get("GPU", 0.0),
            "memory_bytes": int(node["Resources"].get("memory", 0)),
        }
        for node in living()
    ]


def reason_of(error: BaseException) -> str:
    """In one line, without a traceback of Ray's."""
    if isinstance(error, ray.exceptions.ActorDiedError):
        return "its node has died" if "because its node has died" in str(error) else "its process has died"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"{type(error).__name__}: {lines[0][:300]}"


def connect(address: str, namespace: str) -> str:
    """Why it failed; "" if it did not."""
    options: dict[str, Any] = {"namespace": namespace, "log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        options["include_dashboard"] = False
    # Why the head refuses a token is told by Ray's C++ part, and only there.
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            ray.init(address, **options)
        except Exception as error:
            said.seek(0)
            if b"InvalidAuthToken" in said.read():
                return "the cluster's token is missing or wrong (ray_token_file)"
            return " ".join(str(error).split())[:500]  # of other versions, the last lines tell which
        finally:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
    return ""


async def main(fd: int, address: str, namespace: str) -> None:
    reader, writer = await asyncio.open_connection(sock=socket(fileno=fd))
    if reason := await asyncio.to_thread(connect, address, namespace):
        send(writer, 0, "failed", reason)
        await writer.drain()
        return
    send(writer, 0, "connected")
    await Driver(reader, writer).serve()
    await asyncio.to_thread(ray.shutdown)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), *sys.argv[2:]))
