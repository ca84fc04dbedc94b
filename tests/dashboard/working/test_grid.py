"""The results of many files as a grid."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
from playwright.async_api import Page, expect

from tests.dashboard.conftest import ROOT, Served, drop, in_every_appearance
from tests.dashboard.hostile import SCRIPTS
from tests.dashboard.test_firefox import firefox
from tests.dashboard.test_safety import problems, unhurt
from tests.house import PATIENCE_S, wait_until_now

DIGIT = ROOT / "data" / "digit.png"

# What becomes of a file is what it holds.
MIXED = """
import json, os, tempfile
from marshmallow import fields
SCRIPTS = {scripts!r}
def get_predict_args(): return {{"file": fields.Raw(required=True, metadata={{"type": "file", "location": "form"}})}}
def predict(file):
    text = open(file.filename).read()
    if text == "png":
        return open({digit!r}, "rb")
    if text == "pdf":
        return b"%PDF-1.4\\n%nothing\\n"
    if text == "csv":
        path = os.path.join(tempfile.mkdtemp(), "table.csv")
        with open(path, "w") as table:
            table.write("name,weight\\nbee,1.5\\n")
        return open(path, "rb")
    if text.startswith("script"):
        label = SCRIPTS[int(text[6:])]
        return [{{"label": label, "confidence": 0.5, "box": [1, 2, 3, 4]}}]
    if text == "wrong":
        print("on the way", flush=True)
        raise ValueError("".join(SCRIPTS))
    label, _, score = text.partition(" ")
    return {{"label": label, "confidence": float(score)}}
"""


@pytest.fixture(scope="session")
def mixed(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service's name."""
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "mixed_module.py").write_text(MIXED.format(scripts=list(SCRIPTS), digit=str(DIGIT)))
    served.deploy(str(folder), "mixed")
    served.ask("GET", "/deployments/mixed/card")
    yield "mixed"


def fetch(served: Served, method: str, path: str, body: bytes | None = None) -> bytes:
    headers = {"Authorization": f"Bearer {served.token}", "Content-Type": "application/octet-stream"}
    with urlopen(Request(served.url + path, body, headers, method=method), timeout=PATIENCE_S) as response:
        return bytes(response.read())


def fill(served: Served, name: str, folder: str, files: dict[str, str]) -> None:
    """Files of a folder, and their outputs."""
    for file, text in files.items():
        fetch(served, "PUT", f"/files/{name}/inputs/{folder}/{file}", text.encode())
    path = f"/files/{name}?prefix=inputs/{folder}/&format=jsonl"
    wait_until_now(
        lambda: all(
            json.loads(line)["status"] in ("succeeded", "failed") for line in fetch(served, "GET", path).splitlines()
        )
    )


@pytest.fixture
def emptied(served: Served) -> Iterator[str]:
    """A folder of `digits` that is gone afterwards: other tests find that bucket empty."""
    yield "grid"
    for top in ("inputs", "outputs"):
        listed = json.loads(fetch(served, "GET", f"/files/digits?prefix={top}/grid/"))
        for file in listed["files"]:
            fetch(served, "DELETE", f"/files/digits/{quote(file['key'])}")


