"""A deployment's page: what it shows is right, and what it gives to paste works."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.dashboard.conftest import ROOT, Served, Watched, copied, run, undeploy
from tests.house import PATIENCE_S

# Jupyter comes from the package index.
INSTALL_S = 600.0


async def snippet(page: Page, label: str) -> str:
    await page.get_by_role("tab", name=label, exact=True).click()
    await page.get_by_role("tabpanel").get_by_role("button", name="Copy").click()
    return await copied(page)


async def test_every_snippet_works_when_pasted(page: Page) -> None:
    await page.goto("/ui/inference/digits")
    script = await snippet(page, "Python")
    assert "return: [{'name': " in await run([sys.executable, "-c", script])
    assert "usage: " in await run([sys.executable, "-c", await snippet(page, "Python: help")])
    assert '{"result": [{"name":' in await run(await snippet(page, "curl"))
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    assert '"name":' in await run(await snippet(page, "Command line"), env=environ)
    assert "'name': '" in await run([sys.executable, "-c", await snippet(page, "Python: modelport")])
    assert '{"result": [{"name":' in await run([sys.executable, "-c", await snippet(page, "Python: requests")])


@pytest.mark.parametrize(("label", "command"), [("JavaScript", "node"), ("R", "Rscript")])
@pytest.mark.parametrize(("name", "said"), [("digits", '{"result": [{"name":'), ("failing", "Error")])
async def test_scripts_in_other_languages_work_as_pasted(
    page: Page, tmp_path: Path, label: str, command: str, name: str, said: str
) -> None:
    if shutil.which(command) is None:
        pytest.skip(f"there is no {command} (Debian's package) to run the script with")
    await page.goto(f"/ui/inference/{name}")
    path = tmp_path / "call.mjs"
    path.write_text(await snippet(page, label))
    line = [command, str(path)]
    ending = line if name == "digits" else f"{command} {path} 2>&1 || true"
    # R takes its time to begin on a busy machine.
    assert said in await run(ending, 4 * PATIENCE_S)


async def test_a_snippet_says_that_it_holds_the_token_only_if_it_does(page: Page, served: Served) -> None:
    token = served.ask("GET", "/deployments/digits")["token"]
    await page.goto("/ui/inference/digits")
    tabs = await page.get_by_role("tab").all()
    assert len(tabs) > 9
    for tab in tabs:
        await tab.click()
        text = await page.get_by_role("tabpanel").inner_text()
        assert (token in text) == ("contains your token" in text)


async def test_a_notebook_asks_for_the_token_and_predicts(page: Page, served: Served) -> None:
    token = served.ask("GET", "/deployments/digits")["token"]
    await page.goto("/ui/inference/digits")
    await page.get_by_role("tab", name="Notebook").click()
    async with page.expect_download() as begun:
        await page.get_by_role("link", name="Download the notebook").click()
    download = await begun.value
    assert download.suggested_filename == "digits.ipynb"
    text = (await download.path()).read_text()
    assert token not in text
    cells = ["".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    # The table and the plot need pandas and matplotlib, which the tests do without: see the thorough test.
    script = "\n".join([*cells[:2], "print(answer[0]['name'])"])
    assert (await run([sys.executable, "-c", script], env={**os.environ, "BEARER_TOKEN": token})).strip()


@pytest.mark.thorough
async def test_jupyter_runs_the_notebook(page: Page, served: Served, tmp_path: Path) -> None:
    token = served.ask("GET", "/deployments/digits")["token"]
    answer = await page.request.get("/ui/inference/digits/notebook")
    # A notebook runs in its own folder.
    (tmp_path / "data").symlink_to(ROOT / "data")
    (tmp_path / "digits.ipynb").write_bytes(await answer.body())
    packages = "nbconvert ipykernel requests pandas matplotlib"
    await run(
        f"{sys.executable} -m venv {tmp_path}/jupyter && {tmp_path}/jupyter/bin/pip install -q {packages}", INSTALL_S
    )
    environ = {**os.environ, "BEARER_TOKEN": token}
    run_it = f"{tmp_path}/jupyter/bin/python -m jupyter nbconvert --execute --to notebook {tmp_path}/digits.ipynb"
    await run(f"{run_it} --output done.ipynb", INSTALL_S, env=environ)
    outputs = [cell.get("outputs", []) for cell in json.loads((tmp_path / "done.ipynb").read_text())["cells"]]
    assert "confidence" in json.dumps(outputs[3]) and "image/png" in json.dumps(outputs[4])


async def test_a_script_predicts_where_no_argument_is_needed(page: Page) -> None:
    await page.goto("/ui/inference/exact")
    for label in ("Python", "curl"):
        text = await snippet(page, label)
        assert "help" not in text
        said = await run([sys.executable, "-c", text] if label == "Python" else text)
        assert "9007199254740993" in said and "usage: " not in said


async def test_the_token_is_masked_shown_copied_and_renewed(page: Page, served: Served) -> None:
    served.deploy("demo_app", "renewed")
    token = served.ask("GET", "/deployments/renewed")["token"]
    await page.goto("/ui/inference/renewed")
    shown = page.locator("#token")
    await expect(shown).to_have_text(re.compile("^•+$"))
    value = page.locator("dd", has=shown)
    await value.get_by_role("button", name="Show").click()
    await expect(shown).to_have_text(token)
    await value.get_by_role("button", name="Copy").click()
    assert await copied(page) == token
    await value.get_by_role("button", name="Rotate").click()
    await page.get_by_role("dialog").get_by_role("button", name="Make a new one").click()
    await expect(page.locator(f'#token:not([data-secret="{token}"])')).to_have_count(1)
    assert served.ask("GET", "/deployments/renewed")["token"] == await shown.get_attribute("data-secret")
    await undeploy(page, served, "renewed")


async def test_tabs_are_moved_between_with_arrows(page: Page) -> None:
    await page.goto("/ui/inference/digits")
    await page.get_by_role("tab", name="Python", exact=True).focus()
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("tab", name="Python: modelport")).to_be_focused()
    await expect(page.get_by_role("tabpanel")).to_contain_text("modelport.client")


async def test_a_log_is_shown_as_it_is_printed(page: Page, served: Served) -> None:
    await page.goto("/ui/inference/slow/logs")
    await expect(page.locator("#log-state")).to_contain_text("Live")
    served.ask("POST", "/slow", {"seconds": 0})
    await expect(page.locator("#log")).to_contain_text("working hard")


async def test_a_failed_service_says_why_and_is_tried_again(
    page: Page, served: Served, watched: Watched, tmp_path: Path
) -> None:
    watched.expected.append("500")
    (tmp_path / "torn.py").write_text("import no_such_library\n")
    served.deploy(str(tmp_path / "torn.py"), "torn")
    await page.goto("/ui/inference/torn")
    await expect(page.locator("#details .bad")).to_contain_text("no_such_library")
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator("#said")).to_contain_text("no_such_library")
    (tmp_path / "torn.py").write_text("def predict(): return 1\n")
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator("#details .bad")).to_have_count(0)
    await undeploy(page, served, "torn")


async def test_the_question_before_deleting_counts_what_goes_and_what_stays(page: Page, served: Served) -> None:
    served.deploy(str(served.home.parent / "modules" / "exact"), "counted")
    await page.goto("/ui/inference/counted/invoke")
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator("#runs .succeeded")).to_have_count(1)
    await page.goto("/ui/inference/counted")
    await page.get_by_role("button", name="Delete").click()
    told = page.locator("#belongings")
    await expect(told).to_have_text("It has 1 job and 0 trainings, and 0 files in its bucket.")
    await page.get_by_role("button", name="Keep it").click()
    await undeploy(page, served, "counted")


@pytest.mark.parametrize(
    "path", ["/invoke", *(pytest.param(path, marks=pytest.mark.thorough) for path in ("", "/train", "/logs", "/edit"))]
)
async def test_an_open_page_says_that_its_service_has_been_deleted_elsewhere(
    page: Page, served: Served, watched: Watched, path: str
) -> None:
    watched.expected += ["404", "Response Status Error Code"]
    served.deploy(str(served.home.parent / "modules" / "exact"), "elsewhere")
    await page.goto(f"/ui/inference/elsewhere{path}")
    await expect(page.locator("main .state").first).to_be_visible()
    served.ask("DELETE", "/deployments/elsewhere")
    await expect(page.locator("#service-gone")).to_have_text("This service has been deleted.")
    await expect(page.locator(".head .actions a.button")).to_have_count(0)


BARS = """
import os, time
from marshmallow import fields
def get_predict_args(): return {"gate": fields.Str(load_default="")}
def predict(gate):
    for number in range(1, 4):
        print(f"\\r{number}/3 [{'#' * number}]", end="", flush=True)
    # Two bars, one in the other, as tqdm prints them.
    for outer in (1, 2):
        print(f"\\n\\router {outer}", end="\\x1b[A", flush=True)
        for inner in (1, 2):
            print(f"\\n\\n\\rinner {inner}", end="\\x1b[A\\x1b[A", flush=True)
    print("\\n\\n\\n\\x1b[31m<b>red</b>\\x1b[0m", flush=True)
    while gate and not os.path.exists(gate):
        time.sleep(0.01)
