"""The bucket in the browser: files dropped in, results coming out."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote

from playwright.async_api import Page, expect

from tests.dashboard.conftest import ROOT, Served, copied, drop, in_every_appearance, run
from tests.dashboard.hostile import SCRIPTS
from tests.dashboard.test_safety import problems, unhurt

DIGIT = ROOT / "data" / "digit.png"


async def drop_as(page: Page, folder: Path, names: list[str]) -> None:
    """Copies of the digit, by these names."""
    folder.mkdir()
    for name in names:
        shutil.copyfile(DIGIT, folder / name)
    await drop(page, "[data-drop]", [folder / name for name in names])


async def test_ten_files_dropped_give_ten_results(page: Page, served: Served, tmp_path: Path) -> None:
    await page.goto("/ui/files/digits")
    await expect(page.get_by_text("This folder is empty")).to_be_visible()
    await drop_as(page, tmp_path / "dropped", [f"page {number}.png" for number in range(10)])
    await expect(page.locator("#upload-line")).to_have_text("10 of 10 done.")
    await expect(page.locator("#uploads .state.succeeded")).to_have_count(10)
    await expect(page.locator("#files tr[data-key]")).to_have_count(10)
    await page.get_by_role("link", name="outputs").click()
    await expect(page.locator("#files tr[data-key]")).to_have_count(20)
    await page.get_by_role("button", name="page 3.json", exact=True).click()
    await expect(page.locator("#shown-file .found tbody")).to_contain_text("seven")
    await page.get_by_role("button", name="Close").click()
    async with page.expect_download() as begun:
        await page.get_by_role("link", name="Download page 3.json").click()
    download = await begun.value
    assert download.suggested_filename == "page 3.json"
    await download.save_as(tmp_path / "result.json")
    assert [load["name"] for load in json.loads((tmp_path / "result.json").read_text())] == ["seven"]


async def test_a_file_is_deleted_after_a_question(page: Page, served: Served, tmp_path: Path) -> None:
    await page.goto("/ui/files/digits")
    await page.get_by_label("Into a folder").fill("gone & away")
    await page.get_by_role("button", name="Open").click()
    await expect(page.get_by_role("link", name="gone & away")).to_be_visible()
    await drop_as(page, tmp_path / "dropped", ["gone.png"])
    await expect(page.locator("#upload-line")).to_have_text("1 of 1 done.")
    await page.get_by_role("button", name="Delete gone.png").click()
    await page.locator("#delete-file").get_by_role("button", name="Keep it").click()
    await expect(page.locator("tr[data-key]")).to_have_count(1)
    await page.get_by_role("button", name="Delete gone.png").click()
    await page.locator("#delete-file").get_by_role("button", name="Delete").click()
    await expect(page.locator("tr[data-key]")).to_have_count(0)
    await expect(page.locator("#main")).to_be_focused()


async def test_names_of_files_are_text(page: Page, served: Served, tmp_path: Path) -> None:
    await page.goto("/ui/files/digits?prefix=inputs/hostile/")
    names = list(dict.fromkeys(script.replace("/", "_")[:100] for script in SCRIPTS))
    await drop_as(page, tmp_path / "dropped", names)
    await expect(page.locator("#upload-line")).to_have_text(re.compile(f"{len(names)} of {len(names)} done"))
    await expect(page.locator("#files tr[data-key]")).to_have_count(len(names))
    await unhurt(page)
    for path in ("/ui/files/digits?prefix=outputs/hostile/", "/ui/jobs?deployment=digits"):
        await page.goto(path)
        await unhurt(page)


async def test_what_is_wrong_with_a_file_is_told_at_it(page: Page, served: Served) -> None:
    await page.goto("/ui/files/digits?prefix=inputs/wrong/")
    await page.locator("#chosen").set_input_files(ROOT / "data" / "tone.wav")
    await expect(page.locator("#upload-line")).to_have_text("1 of 1 done, 1 of them failed.")
    await page.locator("#uploads .state.failed").click()
    await expect(page.locator("#error")).to_contain_text("Not an image that can be read")


async def test_the_script_for_asynchronous_calls_works_as_it_is_copied(
    page: Page, served: Served, tmp_path: Path
) -> None:
    await page.goto("/ui/inference/digits")
    await page.get_by_role("tab", name="Python: asynchronous").click()
    await page.locator("#panel-boto3").get_by_role("button", name="Copy").click()
    script = tmp_path / "script.py"
    script.write_text(await copied(page))
    assert "outputs/test-prediction.json" in await run([sys.executable, str(script)])
    for name in ("test-prediction.json", "test-prediction.log"):
        (ROOT / name).unlink(missing_ok=True)


async def test_the_keys_are_renewed_after_a_question(page: Page, served: Served) -> None:
    await page.goto("/ui/inference/digits")
    old = await page.locator("#access-key").text_content()
    await page.locator('[data-show="secret-key"]').click()
    await expect(page.locator("#secret-key")).to_have_text(re.compile("^[0-9a-f]{40}$"))
    await page.locator("[data-rotate-keys]").click()
    await page.get_by_role("button", name="Make new ones").click()
    await expect(page.locator("#access-key")).not_to_have_text(old or "")


@in_every_appearance
async def test_everybody_can_use_the_files(page: Page, served: Served, scheme: str, width: int) -> None:
    await page.set_viewport_size({"width": width, "height": 900})
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    await page.goto("/ui/files/steps")
    await page.locator("#chosen").set_input_files({"name": "a.json", "mimeType": "application/json", "buffer": b"{}"})
    await expect(page.locator("#upload-line")).to_have_text("1 of 1 done.")
    found = {}
    for path in ("/ui/files", "/ui/files/steps", "/ui/files/steps?prefix=outputs/", "/ui/inference/steps"):
        await page.goto(path)
        found[path] = await problems(page)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
    assert not {path: each for path, each in found.items() if each}


async def test_a_folder_that_is_dropped_keeps_its_paths(page: Page, served: Served, tmp_path: Path) -> None:
    await page.goto("/ui/files/digits")
    (tmp_path / "scans" / "first & last").mkdir(parents=True)
    shutil.copyfile(DIGIT, tmp_path / "scans" / "one.png")
    shutil.copyfile(DIGIT, tmp_path / "scans" / "first & last" / "two.png")
    await drop(page, "[data-drop]", [tmp_path / "scans"])
    await expect(page.locator("#upload-line")).to_have_text("2 of 2 done.")
    for folder, name in (("inputs/scans/", "one.png"), ("inputs/scans/first%20%26%20last/", "two.png")):
        files = served.ask("GET", f"/files/digits?prefix={folder}")["files"]
        assert unquote(folder) + name in [file["key"] for file in files]
