"""An executor at work, and who listens to one of its calls: what the conformance suites' tests are given."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from modelport.extending import Call, Card, Outcome, Watcher

# Whatever is waited for comes within this time, also on a busy machine.
PATIENCE_S = 60.0


class Heard:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[float | None, str]] = []
        self.text = b""
        self.values: list[bytes] = []
        self.numbers: list[Mapping[str, float]] = []
        self.files: dict[str, bytes] = {}
        self.more: asyncio.Future[None] | None = None  # until it is done, no more values are taken

    def progress(self, fraction: float | None, message: str) -> None:
        self.told.append((fraction, message))

    def printed(self, chunk: bytes) -> None:
        self.text += chunk

    def metrics(self, values: Mapping[str, float]) -> None:
        self.numbers.append(values)

    def artifact(self, path: str, name: str) -> None:
        self.files[name] = Path(path).read_bytes()

    def value(self, body: bytes) -> asyncio.Future[None] | None:
        self.values.append(body)
        return self.more


class Bench:
    """An executor at work. Calls of the mode `wait` wait for `release`."""

    def __init__(self, executor: Any, folder: Path) -> None:
        self.executor = executor
        self.folder = folder
        self.gate = folder / "gate"
        self.card: Card | None = None
        self._numbers = count()

    async def run(self, mode: str = "echo", *, watcher: Watcher | None = None, **options: Any) -> Outcome:
        return await self.executor.run(self.call(mode, **options), watcher)  # type: ignore[no-any-return]

    def call(self, mode: str = "echo", **options: Any) -> Call:
        """options: fields of the `Call`, and else arguments of the module."""
        number = next(self._numbers)
        own = {name: options.pop(name) for name in list(options) if name in Call.__dataclass_fields__}
        own.setdefault("arguments", {"mode": mode, "path": str(self.gate), **options})
        own.setdefault("scratch", str(self.folder / f"scratch-{number}"))
        return Call(f"call-{number}", **own)

    def start(self, mode: str = "wait", **options: Any) -> asyncio.Task[Outcome]:
        return asyncio.create_task(self.run(mode, **options))

    def release(self) -> None:
        self.gate.touch()

    async def wait(self, condition: Callable[[Any], bool]) -> None:
        """Until the counts are so."""
        end = time.monotonic() + PATIENCE_S
        while not condition(self.executor.counts()):
            assert time.monotonic() < end, f"in {PATIENCE_S:g} s the counts came to {self.executor.counts()}"
            await asyncio.sleep(0.01)
