"""Things found in a picture, in the forms that models give them: drawn over it, with a zoom for keys and hands."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image, ImageDraw
from playwright.async_api import Page, expect

from tests.dashboard.conftest import wait_in_page
from tests.dashboard.test_answers import answer

SIZE = (200, 100)
# The same rectangle in all forms.
AROUND = {"x1": 50, "y1": 20, "x2": 150, "y2": 80}
SQUARE = [[50, 20], [150, 20], [150, 80], [50, 80]]
FLAT = [number for pair in SQUARE for number in pair]
RUNS = {"size": [100, 200], "counts": [5020, *([60, 40] * 99), 60, 5020]}
# As pycocotools 2.0.11 encodes it.
PACKED = {"size": [100, 200], "counts": "ll4l1X1" + "0" * 200 + "dk4"}
TRIPLES = [number for x, y in SQUARE for number in (x, y, 2)]


def mask() -> str:
    picture = Image.new("L", SIZE)
    ImageDraw.Draw(picture).rectangle((50, 20, 149, 79), fill=255)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def rows() -> list[list[float]]:
    return [[0.9 if 50 <= x < 150 and 20 <= y < 80 else 0.1 for x in range(SIZE[0])] for y in range(SIZE[1])]


FORMS: dict[str, Any] = {
    "COCO polygon": [{"segmentation": [FLAT], "category_id": 3, "bbox": [50, 20, 100, 60]}],
    "pairs": [{"polygon": SQUARE, "label": "bee"}],
    "several outlines": [{"polygons": [SQUARE, SQUARE]}],
    "objects": [{"points": [{"x": x, "y": y} for x, y in SQUARE]}],
    "two lists": [{"segments": {"x": [x for x, _ in SQUARE], "y": [y for _, y in SQUARE]}, "name": "bee"}],
    "one thing": {"polygon": SQUARE, "score": 0.5},
    "triples": [{"keypoints": TRIPLES}],
    "pairs of points": {"keypoints": SQUARE},
    "unseen points": [{"keypoints": [*TRIPLES, 0, 0, 0]}],
    "points by name": [{"landmarks": {"nose": [50, 20], "chin": {"x": 150, "y": 80}}}],
    "beside each other": {"boxes": [[50, 20, 150, 80]], "masks": [[rows()]], "keypoints": [SQUARE], "scores": [0.5]},
    "in a list": {"count": 1, "predictions": [{"polygon": SQUARE}]},
}
NOTHING: dict[str, Any] = {
    "a curve": {"points": SQUARE},
    "a table": [{"x": 1, "y": 2}, {"x": 2, "y": 3}],
    "games": [{"name": "bee", "points": [1, 2, 3, 4, 5, 6]}],
    "sentences": {"segments": [{"start": 0, "end": 1, "text": "Hello"}]},
    "text": [{"label": "bee", "mask": "none"}],
    "broken runs": [{"segmentation": {"size": [0, 0], "counts": []}}],
    "half a pair": [{"polygon": [[1], [2], [3]]}],
    "nothing": [{"segmentation": None, "keypoints": []}],
}
IMPORT = """async ([file, name, value]) => {
  const folder = document.querySelector('link[rel="stylesheet"]').href.replace(/[^/]+$/, "");
  return (await import(folder + file))[name](value);
}"""


@pytest.fixture(scope="module")
def recognise() -> Callable[..., Any]:
    """What a script of the pages says of a value."""

    async def call(page: Page, file: str, name: str, value: Any) -> Any:
        return await page.evaluate(IMPORT, [file, name, value])

    return call


async def test_every_form_of_a_thing_is_recognised(page: Page, recognise: Callable[..., Any]) -> None:
    await page.goto("/ui/status")
    for name, value in FORMS.items():
        [thing] = await recognise(page, "shapes.js", "thingsOf", value)
        assert {edge: thing[edge] for edge in AROUND} == AROUND, name
    [unseen] = await recognise(page, "shapes.js", "thingsOf", FORMS["unseen points"])
    assert [point["seen"] for point in unseen["points"]] == [True] * 4 + [False]


async def test_what_is_no_thing_is_left_alone(page: Page, recognise: Callable[..., Any]) -> None:
    await page.goto("/ui/status")
    for name, value in NOTHING.items():
        assert await recognise(page, "shapes.js", "thingsOf", value) is None, name


async def look(page: Page, value: Any, picture: Image.Image | None = None) -> None:
    """Run the model that answers what it is told to. picture: sent with it."""
    file = io.BytesIO()
    if picture is not None:
        picture.save(file, "PNG")
    await answer(page, "given", json.dumps(value), picture=file.getvalue())


async def shades(page: Page, *places: tuple[float, float]) -> list[bool]:
    """Whether something has been drawn there over the white picture. places: in its pixels."""
    stage = page.locator(".boxes")
    shot = Image.open(io.BytesIO(await stage.screenshot())).convert("RGB")
    scale = shot.width / SIZE[0]
    return [min(shot.getpixel((x * scale, y * scale))) < 235 for x, y in places]  # type: ignore[arg-type]


INSIDE, OUTSIDE = (100, 65), (25, 50)


@pytest.mark.parametrize(
    "part",
    [
        {"segmentation": [FLAT]},
        {"segmentation": PACKED},
        {"mask": mask()},
        *(
            pytest.param(form, marks=pytest.mark.thorough)
            for form in (
                {"polygon": [[x / 200, y / 100] for x, y in SQUARE]},
                {"segmentation": RUNS},
                {"mask": rows()},
                {"mask": f"data:image/png;base64,{mask()}"},
            )
        ),
    ],
    ids=lambda form: next(iter(form)),
)
async def test_outlines_and_masks_lie_where_the_thing_is(page: Page, part: dict[str, Any]) -> None:
    await look(page, [{"label": "bee", "score": 0.75, **part}], Image.new("RGB", SIZE, "white"))
    await expect(page.get_by_role("heading", name="1 found")).to_be_visible()
    await expect(page.locator(".found tbody td").nth(1)).to_have_text("bee")
    await expect(page.locator(".veil:not([href])")).to_have_count(0)
    assert await shades(page, INSIDE, OUTSIDE) == [True, False]
    await page.get_by_label("Confidence from").fill("0.9")
    assert await shades(page, INSIDE, OUTSIDE) == [False, False]


async def test_points_have_their_bones_and_a_zoom_moves_all(page: Page) -> None:
    places = [0] * 15 + [60, 30, 2, 140, 30, 1] + [0] * 30
    await look(page, [{"label": "person", "keypoints": places}], Image.new("RGB", SIZE, "white"))
    # The shoulders, and the line between them.
    assert await shades(page, (60, 30), (140, 30), (100, 30), (100, 45)) == [True, True, True, False]
    frame, stage = page.locator(".zoom"), page.locator(".boxes")
    before = await stage.bounding_box()
    await frame.focus()
    for _ in range(3):
        await page.keyboard.press("+")
    await expect(page.locator(".zoom-bar output")).to_have_text("338 %")
    after = await stage.bounding_box()
    assert before and after and after["width"] == pytest.approx(before["width"] * 1.5**3, abs=6)
    middle = await frame.evaluate("at => at.scrollLeft")
    assert middle > 0
    await page.keyboard.press("ArrowLeft")
    await wait_in_page(page, "before => document.querySelector('.zoom').scrollLeft < before", middle)
    await page.get_by_role("button", name="Fit").click()
    assert await stage.bounding_box() == before
    await page.get_by_role("button", name="Zoom in").click()
    await expect(page.locator(".zoom-bar output")).to_have_text("150 %")


async def test_a_picture_in_the_answer_does_not_hide_the_masks(page: Page) -> None:
    """The masks are drawn over the picture that was sent, and other pictures stand below."""
    value = {"predictions": [{"label": "bee", "mask": mask()}], "overview": mask()}
    await look(page, value, Image.new("RGB", SIZE, "white"))
    await expect(page.locator(".boxes .veil")).to_have_count(1)
    await expect(page.locator(".gallery figcaption strong")).to_have_text(["overview"])


COUNT = 200_000
BEE = {"label": "bee", "box": [1, 2, 3, 4]}
SPOT = {"type": "Point", "coordinates": [7, 46]}
# Answers that look like something and are not quite.
ODD: dict[str, Any] = {
    "a skeleton that is a number": [{"keypoints": SQUARE, "skeleton": 5}],
    "a skeleton of numbers": [{"keypoints": SQUARE, "skeleton": [1, 2]}],
    "geometries that are a number": {"type": "GeometryCollection", "geometries": 5},
    "points that are one": {"type": "MultiPoint", "coordinates": [1, 2]},
    "a polygon that is a point": {"type": "Polygon", "coordinates": [1, 2]},
    "polygons with gaps": {"type": "MultiPolygon", "coordinates": [5, [[1, 2], None, [3, 4]], [[[1, 2], ["a"]]]]},
    "a type that is a number": {"type": "Feature", "geometry": {"type": 5, "coordinates": [[1, 2], [3, 4]]}},
    "not quite a sound": {"sound": "UklGR" + " " * 99},
    "a label that is no text": {"labels": [{"toString": 5}], "scores": [0.5]},
}
# What is shown of a text that came with a picture, or why it is not; null: its connection is cut.
SHOWN = """async (text) => {
  const folder = document.querySelector('link[rel="stylesheet"]').href.replace(/[^/]+$/, "");
  const { show } = await import(folder + "results.js");
  const sheet = new OffscreenCanvas(200, 100);
  sheet.getContext("2d");
  const file = await sheet.convertToBlob();
  const place = document.createElement("div");
  document.getElementById("main").replaceChildren(place);
  const cut = new ReadableStream({ start: (stream) => stream.error(new TypeError("cut")) });
  const response = new Response(text ?? cut, { headers: { "Content-Type": "application/json" } });
  try {
    await show(place, response, [{ name: "image", file }]);
  } catch (error) {
    return `failed: ${error.message}`;
  }
  await Promise.all([...place.querySelectorAll(".boxes img")].map((image) => image.decode()));
  return place.innerText;
}"""


async def test_an_answer_of_an_unexpected_form_is_still_shown_as_json(page: Page) -> None:
    await page.goto("/ui/status")
    for name, value in ODD.items():
        text = await page.evaluate(SHOWN, json.dumps(value))
        assert "JSON\n" in text, (name, text)
        assert ("cannot draw" in text) == (name == "a label that is no text"), (name, text)


@pytest.mark.slow
async def test_of_many_things_only_some_are_drawn(page: Page) -> None:
    await page.goto("/ui/status")
    text = await page.evaluate(SHOWN, json.dumps([BEE] * COUNT))
    assert "2000 of 200000 found" in text and "198000 are left out" in text and "JSON\n" in text
    await expect(page.locator(".found tbody tr")).to_have_count(2000)
    spots = [{"type": "Feature", "geometry": SPOT}] * 6000
    text = await page.evaluate(SHOWN, json.dumps({"type": "FeatureCollection", "features": spots}))
    assert "6000 features" in text and "1000 are left out" in text and "JSON\n" in text


async def test_an_answer_that_does_not_come_is_told_from_one_that_cannot_be_drawn(page: Page) -> None:
    await page.goto("/ui/status")
    assert (await page.evaluate(SHOWN, None)).startswith("failed: The server is not responding.")
    for text in ("{", "[" * 100_000 + "]" * 100_000):
        shown = await page.evaluate(SHOWN, text)
        assert "cannot draw this answer" in shown and "Download" in shown
