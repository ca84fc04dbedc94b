"""Answers as people read them: tables, text with its Markdown, sounds."""

from __future__ import annotations

import csv
import io
import json

import pytest
from playwright.async_api import Page, expect

from tests.dashboard.conftest import copied
from tests.dashboard.hostile import SCRIPTS


async def answer(page: Page, kind: str, text: str = "", accept: str = "application/json", picture: bytes = b"") -> None:
    """Run the module that answers in many ways. picture: PNG, sent with it."""
    await page.goto("/ui/inference/answers/invoke")
    await page.get_by_label("kind").select_option(f'"{kind}"')
    await page.get_by_label("text").fill(text)
    if picture:
        sent = {"name": "sent.png", "mimeType": "image/png", "buffer": picture}
        await page.get_by_label("image").set_input_files(sent)  # type: ignore[arg-type]
    await page.get_by_label("accept").select_option(f'"{accept}"')
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator("#result .view").first).to_be_visible()


async def saved(page: Page, label: str) -> str:
    async with page.expect_download() as begun:
        await page.get_by_role("button", name=label, exact=True).click()
    return (await (await begun.value).path()).read_bytes().decode()


@pytest.mark.parametrize("kind", ["rows", "beside"])
async def test_a_list_of_objects_is_a_table_with_the_digits_that_were_sent(page: Page, kind: str) -> None:
    await answer(page, kind)
    table = page.locator(".rows")
    await expect(page.get_by_role("heading", name="250 rows")).to_be_visible()
    await expect(table.locator("tbody tr")).to_have_count(100)
    await expect(table.locator("tbody tr").first.locator("td")).to_have_text(
        ["9007199254740993", 'a "wasp", <b>', "0.0"]
    )
    await page.get_by_role("button", name="Next").click()
    await expect(page.get_by_text("101 to 200 of 250")).to_be_visible()
    await expect(table.locator("tbody td").first).to_have_text("9007199254741093")


async def test_a_column_of_numbers_has_a_histogram_of_the_rows_that_are_shown(page: Page) -> None:
    await answer(page, "rows")
    bars = page.locator(".rows .histogram")
    await expect(bars).to_have_count(2)
    weights = page.locator(".rows th").nth(2).locator(".histogram")
    await expect(weights).to_have_attribute("aria-label", "Distribution of 249 numbers from 0 to 249")
    titles = await weights.locator("title").all_text_contents()
    assert len(titles) == 16 and sum(int(title.rpartition(": ")[2]) for title in titles) == 249
    await page.get_by_label("Search the rows").fill("bee 100")
    await expect(bars).to_have_count(0)


async def test_a_table_is_sorted_searched_and_downloaded(page: Page) -> None:
    await answer(page, "rows")
    weights = page.locator(".rows tbody tr td:nth-child(3)")
    await page.get_by_role("button", name="weight").click()
    await expect(weights.first).to_have_text("0.0")
    await page.get_by_role("button", name="weight").click()
    await expect(weights.first).to_have_text("249.0")
    await expect(page.locator(".rows th").nth(2)).to_have_attribute("aria-sort", "descending")
    await page.get_by_label("Search the rows").fill("BEE 7")
    await expect(page.get_by_role("heading", name="of 250 rows")).to_be_visible()
    lines = [
        json.loads(line, parse_int=str, parse_float=str) for line in (await saved(page, "JSON Lines")).splitlines()
    ]
    assert all(line["species"] == "bee" and "7" in line["id"] + str(line["weight"]) for line in lines)
    # What is empty comes last.
    assert lines[-1] == {"id": "9007199254741000", "species": "bee", "weight": None}
    rows = list(csv.DictReader(io.StringIO(await saved(page, "CSV"))))
    assert [(row["id"], row["weight"] or None) for row in rows] == [(line["id"], line["weight"]) for line in lines]


async def test_quotes_and_markup_in_a_table_stay_text(page: Page) -> None:
    await answer(page, "rows")
    await page.get_by_label("Search the rows").fill("<b>")
    await expect(page.get_by_role("heading", name="125 of 250 rows")).to_be_visible()
    assert next(csv.DictReader(io.StringIO(await saved(page, "CSV"))))["species"] == 'a "wasp", <b>'


