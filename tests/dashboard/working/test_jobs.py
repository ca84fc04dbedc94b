"""Jobs and trainings in the browser: their list, one's page, live."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.async_api import Page, expect

from tests.dashboard.conftest import ROOT, Served, Watched, held_back, in_every_appearance
from tests.dashboard.hostile import SCRIPTS
from tests.dashboard.test_safety import problems, unhurt
from tests.dashboard.working.conftest import begin
from tests.house import wait_until

DATA = ROOT / "data"


async def test_a_job_is_seen_to_begin_to_go_on_and_to_end(page: Page, served: Served, tmp_path: Path) -> None:
    await page.goto("/ui/jobs")
    await expect(page.locator("#live")).to_have_text("Live")
    job = begin(served, gate=str(tmp_path / "gate"))
    row = page.locator(f'tr[data-job="{job["id"]}"]')
    await expect(row.locator(".state")).to_have_text("running")
    await expect(row.locator("progress")).to_have_js_property("value", 0.25)
    await expect(row).to_contain_text("a quarter")
    await row.get_by_role("link").first.click()
    await expect(page.locator("#progress")).to_have_js_property("value", 0.25)
    await expect(page.locator("#log")).to_have_text("begun\n")
    await expect(page.get_by_role("button", name="Run again")).to_be_hidden()
    (tmp_path / "gate").touch()
    await expect(page.locator(".bars dt")).to_have_text(["cat", "dog"])
    await expect(page.locator("#job-details .state")).to_have_text("succeeded")
    await expect(page.locator("#running")).to_be_hidden()
    await page.get_by_role("button", name="Run again").click()
    await expect(page.get_by_text(job["id"])).to_have_count(0)
    await expect(page.locator("#job-details .state")).to_have_text("succeeded")


@pytest.mark.parametrize("path", ["/ui/jobs", "/ui/jobs/{id}"])
async def test_what_changes_while_an_older_answer_is_on_its_way_is_shown(
    page: Page, served: Served, tmp_path: Path, path: str
) -> None:
    job = begin(served, gate=str(tmp_path / "gate"))
    await page.goto(path.format(**job))
    shown, refreshed = ("#job-details", "") if "{id}" in path else ("#jobs", f' tr[data-job="{job["id"]}"]')
    await expect(page.locator(f"{shown}{refreshed} .state")).to_have_text("running")
    ask = "async ([module, shown]) => (await import(module)).refresh(shown)"
    script = await page.locator('script[src$="/common.js"]').get_attribute("src")
    async with held_back(page, "**" + path.format(**job).removesuffix("/") + "*") as answered:
        await page.evaluate(ask, [script, shown])
        await answered.wait()
        (tmp_path / "gate").touch()
        await wait_until(lambda: served.ask("GET", f"/jobs/{job['id']}")["status"] == "succeeded")
        await page.evaluate(ask, [script, shown])
    await expect(page.locator(f"{shown}{refreshed} .state")).to_have_text("succeeded")


async def test_a_job_is_cancelled_and_deleted_after_a_question(page: Page, served: Served, tmp_path: Path) -> None:
    job = begin(served, gate=str(tmp_path / "gate"))
    await page.goto("/ui/jobs")
    await page.get_by_role("button", name=f"Cancel {job['id'][-8:]}").click()
    row = page.locator(f'tr[data-job="{job["id"]}"]')
    await expect(row.locator(".state")).to_have_text("cancelled")
    await row.get_by_role("link").first.click()
    await expect(page.locator("#error")).to_have_text(re.compile("It was cancelled"))
    await page.wait_for_load_state()  # with the scripts, which the buttons need
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("button", name="Keep it").click()
    await expect(page.locator("#job-details")).to_be_visible()
    await page.get_by_role("button", name="Delete").first.click()
    await page.locator("dialog").get_by_role("button", name="Delete").click()
    await page.wait_for_url("**/ui/jobs")
    await expect(page.locator(f'tr[data-job="{job["id"]}"]')).to_have_count(0)


async def test_the_list_is_filtered_and_its_address_says_so(page: Page, served: Served, tmp_path: Path) -> None:
    served.deploy(str(served.home.parent / "steps"), "idle")
    failing = begin(served, wrong=True)
    await page.goto("/ui/jobs")
    await expect(page.locator(f'tr[data-job="{failing["id"]}"] .state')).to_have_text("failed")
    await page.get_by_label("Service").select_option("idle")
    await expect(page.get_by_text("No matching jobs")).to_be_visible()
    await expect(page).to_have_url(re.compile(r"/ui/jobs\?deployment=idle$"))
    await page.get_by_label("Service").select_option("steps")
    await page.get_by_label("State").select_option("failed")
    await expect(page).to_have_url(re.compile(r"\?deployment=steps&state=failed$"))
    await expect(page.locator(".jobs tbody .state")).not_to_have_count(0)
    await expect(page.locator(".jobs tbody .state:not(.failed)")).to_have_count(0)
    await page.reload()
    await expect(page.get_by_label("State")).to_have_value("failed")
    # What comes later and is not looked for does not come in.
    kept = begin(served)
    await expect(page.locator(".jobs tbody .state:not(.failed)")).to_have_count(0)
    await page.get_by_role("button", name="Delete ended jobs").click()
    await expect(page.get_by_role("heading", name="Delete the jobs of steps that have failed?")).to_be_visible()
    await page.locator("#delete-ended").get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("No matching jobs")).to_be_visible()
    assert served.ask("GET", f"/jobs/{kept['id']}")["id"] == kept["id"]


async def test_more_jobs_than_a_page_holds_are_turned_over(page: Page, served: Served) -> None:
    for _ in range(55):
        begin(served)
    await page.goto("/ui/jobs?deployment=steps")
    await expect(page.locator(".jobs tbody tr")).to_have_count(50)
    await page.get_by_role("link", name="Older").click()
    await expect(page.get_by_role("link", name="Newest")).to_be_visible()
    await page.get_by_role("link", name="Newest").click()
    await expect(page.locator(".jobs tbody tr")).to_have_count(50)


async def test_a_page_says_that_it_may_be_old_while_the_server_does_not_answer(page: Page, watched: Watched) -> None:
    watched.expected += ["Failed to load resource", "htmx:"]
    await page.goto("/ui/jobs")
    await expect(page.locator("#live")).to_have_text("Live")
    await page.context.set_offline(True)
    await page.evaluate("htmx.trigger('#jobs', 'refresh')")
    await expect(page.locator("#said")).to_have_text("The server is not responding. This page may be out of date.")
    await page.context.set_offline(False)
    await page.evaluate("htmx.trigger('#jobs', 'refresh')")
    await expect(page.locator("#said")).to_have_text("")


async def test_an_error_is_told_as_text_with_what_helps(page: Page, served: Served, watched: Watched) -> None:
    job = begin(served, wrong=True, text=SCRIPTS[2])
    await page.goto("/ui/jobs?state=failed")
    await expect(page.locator(f'tr[data-job="{job["id"]}"]')).to_be_visible()
    await unhurt(page)
    await page.goto(f"/ui/jobs/{job['id']}")
    await expect(page.locator("#error")).to_contain_text(SCRIPTS[0])
    await expect(page.locator("#error")).to_contain_text("The model's own code failed; the log says where.")
    await expect(page.locator("#log")).to_contain_text(SCRIPTS[0])
    await expect(page.locator(".given")).to_contain_text(SCRIPTS[2])
    await unhurt(page)


async def test_a_run_is_followed_in_place_and_cancelled(page: Page, served: Served, tmp_path: Path) -> None:
    await page.goto("/ui/inference/steps/invoke")
    await page.get_by_label("gate").fill(str(tmp_path / "gate"))
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator("#progress")).to_have_js_property("value", 0.25)
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator("#result")).to_have_text("Cancelled.")
    (tmp_path / "gate").touch()
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator(".bars dt")).to_have_text(["cat", "dog"])
    await page.locator("#job-link").click()
    await expect(page.locator("#job-details .state")).to_have_text("succeeded")


async def test_boxes_are_drawn_over_the_picture_that_the_job_was_given(page: Page, served: Served) -> None:
    await page.goto("/ui/inference/digits/invoke")
    await page.get_by_label("files").set_input_files(DATA / "digits_page.png")
    await page.get_by_role("button", name="Run").click()
    await page.locator("#job-link").click()
    await expect(page.locator(".found tbody tr")).not_to_have_count(0)
    rows = await page.locator(".found tbody tr").count()
    await expect(page.locator(".boxes g")).to_have_count(rows)
    natural = "image => [image.naturalWidth > 100, image.clientWidth > 100]"
    assert await page.locator(".boxes img").evaluate(natural) == [True, True]
    await expect(page.get_by_role("link", name="digits_page.png")).to_be_visible()


DRAWN = "all => Promise.all(all.map(each => each.decode().then(() => each.naturalWidth > 50)))"


def train(served: Served, **given: Any) -> str:
    """The id of a new training."""
    return str(served.ask("POST", f"/v2/models/steps/train/?{urlencode(given)}", {})["uuid"])


async def test_trainings_stand_beside_each_other_and_their_curves_in_one_chart(
    page: Page, served: Served, tmp_path: Path
) -> None:
    gate = str(tmp_path / "gate")
    ids = [train(served, epochs=epochs, gate=gate) for epochs in (3, 5)]
    await page.goto("/ui/trainings?deployment=steps")
    await expect(page.locator("#live")).to_have_text("Live")
    rows = [page.locator(f'tr[data-job="{id}"]') for id in ids]
    # One runs at a time.
    await expect(rows[0]).to_contain_text("running")
    await rows[0].get_by_role("checkbox").check()
    await expect(page.locator("#curves figcaption")).to_have_text(["accuracy", "loss"])
    await rows[1].get_by_role("checkbox").check()
    (tmp_path / "gate").touch()
    # What is ticked grows as it is reported, whatever becomes of the table meanwhile.
    await expect(rows[1].locator(".state")).to_have_text("succeeded")
    await expect(page.locator("#curves .chart-figure").first.locator("polyline")).to_have_count(2)
    await expect(page.locator("#curves .legend").first).to_contain_text(f"{ids[1][-8:]}: 0.5")
    await expect(page.locator("#curves .legend").first).to_contain_text("epoch 1 to 5")
    await expect(rows[1].get_by_role("checkbox")).to_be_checked()
    for order, first in (("descending", ids[1]), ("ascending", ids[0])):
        header = page.get_by_role("columnheader", name="epochs")
        await header.get_by_role("link").click()
        await expect(header).to_have_attribute("aria-sort", "ascending")
        if order == "descending":
            await header.get_by_role("link").click()
            await expect(header).to_have_attribute("aria-sort", "descending")
        places = await page.locator("[data-job]").evaluate_all("rows => rows.map(row => row.dataset.job)")
        assert sorted(ids, key=places.index)[0] == first
    await expect(page).to_have_url(re.compile(r"deployment=steps&sort=argument\.epochs$"))
    await page.get_by_role("button", name="Clear").click()
    await expect(page.locator("#curves-panel")).to_be_hidden()


async def test_a_trained_model_is_used_and_leads_back_to_its_training(page: Page, served: Served) -> None:
    id = train(served, epochs=4)
    await page.goto("/ui/trainings?deployment=steps")
    await page.get_by_role("link", name=f"Use the model of {id[-8:]}").click()
    await expect(page.locator("#training")).to_contain_text("text: model of 4 epochs")
    await expect(page.get_by_label("text", exact=True)).to_have_value("model of 4 epochs")
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator(".bars dt")).to_have_text(["cat", "dog"])
    await page.locator("#job-link").click()
    await page.get_by_role("link", name=id[-8:]).click()
    await expect(page.locator("#job-details .state")).to_have_text("succeeded")
    await expect(page.get_by_role("link", name="Use this model")).to_be_visible()


async def test_a_training_is_started_from_its_form_and_watched(page: Page, served: Served, tmp_path: Path) -> None:
    await page.goto("/ui/trainings")
    await page.get_by_role("link", name="New training").first.click()
    await page.get_by_role("link", name="steps").click()
    await page.get_by_label("gate").fill(str(tmp_path / "gate"))
    await page.get_by_role("button", name="Train").click()
    await page.wait_for_url("**/ui/jobs/*")
    await expect(page.locator("#progress-text")).to_have_text("epoch 3")
    await expect(page.locator(".chart-figure figcaption")).to_have_text(["accuracy0.3", "loss0.3333"])
    await expect(page.locator("#artifacts figcaption").first).to_contain_text("digit.png")
    assert await page.locator("#artifacts img").evaluate(f"picture => ({DRAWN})([picture])") == [True]
    await expect(page.get_by_text("weights.bin 2.93 KiB")).to_be_visible()
    await unhurt(page)
    (tmp_path / "gate").touch()
    await expect(page.locator(".tiles dd")).to_have_text("0.97")
    await expect(page.locator(".heat td.level-9")).to_have_text("7")
    await expect(page.locator(".gallery strong")).to_have_text(["plots · digit", "plots · address"])
    assert await page.locator("#result .gallery img").evaluate_all(DRAWN) == [True, True]
    await unhurt(page)
    async with page.expect_download() as begun_:
        await page.get_by_role("link", name="weights.bin").click()
    assert (await (await begun_.value).path()).read_bytes() == bytes(3000)
    await page.goto("/ui/trainings")
    await expect(page.locator(".board tbody .state").first).to_have_text("succeeded")


async def test_a_training_is_cancelled(page: Page, served: Served, tmp_path: Path) -> None:
    await page.goto("/ui/inference/steps/train")
    await page.get_by_label("gate").fill(str(tmp_path / "gate"))
    await page.get_by_role("button", name="Train").click()
    await page.wait_for_url("**/ui/jobs/*")
    await expect(page.locator("#progress-text")).to_have_text("epoch 3")
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator("#error")).to_contain_text("It was cancelled.")


async def test_my_model_is_trained_and_its_confusion_drawn(page: Page, served: Served) -> None:
    await page.goto("/ui/inference/digits/train")
    await page.get_by_label("classifier").select_option("knn")
    await page.get_by_label("augmentation", exact=True).fill("0")
    await page.get_by_role("button", name="Train").click()
    await page.wait_for_url("**/ui/jobs/*")
    await expect(page.locator(".tiles")).to_contain_text("accuracy")
    await expect(page.locator(".heat tbody tr")).to_have_count(10)


async def test_the_server_s_state_is_shown_and_no_secret(page: Page, served: Served) -> None:
    begin(served)
    await page.goto("/ui/status")
    await expect(page.locator(".chart polyline")).not_to_have_count(0)
    await expect(page.get_by_role("row", name="digits")).to_be_visible()
    await expect(page.locator("#status")).to_contain_text("Buckets")
    await page.get_by_text("Settings").click()
    row = page.locator("#settings tr", has_text="bucket_secret_key")
    await expect(row).to_contain_text("not set")
    assert served.token not in await page.content()


PAGES = (
    "/ui/jobs",
    "/ui/jobs?state=running",
    "/ui/trainings",
    "/ui/trainings/new",
    "/ui/inference/steps/train",
    "/ui/status",
)


@in_every_appearance
async def test_everybody_can_use_the_pages(page: Page, served: Served, scheme: str, width: int) -> None:
    begin(served, wrong=True)
    training = served.ask("POST", "/v2/models/steps/train/", {})["uuid"]
    await page.set_viewport_size({"width": width, "height": 900})
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    found = {}
    for path in (*PAGES, f"/ui/jobs/{training}"):
        await page.goto(path)
        await expect(page.locator(".spinner:visible")).to_have_count(0)
        if path == "/ui/trainings":
            await page.locator(f'[data-curves="{training}"]').check()
            await expect(page.locator("#curves .chart-figure")).to_have_count(2)
        found[path] = await problems(page)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
    assert not {path: each for path, each in found.items() if each}
