"""One server for the folder: modules named on the command line, open; and one deployed service, with a token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from modelport.store.deployments import DeploymentRow
from tests.house import Answer, House, open_house
from tests.plain import plugins


@dataclass
class Doors:
    """The house; the token of the service `svc`, which is the plugin everything; the owner's."""

    house: House
    token: str
    owner: str

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.house.get(path, **options)

    async def post(self, path: str = "/everything", **options: Any) -> Answer:
        return await self.house.post(path, **options)

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        return await self.house.ask(method, path, **options)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def doors(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Doors]:
    folder = tmp_path_factory.mktemp("plain")
    async with open_house(folder, plugins.ALL, start_method="fork") as house:
        gateway = house.server.gateway
        assert gateway is not None
        module = str(folder / "plugins" / "plugin_0.py")
        row = await gateway.services.deploy(DeploymentRow("svc", module, title="My service", description="Mine."))
        await gateway.deployments.get("svc").wait_card()
        yield Doors(house, row.token, gateway.owner.token)