async def test_text_that_looks_like_a_formula_is_text_in_a_spreadsheet(page: Page) -> None:
    await answer(page, "formulas")
    rows = list(csv.DictReader(io.StringIO(await saved(page, "CSV"), newline="")))
    assert [row["'=name"][0] for row in rows] == ["'"] * 5 + ["a"]
    assert {row["number"] for row in rows} == {"-1.5"}
    assert json.loads((await saved(page, "JSON Lines")).splitlines()[1])["=name"] == "+1"


async def test_csv_is_a_table_too(page: Page) -> None:
    await answer(page, "rows", accept="text/csv")
    await page.get_by_role("button", name="weight").click()
    cells = page.locator(".rows tbody td")
    await expect(cells).to_have_text(["a;b", "1.50", "d", "9", "c", "10.0"])
    assert (
        await saved(page, "JSON Lines")
        == '{"name":"a;b","weight":1.50}\n{"name":"d","weight":9}\n{"name":"c","weight":10.0}\n'
    )


MARKDOWN = """# A title

Some *soft* and **strong** text with `code <b>`, [a link](https://example.org/x) and
[a trap](javascript:alert(1)).

- one
  1. inside
- two

> quoted

| a | b |
|---|---|
| 1 | **2** |

```
<script>
```
"""


async def test_text_is_shown_as_text_and_as_markdown_on_a_switch(page: Page) -> None:
    await answer(page, "text", MARKDOWN)
    await expect(page.locator("pre.read")).to_have_text(MARKDOWN)
    await page.get_by_role("button", name="Copy").last.click()
    assert await copied(page) == MARKDOWN
    await page.get_by_label("Markdown").check()
    read = page.locator(".prose.read")
    await expect(read.locator("h4")).to_have_text("A title")
    await expect(read.locator("em")).to_have_text("soft")
    await expect(read.locator("strong")).to_have_text(["strong", "2"])
    await expect(read.locator("p code")).to_have_text("code <b>")
    await expect(read.get_by_role("link")).to_have_attribute("href", "https://example.org/x")
    await expect(read.locator("p").first).to_contain_text("[a trap](javascript:alert(1))")
    await expect(read.locator("ul > li")).to_have_count(2)
    await expect(read.locator("ul ol li")).to_have_text("inside")
    await expect(read.locator("blockquote")).to_have_text("quoted")
    await expect(read.locator("td")).to_have_text(["1", "2"])
    await expect(read.locator("pre")).to_have_text("<script>")


HOSTILE = [
    "\n\n".join(SCRIPTS),
    "[x](data:text/html,<script>alert(1)</script>) ![y](//evil.example/y.png) <img src=x onerror=alert(1)>",
    "[[[[" * 2000 + "]](" * 2000,
    "> " * 5000 + "deep",
    "*" * 5000 + "`" * 5001 + "_a" * 5000,
    "| a |\n|" + "-|" * 3000,
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
async def test_markdown_of_a_model_does_nothing_but_stand_there(page: Page, number: int) -> None:
    """The page's fixture fails the test if a script runs, or anything is asked for elsewhere."""
    await answer(page, "text", HOSTILE[number])
    await page.get_by_label("Markdown").check()
    read = page.locator(".prose.read")
    await expect(read).to_be_visible()
    made = await read.evaluate("at => [...new Set([...at.querySelectorAll('*')].map((each) => each.localName))]")
    assert not {"script", "img", "iframe", "style", "svg", "form"} & set(made)
    addresses = await read.locator("a").evaluate_all("all => all.map((each) => each.protocol)")
    assert set(addresses) <= {"http:", "https:", "mailto:"}


async def test_a_sound_in_json_has_a_player(page: Page) -> None:
    await answer(page, "sound")
    await expect(page.locator(".gallery audio")).to_be_visible()
    await expect(page.locator("#result").get_by_role("heading", name="Media")).to_be_visible()
