"""News of jobs, for those who listen now. What must not be missed is in the store."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from modelport.contract.job import Event, Job

# A reader who is behind by more loses what a later event says again; some hundred KB.
BEHIND_LIMIT = 1000
# … or by so much of what was printed: a chunk may have 64 KiB.
BEHIND_BYTES = 1 << 20
# … and one who is behind by so many ends of jobs has gone to sleep.
LOST_LIMIT = 20_000


class Hub:
    """Passes events on to those whom they concern. `heard`: whether anybody listens at all."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self._closed = False

    @property
    def heard(self) -> bool:
        return bool(self._subscriptions)

    def publish(self, event: Event) -> None:
        for subscription in self._subscriptions:
            subscription.offer(event)

    def subscribe(self, takes: Callable[[Event], bool]) -> Subscription:
        """From the moment when it is entered, until it is left. `takes` is quick, and raises nothing."""
        subscription = Subscription(self._subscriptions, takes)
        if self._closed:
            subscription.end()
        return subscription

    def close(self) -> None:
        """Those who listen come to their end, once they have had what is there; so do those who come later."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.end()


class Subscription:
    """The events that somebody wants, in their order: an async context manager and iterator.

    Who reads slowly loses what was printed and the progress first, then states that are not final; `missed` counts
    them. The end of a job is never lost: rather the iteration ends (`lost`), and who wants to know asks for the jobs.
    """

    def __init__(self, members: set[Subscription], takes: Callable[[Event], bool]) -> None:
        self.missed = 0
        self.lost = False
        self._members = members
        self._takes = takes
        self._events: deque[Event] = deque()
        self._limit = BEHIND_LIMIT
        self._bytes = 0  # of what was printed
        self._ended = False
        self._news = asyncio.Event()

    def offer(self, event: Event) -> None:
        if self._ended or not self._takes(event):
            return
        if event.kind == "value" and self._events and self._events[-1] == event:
            return  # one tells of all values that have come
        if len(self._events) >= self._limit or self._bytes > BEHIND_BYTES:
            self._make_room()
        self._events.append(event)
        self._bytes += _bytes(event)
        self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()

    def _make_room(self) -> None:
        before = len(self._events)
        for keep in (_is_state, _is_final):
            self._events = deque(event for event in self._events if keep(event))
            if len(self._events) <= self._limit // 2:
                break
        self._bytes = 0
        self.missed += before - len(self._events)
        # So that room is made once in a while, and not for each event.
        self._limit = max(BEHIND_LIMIT, 2 * len(self._events))
        if len(self._events) >= LOST_LIMIT:
            self.lost = True
            self.end()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        event = self._events.popleft()
        self._bytes -= _bytes(event)
        return event

    async def __aenter__(self) -> Subscription:
        self._members.add(self)
        return self

    async def __aexit__(self, *reason: object) -> None:
        self._members.discard(self)
        self.end()


def _bytes(event: Event) -> int:
    return len(event.data) if event.kind == "log" else 0


def _is_state(event: Event) -> bool:
    return event.kind == "state"


def _is_final(event: Event) -> bool:
    return isinstance(event.data, Job) and event.data.status.final
