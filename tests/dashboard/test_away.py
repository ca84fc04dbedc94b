"""The server goes away under an open page, and comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.dashboard.conftest import Served, serving
from tests.house import PATIENCE_S


class Lamp:
    """A server at one address that is put out and lit again."""

    def __init__(self, home: Path) -> None:
        self._home, self._port, self._stack = home, "0", ExitStack()

    def light(self) -> Served:
        served = self._stack.enter_context(serving(self._home, listen_port=self._port))
        self._port = str(urlsplit(served.url).port)
        return served

    def put_out(self) -> None:
        self._stack.close()


@pytest_asyncio.fixture(loop_scope="session")
async def lamp(tmp_path: Path) -> AsyncIterator[Lamp]:
    lamp = Lamp(tmp_path / "home")
    yield lamp
    lamp.put_out()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, lamp: Lamp) -> AsyncIterator[Page]:
    """Signed in to the lamp's server."""
    served = lamp.light()
    context = await browser.new_context(base_url=served.url)
    context.set_default_timeout(PATIENCE_S * 1000)
    page = await context.new_page()
    await page.goto(served.link())
    await page.wait_for_url("**/ui/")
    yield page
    await context.close()


async def test_a_click_while_the_server_is_down_leads_on_when_it_is_back(page: Page, lamp: Lamp) -> None:
    """A page that does not ask by itself how things are, so that only the click can tell."""
    lamp.put_out()
    dialog = page.get_by_role("dialog", name="The server is not responding")
    await page.get_by_role("link", name="Jobs").hover()
    await expect(page.locator("#said")).to_contain_text("The server is not responding.")
    await page.get_by_role("link", name="Jobs").click()
    await expect(dialog).to_be_visible()
    await dialog.get_by_role("button", name="Stay here").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Modules")
    await page.keyboard.type("gs")
    await expect(dialog).to_be_visible()
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Sign out").click()
    await expect(dialog).to_be_visible()
    await page.keyboard.press("Escape")
    await page.get_by_role("link", name="Jobs").focus()
    await page.keyboard.press("Enter")
    await expect(dialog).to_be_visible()
    lamp.light()
    await page.wait_for_url("**/ui/jobs")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")


async def test_links_that_do_not_ask_the_server_work_while_it_is_down(page: Page, lamp: Lamp) -> None:
    await page.evaluate("""() => {
      const link = document.createElement("a");
      const href = URL.createObjectURL(new Blob(["kept"]));
      Object.assign(link, { href, download: "kept.txt", textContent: "Keep it" });
      document.querySelector("main").prepend(link);
    }""")
    lamp.put_out()
    await page.get_by_role("link", name="Jobs").hover()
    await expect(page.locator("#said")).to_contain_text("The server is not responding.")
    async with page.expect_download() as begun:
        await page.get_by_role("link", name="Keep it").click()
    assert (await (await begun.value).path()).read_text() == "kept"
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("dialog")).to_have_count(0)
