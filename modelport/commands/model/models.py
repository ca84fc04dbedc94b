"""A model as the commands see it, wherever it runs: its card, and answers to calls."""

from __future__ import annotations

import contextlib
from typing import Protocol

from modelport.client.calls import Answer, CallArguments, Progress
from modelport.contract.card import Card


class Model(Protocol):
    """An open model; closing it ends what it has started."""

    @property
    def card(self) -> Card: ...

    def ask(
        self, method: str, given: CallArguments, progress: Progress | None = None
    ) -> contextlib.AbstractAsyncContextManager[Answer]:
        """Call predict or train. Raises ModelportError."""
