"""The same pages where the server lies below a path, behind https, and is called by a name."""

from __future__ import annotations

from urllib.parse import urlsplit

from playwright.async_api import Page, StorageState, expect

from tests.dashboard.conftest import ROOT, Served, Watched, copied, pages_below
from tests.dashboard.elsewhere.conftest import BASE, NAME
from tests.dashboard.test_signing import ask, cookie_of


async def test_every_page_and_what_it_names_lies_below_the_path(served: Served, signed_in: StorageState) -> None:
    seen = await pages_below(served, cookie_of(signed_in))
    wanted = {"", "inference", "inference/digits/invoke", "jobs", "trainings/new", "files/digits", "modules/my_model"}
    assert {f"/ui/{path}" for path in wanted} <= seen.keys()


async def test_a_model_is_called_and_its_script_names_the_path(page: Page, served: Served) -> None:
    await page.goto(f"{BASE}/ui/inference/digits/invoke")
    await page.get_by_label("files").set_input_files(ROOT / "data" / "digit.png")
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator(".found tbody tr")).to_have_count(1)
    await page.locator("#job-link").click()
    await expect(page.locator(".boxes g")).to_have_count(1)
    await page.goto(f"{BASE}/ui/inference/digits")
    await page.locator("#panel-python").get_by_role("button", name="Copy").click()
    assert f"{served.url}/" in await copied(page)


async def test_without_documentation_pages_there_is_none_here(page: Page, watched: Watched) -> None:
    watched.expected.append("404")
    await page.goto(f"{BASE}/ui/")
    await expect(page.get_by_role("link", name="API", exact=True)).to_have_count(0)
    answer = await page.goto(f"{BASE}/ui/api")
    assert answer is not None and answer.status == 404


async def test_a_name_that_the_settings_list_is_ours_and_another_is_not(
    served: Served, signed_in: StorageState
) -> None:
    port = urlsplit(served.url).port
    for host, status in ((NAME, 200), (f"{NAME}:{port}", 200), (NAME.upper(), 200), (f"not{NAME}", 403)):
        name = f"modelport_{port}" if ":" in host else "modelport"
        cookie = f"{name}={cookie_of(signed_in).partition('=')[2]}"
        answer = await ask("GET", f"{served.url}/ui/inference", headers={"Host": host, "Cookie": cookie})
        assert answer.status == status, host


async def test_behind_https_the_cookie_is_secure_and_addresses_say_so(served: Served) -> None:
    host, code = {"Host": NAME}, urlsplit(served.link()).query.removeprefix("code=")
    proxied = {**host, "X-Forwarded-Proto": "https", "Origin": f"https://{NAME}"}
    answer = await ask("POST", f"{served.url}/ui/login", data={"code": code}, headers=proxied)
    assert (answer.status, answer.headers["Location"]) == (303, f"{BASE}/ui/")
    cookie = answer.headers["Set-Cookie"]
    assert "; Secure" in cookie and cookie.startswith("modelport=")
    own = {**proxied, "Cookie": cookie.partition(";")[0]}
    told = (await ask("GET", f"{served.url}/deployments", headers=own)).json()[0]
    assert told["endpoint"] == f"https://{NAME}{BASE}/run/digits"
    assert f"https://{NAME}{BASE}/digits" in (await ask("GET", f"{served.url}/ui/inference/digits", headers=own)).text
    forms = (await ask("GET", f"{served.url}/ui/inference/digits/invoke", headers=own)).text
    assert f"https://{NAME}" in forms and "http://" not in forms.replace("http://www.w3.org", "")
