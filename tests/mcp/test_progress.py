"""Reports on the request's own stream, and clients that leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.house import House, open_house, wait_until
from tests.mcp import plugins

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOTH = {"Accept": "application/json, text/event-stream"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(tmp_path_factory.mktemp("mcp"), plugins.EVERYTHING, start_method="fork") as house:
        yield house


def message(token: Any, **arguments: Any) -> dict[str, Any]:
    meta = {} if token is None else {"_meta": {"progressToken": token}}
    return {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "x", "arguments": arguments, **meta}}


def events(text: str) -> list[dict[str, Any]]:
    parts = [part for part in text.split("\n\n") if part and not part.startswith(":")]
    assert all(part.startswith("event: message\ndata: ") for part in parts)
    return [json.loads(part.partition("data: ")[2]) for part in parts]


@pytest.mark.parametrize("token", ["a", 5])
async def test_reports_come_before_the_answer(server: House, token: Any) -> None:
    # It goes on for a while after its reports: the last one is not overtaken by the answer.
    answer = await server.post("/mcp", json=message(token, steps=4, sleep=0.3), headers=BOTH)
    assert (answer.status, answer.type) == (200, "text/event-stream")
    *reports, last = events(answer.text)
    assert {report["method"] for report in reports} == {"notifications/progress"}
    params = [report["params"] for report in reports]
    assert {one["progressToken"] for one in params} == {token} and {one["total"] for one in params} == {1}
    fractions = [one["progress"] for one in params]
    assert fractions == sorted(set(fractions)) and fractions[-1] == 1
    assert params[-1]["message"] == "step 4"
    assert last["id"] == 7 and last["result"]["structuredContent"]["result"]["count"] == 1


@pytest.mark.parametrize(
    ("token", "headers", "arguments"),
    [(None, BOTH, {"steps": 2}), ("a", {"Accept": "application/json"}, {"steps": 2}), ("a", BOTH, {})],
)
async def test_without_wish_or_reports_the_answer_is_json(
    server: House, token: Any, headers: dict[str, str], arguments: dict[str, Any]
) -> None:
    answer = await server.post("/mcp", json=message(token, **arguments), headers=headers)
    assert (answer.status, answer.type) == (200, "application/json")


async def test_what_fails_after_a_report_is_the_last_event(server: House) -> None:
    answer = await server.post("/mcp", json=message("a", steps=1, sleep=0.3, fail=True), headers=BOTH)
    assert events(answer.text)[-1]["result"]["isError"]
    for wrong in ([1], 1.5, None):
        params = message("a")["params"] | {"_meta": {"progressToken": wrong}}
        answer = await server.post("/mcp", json=message("a") | {"params": params}, headers=BOTH)
        assert answer.json()["error"]["code"] == -32602


@pytest.mark.parametrize("steps", [0, 1])
async def test_a_client_that_leaves_stops_its_prediction(server: House, steps: int) -> None:
    (worker,) = server.workers()
    url = f"{server.url}/mcp"
    async with aiohttp.ClientSession() as session:
        request = asyncio.ensure_future(session.post(url, json=message("a", steps=steps, sleep=600), headers=BOTH))
        # One that its worker has not read yet is taken back, and the worker stays.
        await wait_until(lambda: any(pid == worker and b"asleep for 600" in text for _, pid, text in server.printed))
        if steps:
            response = await request
            assert await response.content.readuntil(b"\n\n")
            response.close()
        else:
            request.cancel()
        await server.wait_running(0)
    await server.wait_workers(1)
    await wait_until(lambda: worker not in server.workers())  # it is killed before it is gone
    assert (await server.post("/mcp", json=message("a"), headers=BOTH)).status == 200
    assert not server.scratch()
