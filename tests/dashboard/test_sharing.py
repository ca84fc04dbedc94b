"""Shared links in browsers: the panel that makes them, and the form that they open, with nothing else behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.dashboard.conftest import Served, Watched, in_every_appearance, run
from tests.dashboard.test_safety import problems
from tests.dashboard.test_signing import ask
from tests.house import PATIENCE_S


@pytest_asyncio.fixture(loop_scope="session")
async def stranger(browser: Browser, served: Served, watched: Watched) -> AsyncIterator[BrowserContext]:
    """The browser of somebody who has never been here."""
    context = await browser.new_context(base_url=served.url, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_S * 1000)
    yield context
    await context.close()


def share(served: Served, name: str, **options: Any) -> Any:
    return served.ask("POST", f"/deployments/{name}/links", options)


async def test_a_link_is_made_listed_and_revoked_in_the_panel(page: Page, served: Served) -> None:
    await page.goto("/ui/inference/failing")
    panel = page.get_by_role("region", name="Share")
    await panel.get_by_label("Most calls").fill("3")
    await panel.get_by_label("Note").fill("for <b>Anna</b>")
    await panel.get_by_role("button", name="Make a link").click()
    await expect(panel.locator("#share-url")).to_contain_text(f"{served.url}/ui/shared/failing#link_")
    row = panel.get_by_role("row").nth(1)
    await expect(row).to_contain_text("for <b>Anna</b>")
    await expect(row).to_contain_text("0 of 3")
    assert "usage: " in await run(str(await panel.locator("#share-shell").text_content()))
    await page.reload()
    await expect(row).to_contain_text("1 of 3")
    assert "link_" not in await page.content()
    await row.get_by_role("button", name="Revoke").click()
    await page.get_by_role("button", name="Revoke it").click()
    await expect(panel.get_by_role("row").nth(1)).to_be_hidden()
    assert served.ask("GET", "/deployments/failing/links") == []


async def test_what_a_link_cannot_be_is_said_in_the_panel(page: Page, watched: Watched) -> None:
    watched.expected.append("422")
    await page.goto("/ui/inference/failing")
    panel = page.get_by_role("region", name="Share")
    await panel.get_by_label("Ends").select_option("on a date")
    await panel.get_by_role("button", name="Make a link").click()
    await expect(panel.get_by_role("alert")).to_have_text("Choose the last day of the link.")
    await panel.get_by_label("Last day").fill("2020-01-01")
    await panel.get_by_role("button", name="Make a link").click()
    await expect(panel.get_by_role("alert")).to_contain_text("2020-01-01' has passed")
    await expect(panel.locator("#share-made")).to_be_hidden()


async def test_a_link_opens_the_form_and_its_own_runs(
    stranger: BrowserContext, served: Served, watched: Watched
) -> None:
    owners = served.ask("POST", "/v2/models/exact/predict/?note=the+owners")
    assert owners
    link = share(served, "exact")
    page = await stranger.new_page()
    watched.watch(page)
    watched.expected.append("401")  # of the pages that do not open
    await page.goto(link["url"])
    await expect(page.get_by_role("heading", level=1)).to_have_text("exact")
    await expect(page.get_by_role("button", name="Run")).to_be_visible()
    assert page.url == f"{served.url}/ui/shared/exact"
    # A link may end within the hour.
    await expect(page.get_by_text("until")).to_contain_text(f"{link['until'][:16].replace('T', ' ')} UTC")
    await page.get_by_label("note", exact=True).fill("by the link")
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator("#result .tree")).to_contain_text("by the link")
    await expect(page.locator("#runs li")).to_have_count(1)
    await page.reload()
    await expect(page.get_by_label("note", exact=True)).to_have_value("by the link")
    await expect(page.locator("#result .tree")).to_contain_text("by the link")
    await expect(page.get_by_role("navigation")).to_have_count(0)
    # Nothing else opens, whatever is typed.
    for path in ("/ui/", "/ui/inference/exact", "/ui/jobs", "/ui/shared/digits", "/ui/shared/digits/runs"):
        await page.goto(path)
        await expect(page.get_by_role("button", name="Run")).to_have_count(0)
    for path in ("/deployments", "/deployments/exact/log", "/jobs?deployment=digits", "/v2/models/digits/"):
        answer = await page.request.get(path, headers={"Sec-Fetch-Site": "same-origin"})
        assert answer.status == 401, path
    served.ask("DELETE", f"/deployments/exact/links/{link['id']}")
    await page.goto("/ui/shared/exact")
    await expect(page.locator("#how")).to_be_visible()


async def test_another_link_of_the_same_browser_takes_over(
    stranger: BrowserContext, served: Served, watched: Watched
) -> None:
    page = await stranger.new_page()
    watched.watch(page)
    for name in ("exact", "failing", "exact"):
        await page.goto(share(served, name)["url"])
        await expect(page.get_by_role("heading", level=1)).to_have_text(name)
        await expect(page.get_by_role("button", name="Run")).to_be_visible()


async def test_a_link_that_is_wrong_says_so(stranger: BrowserContext, served: Served, watched: Watched) -> None:
    watched.expected.append("401")
    page = await stranger.new_page()
    watched.watch(page)
    for name in ("exact", "nowhere"):
        await page.goto(f"/ui/shared/{name}#link_00000000_{'0' * 64}")
        await expect(page.get_by_role("alert")).to_contain_text("This link is not valid; it may have been revoked")
    link = share(served, "digits")
    await page.goto(link["url"].replace("/shared/digits#", "/shared/exact#"))
    await expect(page.get_by_role("alert")).to_contain_text("This link is not valid; it may have been revoked")


async def test_the_owner_gets_the_owners_form(page: Page, served: Served) -> None:
    await page.goto(share(served, "exact")["url"])
    await page.wait_for_url("**/ui/inference/exact/invoke**")


async def test_the_cookie_of_a_link_counts_only_in_our_own_pages_and_the_log_has_no_token(served: Served) -> None:
    token = share(served, "exact")["token"]
    origin = {"Origin": served.url}
    answer = await ask("POST", f"{served.url}/ui/shared/exact", data={"token": token}, headers=origin)
    cookie = answer.headers["Set-Cookie"]
    assert answer.status == 303
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Strict", "Path=/"))
    own = {"Cookie": cookie.partition(";")[0]}
    for headers, statuses in (
        (origin, (200,)),
        ({"Origin": "https://evil.example"}, (401, 403)),
        ({"Sec-Fetch-Site": "cross-site"}, (401, 403)),
        ({"Sec-Fetch-Site": "same-site"}, (401, 403)),
        ({**origin, "Host": "evil.example"}, (401, 403)),
    ):
        answer = await ask("POST", f"{served.url}/exact", json={}, headers={**own, **headers})
        assert answer.status in statuses, (headers, answer.text)
    assert token not in served.log.read_text()


@in_every_appearance
async def test_the_page_of_a_link_fits(
    browser: Browser, served: Served, watched: Watched, width: int, scheme: Any
) -> None:
    context = await browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = await context.new_page()
    watched.watch(page)
    await page.goto(share(served, "digits")["url"])
    await expect(page.get_by_role("button", name="Run")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not await problems(page)
    await context.close()


@in_every_appearance
async def test_axe_finds_nothing_serious_in_the_panels(page: Page, served: Served, width: int, scheme: Any) -> None:
    await page.set_viewport_size({"width": width, "height": 900})
    await page.emulate_media(color_scheme=scheme)
    served.ask("POST", "/deployments/exact/shift", {"to": "failing", "share": 1})
    await page.goto("/ui/inference/exact")
    await page.get_by_role("button", name="Make a link").click()
    await expect(page.locator("#share-made")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not await problems(page)
    served.ask("DELETE", "/deployments/exact/shift")
