"""The charts' numbers agree with each other."""

from __future__ import annotations

import re

from playwright.async_api import Page, expect

from tests.dashboard.conftest import Served


async def test_the_highest_of_a_minute_is_no_more_than_all_calls(page: Page, served: Served) -> None:
    for _ in range(2):
        served.ask("POST", "/exact", {})
    await page.goto("/ui/status")
    panel = page.locator(".chart-panel", has_text="Calls a minute")
    await expect(panel).to_contain_text("highest")
    text = await panel.inner_text()
    numbers = [
        re.search(pattern, text) for pattern in (r"highest: (\d+)", r"(\d+) calls? in 15 minutes", r"ended: (\d+)")
    ]
    highest, total, ended = (int(match[1]) for match in numbers if match)
    assert total >= highest >= ended and highest >= 2
