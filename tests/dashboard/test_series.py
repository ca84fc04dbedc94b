"""Answers that are seen or heard over time or place: series, sounds, GeoJSON; and several of them side by side."""

from __future__ import annotations

import base64
import io
import math
import wave
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.dashboard.conftest import wait_in_page
from tests.dashboard.test_shapes import IMPORT, look, mask

WEATHER = [
    {"date": f"2026-03-{day:02}", "warm": 5 + day, "wet": None if day == 4 else 90 - day} for day in range(1, 11)
]
SERIES: dict[str, tuple[Any, list[str]]] = {
    "numbers": ([1, 2.5, None, 3], ["value"]),
    "dates": (WEATHER, ["warm", "wet"]),
    "seconds": ([{"timestamp": 1780000000 + hour * 3600, "load": hour} for hour in range(5)], ["load"]),
    "even steps": ([{"depth": 0.1 * step, "salt": step, "kind": "a"} for step in range(9)], ["salt"]),
    "lists by name": ({"time": ["2026-01-01", "2026-01-02", "2026-01-03"], "y": [1, 2, 3]}, ["y"]),
    "lists without a time": ({"loss": [3, 2, 1], "accuracy": [0, 0.5, 1], "epochs": 3}, ["loss", "accuracy"]),
}
NO_SERIES: dict[str, Any] = {
    "two": [1, 2],
    "texts": ["2026-01-01", "2026-01-02", "2026-01-03"],
    "rows": [{"id": number, "weight": number * 2} for number in range(9)],
    "classes": [{"class": number, "recall": 1 / (number + 1)} for number in range(9)],
    "uneven": [{"x": number**2, "y": number} for number in range(9)],
    "matrix": [[1, 2, 3], [1, 2, 3], [1, 2, 3]],
    "different lengths": {"a": [1, 2, 3], "b": [1, 2, 3, 4]},
    "empty": [],
}


async def test_every_form_of_a_series_is_recognised_and_no_other(page: Page) -> None:
    await page.goto("/ui/status")
    for name, (value, lines) in SERIES.items():
        found = await page.evaluate(IMPORT, ["series.js", "seriesOf", value])
        assert [line["name"] for line in found["lines"]] == lines, name
    for name, value in NO_SERIES.items():
        assert await page.evaluate(IMPORT, ["series.js", "seriesOf", value]) is None, name
    seconds = await page.evaluate(IMPORT, ["series.js", "seriesOf", SERIES["seconds"][0]])
    assert seconds["axis"]["texts"][0] == "2026-05-28 20:26:40"


async def test_a_time_series_is_a_line_that_can_be_read_off(page: Page) -> None:
    await look(page, list(reversed(WEATHER)))
    await expect(page.get_by_role("heading", name="Time series")).to_be_visible()
    await expect(page.locator(".chart .line")).to_have_count(2)
    await expect(page.locator(".series-ends span")).to_have_text(["2026-03-01", "2026-03-10"])
    reading = page.locator(".series output")
    await page.get_by_label("Read the values").press("End")
    await expect(reading).to_have_text("date 2026-03-10: warm 15, wet 80")
    await page.get_by_role("checkbox", name="warm").uncheck()
    await expect(reading).to_have_text("date 2026-03-10: wet 80")
    # A gap where a number is missing.
    path = await page.locator(".chart .line").get_attribute("d")
    assert path and path.count("M") == 2
    box = await page.locator(".series .chart").bounding_box()
    assert box
    await page.mouse.move(box["x"] + box["width"] / 3, box["y"] + 20)
    await expect(reading).to_have_text("date 2026-03-04: wet –")
    await expect(page.get_by_role("heading", name="10 rows")).to_be_visible()


async def test_a_million_numbers_are_drawn_at_once(page: Page) -> None:
    await page.goto("/ui/status")
    draw = """async () => {
      const folder = document.querySelector('link[rel="stylesheet"]').href.replace(/[^/]+$/, "");
      const { seriesOf, seriesView } = await import(folder + "series.js");
      const values = Array.from({ length: 1e6 }, (_, at) => Math.sin(at / 1e5) + (at === 777777 ? 9 : 0));
      const view = seriesView(seriesOf(values));
      const path = view.querySelector(".line").getAttribute("d");
      return [path.length, view.querySelector("svg").getAttribute("aria-label")];
    }"""
    length, label = await page.evaluate(draw)
    assert length < 50_000 and "value: 1000000 values" in label and label.endswith("to 9.997")