async def test_files_that_are_dropped_are_a_grid_with_boxes(page: Page, emptied: str, tmp_path: Path) -> None:
    """Input, output and job lead to each other; what failed is found, and all is downloaded."""
    await page.goto(f"/ui/files/digits?prefix=inputs/{emptied}/")
    names = [f"page {number}.png" for number in range(3)]
    for name in names:
        shutil.copyfile(ROOT / "data" / "digits_page.png", tmp_path / name)
    shutil.copyfile(ROOT / "data" / "tone.wav", tmp_path / "tone.wav")
    await drop(page, "[data-drop]", [tmp_path / name for name in (*names, "tone.wav")])
    await expect(page.locator("#upload-line")).to_have_text("4 of 4 done, 1 of them failed.")
    await page.get_by_role("link", name="See the results").click()
    await expect(page.locator(".batch .tiles div").nth(0)).to_have_text(re.compile(r"Done\s*3"))
    await expect(page.locator(".batch .tiles div").nth(1)).to_have_text(re.compile(r"Failed\s*1"))
    await expect(page.locator(".classes [data-label]").first).to_be_visible()
    await expect(page.locator(".tile")).to_have_count(4)
    await expect(page.locator(".thumb svg")).to_have_count(3)
    assert await page.locator(".thumb svg").first.locator("rect").count() > 20
    await page.get_by_role("button", name="Open page 1.png").click()
    await expect(page.locator("#tile .boxes rect").first).to_be_visible()
    await page.get_by_role("button", name="Next").click()
    await expect(page.locator("#tile-title")).to_have_text("page 2.png")
    await page.locator("#tile").get_by_role("link", name="Job").click()
    await expect(page.locator("#job-details .state")).to_have_text("succeeded")
    await page.get_by_role("link", name="inputs/grid/page 2.png in its grid").click()
    await expect(page.locator("#tile-title")).to_have_text("page 2.png")
    await page.get_by_role("button", name="Close").click()
    await page.get_by_label("State").select_option("failed")
    await expect(page.locator(".tile")).to_have_count(1)
    assert "state=failed" in page.url
    await page.get_by_role("button", name="Open tone.wav").click()
    await expect(page.locator("#tile-place .notice")).to_contain_text("Not an image that can be read")
    await expect(page.locator("#tile-place .log")).to_contain_text("failed (")
    await page.get_by_role("button", name="Close").click()
    async with page.expect_download() as begun:
        await page.get_by_role("link", name="CSV").click()
    download = await begun.value
    assert download.suggested_filename == "digits-outputs-grid.csv"
    rows = list(csv.DictReader(io.StringIO(Path(await download.path()).read_text())))
    assert {row["input"] for row in rows} == {f"inputs/grid/{name}" for name in (*names, "tone.wav")}
    for link, ending in (("JSON Lines", "jsonl"), ("ZIP", "zip")):
        async with page.expect_download() as begun:
            await page.get_by_role("link", name=link).click()
        download = await begun.value
        assert download.suggested_filename == f"digits-outputs-grid.{ending}"
    assert zipfile.is_zipfile(await download.path())


@pytest.mark.thorough
async def test_the_grid_is_filtered_and_sorted(page: Page, served: Served, mixed: str) -> None:
    fill(served, mixed, "sorted", {"a.txt": "cat 0.9", "b.txt": "dog 0.3", "c.txt": "cat 0.5", "d.txt": "wrong"})
    await page.goto(f"/ui/files/{mixed}/results?prefix=inputs/sorted/")
    names = page.locator(".tile-name")
    await expect(names).to_have_text([f"{name}.txt" for name in "abcd"])
    await page.get_by_label("Sort by").select_option("lowest confidence")
    await expect(names).to_have_text([f"{name}.txt" for name in "bcad"])
    await page.get_by_label("Sort by").select_option("highest confidence")
    await expect(names).to_have_text([f"{name}.txt" for name in "acbd"])
    await page.get_by_label("Confidence below").fill("0.6")
    await page.get_by_label("Confidence below").press("Enter")
    await expect(names).to_have_text([f"{name}.txt" for name in "cb"])
    await page.get_by_role("link", name=re.compile(r"^cat\s+2$")).click()
    await expect(names).to_have_text(["c.txt"])
    assert "below=0.6" in page.url and "label=cat" in page.url
    await page.reload()
    await expect(names).to_have_text(["c.txt"])
    await page.get_by_role("link", name="all labels").click()
    await expect(names).to_have_text([f"{name}.txt" for name in "cb"])


