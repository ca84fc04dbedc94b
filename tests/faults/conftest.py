"""The plugin of faults, served."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import OpenHouse
from tests.house import House

SOURCE = Path(__file__).with_name("plugin.py").read_text()

OpenFaulty = Callable[..., Awaitable[House]]


@pytest.fixture
async def faulty(house: OpenHouse) -> OpenFaulty:
    """`await faulty(workers=2, …)`: a running server with the plugin of faults as x, its workers forked."""

    async def opened(**settings: Any) -> House:
        return await house(SOURCE, **{"start_method": "fork", **settings})

    return opened
