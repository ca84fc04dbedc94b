"""The marketplace: search, filters, sorting, modules with something wrong, a module's page."""

from __future__ import annotations

import json
import re
from pathlib import Path

from playwright.async_api import Browser, Page, StorageState, expect

from tests.dashboard.conftest import Served, Watched, undeploy


async def test_my_model_is_found_by_search_and_filter_and_the_address_keeps_both(page: Page) -> None:
    await page.goto("/ui/")
    await page.get_by_role("searchbox").press_sequentially("handwritten read")
    await expect(page.locator(".card h2")).to_have_text(["Handwritten digits"])
    for filter in ("library", "task"):
        await page.locator(f"#more-{filter} > summary").click()
    await page.get_by_label("Scikit-learn").check()
    await page.get_by_label("Computer Vision").check()
    await expect(page.locator(".results-head")).to_contain_text("1 result")
    await expect(page).to_have_url(re.compile(r"q=handwritten\+read&library=Scikit-learn&task=Computer\+Vision"))
    await page.reload()
    await expect(page.get_by_label("Scikit-learn")).to_be_checked()
    await expect(page.get_by_role("searchbox")).to_have_value("handwritten read")
    await expect(page.locator(".card h2")).to_have_text(["Handwritten digits"])


async def test_values_of_one_filter_add_and_filters_narrow(page: Page) -> None:
    await page.goto("/ui/?library=Scikit-learn&library=Other")
    await expect(page.locator(".card h2")).to_have_text(["Demo application", "Handwritten digits"])
    await page.goto("/ui/?library=Scikit-learn&library=Other&data_type=Audio")
    await expect(page.locator(".card h2")).to_have_text(["Demo application"])
    # The number at a value says how many results it would have.
    choice = page.locator("label.choice", has_text="Image")
    await expect(choice.locator(".soft")).to_have_text("2")


async def test_what_was_updated_last_comes_first_when_sorted_by_date(page: Page) -> None:
    await page.goto("/ui/?category=AI4+inference")
    await expect(page.locator(".card h2")).to_have_text(["Demo application", "Handwritten digits"])
    await page.get_by_label("Sort by").select_option("date")
    await expect(page.locator(".card h2")).to_have_text(["Handwritten digits", "Demo application"])
    await expect(page).to_have_url(re.compile("sort=date"))


async def test_nothing_found_says_what_to_do(page: Page) -> None:
    await page.goto("/ui/?q=nothing+is+called+so")
    await expect(page.get_by_role("heading", name="No module matches")).to_be_visible()
    await page.get_by_role("link", name=re.compile("show all")).click()
    await expect(page.locator(".card")).not_to_have_count(0)


async def test_a_search_works_without_javascript(browser: Browser, served: Served, signed_in: StorageState) -> None:
    context = await browser.new_context(base_url=served.url, storage_state=signed_in, java_script_enabled=False)
    page = await context.new_page()
    await page.goto("/ui/")
    await page.get_by_role("searchbox").fill("handwritten")
    await page.get_by_role("button", name="Search").click()
    await expect(page.locator(".card h2")).to_have_text(["Handwritten digits"])
    await context.close()


async def test_a_module_that_does_not_load_and_one_with_broken_metadata_say_why(page: Page) -> None:
    await page.goto("/ui/?q=broken")
    await expect(page.locator(".card", has_text="broken_module")).to_contain_text("No module named 'no_such_library'")
    await expect(page.locator(".card", has_text="broken_yaml")).to_contain_text(
        "ai4-metadata.yml: it is not valid YAML"
    )
    await page.locator(".card", has_text="broken_module").get_by_role("link").click()
    await expect(page.locator(".notice.bad").first).to_contain_text("This module does not load.")


async def test_a_modules_page_has_its_description_facts_and_arguments(page: Page) -> None:
    await page.goto("/ui/modules/my_model")
    await expect(page.locator(".prose h4", has_text="How it works")).to_be_visible()
    await expect(page.locator(".prose strong").first).to_have_text("JSON")
    facts = page.locator(".facts")
    for text in ("Apache-2.0", "Scikit-learn", "updated 2026-06-01", "MB of memory: 512"):
        await expect(facts).to_contain_text(text)
    rows = page.get_by_role("table").first.get_by_role("row")
    await expect(rows.filter(has_text="confidence").first).to_contain_text("0.5")
    await expect(rows.filter(has_text="files").first).to_contain_text("required")
    await facts.get_by_role("link", name="OCR").click()
    await expect(page.locator(".card h2")).to_have_text(["Handwritten digits"])


