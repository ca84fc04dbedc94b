"""Calling a model from its form, and its answers as pictures, bars and trees."""

from __future__ import annotations

import io
import json
import re
from typing import Any

from PIL import Image
from playwright.async_api import Page, expect

from tests.dashboard.conftest import ROOT, Served, Watched, copied, drop, run
from tests.house import wait_until

DATA = ROOT / "data"


async def call_my_model(page: Page, name: str = "digits") -> list[dict[str, object]]:
    """With the sample page; what the answer's JSON is. name: of the deployment."""
    await page.goto(f"/ui/inference/{name}/invoke")
    await page.get_by_label("files").set_input_files(DATA / "digits_page.png")
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator(".boxes svg")).to_be_visible()
    await page.locator(".view", has_text="JSON").get_by_role("button", name="Copy").click()
    document: list[dict[str, object]] = json.loads(await copied(page))
    return document


def framed(image: Image.Image, box: tuple[float, float, float, float], colour: tuple[int, int, int]) -> float:
    """The share of the four edges of `box` that is nearly of this colour. box: in the image's pixels."""
    x1, y1, x2, y2 = (round(each) for each in box)
    edges = [(x, y) for x in range(x1, x2 + 1) for y in (y1, y2)] + [
        (x, y) for y in range(y1, y2 + 1) for x in (x1, x2)
    ]

    def near(x: int, y: int) -> bool:
        around = [(x + dx, y + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
        inside = [each for each in around if 0 <= each[0] < image.width and 0 <= each[1] < image.height]
        pixels: Any = [image.getpixel(each) for each in inside]
        return any(sum(abs(a - b) for a, b in zip(pixel, colour, strict=True)) < 60 for pixel in pixels)

    return sum(near(x, y) for x, y in edges) / len(edges)


async def test_every_digit_has_its_box_over_the_picture(page: Page) -> None:
    found = await call_my_model(page)
    assert len(found) > 25
    await check_boxes(page, found)


async def check_boxes(page: Page, found: list[dict[str, object]]) -> None:
    """By their pixels: over the sample page, the lines lie where the model says, in the colour of their label."""
    await expect(page.locator(".boxes g:visible")).to_have_count(len(found))
    frame = page.locator(".boxes")
    shot = Image.open(io.BytesIO(await frame.screenshot())).convert("RGB")
    with Image.open(DATA / "digits_page.png") as sent:
        across, down = shot.width / sent.width, shot.height / sent.height
    strokes = await frame.locator("rect").evaluate_all("all => all.map(each => each.getAttribute('stroke'))")
    shares = []
    for each, stroke in zip(found, strokes, strict=True):
        box = each["box"]
        assert isinstance(box, dict)
        place = (box["x1"] * across, box["y1"] * down, box["x2"] * across, box["y2"] * down)
        colour = tuple(int(stroke[at : at + 2], 16) for at in (1, 3, 5))
        shares.append(framed(shot, place, colour))  # type: ignore[arg-type]
    # Names lie over some of the lines.
    assert min(shares) > 0.3 and sum(shares) / len(shares) > 0.8, shares


async def test_the_slider_leaves_out_what_is_unsure(page: Page) -> None:
    found = await call_my_model(page)
    sure = [each for each in found if each["confidence"] >= 0.9]  # type: ignore[operator]
    assert len(sure) < len(found)
    await page.get_by_label("Confidence from").fill("0.9")
    await expect(page.locator(".boxes g:visible")).to_have_count(len(sure))
    await expect(page.locator(".found tbody tr:visible")).to_have_count(len(sure))
    await expect(page.get_by_text(f"{len(sure)} of {len(found)} found")).to_be_visible()


async def test_a_row_and_its_box_light_up_together(page: Page) -> None:
    await call_my_model(page)
    await page.locator(".found tbody tr").nth(3).hover()
    await expect(page.locator(".boxes g").nth(3)).to_have_class(re.compile("lit"))
    await page.locator(".boxes rect").nth(5).hover()
    await expect(page.locator(".found tbody tr").nth(5)).to_have_class(re.compile("lit"))
    await expect(page.locator(".boxes g").nth(3)).not_to_have_class(re.compile("lit"))


async def test_a_picture_and_a_pdf_are_shown(page: Page) -> None:
    await call_my_model(page)
    await page.get_by_label("accept").select_option("image/png")
    await page.get_by_role("button", name="Run").click()
    picture = page.locator("img.shown")
    await expect(picture).to_be_visible()
    assert await picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    await page.get_by_label("accept").select_option("application/pdf")
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator("iframe.shown")).to_be_visible()
    async with page.expect_download() as begun:
        await page.get_by_role("link", name="Download").click()
    download = await begun.value
    assert download.suggested_filename == "result.pdf"
    assert (await download.path()).read_bytes().startswith(b"%PDF-")


async def test_a_value_that_cannot_be_is_told_at_its_field(page: Page, watched: Watched) -> None:
    watched.expected.append("422")
    await page.goto("/ui/inference/digits/invoke")
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator("#a0-error")).to_have_text("Choose a file.")
    await page.get_by_label("files").set_input_files(DATA / "tone.wav")
    await page.get_by_label("classes").fill("1, 2, 77")
    await page.get_by_role("button", name="Run").click()
    told = page.locator(".field", has_text="classes").locator(".error")
    await expect(told).to_contain_text("less than or equal to 9")
    await page.get_by_label("classes").fill("1, two")
    await page.get_by_role("button", name="Run").click()
    await expect(told).to_have_text('"two" is not a number.')


