"""Who gets in: by link, by password; and whose requests the cookie counts in."""

from __future__ import annotations

import asyncio
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from playwright.async_api import Browser, Page, StorageState, expect

from modelport.http.browsers import PAGE_HEADER
from tests.dashboard.conftest import Served, Watched, serving
from tests.house import Answer
from tests.nginx import nginx


async def ask(method: str, url: str, **options: Any) -> Answer:
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        session.request(method, url, allow_redirects=False, **options) as response,
    ):
        return Answer(response.status, await response.read(), response.headers)


def cookie_of(state: StorageState) -> str:
    [cookie] = state["cookies"]
    return f"{cookie['name']}={cookie['value']}"


async def test_a_stranger_is_sent_to_the_page_of_signing_in(served: Served) -> None:
    for path in ("/ui/", "/ui/inference", "/ui/modules/my_model", "/ui/inference/digits/invoke"):
        answer = await ask("GET", served.url + path)
        assert (answer.status, b"digits" in answer.body) == (303, False)
        assert answer.headers["Location"].startswith("/ui/login")


async def test_the_link_that_the_server_prints_opens_one_session(
    browser: Browser, served: Served, watched: Watched
) -> None:
    watched.expected.append("401")
    link = served.link()
    for title in ("Modules", "Sign in"):
        context = await browser.new_context()
        page = await context.new_page()
        watched.watch(page)
        await page.goto(link)
        await expect(page.get_by_role("heading", level=1)).to_have_text(title)
        await context.close()
    assert "/ui/login?code=" in served.log.read_text()


async def test_looking_at_a_link_does_not_use_it_up(served: Served) -> None:
    link = served.link()
    code = urlsplit(link).query.removeprefix("code=")
    for _ in range(2):
        assert (await ask("GET", link)).status == 200
    origin = {"Origin": served.url}
    answer = await ask("POST", f"{served.url}/ui/login", data={"code": code}, headers=origin)
    cookie = answer.headers["Set-Cookie"]
    assert answer.status == 303
    assert all(each in cookie for each in ("HttpOnly", "SameSite=Strict", "Path=/"))
    assert "Secure" not in cookie
    assert (await ask("POST", f"{served.url}/ui/login", data={"code": code}, headers=origin)).status == 401


async def test_the_password_signs_in_and_goes_on_to_the_page_that_was_wanted(
    browser: Browser, tmp_path: Path, watched: Watched
) -> None:
    with serving(tmp_path / "home", password="open sesame") as server:
        context = await browser.new_context(base_url=server.url)
        page = await context.new_page()
        await page.goto("/ui/inference")
        await page.fill("#password", "wrong")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_have_text("The user name or the password is wrong.")
        await page.fill("#password", "open sesame")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Services")
        await page.get_by_role("button", name="Sign out").click()
        await page.goto("/ui/inference")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
        await context.close()


async def test_a_session_outlives_the_server(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path / "home") as server:
        code = urlsplit(server.link()).query.removeprefix("code=")
        headers = {"Origin": server.url}
        signed = await ask("POST", f"{server.url}/ui/login", data={"code": code}, headers=headers)
        value = signed.headers["Set-Cookie"].partition(";")[0].partition("=")[2]
        # The store, which others may come to read, does not hold what the cookie does.
        assert value.encode() not in (tmp_path / "home" / "store.sqlite-wal").read_bytes()
    with serving(tmp_path / "home") as server:
        cookie = f"modelport_{urlsplit(server.url).port}={value}"
        assert (await ask("GET", f"{server.url}/ui/", headers={"Cookie": cookie})).status == 200
        assert (await ask("GET", f"{server.url}/ui/", headers={"Cookie": cookie + "x"})).status == 303


async def test_wrong_passwords_wait_and_the_right_one_does_not(tmp_path: Path) -> None:
    held = {"guess_free": "3", "guess_held": "1", "guess_delay_s": "3600", "guess_delay_limit_s": "3600"}
    with serving(tmp_path / "home", password="open sesame", **held) as server:

        async def sign_in(password: str) -> Answer:
            form = {"user": "oscar", "password": password}
            return await ask("POST", f"{server.url}/ui/login", data=form, headers={"Origin": server.url})

        assert [(await sign_in("guess")).status for _ in range(3)] == [401] * 3
        waiting = [asyncio.create_task(sign_in("guess")) for _ in range(2)]
        [answered], [held_back] = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        refused = answered.result()
        assert (refused.status, refused.headers["Retry-After"]) == (429, "3600")
        assert "Too many wrong" in refused.text
        assert (await sign_in("open sesame")).status == 303
        held_back.cancel()
        await asyncio.gather(held_back, return_exceptions=True)


