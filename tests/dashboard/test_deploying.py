"""Deploying, changing and deleting by the forms."""

from __future__ import annotations

import re

from playwright.async_api import Page, expect

from tests.dashboard.conftest import Served, Watched, undeploy


async def test_a_module_is_deployed_in_two_steps(page: Page, served: Served) -> None:
    await page.goto("/ui/modules/my_model")
    await page.get_by_role("link", name="Deploy", exact=True).click()
    await page.get_by_label("Title").fill("Digits of the house")
    await page.get_by_label("Name", exact=True).fill("house-digits")
    await page.get_by_role("button", name="Next: hardware").click()
    await expect(page.get_by_label("CPUs")).to_have_value("1")
    await expect(page.get_by_label("Memory of a worker")).to_have_value("489Mi")
    await page.get_by_label("Idle time").fill("120")
    await page.get_by_label("Variables").fill("COLOUR=blue=green\n\nSIZE=3")
    await page.get_by_role("button", name="Deploy").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Digits of the house")
    made = served.ask("GET", "/deployments/house-digits")
    assert (made["cpu"], made["memory_bytes"], made["idle_s"]) == (1, 489 << 20, 120)
    assert made["environment"] == {"COLOUR": "blue=green", "SIZE": "3"}
    await undeploy(page, served, "house-digits")


async def test_what_is_wrong_is_said_at_its_field(page: Page, watched: Watched) -> None:
    watched.expected += ["422", "409"]  # the browser notes every answer that is no success
    await page.goto("/ui/deploy?module=demo_app")
    await page.get_by_label("Name", exact=True).fill("digits")
    await page.get_by_role("button", name="Quick submit").click()
    await expect(page.locator("#name-error")).to_contain_text("already a service called digits")
    await expect(page.get_by_label("Name", exact=True)).to_be_focused()
    await page.get_by_label("Name", exact=True).fill("Not a Name")
    await page.get_by_role("button", name="Next: hardware").click()
    await page.get_by_label("Memory of a worker").fill("lots")
    await page.get_by_role("button", name="Deploy").click()
    await expect(page.locator("#memory-error")).to_contain_text("is not an amount of memory")
    await page.get_by_label("Memory of a worker").fill("")
    await page.get_by_label("Variables").fill("no equals sign")
    await page.get_by_role("button", name="Deploy").click()
    await expect(page.locator("#environment-error")).to_contain_text("is not NAME=value")
    await page.get_by_label("Variables").fill("")
    await page.get_by_role("button", name="Deploy").click()
    # The form goes back to the step that has the field.
    await expect(page.locator("#name-error")).to_contain_text("is not a valid name")
    await expect(page.get_by_label("Name", exact=True)).to_be_visible()


async def test_more_than_there_is_is_warned_of(page: Page, served: Served) -> None:
    modules = served.ask("GET", "/modules?q=greedy")["modules"]
    assert len(modules) == 1
    await page.goto("/ui/deploy?module=" + modules[0]["id"])
    await expect(page.locator(".notice.warn").first).to_contain_text("The module asks for 4000 CPUs")
    await expect(page.locator(".notice.warn").last).to_contain_text("The module asks for 3 GPUs")


async def test_a_service_is_edited(page: Page, served: Served) -> None:
    served.deploy("demo_app", "edited", title="Before")
    await page.goto("/ui/inference")
    row = page.get_by_role("row").filter(has_text="edited")
    await row.get_by_role("link", name="Edit edited").click()
    await page.get_by_label("Title").fill("After")
    await page.get_by_role("button", name="Next: hardware").click()
    await page.get_by_label("Maximum workers").fill("2")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("After")
    changed = served.ask("GET", "/deployments/edited")
    assert (changed["title"], changed["max_workers"]) == ("After", 2)
    await undeploy(page, served, "edited")


async def test_a_service_is_deleted_after_a_question(page: Page, served: Served) -> None:
    served.deploy("demo_app", "unwanted")
    await page.goto("/ui/inference")
    row = page.get_by_role("row").filter(has_text="unwanted")
    await row.get_by_role("button", name="Delete unwanted").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Delete unwanted?")
    await dialog.get_by_role("button", name="Keep it").click()
    await row.get_by_role("button", name="Delete unwanted").click()
    await dialog.get_by_role("button", name="Delete").click()
    await expect(row).to_have_count(0)
    assert "unwanted" not in {each["name"] for each in served.ask("GET", "/deployments")}


async def test_the_table_follows_what_happens(page: Page, served: Served) -> None:
    await page.goto("/ui/inference")
    rows = page.get_by_role("row")
    await expect(rows.filter(has_text="digits").first).to_be_visible()
    served.deploy("demo_app", "appearing")
    await expect(rows.filter(has_text="appearing")).to_be_visible()
    for _ in range(3):
        served.ask("POST", "/appearing", {})
    row = rows.filter(has_text="appearing")
    await expect(row.get_by_role("cell").nth(2)).to_have_text("3")
    await expect(row.get_by_role("cell").nth(3)).to_have_text(re.compile(r"µs|ms"))
    await expect(row.locator(".state")).to_have_text(re.compile("ready|cold"))
    served.ask("DELETE", "/deployments/appearing")
    await expect(row).to_have_count(0)
