"""A call whose values are taken as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from modelport.contract.prediction import VALUES, Call, Outcome
from modelport.errors import NotAcceptable
from modelport.executors import Relay, Watcher
from modelport.intake.scratch import open_answer
from modelport.tasks import wait_done

Runner = Callable[[Call, Watcher], Coroutine[Any, Any, Outcome]]

# What keeping a value costs beside its bytes.
VALUE_BYTES = 64
ON_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


class CallStream(Relay):
    """The values of one call: an async context manager and iterator, over each value as JSON.

    The model waits, at its `yield`, for whoever takes them slowly; leaving the block early closes its generator. The
    first value, or the end, raises what the call is refused with; the end raises what it has failed with. A model that
    returns no generator gives one value, its answer.

    outcome: after the end. Progress and what is printed go to `watcher`.
    """

    def __init__(self, run: Runner, call: Call, limit_bytes: int, watcher: Watcher | None = None) -> None:
        """run: runs the call. limit_bytes: so much is kept for a slow taker before the model waits."""
        super().__init__([] if watcher is None else [watcher])
        call.stream = VALUES
        self.outcome: Outcome | None = None
        self._run, self._call = run, call
        self._work: asyncio.Task[Outcome] | None = None
        self._values: list[bytes] = []
        self._next = 0  # of those in `_taken`
        self._taken: list[bytes] = []
        self._bytes = 0
        self._limit_bytes = limit_bytes
        self._news = asyncio.Event()
        self._room: asyncio.Future[None] | None = None

    async def __aenter__(self) -> CallStream:
        self._work = asyncio.create_task(self._run(self._call, self))
        self._work.add_done_callback(lambda _: self._news.set())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Returns when the call has ended, also where nobody waits for it."""
        assert self._work is not None
        self._make_room()
        self._work.cancel()
        try:
            # A client that leaves is seen twice: a write fails, and aiohttp cancels the handler. That is no reason to
            # kill the worker, which has its time to close the generator.
            await wait_done(self._work)
        finally:
            if not self._work.cancelled():
                self._work.exception()  # seen here: nobody asks for it any more

    def __aiter__(self) -> CallStream:
        return self

    async def __anext__(self) -> bytes:
        if self._next == len(self._taken):
            self._next, self._taken = 0, await self.take() or []
            if not self._taken:
                raise StopAsyncIteration
        self._next += 1
        return self._taken[self._next - 1]

    async def take(self, within_s: float | None = None) -> list[bytes] | None:
        """All values that have come since the last time; none: there will be no more. None: none has come in time.

        Raises what the call fails with.
        """
        assert self._work is not None
        try:
            async with asyncio.timeout(within_s):
                while not self._values:
                    if self._work.done():
                        return await self._rest(self._work)
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return None
        values, self._values = self._values, []
        self._make_room()
        return values

    async def _rest(self, work: asyncio.Task[Outcome]) -> list[bytes]:
        """The answer of a model that does not stream."""
        if self.outcome is not None:
            return []
        self.outcome = outcome = work.result()
        if outcome.error is not None:
            raise outcome.error
        if outcome.values is not None:
            return []
        if not outcome.is_json:
            raise NotAcceptable(f"the model answers in {outcome.media_type}, which cannot be sent as a stream of JSON")
        if outcome.path is None:
            return [_on_one_line(outcome.body)]
        with open_answer(outcome.path) as file:
            return [await asyncio.to_thread(lambda: _on_one_line(file.read()))]

    def _make_room(self) -> None:
        self._bytes = 0
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def value(self, body: bytes) -> asyncio.Future[None] | None:
        self._values.append(body)
        self._bytes += len(body) + VALUE_BYTES
        self._news.set()
        if self._bytes < self._limit_bytes:
            return None
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()
        return self._room


def _on_one_line(text: bytes) -> bytes:
    """A file of the model's may be laid out in lines; they mean nothing in JSON, and would end a value in a stream."""
    return text.translate(ON_ONE_LINE)