"""


async def test_the_log_has_times_leads_to_jobs_and_obeys_progress_bars(
    page: Page, served: Served, tmp_path: Path
) -> None:
    (tmp_path / "bars.py").write_text(BARS)
    served.deploy(str(tmp_path / "bars.py"), "bars")
    await page.goto("/ui/inference/bars/logs")
    await expect(page.locator("#log-state")).to_contain_text("Live")
    served.ask("POST", "/bars", {})
    lines = page.locator("#log .log-line > span")
    await expect(lines).to_have_text(["3/3 [###]", "outer 2", "inner 2", "<b>red</b>"])
    await expect(page.locator("#log time").first).to_have_text(re.compile(r"^\d\d:\d\d:\d\d$"))
    await expect(page.locator("#log a")).to_have_count(0)
    await page.goto("/ui/inference/bars/invoke")
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator("#job-line")).to_be_visible()
    job = await page.locator("#job-link").text_content()
    await expect(page.locator("#log")).to_have_text("3/3 [###]\nouter 2\ninner 2\n<b>red</b>\n", use_inner_text=False)
    await page.goto("/ui/inference/bars/logs")
    await expect(lines).to_have_count(8)
    await page.get_by_label("Times").uncheck()
    await expect(page.locator("#log time").first).to_be_hidden()
    await page.get_by_label("Times").check()
    await page.locator("#log a").last.click()
    await expect(page.locator("h1")).to_contain_text(job or "no job")
    await undeploy(page, served, "bars")


async def test_an_open_page_is_answered_only_where_something_has_changed(page: Page) -> None:
    await page.goto("/ui/inference/digits")
    address = str(await page.locator("#details").get_attribute("hx-get"))
    headers = {"HX-Request": "true"}
    assert (await page.request.get(address, headers=headers)).status == 204
    answer = await page.request.get(address + "0", headers=headers)
    assert answer.status == 200 and 'id="details"' in await answer.text()
