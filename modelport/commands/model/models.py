"""A model as the commands see it, wherever it runs: its card, and answers to calls."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from modelport.commands.model.given import Given
from modelport.contract.card import Card

# progress(fraction 0..1 or None, message)
Progress = Callable[[float | None, str], None]


@dataclass(frozen=True)
class Answer:
    """An answer on its way: to be read while the model's context is open."""

    media_type: str
    chunks: AsyncIterator[bytes]

    @property
    def is_json(self) -> bool:
        return self.media_type == "application/json" or self.media_type.endswith("+json")


class Model(Protocol):
    """An open model; closing it ends what it has started."""

    @property
    def card(self) -> Card: ...

    def ask(
        self, method: str, given: Given, progress: Progress | None = None
    ) -> contextlib.AbstractAsyncContextManager[Answer]:
        """Call predict or train. Raises ModelportError."""
