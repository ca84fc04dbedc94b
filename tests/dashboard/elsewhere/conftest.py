"""A server below a path, behind a proxy that ends https, by a name of its own, without documentation pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, StorageState

from tests.conftest import copy_home
from tests.dashboard.conftest import Served, serving

BASE = "/deep/port"
NAME = "dash.example"


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, fitted_home: Path) -> Iterator[Served]:
    """my_model as `digits`."""
    home = tmp_path_factory.mktemp("elsewhere") / "home"
    copy_home(fitted_home, home / "my_model")
    with serving(home, base_path=BASE, hosts=NAME, trusted_proxies="127.0.0.1", doc_endpoint="false") as server:
        server.deploy("my_model", "digits")
        server.ask("GET", "/deployments/digits/card")
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def signed_in(browser: Browser, served: Served) -> StorageState:
    """To this server."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(served.link())
    await page.wait_for_url(f"**{BASE}/ui/")
    state = await context.storage_state()
    await context.close()
    return state
