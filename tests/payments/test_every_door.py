"""No front end gives away a prediction that is sold: every route of the server is asked, with and without a payment."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from modelport.store.deployments import DeploymentRow
from tests.house import Answer
from tests.payments.conftest import PRICE, Shop
from tests.payments.facilitator import SETTLE, token

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

# As each protocol asks for a prediction; every route is sent all of them.
BODIES: list[Any] = [
    {"text": "b"},
    {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["b"]}]},
    {"model": "{name}", "messages": [{"role": "user", "content": "b"}], "prompt": "b", "input": "b"},
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "{name}", "arguments": {"text": "b"}},
    },
    {"Records": [{"eventName": "s3:ObjectCreated:Put", "s3": {"bucket": {"name": "{name}"}, "object": {"key": "k"}}}]},
]
# Where calls are sold, and the methods; at all others they need a token.
SOLD = {
    "GET /{name}",
    "POST /{name}",
    "POST /{name}/async",
    "POST /v2/models/{name}/predict/",
    "POST /run/{name}",
    "POST /job/{name}",
}


def routes(app: web.Application) -> set[tuple[str, str]]:
    """(method, path), of the plain front end's with its pattern made plain."""
    known = set()
    for route in app.router.routes():
        assert route.resource is not None
        path = route.resource.canonical
        path = "/{name}" + path.partition("[^/]+}")[2] if "(?!" in path else path
        methods = ("GET", "POST") if route.method == "*" else (route.method,)
        known |= {(method, path) for method in methods}
    return known


def sent(body: Any, name: str) -> Any:
    """`body` with the deployment's name in it."""
    if isinstance(body, dict):
        return {key: sent(value, name) for key, value in body.items()}
    if isinstance(body, list):
        return [sent(value, name) for value in body]
    return body.replace("{name}", name) if isinstance(body, str) else body


@pytest_asyncio.fixture(loop_scope="module")
async def named(shop: Shop) -> list[str]:
    """A service, and one on the command line of a server that needs no token."""
    deployments = shop.house.server.deployments
    module = deployments.get("sold").spec.module
    bare = deployments.by_name.get("bare") or deployments.add(DeploymentRow("bare", module, price=PRICE))
    await bare.wait_ready()
    return ["sold", "bare"]


async def test_no_route_answers_without_a_payment(shop: Shop, named: list[str]) -> None:
    for name in named:
        assert {key for key, answer in await walk(shop, name, {}) if b"the answer" in answer.body} == set()
        assert shop.house.server.deployments.get(name).calls == 0


async def test_a_payment_buys_a_call_at_the_routes_that_sell_and_nothing_elsewhere(
    shop: Shop, named: list[str]
) -> None:
    for name in named:
        deployment = shop.house.server.deployments.get(name)
        settled, calls = shop.facilitator.count(SETTLE), deployment.calls
        sold = set()
        for key, answer in await walk(shop, name, None):
            if b"the answer" in answer.body:
                assert "payment-response" in answer.headers, key
            if "payment-response" in answer.headers or answer.status in (201, 202):
                sold.add(key)
        assert sold == SOLD
        jobs, _ = await shop.house.gateway.jobs.list([name])
        for job in jobs:
            await shop.house.gateway.jobs.wait(job.id, 30)
            assert shop.house.gateway.payments is not None
            await shop.house.gateway.payments.settle(await shop.house.gateway.jobs.get(job.id))
        assert deployment.calls - calls == shop.facilitator.count(SETTLE) - settled > 0


async def walk(shop: Shop, name: str, headers: dict[str, str] | None) -> list[tuple[str, Answer]]:
    """headers: None: a new payment with each call."""
    assert shop.house.server.app is not None
    answers = []
    for method, route in sorted(routes(shop.house.server.app)):
        if method in ("HEAD", "OPTIONS") or "events" in route or route.startswith("/ui/"):
            continue  # they predict nothing (the dashboard's pages call the same routes), or have no end
        path = route.replace("{name}", name).replace("{tail:.*}", "x")
        for body in BODIES if method in ("POST", "PUT", "PATCH") else [None]:
            more = {"payment-signature": token()} if headers is None else headers
            accepted = {"Accept": "application/json, text/event-stream"} if "mcp" in route else {}
            answer = await shop.house.ask(method, path, json=sent(body, name), headers={**more, **accepted})
            answers.append((f"{method} {route.rstrip('/') if 'predict' not in route else route}", answer))
    return answers


@pytest.mark.parametrize("path", ["/sold", "/v2/models/sold/predict/", "/run/sold"])
async def test_a_paid_call_is_answered_as_a_whole_and_not_as_a_stream(shop: Shop, path: str) -> None:
    answer = await shop.buy(token(), path, headers={"Accept": "text/event-stream, application/json"})
    assert answer.status == 200 and "event-stream" not in answer.type
    assert "payment-response" in answer.headers


async def test_where_calls_are_not_sold_the_refusal_says_where(shop: Shop) -> None:
    answer = await shop.buy(token(), "/v2/models/sold/infer", json=BODIES[1])
    assert answer.status == 401 and "buy one at https://models.example.org/sold" in answer.text


async def test_a_bucket_takes_no_payment(shop: Shop) -> None:
    bucket_jobs = shop.house.gateway.bucket_jobs
    assert bucket_jobs is not None
    access = shop.house.gateway.bucket_access("sold")
    assert access is not None
    url = f"{access.endpoint}/{access.bucket}/inputs/a.json"
    answer = await shop.house.ask("PUT", url, data=b'{"text": "b"}', headers={"payment-signature": token()})
    assert answer.status == 403
    assert shop.predictions == 0
