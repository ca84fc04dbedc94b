"""What a person does with the dashboard in an hour, as one road: from looking for a module to deleting the service."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.dashboard.conftest import Served, run
from tests.dashboard.test_info import snippet
from tests.dashboard.test_invoking import DATA, call_my_model, check_boxes
from tests.dashboard.working.test_files import drop_as

NAME = "journey"


@pytest.mark.thorough
async def test_from_a_search_to_the_end_of_the_service(page: Page, served: Served, tmp_path: Path) -> None:
    """`watched` fails it, too, where a page writes an error to its console or asks for something from elsewhere."""
    await find_and_deploy(page)
    await paste_a_snippet(page)
    found = await call_my_model(page, NAME)
    assert len(found) > 25
    await check_boxes(page, found)
    await call_as_a_job(page, len(found))
    await drop_ten_files(page, tmp_path / "dropped")
    await train_and_cancel(page)
    await delete(page, served)


async def find_and_deploy(page: Page) -> None:
    await page.goto("/ui/")
    await page.get_by_role("searchbox").press_sequentially("handwritten")
    await page.locator("#more-library > summary").click()
    await page.get_by_label("Scikit-learn").check()
    await expect(page.locator(".card h2")).to_have_text(["Handwritten digits"])
    await page.locator(".card h2 a").click()
    await page.get_by_role("link", name="Deploy", exact=True).click()
    await page.get_by_label("Title").fill("A journey")
    await page.get_by_label("Name", exact=True).fill(NAME)
    await page.get_by_role("button", name="Next: hardware").click()
    await page.get_by_role("button", name="Deploy").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("A journey")


async def paste_a_snippet(page: Page) -> None:
    """While nobody knows the module's arguments, one that asks for them; then one with them, which starts a worker, and
    the page says so by itself."""
    assert "usage: " in await run([sys.executable, "-c", await snippet(page, "Python")])
    await page.reload()
    script = await snippet(page, "Python")
    assert f"/run/{NAME}" in script and "data/digits_page.png" in script
    assert "return: [{'name': " in await run([sys.executable, "-c", script])
    await expect(page.locator("#details .state")).to_have_text("ready")


async def call_as_a_job(page: Page, boxes: int) -> None:
    await page.goto(f"/ui/inference/{NAME}/invoke")
    await page.get_by_label("files").set_input_files(DATA / "digits_page.png")
    await page.get_by_role("button", name="Run").click()
    await page.locator("#job-link").click()
    await expect(page.locator("#job-details .state")).to_have_text("succeeded")
    await expect(page.locator(".boxes g:visible")).to_have_count(boxes)


async def drop_ten_files(page: Page, folder: Path) -> None:
    await page.goto(f"/ui/files/{NAME}")
    await drop_as(page, folder, [f"page {number}.png" for number in range(10)])
    await expect(page.locator("#upload-line")).to_have_text("10 of 10 done.")
    await expect(page.locator("#uploads .state.succeeded")).to_have_count(10)
    await page.get_by_role("link", name="outputs").click()
    await expect(page.locator("#files").get_by_role("button", name=re.compile(r"^page \d\.json$"))).to_have_count(10)


async def train_and_cancel(page: Page) -> None:
    await page.goto(f"/ui/inference/{NAME}/train")
    await page.get_by_label("augmentation", exact=True).fill("10")  # so that it takes a while
    await page.get_by_role("button", name="Train").click()
    await page.wait_for_url("**/ui/jobs/*")
    await expect(page.locator("#progress")).to_have_attribute("value", re.compile(r"0\.\d*[1-9]"))
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator("#error")).to_contain_text("It was cancelled.")
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await page.wait_for_url("**/ui/trainings")


async def delete(page: Page, served: Served) -> None:
    await page.goto("/ui/inference")
    await page.get_by_role("button", name=f"Delete {NAME}").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("link", name=NAME, exact=True)).to_have_count(0)
    assert NAME not in json.dumps(served.ask("GET", "/deployments"))
