"""Answers that go on while something happens: so many at once, and one end for all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

from modelport.contract.job import Event
from modelport.errors import Overloaded
from modelport.jobs.events import Subscription
from modelport.settings import Settings

RETRY_AFTER_S = 5.0


class Streams:
    """All streams of the server: so many at once, and one end for all."""

    def __init__(self, settings: Settings) -> None:
        self._limit = settings.event_stream_limit
        self._heartbeat_s = settings.heartbeat_s
        self._open = 0
        self._end = asyncio.Event()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Raises Overloaded."""
        if self._open >= self._limit or self._end.is_set():
            raise Overloaded(
                f"{self._open} streams are open, and event_stream_limit is {self._limit}; ask without following",
                retry_after_s=RETRY_AFTER_S,
            )
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    def close(self) -> None:
        """The server stops: every stream comes to its end."""
        self._end.set()

    async def news(self, subscription: Subscription) -> AsyncGenerator[Event | None, None]:
        """What happens, and None every `heartbeat_s`, whatever happens; until the server stops.

        Only a write that fails shows that a client has gone without a word; and so often it is seen whether its token
        still opens what it reads.
        """
        loop = asyncio.get_running_loop()
        beat_at = loop.time() + self._heartbeat_s
        end = asyncio.ensure_future(self._end.wait())
        coming = asyncio.ensure_future(anext(subscription, None))
        try:
            while not self._end.is_set():
                if (wait_s := beat_at - loop.time()) <= 0:
                    beat_at = loop.time() + self._heartbeat_s
                    yield None
                    continue
                done, _ = await asyncio.wait({end, coming}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                if coming in done:
                    if (event := coming.result()) is None:
                        return
                    coming = asyncio.ensure_future(anext(subscription, None))
                    yield event
        finally:
            end.cancel()
            coming.cancel()
            await asyncio.gather(end, coming, return_exceptions=True)
