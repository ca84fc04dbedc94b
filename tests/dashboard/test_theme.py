"""The switch between light and dark, and what a page says when nothing has been deployed."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.dashboard.conftest import Served, Watched, serving

BACKGROUND = "getComputedStyle(document.documentElement).backgroundColor"


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.thorough)])
async def test_the_switch_holds_on_every_page_and_without_a_script(page: Page, scheme: str) -> None:
    other = {"light": "dark", "dark": "light"}[scheme]
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    await page.goto("/ui/")
    before = await page.evaluate(BACKGROUND)
    await page.get_by_role("button", name=f"{other.capitalize()} mode").click()
    after = await page.evaluate(BACKGROUND)
    assert before != after
    for path in ("inference", "jobs", "status", "api", "nowhere"):
        # As it comes from the server, so that it never stands there in the other colours.
        text = await (await page.request.get(f"/ui/{path}")).text()
        assert f'<html lang="en" data-theme="{other}">' in text
    await page.goto("/ui/api")
    await expect(page.locator("#swagger-ui .opblock-tag").first).to_be_visible()
    assert await page.evaluate(BACKGROUND) == after
    assert await page.evaluate("document.documentElement.matches('.dark-mode')") == (other == "dark")
    await page.get_by_role("button", name=f"{scheme.capitalize()} mode").click()
    assert await page.evaluate("document.documentElement.matches('.dark-mode')") == (scheme == "dark")
    assert await page.evaluate(BACKGROUND) == before


async def test_a_cookie_of_another_kind_is_no_theme(page: Page, served: Served) -> None:
    await page.context.add_cookies([{"name": "modelport-theme", "value": "sepia", "url": served.url}])
    assert "data-theme" not in await (await page.request.get("/ui/")).text()


async def test_an_empty_server_says_what_to_do_first(browser: Browser, watched: Watched, tmp_path: Path) -> None:
    with serving(tmp_path / "home") as empty:
        watched.own = empty.url.partition("//")[2]
        context = await browser.new_context()
        page = await context.new_page()
        watched.watch(page)
        await page.goto(empty.link())
        await expect(page.get_by_role("heading", name="First steps")).to_be_visible()
        empty.deploy("my_model", "digits")
        await page.reload()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Modules")
        await expect(page.get_by_role("heading", name="First steps")).to_have_count(0)
        await context.close()


async def test_no_title_stands_twice(page: Page) -> None:
    for name, title in (("exact", "exact"), ("digits", "Handwritten digits")):
        await page.goto(f"/ui/inference/{name}")
        await expect(page.get_by_role("heading", level=1)).to_have_text(title)
        assert await page.locator(".head").get_by_text(title, exact=True).count() == 1
