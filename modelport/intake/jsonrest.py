"""What is no file of a JSON body, the *rest*, as it is scanned: small enough to be read at the end, here, in one go.

A value for which there is no room in it goes to scratch as a `Large`, whose JSON the model's process reads: msgspec
holds the interpreter while it reads, so no thread would spare the event loop a large value.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from modelport.errors import InvalidJson, TooLarge
from modelport.intake.jsonsource import Source
from modelport.intake.jsontokens import KINDS, Tokens, reason
from modelport.intake.scratch import Scratch, Writer, new_path
from modelport.settings import Settings

# A file of its own is not worth while for less, as long as there is some room.
OWN_FILE_BYTES = 1 << 10
# So much of a large value is known here.
HEAD_BYTES = 256
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True)
class Large:
    """A value that lies in a file, as JSON that nobody has judged yet. head: how it begins."""

    path: str
    size: int
    head: bytes

    @property
    def is_list(self) -> bool:
        return self.head.startswith(b"[")

    @property
    def is_null(self) -> bool:
        return self.head.startswith(b"n")

    @property
    def is_number(self) -> bool:
        return self.head[:1] in b"-0123456789"

    def __str__(self) -> str:
        return f"{KINDS.get(self.head[0], 'a value')} of {self.size} bytes"


class Rest(Tokens):
    """writing: to be entered while the body is read; it closes the files."""

    def __init__(self, source: Source, scratch: Scratch, settings: Settings) -> None:
        super().__init__(source, settings.json_limit_bytes)
        self.writing = AsyncExitStack()
        self._scratch = scratch
        self._inline = settings.json_small_bytes  # so much is held in memory
        self._files_limit = settings.form_limit_parts  # of files, and of large values
        self._shifts = [(0, 0)]  # (from this byte of the rest on, the body is so many bytes ahead)
        self._value_at = -1  # where the value that is read begins in the rest
        self._large: dict[str, Large] = {}  # by name, the last
        self._larges: list[Large] = []
        self._spilling: tuple[Writer, Path, bytes] | None = None
        self._spilled = 0

    def _shift(self) -> None:
        """What follows in the rest lies elsewhere in the body than what went before."""
        if self._shifts[-1][0] == len(self._rest):
            self._shifts.pop()
        self._shifts.append((len(self._rest), self._source.offset - len(self._rest)))

    def _skip(self, length: int) -> None:
        """Blanks are not kept, and may be many."""
        super()._skip(length)
        if length and self._sink is self._rest:
            self._shift()

    async def _more(self) -> bool:
        if self._value_at >= 0 and len(self._rest) > self._inline:
            await self._spill()
        elif len(self._sink) > 3 * self._inline:
            limit = 3 * self._inline
            raise TooLarge(f"names, and texts beside files, may have at most {limit} bytes together (json_small_bytes)")
        return await super()._more()

    def _put_null(self) -> None:
        self._rest += b"null"
        self._shift()

    async def _member(self, name: str) -> None:
        """A value. One that follows a large one of its name goes the same way, so that the last of them counts."""
        self._value_at = len(self._rest)
        await self._value()
        if self._spilling or name in self._large or self._lacks_room():
            large = await self._end_spilling()
            self._larges.append(large)
            self._large[name] = large
            self._put_null()
        self._value_at = -1

    def _lacks_room(self) -> bool:
        whole, own = len(self._rest), len(self._rest) - self._value_at
        return whole > self._inline and (own > OWN_FILE_BYTES or whole > 2 * self._inline)

    async def _spill(self) -> None:
        """What there is of the value that is read goes to its file."""
        if self._spilling is None:
            if len(self._larges) >= self._files_limit:
                raise TooLarge(f"a body may have at most {self._files_limit} large values (form_limit_parts)")
            path = new_path(self._scratch)
            writer = await self.writing.enter_async_context(Writer(path))
            self._spilling = writer, path, bytes(self._rest[self._value_at : self._value_at + HEAD_BYTES])
            self._spilled = 0
        self._spilled += len(self._rest) - self._value_at
        await self._spilling[0].write(self._rest[self._value_at :])
        del self._rest[self._value_at :]

    async def _end_spilling(self) -> Large:
        await self._spill()
        assert self._spilling is not None
        _, path, head = self._spilling
        self._spilling = None
        await self.writing.aclose()
        return Large(str(path), self._spilled, head)

    def _decode_rest(self) -> Any:
        try:
            return _decode(self._rest)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise InvalidJson(f"the body is not valid JSON: {reason(error, self._true_place)}") from error

    def _true_place(self, byte: int) -> str:
        shift = next(shift for start, shift in reversed(self._shifts) if start <= byte)
        return f" ({self._source.place(byte + shift)})"
