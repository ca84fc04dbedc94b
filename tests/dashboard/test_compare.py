"""Two runs, ticked and compared: inputs, numbers, rows, pictures."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.dashboard.conftest import Served
from tests.dashboard.test_invoking import DATA
from tests.house import wait_until


async def submit(served: Served, path: str, **values: object) -> str:
    """The id of a job that has ended."""
    id = str(served.ask("POST", f"{path}/async", values)["job_id"])
    await wait_until(lambda: served.ask("GET", f"/jobs/{id}")["finished"])
    return id


async def test_two_ticked_runs_are_compared(page: Page, served: Served) -> None:
    first = await submit(served, "/exact", whole=9007199254740993, share=0.5, note="<b>one</b>")
    second = await submit(served, "/exact", whole=9007199254740996, share=0.75, note="two")
    await page.goto("/ui/inference/exact/invoke")
    link = page.get_by_role("link", name="Compare the two")
    await expect(link).to_be_hidden()
    for id in (first, second):
        await page.locator(f'[data-compare="{id}"]').check()
    await link.click()
    await page.wait_for_url(f"**/compare?one={first}&other={second}")
    differing = page.locator(".compared .differs")
    await expect(differing).to_have_count(3)
    await expect(differing.filter(has_text="note").locator("td")).to_have_text(["<b>one</b>", "two"])
    await expect(page.get_by_role("heading", name="3 of 4 values differ")).to_be_visible()
    rows = page.locator("#differences tbody tr")
    await expect(rows.filter(has_text="whole").locator("td")).to_have_text(
        ["result.whole", "9007199254740993", "9007199254740996", "3"]
    )
    await expect(rows.filter(has_text="share").locator("td").last).to_have_text("0.25")
    await expect(page.locator("#result-1 .tree")).to_contain_text("two")


async def test_the_last_two_ticks_count_and_survive_a_new_run(page: Page, served: Served) -> None:
    ids = [await submit(served, "/exact", note=note) for note in ("a", "b", "c")]
    await page.goto("/ui/inference/exact/invoke")
    for id in ids:
        await page.locator(f'[data-compare="{id}"]').check()
    await expect(page.locator("[data-compare]:checked")).to_have_count(2)
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator("#result .tree")).to_be_visible()
    await expect(page.locator("#runs li").first.locator(".state")).to_have_text("succeeded")
    for id in ids[1:]:
        await expect(page.locator(f'[data-compare="{id}"]')).to_be_checked()


async def test_rows_are_joined_by_the_column_that_names_them(page: Page, served: Served) -> None:
    ids = [await submit(served, "/answers", kind=kind) for kind in ("rows", "beside")]
    await page.goto(f"/ui/compare?one={ids[0]}&other={ids[1]}")
    heads = page.locator("#differences .sorter")
    await expect(heads).to_have_text(["id", "species, first", "species, second", "weight, first", "weight, second"])
    await expect(page.locator("#differences").get_by_role("heading", name="250 rows")).to_be_visible()
    await expect(page.locator("#differences tbody td").first).to_have_text("9007199254740993")


async def test_pictures_have_a_slider(page: Page, served: Served) -> None:
    ids = []
    for name in ("digits_page.png", "digits_board.png"):
        await page.goto("/ui/inference/digits/invoke")
        await page.get_by_label("files").set_input_files(DATA / name)
        await page.get_by_label("accept").select_option("image/png")
        await page.get_by_role("button", name="Run").click()
        await expect(page.locator("#result img.shown")).to_be_visible()
        ids.append(page.url.rpartition("?run=")[2])
    await page.goto(f"/ui/compare?one={ids[0]}&other={ids[1]}")
    await page.get_by_label("First | second").fill("20")
    first = page.get_by_alt_text("The first picture")
    await expect(first).to_have_css("clip-path", "inset(0px 80% 0px 0px)")
    assert await first.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100


@pytest.mark.parametrize("width", [390, pytest.param(1280, marks=pytest.mark.thorough)])
async def test_digits_are_compared_row_by_row_and_a_failed_run_says_why(page: Page, served: Served, width: int) -> None:
    await page.set_viewport_size({"width": width, "height": 900})
    ids = []
    for confidence in ("0.5", "0.9"):
        await page.goto("/ui/inference/digits/invoke?example=0")
        await expect(page.locator(".preview figcaption")).to_be_visible()
        await page.get_by_label("confidence", exact=True).fill(confidence)
        await page.get_by_role("button", name="Run").click()
        await expect(page.locator(".boxes svg")).to_be_visible()
        ids.append(page.url.rpartition("?run=")[2])
    await page.goto(f"/ui/compare?one={ids[0]}&other={ids[1]}")
    await expect(page.locator("#differences .sorter").first).to_have_text("row")
    await expect(page.locator(".boxes svg")).to_have_count(2)
    # What is at the same place stands in one row, though one of the two runs leaves some of it out.
    changes = await page.locator("#differences tbody tr td:last-child").all_text_contents()
    assert set(changes) == {"0", ""} and changes.count("") < len(changes) / 2
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    failed = await submit(served, "/failing", text="<i>why</i>")
    await page.goto(f"/ui/compare?one={ids[0]}&other={failed}")
    await expect(page.locator("#result-1")).to_contain_text("<i>why</i>")
    await expect(page.locator("#differences")).to_contain_text("Only runs that succeeded")


async def test_a_run_that_is_gone_is_not_found(page: Page) -> None:
    answer = await page.request.get("/ui/compare?one=nothing&other=")
    assert answer.status == 404
