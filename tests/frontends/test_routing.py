"""HEAD is answered wherever GET is, and slashes too many or too few are forgiven, at every path of every door."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from modelport.http import routing
from tests.frontends.serving import serve
from tests.house import House, open_house

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOURCE = """
from marshmallow import fields
def get_predict_args(): return {"number": fields.Int(load_default=1)}
def predict(number): return number
def train(): return 1
"""

# Where deepaas answers HEAD with 405, so do we: clients of either find the same.
DEEPAAS = (
    *("/", "/ui", "/api", "/swagger.json", "/v2/", "/v2/models/", "/v2/models/{name}/", "/v2/models/{name}/train/"),
    *("/v2/models/{name}/train/{uuid}", "/v2/debug/"),
)
# Routes for the clients of KServe (kserve_clients); to others, DEEPaaS's paths without their final slash.
KSERVE = {"/v2", "/v2/models/{name}"}
# What may differ between two answers to the same question.
VOLATILE = {"Date", "Server-Timing", "X-Request-Id", "Transfer-Encoding"}


@dataclass
class Place:
    house: House
    base: str
    headers: dict[str, str]
    filled: dict[str, str]

    def paths(self, method: str = "GET") -> list[str]:
        """Of all routes that answer `method`, as the routes have them, without the base path."""
        app = self.house.server.app
        assert app is not None
        canonicals = {
            resource.canonical for resource in app.router.resources() if method in {r.method for r in resource}
        }
        assert all(path.startswith(self.base) for path in canonicals)
        return sorted({path.removeprefix(self.base) or "/" for path in canonicals} - KSERVE)

    def fill(self, path: str) -> str:
        path = {"/static/swagger": "/static/swagger/init.js"}.get(path, path)
        for name, value in self.filled.items():
            path = path.replace(name, value)
        return path

    async def ask(self, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body); of an answer without end the body is left."""
        url = f"http://127.0.0.1:{self.house.server.port}{self.base}{path}"
        async with self.house.session.request(method, url, headers=self.headers, allow_redirects=False) as response:
            endless = method == "GET" and response.content_type == "text/event-stream"
            body = b"" if endless else await response.read()
            return response.status, dict(response.headers), body


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["", "/ml"])
async def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    folder: Path = tmp_path_factory.mktemp("routing")
    async with open_house(folder, SOURCE, base_path=request.param, module_folders=str(folder / "plugins")) as house:
        headers = {"Authorization": f"Bearer {house.gateway.owner.token}"}
        job = (await house.predict(headers={"Prefer": "respond-async"})).json()
        await house.gateway.jobs.wait(job["id"], 30)
        await house.ask("PUT", f"{request.param}/files/x/other/a.txt", data=b"text", headers=headers)
        modules = (await house.get(f"{request.param}/modules", headers=headers)).json()
        yield Place(house, request.param, headers, _filled(job["id"], modules))


def _filled(job: str, modules: Any) -> dict[str, str]:
    module = str((modules["modules"] if isinstance(modules, dict) else modules)[0]["id"])
    return {
        "/modules/{id}": f"/modules/{module}",
        "{id}": job,
        "{uuid}": job,
        "{name}": "x",
        "{number}": "0",
        "{key}": "other/a.txt",
        "{job}": job,
        "{rest}": "nowhere",
        "{version}": "0",
        "{deployment}": "x",
        "{bucket}": "x-bucket",
        "{tail}": "a",
    }


async def test_head_is_answered_wherever_get_is(place: Place) -> None:
    without = set(place.paths("GET")) - set(place.paths("HEAD"))
    assert without == set(DEEPAAS)
    for path in DEEPAAS:
        assert (await place.ask("HEAD", place.fill(path)))[0] == 405, path