async def test_trying_a_module_leaves_nothing_in_the_store(page: Page, served: Served) -> None:
    await page.goto("/ui/modules/broken_yaml")
    # It loads, whatever its metadata are.
    await page.goto("/ui/?q=broken_yaml")
    await page.locator(".card h2 a").click()
    await page.get_by_role("button", name="Try").click()
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator(".tree")).to_have_text("1")
    [tried] = [each for each in served.ask("GET", "/deployments") if each["temporary"]]
    again = served.ask("POST", "/deployments", {"module": tried["module"], "temporary": True})
    assert again["name"] == tried["name"]
    await undeploy(page, served, tried["name"])
    assert tried["name"] not in json.dumps(served.ask("GET", "/deployments"))


async def test_a_check_shows_what_to_mend_and_where(page: Page) -> None:
    await page.goto("/ui/modules/greedy")
    await page.get_by_role("button", name="Check").click()
    errors = page.get_by_role("table", name="Errors")
    await expect(errors.get_by_role("row").filter(has_text="summary")).to_contain_text("ai4-metadata.yml:1")
    await expect(errors.get_by_role("row").filter(has_text="no LICENSE file")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("table", name="Hints")).to_contain_text("there is no README.md")
    await expect(page.locator("#check").get_by_role("status")).to_contain_text("checked just now")
    await expect(page.get_by_role("button", name="Check again")).to_be_enabled()


async def test_a_file_is_added_and_deployed(page: Page, served: Served, watched: Watched, tmp_path: Path) -> None:
    file = tmp_path / "added_here.py"
    file.write_text("def get_metadata(): return {'summary': 'of a file'}\ndef predict(): return 1\n")
    watched.expected.append("422")
    await page.goto("/ui/")
    await page.get_by_label("Add a source").fill("added_here.py")
    await page.get_by_role("button", name="Add", exact=True).click()
    await expect(page.locator("#source-error")).to_contain_text("neither an absolute path on the server nor")
    await page.get_by_label("Add a source").fill(str(file))
    await page.get_by_role("button", name="Add", exact=True).click()
    card = page.locator(".card", has_text="added_here")
    await expect(card.locator(".origin")).to_have_text(str(file))
    await card.get_by_role("link").click()
    await page.get_by_role("link", name="Deploy").click()
    await page.get_by_role("button", name="Quick submit").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("added-here")
    [deployed] = [each for each in served.ask("GET", "/deployments") if each["module"] == str(file)]
    await undeploy(page, served, deployed["name"])
    await page.goto("/ui/")
    await page.get_by_role("row").filter(has_text=str(file)).get_by_role("button", name="Remove").click()
    await expect(card).to_have_count(0)


async def test_a_module_whose_code_is_elsewhere_says_where(page: Page, served: Served, tmp_path: Path) -> None:
    links = {"source_code": "https://github.com/ai4os-hub/far-away"}
    (tmp_path / "list.json").write_text(json.dumps([{"id": "far-away", "title": "Far away", "links": links}]))
    source = served.ask("POST", "/modules/sources", {"address": str(tmp_path / "list.json")})
    await page.goto("/ui/?q=far+away")
    card = page.locator(".card", has_text="Far away")
    await expect(card).to_contain_text(f"Its code is not on this server: {links['source_code']}")
    await card.get_by_role("heading").get_by_role("link").click()
    await expect(page.locator(".notice")).to_contain_text("add this repository")
    await expect(page.get_by_role("button", name="Add the repository")).to_be_enabled()
    for name in ("Try", "Check"):
        await expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    await expect(page.get_by_role("link", name="Deploy")).to_have_count(0)
    served.ask("DELETE", f"/modules/sources/{source['id']}")


async def test_a_modules_page_offers_its_readme_and_its_metadata(page: Page) -> None:
    await page.goto("/ui/modules/my_model")
    await page.get_by_text("README", exact=True).click()
    await expect(page.locator("details.prose")).to_contain_text("modelport")
    async with page.expect_download() as started:
        await page.get_by_role("link", name="JSON", exact=True).click()
    download = await started.value
    assert download.suggested_filename == "my_model.json"
    metadata = json.loads((await download.path()).read_text())
    assert (metadata["title"], metadata["provenance"]["source"]) == ("Handwritten digits", "installed")
