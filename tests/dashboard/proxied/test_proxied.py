"""Behind nginx: every link, redirect, Location, asset, endpoint and snippet leads back through it."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
import pytest
from playwright.async_api import Browser, StorageState, expect

from tests.dashboard.conftest import Served, Watched, copied, pages_below, run
from tests.dashboard.proxied.conftest import Proxied
from tests.dashboard.test_signing import cookie_of
from tests.house import PATIENCE_S


async def ask(served: Served, method: str, address: str, **options: Any) -> aiohttp.ClientResponse:
    """address: as an answer has given it, or from `served.url` on, without its slash. Read whole; as the owner."""
    url = urljoin(f"{served.url}/", address)
    assert url.startswith(served.url), address
    options = {"allow_redirects": False, **options}
    options["headers"] = {"Authorization": f"Bearer {served.token}", **options.get("headers", {})}
    connector = aiohttp.TCPConnector(ssl=served.context or True)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(PATIENCE_S)) as session,
        session.request(method, url, **options) as response,
    ):
        await response.read()
        return response


async def test_every_page_and_what_it_names_is_there(served: Served, signed_in: StorageState) -> None:
    seen = await pages_below(served, cookie_of(signed_in))
    assert {
        f"/ui/{path}" for path in ("", "inference", "inference/exact/invoke", "jobs", "files/exact", "api")
    } <= seen.keys()


async def test_a_service_is_used_in_the_browser(
    browser: Browser, served: Proxied, signed_in: StorageState, watched: Watched
) -> None:
    context = await browser.new_context(ignore_https_errors=True, storage_state=signed_in)
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(PATIENCE_S * 1000)
    page = await context.new_page()
    watched.watch(page)
    await page.goto(f"{served.url}/ui/")
    await page.get_by_role("link", name="Services", exact=True).click()
    await page.get_by_role("link", name="Run exact").click()
    await page.wait_for_url("**/invoke")  # with its scripts
    await page.get_by_role("button", name="Run").click()
    await page.locator("#job-link").click()
    await expect(page.locator("#job-details .state")).to_have_text("succeeded")
    await expect(page.locator("#result")).to_contain_text("9007199254740993")
    await page.goto(f"{served.url}/ui/inference/exact")
    await page.get_by_role("tab", name="Python", exact=True).click()
    await page.get_by_role("tabpanel").get_by_role("button", name="Copy").click()
    assert f'"{served.url}/run/exact"' in (script := await copied(page))
    assert "9007199254740993" in await run([sys.executable, "-c", script], env=served.environment)
    await page.get_by_role("link", name="API", exact=True).click()
    operation = page.locator("#operations-deployments-deployment")
    await operation.locator(".opblock-summary-control").click()
    await operation.get_by_role("button", name="Try it out").click()
    await operation.get_by_placeholder("name").fill("exact")
    await operation.get_by_role("button", name="Execute").click()
    await expect(operation.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_url(f"{served.url}/ui/login")
    await context.close()


async def test_addresses_in_answers_lead_back(served: Served) -> None:
    """Of jobs, services and documents, by the bodies and by Location."""
    begun = await ask(served, "POST", "exact", headers={"Prefer": "respond-async"}, json={})
    job = await begun.json()
    assert begun.headers["Location"] == job["links"]["self"]
    second = await ask(served, "POST", "exact/async", json={})
    told = await second.json()
    listed = await (await ask(served, "GET", "jobs?limit=1")).json()
    version = await (await ask(served, "GET", "v2/")).json()
    models = await (await ask(served, "GET", "v2/models/")).json()
    deployed = (await (await ask(served, "GET", "deployments")).json())[0]
    addresses = [
        *(begun.headers["Location"], job["links"]["log"], second.headers["Location"], told["status_url"]),
        *(listed["next"], listed["jobs"][0]["links"]["self"], version["links"][0]["href"]),
        *(models["models"][0]["links"][0]["href"] + "/", deployed["endpoint"].replace("/run/", "/")),
    ]
    for address in addresses:
        assert (await ask(served, "GET", address)).status == 200, address


async def test_redirects_lead_back(served: Served) -> None:
    page = {"Accept": "text/html"}
    for path, place in (("", "ui/"), ("v2", "v2/"), ("v2/models", "v2/models/"), ("ui", "api")):
        answer = await ask(served, "GET", path, headers=page)
        assert answer.headers["Location"] == urlsplit(f"{served.url}/{place}").path, path
        assert (await ask(served, "GET", answer.headers["Location"])).status == 200


@pytest.mark.parametrize("name", ["openapi.json", "swagger.json"])
async def test_clients_that_read_the_document_find_the_server(served: Served, name: str) -> None:
    document = await (await ask(served, "GET", name)).json()
    before = document.get("basePath", "") or document.get("servers", [{"url": ""}])[0]["url"]
    for path, item in document["paths"].items():
        if "get" in item and "{" not in path and not path.endswith(("/events", "/debug/")):
            # At a place of its own without a final slash, nginx itself redirects.
            assert (await ask(served, "GET", before + path, allow_redirects=True)).status == 200, path


async def test_events_come_at_once_though_nginx_buffers(served: Served) -> None:
    connector = aiohttp.TCPConnector(ssl=served.context or True)
    headers = {"Authorization": f"Bearer {served.token}"}
    async with (
        aiohttp.ClientSession(connector=connector, headers=headers) as session,
        session.get(f"{served.url}/events") as stream,
        asyncio.timeout(PATIENCE_S),
    ):
        assert (await stream.content.readline()).startswith(b"retry: ")
        job = await (await ask(served, "POST", "exact", headers={"Prefer": "respond-async"}, json={})).json()
        while job["id"].encode() not in await stream.content.readline():
            pass


async def test_much_goes_there_and_back_though_nginx_buffers(served: Served) -> None:
    note = "0123456789abcdef" * (1 << 18)
    body, kind = io.BytesIO(json.dumps({"note": note}).encode()), {"Content-Type": "application/json"}
    answer = await ask(served, "POST", "v2/models/exact/predict/", data=body, headers=kind)
    assert (answer.status, (await answer.json())["predictions"]["result"]["note"] == note) == (200, True)
