"""Examples next to a module: as cards on its page and in its form, and in the snippets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from playwright.async_api import Page, expect

from tests.dashboard.conftest import ROOT, Served, undeploy

MODULE = """
from marshmallow import fields
from webargs import fields as files
def get_metadata(): return {"name": "shown", "summary": "Says what it is given"}
def get_predict_args():
    return {"image": files.Field(required=True, metadata={"type": "file", "location": "form",
                                                           "description": "a picture"}),
            "label": fields.Str(required=True)}
def predict(image, label):
    return {"label": label, "file": image.original_filename}
"""


async def test_a_card_fills_the_form_and_leads_there_from_the_modules_page(
    page: Page, served: Served, tmp_path: Path
) -> None:
    (tmp_path / "shown_module.py").write_text(MODULE)
    (tmp_path / "examples").mkdir()
    for name, label in (("bee", "<b>bee</b>"), ("wasp", "w")):
        shutil.copy(ROOT / "data" / "digit.png", tmp_path / "examples" / f"{name}.png")
        (tmp_path / "examples" / f"{name}.json").write_text(json.dumps({"image": f"{name}.png", "label": label}))
    (tmp_path / "examples" / "notes.md").touch()
    served.deploy(str(tmp_path), "shown")
    await page.goto("/ui/inference/shown/invoke")
    cards = page.get_by_label("Examples").get_by_role("button")
    await expect(cards).to_have_count(2)
    picture = cards.first.locator("img")
    assert await picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 10
    await cards.first.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("label")).to_have_value("<b>bee</b>")
    await expect(page.locator(".preview figcaption")).to_contain_text("bee.png")
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator("#result .tree")).to_contain_text('"<b>bee</b>"')
    await page.goto("/ui/inference/shown")
    await page.get_by_role("tab", name="R", exact=True).click()
    await expect(page.get_by_role("tabpanel")).to_contain_text(str(tmp_path / "examples" / "bee.png"))
    assert (await page.request.get("/ui/inference/shown/examples/notes.md")).status == 404
    await undeploy(page, served, "shown")


async def test_the_modules_page_shows_examples_and_a_click_opens_the_form_with_one(page: Page) -> None:
    await page.goto("/ui/")
    await page.get_by_role("link", name="Handwritten digits").first.click()
    await expect(page.get_by_role("heading", name="Examples")).to_be_visible()
    card = page.locator(".strip .run").nth(1)
    name = str(await card.locator(".run-foot").text_content())
    await card.click()
    await page.wait_for_url("**/invoke?example=1")
    await expect(page.locator(".preview figcaption")).to_contain_text(name)


async def test_an_example_of_a_module_that_is_not_deployed_tries_it(page: Page, served: Served) -> None:
    await page.goto("/ui/?q=exemplified")
    await page.locator(".card a").first.click()
    await page.get_by_role("button", name="Example text: text").click()
    await page.wait_for_url("**/invoke?example=0")
    await expect(page.get_by_label("text")).to_have_value("text")
    await undeploy(page, served, page.url.split("/")[-2])