async def test_every_kind_of_argument_reaches_the_model(page: Page) -> None:
    await page.goto("/ui/inference/demo/invoke")
    for name, file in (("image", "digit.png"), ("audio", "tone.wav"), ("video", "bounce.avi")):
        await page.get_by_label(f"demo_{name}").set_input_files(DATA / file)
    await page.get_by_label("demo_str", exact=True).fill("hello 'there' @home")
    await page.get_by_label("demo_str_choice").select_option("choice1")
    await page.get_by_label("demo_int", exact=True).fill("5")
    await page.get_by_label("demo_int_range, slider").fill("7")
    await page.get_by_label("demo_float").fill("-0.5")
    await page.get_by_label("demo_bool").uncheck()
    await page.get_by_label("demo_dict").fill('{"c": [1, null]}')
    await page.get_by_label("demo_list_of_floats").fill("1.5, -2")
    line = await page.locator("#curl").text_content() or ""
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator(".bars dt")).to_have_count(5)
    await page.locator(".view", has_text="JSON").get_by_role("button", name="Copy").click()
    answer = json.loads(await copied(page))
    expected = {
        "demo_str": "hello 'there' @home",
        "demo_str_choice": "choice1",
        "demo_int": 5,
        "demo_int_range": 7,
        "demo_float": -0.5,
        "demo_bool": False,
        "demo_dict": {"c": [1, None]},
        "demo_list_of_floats": [1.5, -2.0],
    }
    assert {name: answer[name] for name in expected} == expected
    # What came back as base64 is shown as what it is.
    await expect(page.locator(".tree img")).to_be_visible()
    await expect(page.locator(".tree audio")).to_be_visible()
    # The line beside the form does the same.
    await page.get_by_role("button", name="Copy").first.click()
    pasted = await copied(page)
    assert line in pasted
    said = json.loads(await run(f"cd data && {pasted}"))["result"]
    assert {name: said[name] for name in expected} == expected
    assert said["demo_image"] == answer["demo_image"]


TYPED = {"whole": "9007199254740995", "share": "3.0", "wholes": "1, 18014398509481985"}
TABLE = '{"a": [1.0, 1e5, -0], "b": 90071992547409931}'
NOTE = 'digits in a text: "1.0, 9007199254740993'
ANSWER = (
    '{"result": {"note": "digits in a text: \\"1.0, 9007199254740993", "whole": 9007199254740995, "share": 3.0, '
    '"wholes": [1, 18014398509481985], "table": {"a": [1.0, 100000.0, 0], "b": 90071992547409931}}, "status": "OK"}'
)
FIGURES = ("9007199254740995", "3.0", "1", "18014398509481985", "1.0", "100000.0", "0", "90071992547409931")


async def downloaded(page: Page) -> str:
    async with page.expect_download() as begun:
        await page.locator(".view", has_text="JSON").get_by_role("link", name="Download").click()
    return (await (await begun.value).path()).read_text()