def tone(seconds: float) -> str:
    """Loud in its second half."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        count = int(8000 * seconds)
        loud = [int(30000 * math.sin(at / 3)) if at > count / 2 else 0 for at in range(count)]
        sound.writeframes(b"".join(sample.to_bytes(2, "little", signed=True) for sample in loud))
    return base64.b64encode(file.getvalue()).decode()


async def test_a_sound_has_its_waveform_and_a_click_goes_there(page: Page) -> None:
    await look(page, {"speech": tone(2)})
    wave_ = page.locator(".gallery").get_by_role("img", name="Waveform of 2.0 s, one channel")
    await expect(wave_).to_be_visible()
    heights = """at => at.querySelector("path").getAttribute("d").split("M").slice(1).map((line) => {
      const [top, bottom] = line.split(" ")[1].split("V").map(Number);
      return bottom - top;
    })"""
    levels = await wave_.evaluate(heights)
    assert len(levels) == 600 and max(levels[:290]) < 5 and min(levels[310:]) > 30
    box = await wave_.bounding_box()
    assert box
    await wave_.click(position={"x": box["width"] / 2, "y": 10})
    await wait_in_page(page, "Math.abs(document.querySelector('.gallery audio').currentTime - 1) < 0.05")


# A film of a canvas, as base64.
FILM = """async () => {
  const sheet = Object.assign(document.createElement("canvas"), { width: 64, height: 48 });
  const pen = sheet.getContext("2d");
  const recorder = new MediaRecorder(sheet.captureStream(25));
  const parts = [];
  const stopped = new Promise((done) => (recorder.onstop = done));
  recorder.ondataavailable = ({ data }) => {
    parts.push(data);
    parts.length === 3 && recorder.stop();
  };
  recorder.start(100);
  const drawing = setInterval(() => pen.fillRect(0, 0, Math.random() * 64, 48), 20);
  await stopped;
  clearInterval(drawing);
  const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
  return btoa(String.fromCharCode(...bytes));
}"""


async def test_a_film_has_a_player(page: Page) -> None:
    await page.goto("/ui/status")
    await look(page, {"film": await page.evaluate(FILM)})
    await wait_in_page(page, "document.querySelector('.gallery video')?.videoWidth === 64")


FIELD = {"type": "Polygon", "coordinates": [[[7.0, 46.0], [8.0, 46.0], [8.0, 47.0], [7.0, 47.0], [7.0, 46.0]]]}
PLACES = {
    "type": "FeatureCollection",
    "features": [
        {"type": "Feature", "geometry": FIELD, "properties": {"name": "<b>A field</b>", "hectares": 9007199254740993}},
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [7.5, 46.5, 400]},
            "properties": {"name": "Hive"},
        },
        {"type": "Feature", "geometry": None, "properties": {"name": "Nowhere"}},
    ],
}


async def test_geojson_is_drawn_with_its_properties_as_a_table(page: Page) -> None:
    await look(page, PLACES)
    outline = page.get_by_role("img", name="2 features, longitude 7 to 8, latitude 46 to 47")
    await expect(outline).to_be_visible()
    await expect(outline.locator("title")).to_have_text(["<b>A field</b>", "Hive"])
    # Away from the equator, a degree of longitude is shorter than one of latitude.
    box = await outline.locator(".outline").bounding_box()
    assert box and box["width"] / box["height"] == pytest.approx(math.cos(math.radians(46.5)), abs=0.02)
    await expect(page.locator(".rows tbody tr").first).to_contain_text("9007199254740993")
    await look(page, {"area": 12.5, "field": FIELD})
    await expect(page.get_by_role("img", name="1 feature,")).to_be_visible()


async def test_several_outputs_stand_side_by_side(page: Page) -> None:
    value: dict[str, Any] = {
        "summary": "Two bees.\nOne wasp.",
        "species": {"bee": 0.75, "wasp": 0.25},
        "sightings": WEATHER,
        "picture": mask(),
        "count": 3,
    }
    await look(page, value)
    parts = page.locator(".outputs > *")
    await expect(parts).to_have_count(4)
    await expect(page.locator(".output-name")).to_have_text(["species", "sightings"])
    await expect(page.locator(".outputs pre.read")).to_have_text(value["summary"])
    await expect(page.locator(".outputs .bars dt")).to_have_text(["bee", "wasp"])
    await expect(page.locator(".outputs .gallery figcaption strong")).to_have_text(["picture"])
    first, second = await parts.nth(0).bounding_box(), await parts.nth(1).bounding_box()
    assert first and second and first["y"] == second["y"] and first["x"] + first["width"] <= second["x"]
    await page.set_viewport_size({"width": 390, "height": 800})
    first, second = await parts.nth(0).bounding_box(), await parts.nth(1).bounding_box()
    assert first and second and second["y"] >= first["y"] + first["height"]
