"""Fixtures that several folders use."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.house import House, open_house

OpenHouse = Callable[..., Awaitable[House]]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[OpenHouse]:
    """`await house(source, workers=2, …)`: a running server with these plugins and settings; closed after the test."""
    async with AsyncExitStack() as stack:
        opened = 0

        async def open_another(sources: str | Mapping[str, str], **settings: Any) -> House:
            nonlocal opened
            opened += 1
            return await stack.enter_async_context(open_house(tmp_path / str(opened), sources, **settings))

        yield open_another