async def check_answer(page: Page) -> None:
    """Copied, downloaded and in the tree: what the server has sent."""
    said = json.loads(ANSWER, parse_float=str, parse_int=str)
    text = await downloaded(page)
    assert json.loads(text, parse_float=str, parse_int=str) == said
    await page.locator(".view", has_text="JSON").get_by_role("button", name="Copy").click()
    assert await copied(page) == text
    for branch in ("wholes", "table", "a"):
        await page.locator(".tree summary", has=page.get_by_text(branch, exact=True)).click()
    await expect(page.locator(".tree .figure")).to_have_count(len(FIGURES))
    assert sorted(await page.locator(".tree .figure").all_text_contents()) == sorted(FIGURES)


async def test_numbers_keep_their_digits_from_the_form_to_the_screen(page: Page) -> None:
    await page.goto("/ui/inference/exact/invoke")
    await expect(page.get_by_label("whole", exact=True)).to_have_value("9007199254740993")
    for name, text in {**TYPED, "table": TABLE, "note": NOTE}.items():
        await page.get_by_label(name, exact=True).fill(text)
    async with page.expect_request("**/exact") as asked:
        await page.get_by_role("button", name="Run").click()
    sent = (await asked.value).post_data or ""
    assert '"whole":9007199254740995,"share":3.0,"wholes":[1,18014398509481985]' in sent
    assert '"table":{"a":[1.0,1e5,-0],"b":90071992547409931}' in sent
    await check_answer(page)
    await page.get_by_text("As JSON", exact=True).click()
    editor = page.get_by_label("Arguments as JSON")
    assert '"whole": 9007199254740995' in await editor.input_value()
    await editor.fill('{"whole": 9007199254740997, "share": 2.50}')
    await expect(page.get_by_label("whole", exact=True)).to_have_value("9007199254740997")
    await expect(page.locator("#curl")).to_contain_text('"whole":9007199254740997,"share":2.50')


async def test_a_jobs_answer_keeps_its_digits_too_and_is_shown_whole(page: Page, served: Served) -> None:
    document = json.loads(ANSWER)["result"]
    accepted = served.ask("POST", "/exact/async", document)
    await page.goto(f"/ui/jobs/{accepted['job_id']}")
    await expect(page.locator("#result .tree")).to_be_visible()
    await check_answer(page)


async def test_form_and_json_follow_each_other(page: Page) -> None:
    await page.goto("/ui/inference/demo/invoke")
    await page.get_by_text("As JSON", exact=True).click()
    editor = page.get_by_label("Arguments as JSON")
    await page.get_by_label("demo_int", exact=True).fill("12")
    assert json.loads(await editor.input_value())["demo_int"] == 12
    await editor.fill('{"demo_int": 3, "demo_bool": false, "demo_str_choice": "choice1", "demo_dict": {"x": 1}}')
    await expect(page.get_by_label("demo_int", exact=True)).to_have_value("3")
    await expect(page.get_by_label("demo_bool")).not_to_be_checked()
    await expect(page.get_by_label("demo_str_choice")).to_have_value('"choice1"')
    await expect(page.get_by_label("demo_dict")).to_have_value('{"x":1}')
    await editor.fill("{")
    await expect(page.locator("#json-error")).to_contain_text("This is not JSON")
    await editor.fill('{"demo_itn": 3}')
    await expect(page.locator("#json-error")).to_have_text("Unknown arguments: demo_itn.")


async def test_a_call_is_watched_and_cancelled(page: Page, served: Served) -> None:
    await page.goto("/ui/inference/slow/invoke")
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator("#waiting-text")).to_have_text("Running: 1 s")
    await page.get_by_text("Log", exact=True).click()
    await expect(page.locator("#log")).to_contain_text("working hard")
    assert served.ask("GET", "/deployments/slow")["busy"] == 1
    await page.get_by_role("button", name="Cancel").press("Enter")
    await expect(page.locator("#result")).to_have_text("Cancelled.")
    await expect(page.get_by_role("alert")).to_have_count(0)
    await expect(page.get_by_role("button", name="Run")).to_be_focused()
    await wait_until(lambda: served.ask("GET", "/deployments/slow")["busy"] == 0)


async def test_a_file_is_dropped_and_shown(page: Page) -> None:
    await page.goto("/ui/inference/digits/invoke")
    await drop(page, "[data-drop]", [DATA / "digit.png"])
    await expect(page.locator(".preview img")).to_be_visible()
    await expect(page.locator("#curl")).to_contain_text("-F files=@digit.png")
    await page.get_by_role("button", name="Remove").click()
    await expect(page.locator(".preview img")).to_have_count(0)
