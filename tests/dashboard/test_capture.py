"""Camera and microphone at file arguments; keys; a service that is deleted while its page is open."""

from __future__ import annotations

import io
import re
import wave

import pytest
from playwright.async_api import Page, expect

from tests.dashboard.conftest import Served, Watched

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
    field = page.locator(".field", has_text="demo_audio").locator("input[type=file]")
    recorded = bytes(await page.evaluate(FIRST_FILE, f"#{await field.get_attribute('id')}"))
    with wave.open(io.BytesIO(recorded)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth()) == (1, 2) and sound.getnframes() > 100


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