async def test_head_says_what_get_does_and_sends_no_body(place: Place) -> None:
    for path in sorted({*place.paths("GET")} - set(DEEPAAS)):
        for query in ("", "?follow=1") if path.endswith("/log") else ("",):
            url = place.fill(path) + query
            status, headers, body = await place.ask("HEAD", url)
            assert body == b"", url
            if query:
                assert status == 200  # GET has no end
                continue
            expected, said, _ = await place.ask("GET", url)
            assert status == expected, url
            if path.strip("/") != "{name}":  # GET runs the model
                # A figure of now may be longer than a moment ago; and what is sent in pieces has no length.
                assert {name for name in said if name not in VOLATILE} - {"Content-Length"} <= set(headers), url
                assert headers.get("Content-Type") == said.get("Content-Type"), url


async def test_a_slash_too_many_changes_nothing(place: Place) -> None:
    for path in place.paths("GET"):
        plain = place.fill(path)
        if path.endswith("{key}") or path == "/ui":
            continue  # with a slash these are something else: a folder, the dashboard
        doubled = f"{plain}/"
        expected, _, _ = await place.ask("GET", plain)
        status, headers, _ = await place.ask("GET", doubled)
        assert status == expected or (status == 308 and headers["Location"] == f"{place.base}{plain}"), doubled


async def test_a_slash_too_few_is_redirected(place: Place) -> None:
    slashed = [path for path in place.paths("GET") if path.endswith("/") and path != "/"]
    assert slashed
    for path in slashed:
        plain = place.fill(path)
        expected, _, _ = await place.ask("GET", plain)
        status, headers, _ = await place.ask("GET", f"{plain.rstrip('/')}?number=1")
        if status == 308:
            assert headers["Location"] == f"{place.base}{plain}?number=1"
        else:
            assert status in (expected, 302), path  # both are routes; /ui is DEEPaaS'


async def test_a_body_is_taken_at_a_path_with_a_slash_too_many(place: Place) -> None:
    house, base = place.house, place.base
    for path in ("/run/x/", "/x/", "/x"):
        answer = await house.post(f"{base}{path}", json={"number": 7}, headers=place.headers)
        assert answer.status == 200 and b"7" in answer.body, path
    answer = await house.post(f"{base}/deployments/", json={"nonsense": 1}, headers=place.headers)
    assert answer.status == 422
    answer = await house.post(f"{base}/v2/models/x/predict//", json={"number": 7}, headers=place.headers)
    assert (answer.status, answer.headers["Location"]) == (308, f"{base}/v2/models/x/predict/")


async def test_what_is_not_there_is_not_there_with_a_slash_either(place: Place) -> None:
    for path in ("/jobs/nowhere/at/all/", "/v2/nowhere/", "/run/x/y/", "/static/nowhere/"):
        status, _, _ = await place.ask("GET", path)
        assert status in (404, 308), path


async def test_a_path_is_answered_the_second_time_as_the_first(place: Place) -> None:
    """The router is asked once for each method and path."""
    for path in place.paths():
        if "events" in path:
            continue
        asked = [await place.ask(method, place.fill(path)) for method in ("GET", "PATCH", "GET", "PATCH")]
        statuses = [status for status, _, _ in asked]
        assert statuses[:2] == statuses[2:], path
        assert statuses[1] in (404, 405), path


async def test_the_routes_of_a_limited_number_of_paths_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "KNOWN_LIMIT", 4)

    async def echo(request: web.Request) -> web.Response:
        return web.Response(text=request.match_info["name"])

    app = web.Application()
    app.router.add_get("/{name}", echo)
    async with serve(app) as (url, runner):
        assert runner.server is not None
        routes = routing.Routes(app, runner.server.request_handler)
        runner.server.request_handler = routes.handle
        async with aiohttp.ClientSession() as session:
            for name in ["a", "b", "a", *map(str, range(9)), "a", "x" * 500]:
                async with session.get(f"{url}/{name}?name=other") as answer:
                    assert await answer.text() == name
                assert len(routes.known) <= 4
    assert ("GET", "/a") in routes.known
    assert all(len(path) < 500 for _, path in routes.known)