@pytest.mark.thorough
async def test_outputs_of_every_kind_are_opened(page: Page, served: Served, mixed: str) -> None:
    files = {"a.txt": "png", "b.txt": "pdf", "c.txt": "csv", "d.json": '{"help": ""}'}
    fill(served, mixed, "kinds", files)
    await page.goto(f"/ui/files/{mixed}/results?prefix=inputs/kinds/")
    await expect(page.locator(".thumb img")).to_have_count(1)
    for name, shown in (("a.txt", "img.shown"), ("b.txt", "iframe.shown"), ("c.txt", ".rows td:has-text('bee')")):
        await page.get_by_role("button", name=f"Open {name}").click()
        await expect(page.locator("#tile-place").locator(shown)).to_be_visible()
        await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Open d.json").click()
    await expect(page.locator("#tile-place")).to_contain_text("There is no output.")
    await expect(page.locator("#tile-place .log")).to_contain_text("usage")


@pytest.mark.thorough
async def test_what_models_say_in_a_grid_is_text(page: Page, served: Served, mixed: str) -> None:
    fill(served, mixed, "hostile", {f"{number:02}.txt": f"script{number}" for number in range(30)} | {"x.txt": "wrong"})
    await page.goto(f"/ui/files/{mixed}/results?prefix=inputs/hostile/")
    await expect(page.locator(".classes [data-label]")).to_have_count(len(set(SCRIPTS)))
    await unhurt(page)
    await page.get_by_role("button", name="Open x.txt").click()
    await expect(page.locator("#tile-place .notice")).to_contain_text(SCRIPTS[0])
    await unhurt(page)
    await page.keyboard.press("Escape")
    await page.locator(".classes [data-label]").nth(4).click()
    await expect(page.locator(".tile")).to_have_count(1)
    await page.locator(".tile-open").click()
    await expect(page.locator("#tile-place .tree")).to_be_visible()
    await unhurt(page)


@pytest.mark.thorough
async def test_a_page_has_sixty_files_and_leads_to_the_others(page: Page, served: Served, mixed: str) -> None:
    fill(served, mixed, "many", {f"{number:03}.txt": "cat 0.9" for number in range(130)})
    await page.goto(f"/ui/files/{mixed}/results?prefix=inputs/many/")
    await expect(page.locator(".results-line")).to_contain_text("130 files; 1 to 60 are shown")
    await page.get_by_role("link", name="Next", exact=True).click()
    await expect(page.locator(".tile-name").first).to_have_text("060.txt")
    await page.get_by_role("link", name="Next", exact=True).click()
    await expect(page.locator(".tile")).to_have_count(10)
    await page.goto(f"/ui/files/{mixed}/results?prefix=inputs/many/&open=outputs/many/100.json")
    await expect(page.locator("#tile-title")).to_have_text("100.txt")
    await expect(page.locator(".tile-name").first).to_have_text("060.txt")


@pytest.mark.thorough
async def test_an_output_whose_input_is_gone_is_said_to_have_none(page: Page, served: Served, mixed: str) -> None:
    fill(served, mixed, "deleted", {"a.txt": "cat 0.9", "b.txt": "cat 0.9"})
    fetch(served, "DELETE", f"/files/{mixed}/inputs/deleted/a.txt")
    await page.goto(f"/ui/files/{mixed}?prefix=outputs/deleted/")
    await page.get_by_role("link", name="Details of a.json").click()
    await expect(page.locator(".notice")).to_contain_text("outputs/deleted/a.json belongs to no input")
    await page.goto(f"/ui/files/{mixed}?prefix=outputs/deleted/")
    await page.get_by_role("link", name="Details of b.log").click()
    await expect(page.locator("#tile-title")).to_have_text("b.txt")


@pytest.mark.thorough
async def test_of_very_many_uploads_those_are_listed_that_are_on_their_way_or_failed(
    page: Page, mixed: str, tmp_path: Path
) -> None:
    for number in range(150):
        (tmp_path / f"{number:03}.txt").write_text("wrong" if number == 20 else "cat 0.9")
    await page.goto(f"/ui/files/{mixed}?prefix=inputs/uploads/")
    await page.locator("#chosen").set_input_files(sorted(tmp_path.iterdir()))
    assert await page.locator("#uploads tr").count() <= 100
    await expect(page.locator("#upload-line")).to_have_text("150 of 150 done, 1 of them failed.")
    await expect(page.locator("#uploads tr")).to_have_count(1)
    await expect(page.locator("#uploads tr")).to_contain_text("020.txt")
    await page.get_by_role("link", name="See the results").click()
    await expect(page.locator(".results-line")).to_contain_text("150 files; 1 to 60 are shown")


