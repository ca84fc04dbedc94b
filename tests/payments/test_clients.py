"""The real packages against us: x402's own client buys a call, and payments-py says to the backend what we say."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.environments import environment
from tests.payments.conftest import Shop
from tests.payments.facilitator import PLAN, token

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.thorough]

SCRIPT = Path(__file__).with_name("clients.py")
# Any JWT with these two; payments-py reads no more of a key.
LOCAL_KEY = "local:eyJhbGciOiJub25lIn0.eyJzdWIiOiIweDEiLCJvMTF5IjoiayJ9.c2VjcmV0"


async def run(package: str, *arguments: str, given: str = "") -> Any:
    python = await asyncio.to_thread(environment, "3.11", [package])
    process = await asyncio.create_subprocess_exec(
        python,
        "-W",
        "ignore",
        str(SCRIPT),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(given.encode())
    assert process.returncode == 0, err.decode()
    return json.loads(out.splitlines()[-1])


async def test_the_client_of_x402_buys_a_call(shop: Shop) -> None:
    bought = await run("x402==2.25.0", "x402", f"{shop.house.url}/sold")
    assert (bought["status"], bought["success"]) == (200, True)
    assert "the answer b" in bought["body"]
    assert bought["transaction"] == next(iter(shop.facilitator.settled.values()))["transaction"]


async def test_payments_py_says_to_the_backend_what_we_say(shop: Shop) -> None:
    one = token(single_use=False)
    assert (await shop.buy(one)).status == 200
    ours = dict(shop.facilitator.asked)
    shop.facilitator.asked.clear()
    shop.facilitator.key = LOCAL_KEY
    backend = shop.house.server.settings.nevermined_backend
    try:
        said = await run("payments-py==1.18.0", "nevermined", f"{shop.house.url}/sold", backend, LOCAL_KEY, given=one)
    finally:
        shop.facilitator.key = shop.key
    assert said == {"valid": True, "success": True, "plan": PLAN}
    theirs = dict(shop.facilitator.asked)
    assert set(theirs) == set(ours)
    for path, body in theirs.items():
        assert set(body) == set(ours[path])
        for name in ("x402AccessToken", "maxAmount"):
            assert body[name] == ours[path][name]
        mine = ours[path]["paymentRequired"]
        assert body["paymentRequired"]["resource"] == mine["resource"]
        [asked], [offered] = body["paymentRequired"]["accepts"], mine["accepts"]
        assert {name: offered[name] for name in asked} == asked
