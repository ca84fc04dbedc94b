"""A house whose only worker is held, so that calls wait and then run together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import OpenHouse
from tests.house import Answer, House

SOURCE = Path(__file__).with_name("plugin.py").read_text()

OpenQueue = Callable[..., Awaitable["Line"]]


@dataclass
class Line:
    """Calls that wait behind one that is at work until `release`."""

    house: House
    gate: Path
    tasks: list[asyncio.Task[Answer]] = field(default_factory=list)

    def start(self, mode: str = "echo", **options: Any) -> asyncio.Task[Answer]:
        """options: of the request, and else arguments."""
        own = {name: options.pop(name) for name in ("headers", "data") if name in options}
        own.setdefault("data", None)
        query = {"mode": mode, **{name: str(value) for name, value in options.items()}}
        return asyncio.create_task(self.house.post("/x", params=query, **own))

    async def hold(self) -> asyncio.Task[Answer]:
        """Keep the worker at work."""
        self.gate.unlink(missing_ok=True)
        held = self.start("wait", path=self.gate, value="held")
        await self.house.wait_running(1)
        return held

    async def wait(self, *modes: str, **options: Any) -> list[asyncio.Task[Answer]]:
        """Calls that wait, in this order; the value of each is its place."""
        tasks = []
        for place, mode in enumerate(modes):
            tasks.append(self.start(mode, value=place, **options))
            await self.house.wait_queued(len(tasks))
        return tasks

    def release(self) -> None:
        self.gate.touch()

    async def together(self, *modes: str, **options: Any) -> list[Answer]:
        held = await self.hold()
        tasks = await self.wait(*modes, **options)
        self.release()
        answers = list(await asyncio.gather(*tasks))
        assert (await held).status == 200
        return answers


@pytest.fixture
async def line(house: OpenHouse, tmp_path: Path) -> OpenQueue:
    async def open_line(source: str = SOURCE, **settings: Any) -> Line:
        return Line(await house(source, workers=1, **settings), tmp_path / "gate")

    return open_line
