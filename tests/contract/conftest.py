"""One server with all the contract's plugins, for the whole folder."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.contract import plugins
from tests.house import House, open_house


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """`await server.predict(query, "arguments")` and so on; the plugins are those of `plugins.ALL`."""
    async with open_house(tmp_path_factory.mktemp("contract"), plugins.ALL, start_method="fork") as opened:
        yield opened
