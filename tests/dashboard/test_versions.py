"""A service's calls are shifted to a version of it on its page, and taken back."""

from __future__ import annotations

from playwright.async_api import Page, expect

from tests.dashboard.conftest import Served, undeploy


async def test_calls_are_shifted_to_a_version_and_taken_back(page: Page, served: Served) -> None:
    for name in ("old", "new"):
        served.deploy("demo_app", name)
        served.ask("GET", f"/deployments/{name}/card")
    await page.goto("/ui/inference/old")
    panel = page.get_by_role("region", name="Versions")
    await panel.get_by_label("Version").select_option("new")
    await panel.get_by_label("Per cent of the calls").fill("50")
    await panel.get_by_role("button", name="Shift").click()
    rows = page.get_by_role("table", name="Versions").locator("tbody tr")
    await expect(rows).to_contain_text(["50 %", "50 %"])
    for _ in range(4):
        served.ask("POST", "/old", {})
    await expect(rows.locator("td:nth-child(4)")).to_have_text(["2", "2"])
    await page.goto("/ui/inference")
    await expect(page.get_by_text("50 % of its calls to new")).to_be_visible()
    await expect(page.get_by_text("version of old")).to_be_visible()
    await page.goto("/ui/inference/old")
    await page.get_by_role("button", name="Take all calls back").click()
    await expect(rows).to_have_count(0)
    assert served.ask("GET", "/deployments/old")["shift"] is None
    for name in ("old", "new"):
        await undeploy(page, served, name)
