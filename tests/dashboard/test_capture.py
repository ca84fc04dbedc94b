"""Camera, microphone and addresses at file arguments; keys; a service that is deleted while its page is open."""

from __future__ import annotations

import io
import re
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Page, expect

from tests.dashboard.conftest import ROOT, Served, Watched

FIRST_FILE = """selector => document.querySelector(selector).files[0].arrayBuffer()
  .then(held => Array.from(new Uint8Array(held)))"""


async def test_a_picture_is_taken_with_the_camera(page: Page) -> None:
    await page.goto("/ui/inference/digits/invoke")
    await page.get_by_role("button", name="Use the camera").click()
    await page.get_by_role("button", name="Take it").click()
    await expect(page.locator(".preview figcaption")).to_contain_text("camera.png")
    assert bytes(await page.evaluate(FIRST_FILE, "#a0")).startswith(b"\x89PNG")
    # The camera is given back.
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_a_sound_is_recorded_as_wav(page: Page) -> None:
    await page.goto("/ui/inference/demo/invoke")
    await page.get_by_role("button", name="Record one").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Recording")
    await page.get_by_role("button", name="Use it").click()
    await expect(page.locator(".preview figcaption")).to_contain_text("recording.wav")
    chooser = page.locator(".field", has_text="demo_audio").locator("input[type=file]")
    recorded = bytes(await page.evaluate(FIRST_FILE, f"#{await chooser.get_attribute('id')}"))
    with wave.open(io.BytesIO(recorded)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth()) == (1, 2) and sound.getnframes() > 100


@dataclass
class OtherSite:
    """`/open/…` may be read by other pages, `/closed/…` may not. asked: the headers of what came."""

    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)

    async def send(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.headers))
        allowed = {"Access-Control-Allow-Origin": "*"} if request.path.startswith("/open/") else {}
        if request.path.endswith(".png"):
            body = (ROOT / "data" / "digit.png").read_bytes()
            return web.Response(body=body, content_type="image/png", headers=allowed)
        status = 200 if request.path.endswith(".html") else 404
        return web.Response(status=status, text="<p>", content_type="text/html", headers=allowed)


@pytest_asyncio.fixture(loop_scope="session")
async def other_site() -> AsyncIterator[OtherSite]:
    site, app = OtherSite(), web.Application()
    app.router.add_get("/{path:.*}", site.send)
    async with TestServer(app) as server:
        site.url = str(server.make_url("/"))
        yield site


async def test_a_file_is_fetched_from_an_address_by_the_browser(
    page: Page, watched: Watched, other_site: OtherSite
) -> None:
    base = other_site.url
    watched.expected += [base, "CORS", "ERR_FAILED", "404"]
    await page.goto("/ui/inference/digits/invoke")
    await page.get_by_role("button", name="From a URL").click()
    address, problem = page.get_by_label("Address of the file"), page.get_by_role("alert")
    for typed, told in (
        ("bee.png", "Enter an address that begins with https://"),
        ("file:///etc/passwd", "Enter an address that begins with https://"),
        (f"{base}closed/bee.png", "that site does not let other pages read its files (CORS)"),
        (f"{base}open/nothing", "That site answered 404."),
        (f"{base}open/page.html", "This is text/html, and image/* is needed here."),
    ):
        await address.fill(typed)
        await address.press("Enter")
        await expect(problem).to_contain_text(told)
    await address.fill(f"{base}open/bee.png")
    await page.get_by_role("button", name="Fetch").click()
    await expect(page.locator(".preview figcaption")).to_contain_text("bee.png")
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator(".found tbody tr")).to_have_count(1)
    # They do not learn who asks, nor from where.
    assert not [headers for headers in other_site.asked if {"Cookie", "Referer", "Authorization"} & set(headers)]


async def test_only_forms_may_fetch_from_elsewhere(page: Page) -> None:
    for path, elsewhere in (("inference/digits/invoke", True), ("inference/digits", False), ("jobs", False)):
        policy = (await page.request.get(f"/ui/{path}")).headers["content-security-policy"]
        assert ("connect-src 'self' http: https:" in policy, "connect-src 'self';" in policy) == (
            elsewhere,
            not elsewhere,
        )


async def test_keys_lead_to_the_pages_and_are_shown(page: Page) -> None:
    await page.goto("/ui/")
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keys")).to_contain_text("Ctrl")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.keyboard.press("/")
    await page.keyboard.type("g j ?")
    assert await page.evaluate("document.activeElement.value") == "g j ?"
    await page.get_by_role("heading", name="Modules").click()
    await page.keyboard.type("gj")
    await page.wait_for_url("**/ui/jobs")


async def test_control_and_enter_run_the_form(page: Page) -> None:
    await page.goto("/ui/inference/exact/invoke")
    await page.get_by_label("note", exact=True).press("Control+Enter")
    await expect(page.locator("#result .tree")).to_be_visible()


@pytest.mark.parametrize("path", ["", "/invoke"])
async def test_an_open_page_says_that_its_service_was_deleted(
    page: Page, served: Served, watched: Watched, path: str
) -> None:
    watched.expected.append("404")
    served.deploy("demo_app", "passing")
    served.ask("GET", "/deployments/passing/card")
    await page.goto(f"/ui/inference/passing{path}")
    if not path:
        await page.get_by_role("button", name="Delete").click()
        await expect(page.get_by_role("dialog")).to_contain_text("Its bucket stays")
        await page.get_by_role("button", name="Keep it").click()
    served.ask("DELETE", "/deployments/passing")
    if path:
        await page.get_by_role("button", name="Run").click()
    await expect(page.get_by_text(re.compile("^This service has been deleted.$"))).to_be_visible()