@pytest.mark.thorough
async def test_a_grid_that_lies_open_grows(page: Page, served: Served, mixed: str) -> None:
    fill(served, mixed, "live", {"a.txt": "cat 0.9"})
    await page.goto(f"/ui/files/{mixed}/results?prefix=inputs/live/")
    await expect(page.locator(".tile")).to_have_count(1)
    fill(served, mixed, "live", {"b.txt": "dog 0.9"})
    await expect(page.locator(".tile .tag")).to_have_text(["cat", "dog"])


@pytest.mark.thorough
async def test_a_service_that_is_deleted_elsewhere_is_said_to_be(
    page: Page, served: Served, mixed: str, watched: object, tmp_path: Path
) -> None:
    watched.expected.append("404")  # type: ignore[attr-defined]
    (tmp_path / "gone_module.py").write_text(MIXED.format(scripts=[], digit=""))
    served.deploy(str(tmp_path), "gone")
    fill(served, "gone", "day", {"a.txt": "cat 0.9"})
    for path in ("/ui/files/gone/results?prefix=inputs/day/", "/ui/files/gone?prefix=inputs/day/"):
        await page.goto(path)
        await expect(page.locator(".tile, #files tr[data-key]")).to_have_count(1)
        served.ask("DELETE", "/deployments/gone")
        await page.evaluate("htmx.trigger(document.querySelector('#results, #files'), 'refresh')")
        await expect(page.get_by_text("This service has been deleted.")).to_be_visible()
        served.deploy(str(tmp_path), "gone")
    served.ask("DELETE", "/deployments/gone")


@in_every_appearance
async def test_everybody_can_use_the_grid(page: Page, served: Served, mixed: str, scheme: str, width: int) -> None:
    fill(served, mixed, "seen", {"a.txt": "cat 0.9", "b.txt": "wrong", "c.txt": "png"})
    await page.set_viewport_size({"width": width, "height": 900})
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    await page.goto(f"/ui/files/{mixed}/results?prefix=inputs/seen/")
    await expect(page.locator(".tile")).to_have_count(3)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    found = await problems(page)
    await page.locator(".tile-open").first.click()
    await expect(page.locator("#tile-place .tree")).to_be_visible()
    assert not found + await problems(page)


@pytest.mark.thorough
async def test_the_grid_works_in_firefox(served: Served, mixed: str, emptied: str, tmp_path: Path) -> None:
    fill(served, mixed, "fox", {"a.txt": "cat 0.9", "b.txt": "wrong", "c.txt": "png"})
    for number in range(2):
        fetch(served, "PUT", f"/files/digits/inputs/{emptied}/{number}.png", DIGIT.read_bytes())
    async with firefox(tmp_path) as browser:
        await browser.goto(served.link())
        await browser.wait("location.pathname === '/ui/'")
        for width in (390, 1280):
            await browser.resize(width)
            await browser.goto(f"{served.url}/ui/files/digits/results?prefix=inputs/{emptied}/")
            await browser.wait("document.querySelectorAll('.thumb svg rect').length >= 2")
            assert await browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
            await browser.evaluate("document.querySelector('.tile-open').click()")
            await browser.wait("document.querySelector('#tile .boxes rect')")
        await browser.goto(f"{served.url}/ui/files/{mixed}/results?prefix=inputs/fox/&state=failed")
        await browser.wait("document.querySelectorAll('.tile').length === 1")
        await browser.evaluate("document.querySelector('.tile-open').click()")
        await browser.wait("document.querySelector('#tile-place .log')")
        assert browser.errors == []
