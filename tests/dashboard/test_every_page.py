"""What holds for all pages, which are found by following their links: names in the tab, words, colours."""

from __future__ import annotations

import re
from collections import Counter

import pytest
import pytest_asyncio
from playwright.async_api import Page, StorageState, expect

from tests.dashboard.conftest import Served, pages_below
from tests.dashboard.test_safety import problems
from tests.dashboard.test_signing import cookie_of

TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
# A page that begins without its colours flashes: the style sheet comes before all scripts, and nothing loads it later.
HEAD = re.compile(
    r'<meta name="color-scheme" content="[a-z ]+">.*<link rel="stylesheet" href="[^"]+">\n<script', re.DOTALL
)
# "1 CPUs", and "2 job": a number and a noun that do not belong together. Units are no nouns.
ONE_OF_MANY = re.compile(r"(?<![\d.,:/\u2009-])1 (?!ms\b|days ago)[a-z]{2,}s\b", re.IGNORECASE)
NOUNS = (
    "calls?|jobs?|runs?|files?|rows?|items?|members?|services?|modules?|workers?|minutes?|results?|points?|CPUs?|times?"
)
MANY_OF_ONE = re.compile(rf"(?<![\d.,:/-])(?:0|[2-9]|\d\d+) (?:{NOUNS.replace('s?', '')})\b")
# What people have named, which need not be good English; many of them, and slow to be described.
NAMED = ("hostile", "broken")
APPEARANCES = [(width, scheme) for width in (390, 1280) for scheme in ("light", "dark")]
GROUND = """() => [document.documentElement, document.body, document.querySelector("main")]
  .map((at) => getComputedStyle(at).backgroundColor)"""


def kind(path: str) -> str:
    """Of a page: its path without what it is about."""
    return re.sub(r"^/ui/(modules|inference|jobs|files)/[^/]+", r"/ui/\1/*", path)


def words_wrong(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if not any(name in line for name in NAMED)]
    return [match[0] for line in lines for wrong in (ONE_OF_MANY, MANY_OF_ONE) for match in wrong.finditer(line)]


async def test_the_words_are_looked_at_as_they_should_be() -> None:
    assert words_wrong("1 CPUs\n1 calls in 15 minutes\n2 job\n11 row") == ["1 CPUs", "1 calls", "2 job", "11 row"]
    assert words_wrong("1 call\n21 calls\n1.1 values\n1 ms\n11 s\n2 jobs\n0 rows\n1 minute ago\n12:01 is") == []


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pages(served: Served, signed_in: StorageState) -> dict[str, str]:
    """HTML by path. Some services have run once, so that there is one of each thing."""
    for name in ("exact", "answers"):
        served.ask("POST", f"/{name}", {})
    found = await pages_below(served, cookie_of(signed_in), but="|".join((*NAMED, "/arguments$")))
    return {path: text for path, text in found.items() if path.startswith("/ui/") and "<html" in text}


async def test_every_page_has_a_name_a_heading_and_its_colours_at_once(pages: dict[str, str]) -> None:
    assert {"/ui/", "/ui/inference/exact/invoke", "/ui/status", "/ui/jobs"} <= pages.keys()
    for path, text in pages.items():
        assert len(re.findall(r"<h1[ >]", text)) == 1, path
        assert 'rel="icon"' in text and HEAD.search(text), path
    titles = Counter(TITLE.findall(text)[0] for text in pages.values())
    assert all(title.endswith(" · modelport") and len(title) > len(" · modelport") for title in titles)
    assert not [title for title, count in titles.items() if count > 1]


@pytest.mark.parametrize(
    ("width", "scheme", "axe"),
    [
        (1280, "dark", False),
        *(pytest.param(width, scheme, True, marks=pytest.mark.thorough) for width, scheme in APPEARANCES),
    ],
)
async def test_every_kind_of_page_in_its_words_and_colours(
    page: Page, pages: dict[str, str], width: int, scheme: str, axe: bool
) -> None:
    first = {kind(path): path for path in sorted(pages, reverse=True)}
    await page.set_viewport_size({"width": width, "height": 900})
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    wrong, grounds = {}, {}
    for path in first.values():
        await page.goto(path)
        await expect(page.locator(".spinner:visible")).to_have_count(0)
        wrong[path] = words_wrong(await page.inner_text("body"))
        grounds[path] = set(await page.evaluate(GROUND)) - {"rgba(0, 0, 0, 0)"}
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
        heading = await page.locator("h1").first.inner_text()
        assert await page.locator(".head").get_by_text(heading, exact=True).count() <= 1, path
        if path == "/ui/api":  # test_api.py looks at the rest of it
            await expect(page.locator(".opblock").first).to_be_visible()
        elif axe:
            assert not await problems(page), path
    assert not {path: words for path, words in wrong.items() if words}
    assert len(set().union(*grounds.values())) == 1, grounds
