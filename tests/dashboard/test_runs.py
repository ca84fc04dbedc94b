"""Every run is kept: it survives reload, Back and another page, stands in the strip, and has an address."""

from __future__ import annotations

import json
import re
from pathlib import Path

from playwright.async_api import Page, expect

from tests.dashboard.conftest import ROOT, Served, Watched, held_back
from tests.dashboard.test_invoking import DATA

VALUES = {"whole": "9007199254740995", "wholes": "[1,2]", "table": '{"a":1.0}', "note": "one\ntwo"}


async def run_exact(page: Page, **values: str) -> str:
    """The id of the run."""
    await page.goto("/ui/inference/exact/invoke")
    for name, value in values.items():
        await page.get_by_label(name, exact=True).fill(value)
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator("#result .tree")).to_be_visible()
    return page.url.rpartition("?run=")[2]


async def check_form(page: Page, values: dict[str, str]) -> None:
    for name, value in values.items():
        await expect(page.get_by_label(name, exact=True)).to_have_value(value)
    await expect(page.locator("#result .tree")).to_contain_text("note")


async def test_form_and_result_are_there_after_a_reload_and_after_going_back(page: Page) -> None:
    await run_exact(page, **VALUES)
    await page.reload()
    await check_form(page, VALUES)
    assert await page.evaluate("scrollY") == 0
    await page.get_by_role("link", name="Info").click()
    await page.go_back()
    await check_form(page, VALUES)


async def test_a_click_in_the_strip_shows_an_earlier_run(page: Page) -> None:
    first = await run_exact(page, note="the first")
    second = await run_exact(page, note="the second")
    assert first != second
    strip = page.locator("#runs li")
    await expect(strip.first).to_contain_text("the second")
    await expect(strip.first.locator(".state")).to_have_text("succeeded")
    await strip.nth(1).locator("a").click()
    await page.wait_for_url(f"**?run={first}")
    await check_form(page, {"note": "the first"})
    await expect(page.locator("#runs [aria-current]")).to_contain_text("the first")
    await page.go_back()
    await check_form(page, {"note": "the second"})
    assert page.url.endswith(second)


async def test_files_choices_and_ticks_come_back_with_the_run(page: Page) -> None:
    await page.goto("/ui/inference/demo/invoke")
    await page.get_by_label("demo_image").set_input_files(DATA / "digit.png")
    await page.get_by_label("demo_bool").uncheck()
    await page.get_by_label("demo_str_choice").select_option("choice1")
    await page.get_by_label("demo_list_of_floats").fill("1.5, -2")
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator(".bars dt")).to_have_count(5)
    await page.reload()
    await expect(page.locator(".bars dt")).to_have_count(5)
    await expect(page.locator(".preview figcaption")).to_contain_text("digit.png")
    await expect(page.get_by_label("demo_bool")).not_to_be_checked()
    await expect(page.get_by_label("demo_str_choice")).to_have_value('"choice1"')
    await expect(page.get_by_label("demo_list_of_floats")).to_have_value("[1.5,-2]")
    picture = page.locator("#runs li").first.locator("img")
    assert await picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 10


async def test_a_run_goes_on_behind_a_page_that_was_closed(page: Page, served: Served) -> None:
    await page.goto("/ui/inference/slow/invoke")
    await page.get_by_role("button", name="Run").click()
    await page.wait_for_url("**?run=*")
    await expect(page.locator("#log")).to_contain_text("working hard")
    address = page.url
    await page.goto("/ui/status")
    await page.goto(address)
    await expect(page.locator("#waiting-text")).to_have_text(re.compile(r"^Running: \d+ s$"))
    await expect(page.locator("#log")).to_contain_text("working hard")
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator("#result")).to_have_text("Cancelled.")
    await expect(page.locator("#runs li").first.locator(".state")).to_have_text("cancelled")


