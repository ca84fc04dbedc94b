"""What modules say is shown as text, and everybody can use the pages."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import Page, expect

from tests.dashboard.conftest import Served, Watched, in_every_appearance, undeploy
from tests.dashboard.hostile import SCRIPTS
from tests.dashboard.test_answers import MARKDOWN, answer
from tests.dashboard.test_series import PLACES, WEATHER, tone
from tests.dashboard.test_shapes import FORMS, look

AXE = (Path(__file__).parent / "vendored" / "axe.min.js").read_text()


async def unhurt(page: Page) -> None:
    """No script of others has run, and none has become part of the page."""
    assert await page.evaluate("window.hit") is None
    assert (
        await page.locator("[onerror], [onload], [onclick], [onfocus], [ontoggle], [onmouseover], [srcdoc]").count()
        == 0
    )
    scripts = await page.locator("script").evaluate_all("all => all.filter(each => !each.src).length")
    links = await page.locator("a").evaluate_all("all => all.map(each => each.protocol)")
    assert (scripts, set(links) <= {"http:", "https:", "blob:", "mailto:"}) == (0, True)


# The list shows all of them; of their own pages, one in so many is opened.
@pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.thorough)])
async def test_thirty_scripts_in_every_text_of_a_modules_metadata_are_text(
    page: Page, served: Served, step: int
) -> None:
    modules = [each for each in served.ask("GET", "/modules")["modules"] if "hostile_" in each["module"]]
    assert len(modules) == len(SCRIPTS) == 30
    await page.goto("/ui/")
    shown = {module["id"]: " ".join(SCRIPTS[int(module["module"][-2:])].split()) for module in modules}
    texts = await page.locator(".card h2").all_text_contents()  # also of those that are not in sight, and so not drawn
    assert set(shown.values()) <= {" ".join(text.split()) for text in texts}
    await unhurt(page)
    for module in modules:
        assert module["summary"] == shown[module["id"]]
        assert all(link["url"].startswith("https://") for link in module["links"])
    for module in modules[::step]:
        await page.goto(f"/ui/modules/{module['id'].replace('~', '%7E')}")
        await expect(page.get_by_role("heading", level=1)).to_have_text(shown[module["id"]])
        await unhurt(page)


async def test_scripts_in_arguments_answers_errors_and_logs_are_text(
    page: Page, served: Served, watched: Watched
) -> None:
    watched.expected.append("500")
    [module] = [each for each in served.ask("GET", "/modules")["modules"] if each["module"].endswith(SCRIPTS[2])]
    served.deploy(module["module"], "hostile", title=SCRIPTS[0], description=SCRIPTS[2])
    served.ask("GET", "/deployments/hostile/card")
    for path in ("/ui/inference", "/ui/inference/hostile", "/ui/inference/hostile/edit"):
        await page.goto(path)
        await unhurt(page)
    await page.goto("/ui/inference/hostile/invoke")
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator(".tree")).to_be_visible()
    await unhurt(page)
    await page.get_by_label("boxed").check()
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator(".found tbody tr")).to_have_count(len(SCRIPTS))
    await unhurt(page)
    await page.get_by_label("wrong").check()
    await page.get_by_role("button", name="Run").click()
    await expect(page.get_by_role("alert").first).to_be_visible()
    await unhurt(page)
    await page.goto("/ui/inference/hostile/logs")
    await expect(page.locator("#log")).to_contain_text(SCRIPTS[0])
    await unhurt(page)
    await undeploy(page, served, "hostile")


PAGES = (
    "/ui/",
    "/ui/?q=broken",
    "/ui/modules/my_model",
    "/ui/deploy",
    "/ui/deploy?module=my_model",
    "/ui/inference",
    "/ui/inference/digits",
    "/ui/inference/digits/logs",
    "/ui/inference/digits/edit",
    "/ui/inference/demo/invoke",
    "/ui/nowhere",
)


@in_every_appearance
async def test_axe_finds_nothing_serious(page: Page, watched: Watched, scheme: str, width: int) -> None:
    watched.expected.append("404")
    await page.set_viewport_size({"width": width, "height": 900})
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    found = {}
    for path in PAGES:
        await page.goto(path)
        await expect(page.locator(".spinner:visible")).to_have_count(0)
        found[path] = await problems(page)
    assert not {path: each for path, each in found.items() if each}


@in_every_appearance
async def test_axe_finds_nothing_serious_in_answers(page: Page, scheme: str, width: int) -> None:
    await page.set_viewport_size({"width": width, "height": 900})
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    await answer(page, "rows")
    found = {"rows": await problems(page)}
    await answer(page, "text", MARKDOWN)
    await page.get_by_label("Markdown").check()
    found["text"] = await problems(page)
    several = {"flight": WEATHER, "field": PLACES, "speech": tone(1), "things": FORMS["beside each other"]}
    await look(page, several, Image.new("RGB", (200, 100), "white"))
    await expect(page.locator(".gallery .waveform")).to_be_visible()
    found["several"] = await problems(page)
    await page.goto("/ui/inference/digits/invoke")
    await page.get_by_role("button", name="From a URL").click()
    found["address"] = await problems(page)
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Draw one").click()
    found["drawing"] = await problems(page)
    assert not {state: each for state, each in found.items() if each}


# By the test's own hand, which no policy of the page forbids. Only violations are told in detail.
RUN_AXE = """
async () => {
  const found = await axe.run({ resultTypes: ["violations"], selectors: false });
  return found.violations
    .filter((each) => ["serious", "critical"].includes(each.impact))
    .map((each) => `${each.id}: ${each.nodes[0].html.slice(0, 120)}`);
}
"""


async def problems(page: Page) -> list[str]:
    await page.evaluate(AXE)
    return list(await page.evaluate(RUN_AXE))


async def test_no_page_is_wider_than_a_phone(page: Page, watched: Watched) -> None:
    watched.expected.append("404")
    await page.set_viewport_size({"width": 360, "height": 800})
    widths = {}
    for path in PAGES:
        await page.goto(path)
        widths[path] = await page.evaluate("document.documentElement.scrollWidth")
    assert not {path: width for path, width in widths.items() if width > 360}
