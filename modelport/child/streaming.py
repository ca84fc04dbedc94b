"""A generator's values, one by one: each as JSON, on its way before the next one is made."""

from __future__ import annotations

from itertools import chain, islice
from typing import Any, Callable, Iterator, Protocol

from modelport.child import content, jsontext, media
from modelport.contract import wire
from modelport.contract.prediction import BOTH, VALUES, Outcome
from modelport.errors import Cancelled, ModelFailed, NotAcceptable

# tell(a value as JSON): whether more of them are wanted. It returns when the value is on its way, which may take a
# while: so a model waits for a slow client.
Tell = Callable[[bytes], bool]

_BINARY = (bytes, bytearray, memoryview)


class Stream:
    """The values of one call. count: of those that were told."""

    def __init__(self, values: Any, tell: Tell, limit_bytes: int, nan: str) -> None:
        """limit_bytes: of one value, as JSON. nan: as of `jsontext.encode`."""
        self.count = 0
        self.values = self._values = values
        self._tell = tell
        self._limit_bytes = limit_bytes
        self._nan = nan

    def encode(self, mode: str, scratch: str) -> Outcome | None:
        """Tell all values; with `both`, the answer is their list. None: they are the parts of a file, for `media`, and
        the model is to be asked for `values`.

        Raises NotAcceptable, ModelFailed, Cancelled (nobody wants more), and whatever the generator raises.
        """
        first = list(islice(self._values, 1))
        if first and isinstance(first[0], _BINARY):
            self.values = chain(first, self._values)
            if mode == BOTH:
                return None
            self._close()
            raise NotAcceptable("the model answers in bytes, which cannot be sent as a stream of JSON values")
        told = self._one_by_one(chain(first, self._values), keeps=mode == BOTH)
        if mode == VALUES:
            for _ in told:
                pass
            return Outcome(media.JSON)
        return Outcome(media.JSON, *content.put(content.Source(parts=_list_of(told)), scratch, self._limit_bytes))

    def _one_by_one(self, values: Iterator[Any], *, keeps: bool) -> Iterator[bytes]:
        """keeps: the list has those, too, that are too large to be told; empty bytes stand for them."""
        missing = jsontext.Missing(self._nan)
        try:
            for value in values:
                body = jsontext.encode(value, place=f"answer[{self.count}]", missing=missing)
                fits = len(body) <= self._limit_bytes
                if not (fits or keeps):
                    raise self._too_large(len(body))
                self.count += 1
                if not self._tell(body if fits else b""):
                    raise Cancelled("the caller wants no more values")
                yield body
        finally:
            self._close()
            missing.tell()

    def _too_large(self, size: int) -> ModelFailed:
        return ModelFailed(
            f"answer[{self.count}] has {size} bytes; a value of a stream may have {self._limit_bytes}, as "
            "inline_limit_bytes says: yield smaller ones, or ask for the whole answer"
        )

    def _close(self) -> None:
        """Its `finally` runs now."""
        close = getattr(self._values, "close", None)
        if callable(close):
            close()


def _list_of(bodies: Iterator[bytes]) -> Iterator[bytes]:
    """As `json.dumps` writes a list."""
    separator = b"["
    for body in bodies:
        yield separator + body
        separator = b", "
    yield b"]" if separator == b", " else b"[]"


class Connection(Protocol):
    """The worker's, as far as it is needed here."""

    def send_frame(self, frame: bytes) -> None: ...

    def asked_to_stop(self) -> bool: ...


class Teller:
    """Tells the gateway. stopped: it wants no more."""

    def __init__(self, connection: Connection, call_id: str) -> None:
        self.stopped = False
        self._connection = connection
        self._header = wire.dump({"is": "value", "id": call_id})[wire.PREFIX.size :]
        connection.asked_to_stop()  # an earlier call, which ended by itself before it heard of it

    def __call__(self, body: bytes) -> bool:
        self._connection.send_frame(wire.pack(self._header, (body,)))
        self.stopped = self._connection.asked_to_stop()
        return not self.stopped