async def test_an_error_stands_in_the_result_with_the_log_open(page: Page, watched: Watched) -> None:
    await page.goto("/ui/inference/failing/invoke")
    await page.get_by_label("text").fill("<b>bold</b>")
    await page.get_by_role("button", name="Run").click()
    for _ in range(2):
        await expect(page.locator("#result").get_by_role("alert")).to_contain_text("<b>bold</b>")
        await expect(page.locator("#log")).to_be_in_viewport()
        await expect(page.locator("#log")).to_contain_text("on the way to failing")
        await page.reload()


async def test_a_link_to_a_run_of_another_service_or_of_none_shows_an_empty_form(page: Page) -> None:
    run = await run_exact(page, note="not yours")
    for name, id in (("demo", run), ("exact", "0" * 32), ("exact", "nothing")):
        await page.goto(f"/ui/inference/{name}/invoke?run={id}")
        await expect(page.locator("#result")).to_contain_text("Fill in the form and press Run.")


async def test_the_strip_shows_what_models_are_told_as_text(page: Page) -> None:
    text = "<img src=x onerror=alert(1)>"
    await run_exact(page, note=text)
    await expect(page.locator("#runs li").first).to_contain_text(text)
    await expect(page.locator("#runs img[src=x]")).to_have_count(0)


async def test_a_run_is_drawn_pasted_and_filled_from_the_example(page: Page) -> None:
    await page.goto("/ui/inference/digits/invoke")
    await page.get_by_label("Examples").get_by_role("button").first.click()
    await expect(page.locator(".preview figcaption")).to_contain_text("digits_")
    await expect(page.locator("#curl")).to_contain_text("-F files=@data/digits_")
    await page.get_by_role("button", name="Draw one").click()
    box = await page.locator(".drawing").bounding_box()
    assert box
    await page.mouse.move(box["x"] + 150, box["y"] + 60)
    await page.mouse.down()
    await page.mouse.move(box["x"] + 150, box["y"] + 250, steps=8)
    await page.mouse.up()
    await page.get_by_role("button", name="Use it").click()
    await expect(page.locator(".preview figcaption")).to_contain_text("drawing.png")
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator(".found tbody tr")).to_have_count(1)
    paste = """async (bytes) => {
      const held = new DataTransfer();
      held.items.add(new File([new Uint8Array(bytes)], "shot.png", { type: "image/png" }));
      document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: held, bubbles: true, cancelable: true }));
    }"""
    await page.evaluate(paste, list((ROOT / "data" / "digit.png").read_bytes()))
    await expect(page.locator(".preview figcaption")).to_contain_text("shot.png")


async def test_what_a_generator_yields_is_shown_as_it_comes(page: Page, tmp_path: Path) -> None:
    await page.goto("/ui/inference/streamed/invoke")
    await page.get_by_label("gate").fill(str(tmp_path / "gate"))
    await page.get_by_role("button", name="Run").click()
    for _ in range(2):
        await expect(page.locator("#result pre.read")).to_have_text("<b>Bees</b> and ")
        await page.reload()
    await expect(page.locator("#result pre.read")).to_have_text("<b>Bees</b> and ")
    (tmp_path / "gate").touch()
    await expect(page.locator("#result .tree .text")).to_have_text(['"<b>Bees</b> "', '"and "', '"wasps"'])


async def test_the_strip_shows_the_end_of_a_run_also_where_its_beginning_is_answered_late(
    page: Page, tmp_path: Path
) -> None:
    await page.goto("/ui/inference/streamed/invoke")
    await page.get_by_label("gate").fill(str(tmp_path / "gate"))
    async with held_back(page, "**/runs?run=*") as answered:
        await page.get_by_role("button", name="Run").click()
        await answered.wait()
        (tmp_path / "gate").touch()
        await expect(page.locator("#result .tree .text").last).to_have_text('"wasps"')
    await expect(page.locator("#runs li").first.locator(".state")).to_have_text("succeeded")


async def test_text_grows_with_its_lines(page: Page) -> None:
    await page.goto("/ui/inference/exact/invoke")
    note = page.get_by_label("note", exact=True)
    before = await note.bounding_box()
    await note.fill("\n".join("abcdef"))
    after = await note.bounding_box()
    assert before and after and after["height"] > before["height"] + 80
    assert json.loads(await page.evaluate("JSON.stringify(document.getElementById('json').value)"))
