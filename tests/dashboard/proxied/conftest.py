"""The same server behind a real nginx, in each of the ways in which people put one there."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, StorageState

from tests.dashboard.conftest import EXACT, Served, serving
from tests.nginx import nginx, self_signed

BELIEVED = {"trusted_proxies": "127.0.0.1"}
NAMED = "proxy_set_header Host $http_host;"


@dataclass(frozen=True)
class Way:
    """headers: nginx's lines. prefix: where the browser finds the server; stripped: nginx removes it, or part of it."""

    headers: str
    prefix: str = ""
    stripped: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    tls: bool = False

    def server(self, port: int) -> str:
        place = f"http://127.0.0.1:{port}{'/' if self.stripped else ''}"
        return f"location {self.stripped or self.prefix}/ {{ proxy_pass {place}; {self.headers} }}"


WAYS = {
    "the prefix is kept": Way(NAMED, "/ml", settings={"base_path": "/ml"}),
    "the prefix is removed and named": Way(
        f"{NAMED} proxy_set_header X-Forwarded-Prefix /apps/ml;", "/apps/ml", "/apps/ml", BELIEVED
    ),
    "the prefix is removed and set": Way(NAMED, "/apps/ml", "/apps/ml", {"root_path": "/apps/ml"}),
    "the host is nginx's own": Way("proxy_set_header X-Forwarded-Host $http_host;", settings=BELIEVED),
    "https ends before": Way(f"{NAMED} proxy_set_header X-Forwarded-Proto $scheme;", settings=BELIEVED, tls=True),
    "all is said by the standard header": Way(
        'proxy_set_header Forwarded "for=$remote_addr;host=\\"$http_host\\";proto=$scheme"; '
        "proxy_set_header X-Forwarded-Prefix /user/me/proxy;",
        "/user/me/proxy/ml",
        "/user/me/proxy",
        {**BELIEVED, "base_path": "/ml"},
        tls=True,
    ),
}


@dataclass
class Proxied(Served):
    """url: where nginx has it."""

    public: str = ""
    certificate: Path | None = None

    @property
    def url(self) -> str:
        return self.public

    @property
    def environment(self) -> dict[str, str]:
        """For programs that are to trust it."""
        return {} if self.certificate is None else {"SSL_CERT_FILE": f"{self.certificate}.crt"}


# What this one shows the others show in parts; they take ten seconds each.
OFTEN = "all is said by the standard header"
PARAMS = [way if way == OFTEN else pytest.param(way, marks=pytest.mark.thorough) for way in WAYS]


@pytest.fixture(scope="session", params=PARAMS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A module that sends its arguments back as `exact`."""
    way, folder = WAYS[request.param], tmp_path_factory.mktemp("proxied")
    (folder / "exact").mkdir()
    (folder / "exact" / "exact_module.py").write_text(EXACT)
    certificate = self_signed(folder) if way.tls else None
    context = None if certificate is None else ssl.create_default_context(cafile=f"{certificate}.crt")
    with contextlib.ExitStack() as stack:
        direct = stack.enter_context(serving(folder / "home", **way.settings))
        server = way.server(urlsplit(direct.url).port or 0)
        port = stack.enter_context(nginx(folder / "nginx", server, certificate))
        public = f"{'https://localhost' if way.tls else 'http://127.0.0.1'}:{port}{way.prefix}"
        proxied = Proxied(direct.process, direct.home, direct.log, context, public, certificate)
        proxied.deploy(str(folder / "exact"), "exact")
        proxied.ask("GET", "/deployments/exact/card")
        yield proxied


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def signed_in(browser: Browser, served: Served) -> StorageState:
    """By the link that the server gives to who asks by nginx."""
    context = await browser.new_context(ignore_https_errors=True)
    page = await context.new_page()
    link = served.link()
    assert link.startswith(f"{served.url}/ui/login?code=")
    await page.goto(link)
    await page.wait_for_url(f"{served.url}/ui/")
    state = await context.storage_state()
    await context.close()
    return state
