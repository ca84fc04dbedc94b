"""Answers that go on while something happens: so many at once, each with a sign of life now and then."""

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
    """All streams of the server."""

    def __init__(self, settings: Settings) -> None:
        self._limit = settings.event_stream_limit
        self._heartbeat_s = settings.heartbeat_s
        self._open = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Raises Overloaded."""
        if self._open >= self._limit:
            raise Overloaded(
                f"{self._open} streams are open, and event_stream_limit is {self._limit}; ask without following",
                retry_after_s=RETRY_AFTER_S,
            )
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def news(self, subscription: Subscription) -> AsyncGenerator[Event | None, None]:
        """What happens, and None every `heartbeat_s`, whatever happens.

        Only a write that fails shows that a client has gone without a word; and so often it is seen whether its token
        still opens what it reads.
        """
        loop = asyncio.get_running_loop()
        beat_at = loop.time() + self._heartbeat_s
        while True:
            await asyncio.sleep(0)  # many may be there at once, and others wait
            event = None
            if loop.time() < beat_at:  # else there may be events without end
                try:
                    async with asyncio.timeout_at(beat_at):
                        event = await anext(subscription)
                except TimeoutError:
                    pass
                except StopAsyncIteration:
                    return
            if event is None:
                beat_at = loop.time() + self._heartbeat_s
            yield event
