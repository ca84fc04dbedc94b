"""The gateway's side of one worker on the cluster: where it is, and the calls that it runs."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import asdict
from typing import Any

from modelport.extending import (
    Call,
    Card,
    DeadlineExceeded,
    Keeper,
    LoadFailed,
    ModelportError,
    Outcome,
    Output,
    Watcher,
    WorkerLost,
    error_from_plain,
)
from modelport_ray.link import Exchange, Link

logger = logging.getLogger(__name__)

# The node stops a late call by itself; if nothing is heard of it for so much longer, its worker is given up.
UNHEARD_S = 1.0
# The driver tells of an actor's end within some seconds, also where the actor does not answer it. One that has said
# nothing for so long hangs.
SILENT_S = 60.0


class Worker:
    """A worker on the cluster, from the wish to have it until it is gone."""

    def __init__(self, link: Link, value: dict[str, Any], name: str, output: Output) -> None:
        """value: what the driver is told of it."""
        self._link = link
        self.exchange = link.begin("host", value)
        self._name = name
        self._output = output
        self.place = ("", 0)  # node's address, process there
        self.pending = ""
        self.idle_since = 0.0
        self.retired = False
        self.useful = False
        loop = asyncio.get_running_loop()
        self.card: asyncio.Future[Card] = loop.create_future()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[str] = loop.create_future()
        self._following = asyncio.create_task(self._follow())

    def __str__(self) -> str:
        return "worker on {}, process {}".format(*self.place)

    def retire(self) -> None:
        self.retired = True
        self.exchange.cancel()

    async def _follow(self) -> None:
        async for kind, value in self.exchange.items():
            if kind == "output":
                self._output(*value)
            elif kind == "pending" and value != self.pending:
                self.pending = value
                logger.warning("%s: a worker waits for its place: %s", self._name, value)
            elif kind == "placed":
                self.place, self.pending = (value[0], value[1]), ""
            elif kind == "card":
                self.card.set_result(Card.from_plain(value))
            elif kind == "ready":
                self.ready.set_result(None)
            elif kind == "failed":
                self._fail(error_from_plain(value))
            elif kind == "end":
                self._fail(LoadFailed(f"the worker ended before it was ready: {value}"))
                self.gone.set_result(value)

    def _fail(self, error: ModelportError) -> None:
        for future in (self.card, self.ready):
            if not future.done():
                future.set_exception(error)
                future.exception()  # not everybody asks for it

    async def end(self, *, at_once: bool = False) -> None:
        """When this returns, the process on the node has ended, or the node is out of reach."""
        self.exchange.cancel(at_once=at_once)
        await self._finish(self.gone)

    async def _finish(self, future: asyncio.Future[Any]) -> None:
        """Until what was cancelled has ended, also for those who are cancelled meanwhile."""
        cancelled, begun = None, time.monotonic()
        while not future.done():
            try:
                await asyncio.wait({future}, timeout=SILENT_S)
            except asyncio.CancelledError as error:
                cancelled = error
            if not future.done() and time.monotonic() - max(begun, self._link.heard) >= SILENT_S:
                self._link.give_up()
        if cancelled is not None:
            raise cancelled

    async def run(self, call: Call, watcher: Watcher | None, **value: Any) -> Outcome | None:
        """None: the worker had ended before it could begin."""
        exchange = self._link.begin("call", {"host": self.exchange.number, "call": asdict(call), **value})
        following = asyncio.create_task(_outcome_of(exchange, watcher))
        try:
            limit_s = None if call.timeout_s is None else call.timeout_s + UNHEARD_S
            done, _ = await asyncio.wait({following}, timeout=limit_s)
            if not done:
                exchange.cancel()
                await self.end(at_once=True)
                await self._finish(following)
                raise DeadlineExceeded(f"the model was stopped at its time limit, {call.timeout_s:g} s")
        except asyncio.CancelledError:
            exchange.cancel()
            await self._finish(following)
            raise
        self.useful = True
        return following.result()


async def _outcome_of(exchange: Exchange, watcher: Watcher | None) -> Outcome | None:
    """None: the call was not begun."""
    outcome: Outcome | None = Outcome(error=WorkerLost("the worker was lost"))
    async for kind, value in exchange.items():
        if kind == "printed" and watcher is not None:
            watcher.printed(value)
        elif kind == "progress" and watcher is not None:
            watcher.progress(*value)
        elif kind == "metrics" and isinstance(watcher, Keeper):
            watcher.metrics(value)
        elif kind == "artifact" and isinstance(watcher, Keeper):
            watcher.artifact(*value)
        elif kind == "values" and watcher is not None:
            for body in value:
                if (room := watcher.value(body)) is not None:
                    await _until(room, exchange.unwanted)
            exchange.took()
        elif kind == "outcome":
            error = value.get("error")
            outcome = Outcome(**{**value, "error": None if error is None else error_from_plain(error)})
        elif kind == "unbegun":
            outcome = None
        elif kind == "end" and value and outcome is not None and outcome.error is not None:
            outcome = Outcome(error=WorkerLost(f"the worker was lost: {value}"))
    return outcome


async def _until(future: asyncio.Future[None], unwanted: asyncio.Event) -> None:
    ending: asyncio.Future[Any] = asyncio.ensure_future(unwanted.wait())
    await asyncio.wait({future, ending}, return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
