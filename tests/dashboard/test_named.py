"""A model that is named on the command line: the printed link leads to its form, and it stands first."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.dashboard.conftest import ROOT, Served, Watched, run, serving
from tests.house import PATIENCE_S, wait_until_now

SEER = """
from marshmallow import fields
def get_predict_args():
    return {
        "times": fields.Int(load_default=2),
        "name": fields.Str(required=True, metadata={"example": "Ada"}),
        "photo": fields.Field(required=True, metadata={"type": "file", "location": "form"}),
    }
def predict(times, name, photo):
    return [f"Hello, {name}"] * times
"""


@pytest.fixture
def named(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "seer.py").write_text(SEER)
    (tmp_path / "examples").mkdir()
    shutil.copy(ROOT / "data" / "digit.png", tmp_path / "examples" / "my photo.png")
    with serving(tmp_path / "home", str(tmp_path / "seer.py")) as server:
        yield server


def printed_link(served: Served) -> str:
    found = re.compile(r"^  open +(\S+)$", re.MULTILINE)
    wait_until_now(lambda: found.search(served.log.read_text()))
    [link] = found.findall(served.log.read_text())
    return str(link)


async def test_the_link_opens_the_models_form_with_its_example(
    browser: Browser, named: Served, watched: Watched
) -> None:
    watched.own = named.url.partition("//")[2]
    context = await browser.new_context(base_url=named.url)
    context.set_default_timeout(PATIENCE_S * 1000)
    page = await context.new_page()
    watched.watch(page)
    await page.goto(printed_link(named))
    await page.wait_for_url("**/ui/inference/seer/invoke?example")
    await expect(page.get_by_label("name")).to_have_value("Ada")
    await expect(page.locator("figcaption")).to_contain_text("my photo.png")
    labels = await page.locator("#call > .field > label, #call > .field > .label").all_text_contents()
    assert labels == ["times", "name required", "photo required"]
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator(".tree .text")).to_have_text(['"Hello, Ada"', '"Hello, Ada"'])
    await page.goto("/ui/")
    await expect(page.locator(".card h2").first).to_have_text("seer")
    await page.locator(".card h2 a").first.click()
    await page.get_by_role("link", name="Run", exact=True).click()
    await expect(page.get_by_label("name")).to_have_value("")
    await page.goto("/ui/inference/seer")
    script = await page.locator("#text-curl").text_content()
    assert '"Hello, Ada"' in await run(str(script))
    await context.close()


async def test_a_link_leads_to_no_other_site(browser: Browser, served: Served) -> None:
    for way in (
        "//elsewhere.example/",
        "https://elsewhere.example/",
        "inference/../..//elsewhere.example/",
        "\\elsewhere",
    ):
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(f"{served.link()}&next={way}")
        await page.wait_for_url(f"{served.url}/**")
        await expect(page.get_by_role("heading", name="Sign in")).to_have_count(0)
        assert page.url.startswith(served.url)
        await context.close()
