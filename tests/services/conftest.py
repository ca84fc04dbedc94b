"""A server without modules of its own, its owner, and modules to deploy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from modelport.deployments.deployments import Deployment
from modelport.store.values import get_value
from tests.house import PATIENCE_S, POLL_S, Answer, House, open_house, wait_until

PLAIN = """
import os
from marshmallow import fields
print("imported", flush=True)
def get_metadata(): return {"name": "plain"}
def get_predict_args(): return {"text": fields.Str(load_default="hello"), "seconds": fields.Float(load_default=0.0)}
def predict(text, seconds):
    import time
    time.sleep(seconds)
    return [text.upper(), os.getpid()]
"""


class Owner:
    """The owner of a running house, who deploys modules written for the test."""

    def __init__(self, house: House) -> None:
        self.house = house
        assert house.server.gateway is not None
        self.services = house.server.gateway.services
        self.token = house.server.gateway.owner.token
        self.password = house.server.gateway.owner.password

    @property
    def requests(self) -> int:
        """How many the server has begun to answer."""
        runner = self.house.server._runner
        assert runner is not None and runner.server is not None
        return runner.server.requests_count

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return await self.house.ask(method, path, headers=headers, **options)

    async def deploy(self, source: str = PLAIN, **options: Any) -> Any:
        """Its row, as JSON."""
        if "module" not in options:
            options["module"] = str(self.write(source))
        answer = await self.ask("POST", "/deployments", json=options)
        assert answer.status == 201, answer.text
        return answer.json()

    def write(self, source: str, name: str = "plain") -> Path:
        folder = self.house.folder / "modules"
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}.py"
        path.write_text(source)
        return path

    async def show(self, name: str) -> Any:
        return (await self.ask("GET", f"/deployments/{name}")).json()

    async def call(self, row: Any, **arguments: str) -> Answer:
        headers = {"Authorization": f"Bearer {row['token']}"}
        return await self.house.predict(arguments, name=row["name"], headers=headers)

    def deployment(self, name: str) -> Deployment:
        return self.house.server.deployments.get(name)

    async def wait_state(self, name: str, state: str) -> None:
        await wait_until(lambda: self.deployment(name).state == state)

    async def wait_loaded(self, name: str) -> None:
        """Until it is described, and nothing of it runs but its template."""
        await wait_until(lambda: self.deployment(name).counts().loaded)

    async def wait_kept(self, name: str) -> None:
        """Until its card is in the store."""
        store = self.house.server.store
        assert store is not None
        async with asyncio.timeout(PATIENCE_S):
            while await store.read(get_value, f"card/{name}") is None:
                await asyncio.sleep(POLL_S)


OpenOwner = Callable[..., Awaitable[Owner]]


@pytest.fixture
async def owner(tmp_path: Path) -> AsyncIterator[OpenOwner]:
    """`await owner(**settings)`: a server and its owner; the same folder, so the next one finds what the last has kept.

    Only one runs at a time: another call ends the one before.
    """
    async with AsyncExitStack() as stack:

        async def open_another(**settings: Any) -> Owner:
            await stack.aclose()
            return Owner(await stack.enter_async_context(open_house(tmp_path, {}, **settings)))

        yield open_another
