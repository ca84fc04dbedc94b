"""A deployment's page: what it shows is right, and what it gives to paste works."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from playwright.async_api import Page, expect

from tests.dashboard.conftest import Served, copied, run


async def snippet(page: Page, label: str) -> str:
    await page.get_by_role("tab", name=label, exact=True).click()
    await page.get_by_role("tabpanel").get_by_role("button", name="Copy").click()
    return await copied(page)


async def test_every_snippet_works_when_pasted(page: Page) -> None:
    await page.goto("/ui/inference/digits")
    script = await snippet(page, "Python")
    assert "return: [{'name': " in await run([sys.executable, "-c", script])
    assert "usage: " in await run([sys.executable, "-c", await snippet(page, "Python: help")])
    assert '{"result": [{"name":' in await run(await snippet(page, "curl"))
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    assert '"name":' in await run(await snippet(page, "Command line"), env=environ)


async def test_a_script_predicts_where_no_argument_is_needed(page: Page) -> None:
    await page.goto("/ui/inference/exact")
    for label in ("Python", "curl"):
        text = await snippet(page, label)
        assert "help" not in text
        said = await run([sys.executable, "-c", text] if label == "Python" else text)
        assert "9007199254740993" in said and "usage: " not in said


async def test_the_token_is_masked_shown_copied_and_renewed(page: Page, served: Served) -> None:
    served.deploy("demo_app", "renewed")
    token = served.ask("GET", "/deployments/renewed")["token"]
    await page.goto("/ui/inference/renewed")
    shown = page.locator("#token")
    await expect(shown).to_have_text(re.compile("^•+$"))
    value = page.locator("dd", has=shown)
    await value.get_by_role("button", name="Show").click()
    await expect(shown).to_have_text(token)
    await value.get_by_role("button", name="Copy").click()
    assert await copied(page) == token
    await value.get_by_role("button", name="Rotate").click()
    await page.get_by_role("dialog").get_by_role("button", name="Make a new one").click()
    await expect(page.locator(f'#token:not([data-secret="{token}"])')).to_have_count(1)
    assert served.ask("GET", "/deployments/renewed")["token"] == await shown.get_attribute("data-secret")
    served.ask("DELETE", "/deployments/renewed")


async def test_tabs_are_moved_between_with_arrows(page: Page) -> None:
    await page.goto("/ui/inference/digits")
    await page.get_by_role("tab", name="Python", exact=True).focus()
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("tab", name="curl")).to_be_focused()
    await expect(page.get_by_role("tabpanel")).to_contain_text("curl -s")


async def test_a_log_is_shown_as_it_is_printed(page: Page, served: Served) -> None:
    await page.goto("/ui/inference/slow/logs")
    await expect(page.locator("#log-state")).to_contain_text("Live")
    served.ask("POST", "/slow", {"seconds": 0})
    await expect(page.locator("#log")).to_contain_text("working hard")


async def test_an_open_page_is_answered_only_where_something_has_changed(page: Page) -> None:
    await page.goto("/ui/inference/digits")
    address = str(await page.locator("#details").get_attribute("hx-get"))
    headers = {"HX-Request": "true"}
    assert (await page.request.get(address, headers=headers)).status == 204
    answer = await page.request.get(address + "0", headers=headers)
    assert answer.status == 200 and 'id="details"' in await answer.text()