async def test_the_cookie_counts_only_in_requests_of_our_own_pages(served: Served, signed_in: StorageState) -> None:
    cookie = {"Cookie": cookie_of(signed_in)}
    own, other = {"Origin": served.url}, {"Origin": "http://127.0.0.1:1"}
    same, site, cross = ({"Sec-Fetch-Site": each} for each in ("same-origin", "same-site", "cross-site"))
    for method, headers, status in (
        ("GET", {}, 200),
        ("GET", same, 200),
        ("GET", site, 403),
        ("GET", cross, 403),
        ("GET", other, 403),
        ("POST", own, 422),
        ("POST", own | same, 422),
        ("POST", {}, 401),
        ("POST", {PAGE_HEADER: "1"}, 422),
        ("POST", other, 403),
        ("POST", site, 403),
        ("POST", {"Sec-Fetch-Site": "none"}, 401),
        ("POST", {"Origin": "null"}, 403),
    ):
        answer = await ask(method, f"{served.url}/deployments", headers=cookie | headers, json={})
        assert answer.status == status, (method, headers)


async def test_a_foreign_host_name_is_refused(served: Served, signed_in: StorageState) -> None:
    """A page whose own name leads to this machine would be of our origin for the browser."""
    port = urlsplit(served.url).port
    foreign = {"Host": f"evil.example:{port}", "Cookie": cookie_of(signed_in)}
    page = await ask("GET", f"{served.url}/ui/", headers=foreign)
    assert (page.status, "MODELPORT_HOSTS" in page.text) == (403, True)
    assert (await ask("GET", f"{served.url}/ui/login", headers=foreign)).status == 403
    assert (await ask("GET", f"{served.url}/deployments", headers=foreign)).status == 403
    # Whoever has a token may call us as he likes.
    token = {"Host": f"models.example:{port}", "Authorization": f"Bearer {served.token}"}
    assert (await ask("GET", f"{served.url}/deployments", headers=token)).status == 200


async def test_who_cannot_sign_in_because_of_a_proxy_is_told_which_header_is_missing(
    served: Served, tmp_path: Path
) -> None:
    """nginx sends its own way to the server as Host, unless it is told otherwise."""
    with (
        serving(tmp_path / "home", trusted_proxies="127.0.0.1") as believer,
        nginx(tmp_path / "one", f"location / {{ proxy_pass {served.url}; }}") as port,
        nginx(tmp_path / "two", f"location / {{ proxy_pass {believer.url}; }}") as other_port,
    ):
        unnamed = "trusted_proxies (MODELPORT_TRUSTED_PROXIES) contains 127.0.0.1."
        silent = "in the header Host or X-Forwarded-Host; it sends neither."
        for server, number, advice in ((served, port, unnamed), (believer, other_port, silent)):
            public = f"http://127.0.0.1:{number}"
            code = {"code": urlsplit(server.link()).query.removeprefix("code=")}
            refused = await ask("POST", f"{public}/ui/login", data=code, headers={"Origin": public})
            assert refused.status == 403
            said = unescape(refused.text)
            assert f"Your browser is at {public}, but the request came to {urlsplit(server.url).netloc}." in said
            assert advice in said


async def test_a_link_leads_nowhere_else_after_signing_in(served: Served) -> None:
    for address in ("http://evil.example/", "//evil.example/ui/", "/\\evil.example/ui/", "/v2/", "/ui/../v2/"):
        page = await ask("GET", f"{served.url}/ui/login", params={"next": address})
        assert "evil" not in page.text
    for address in ("//evil.example/ui/", "/ui/jobs\r\nX-Evil: 1"):
        code = urlsplit(served.link()).query.removeprefix("code=")
        form = {"code": code, "next": address}
        answer = await ask("POST", f"{served.url}/ui/login", data=form, headers={"Origin": served.url})
        assert (answer.status, answer.headers["Location"]) == (303, "/ui/")


async def test_a_browser_at_the_root_comes_to_the_dashboard_and_a_program_gets_the_versions(
    page: Page, served: Served
) -> None:
    await page.goto("/")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Modules")
    assert "versions" in (await ask("GET", f"{served.url}/")).json()
    deepaas = await ask("GET", f"{served.url}/ui")
    assert (deepaas.status, deepaas.headers["Location"]) == (302, "/api")


async def test_every_page_says_what_it_may_do(served: Served, signed_in: StorageState) -> None:
    for path in ("/ui/", "/ui/login", "/ui/nowhere", "/ui/inference", "/ui/inference/nobody"):
        answer = await ask("GET", served.url + path, headers={"Cookie": cookie_of(signed_in)})
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-store"


async def test_by_the_cookie_alone_no_model_runs(served: Served, signed_in: StorageState) -> None:
    """Over plain http beyond this machine, a browser says nothing of the page that makes it GET an address."""
    cookie = {"Cookie": cookie_of(signed_in)}
    origin, site = {"Origin": served.url}, {"Sec-Fetch-Site": "same-origin"}
    for path in ("/digits", "/digits/", "/digits?files=x", "/%64igits"):
        assert (await ask("GET", served.url + path, headers=cookie)).status in (308, 401)
        assert (await ask("HEAD", served.url + path, headers=cookie)).status in (200, 308)  # which runs nothing
    for header in (origin, site, {"Sec-Fetch-Site": "none"}, {PAGE_HEADER: "1"}):
        answer = await ask("GET", f"{served.url}/digits", headers=cookie | header)
        assert answer.status not in (401, 403), header
