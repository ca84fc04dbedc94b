"""A server whose services are sold, and a backend that takes the payments."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from modelport.store.deployments import DeploymentRow, Price
from modelport.store.payments import Earnings
from tests.house import Answer, House, open_house, wait_until
from tests.nevermined import backend
from tests.nevermined.backend import KEY
from tests.payments.facilitator import PLAN, Facilitator

PUBLIC = "https://models.example.org"
MODEL = """
import time
from marshmallow import fields
class Fussy(fields.Str):
    def _deserialize(self, value, *rest, **more):
        if value == "bad":
            raise __import__("marshmallow").ValidationError("not this one")
        return super()._deserialize(value, *rest, **more)
def get_predict_args():
    return {"text": Fussy(load_default="a"), "wait_s": fields.Float(load_default=0.0), "gate": fields.Str()}
def predict(text, wait_s=0.0, gate=""):
    import os
    while gate and not os.path.exists(gate):
        time.sleep(0.01)
    time.sleep(wait_s)
    if text == "fail":
        raise RuntimeError("it failed")
    if text == "large":
        return "the answer " * 500_000
    print("predicted", text)
    return "the answer " + text
"""
PRICE = Price(credits=2, plan_ids=[PLAN], agent_id="agent-1")


@dataclass
class Shop:
    """`x`: on the command line, free. `sold`: a service with a price."""

    house: House
    facilitator: Facilitator
    token: str

    async def buy(self, token: str, path: str = "/sold", method: str = "POST", **options: Any) -> Answer:
        headers = {"payment-signature": token, **options.pop("headers", {})}
        options.setdefault("json", {"text": "b"} if method == "POST" else None)
        return await self.house.ask(method, path, headers=headers, **options)

    @property
    def predictions(self) -> int:
        return self.house.server.deployments.get("sold").calls

    @property
    def earnings(self) -> Earnings:
        assert self.house.gateway.payments is not None
        return self.house.gateway.payments.earnings.get("sold", Earnings())


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "key").write_text(KEY + "\n")
    facilitator = Facilitator(KEY)
    with backend.running(facilitator) as url:
        settings = {"nevermined_api_key_file": str(folder / "key"), "nevermined_backend": url, "public_url": PUBLIC}
        async with open_house(folder, MODEL, payment_timeout_s=1.0, **settings) as house:
            row = DeploymentRow("sold", str(folder / "plugins" / "plugin_0.py"), price=PRICE, max_workers=2)
            row = await house.gateway.services.deploy(row)
            await house.server.deployments.get("sold").wait_ready()
            yield Shop(house, facilitator, row.token)


@pytest_asyncio.fixture(loop_scope="module")
async def shop(opened: Shop) -> AsyncIterator[Shop]:
    """The same for all tests of a file, with nothing sold yet and a backend that behaves."""
    yield opened
    opened.facilitator.reset()
    assert opened.house.server.deliveries is not None
    opened.house.server.deliveries.wake("payment")
    await wait_until(lambda: opened.earnings.pending == 0)
    gateway = opened.house.gateway
    await gateway.jobs.delete_ended("sold", [])
    assert gateway.payments is not None
    await gateway.payments.forget("sold")
    opened.facilitator.reset()
    opened.house.server.deployments.get("sold").calls = 0
    await gateway.services.update("sold", price=PRICE)


async def all_of(*calls: Any) -> list[Answer]:
    return list(await asyncio.gather(*calls))
