"""The dashboard in Debian's Firefox, by WebDriver BiDi: Playwright drives only a Firefox of its own."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.dashboard.conftest import Served
from tests.dashboard.test_compare import submit
from tests.dashboard.test_series import PLACES, WEATHER, tone
from tests.house import PATIENCE_S

pytestmark = pytest.mark.thorough
# It takes a busy machine half a minute to begin.
FIREFOX_S = 4 * PATIENCE_S
# It asks nobody on the internet.
PREFERENCES = """
user_pref("app.normandy.enabled", false);
user_pref("browser.startup.page", 0);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "data:,");
"""
LISTENING = re.compile(rb"WebDriver BiDi listening on (ws://\S+)")


class Firefox:
    """One tab. errors: what its pages wrote to the console, or threw."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._numbers, self._tab = socket, itertools.count(), ""
        self.errors: list[str] = []

    async def open(self) -> None:
        await self._ask("session.new", capabilities={})
        await self._ask("session.subscribe", events=["log.entryAdded"])
        self._tab = (await self._ask("browsingContext.getTree"))["contexts"][0]["context"]

    async def _ask(self, method: str, **params: Any) -> Any:
        id = next(self._numbers)
        await self._socket.send_json({"id": id, "method": method, "params": params})
        while True:
            told = json.loads(await self._socket.receive_str(timeout=FIREFOX_S))
            if told.get("method") == "log.entryAdded" and told["params"]["level"] == "error":
                self.errors.append(told["params"]["text"])
            if told.get("id") == id:
                assert "result" in told, told
                return told["result"]

    async def goto(self, url: str) -> None:
        await self._ask("browsingContext.navigate", context=self._tab, url=url, wait="complete")

    async def resize(self, width: int) -> None:
        viewport = {"width": width, "height": 900}
        await self._ask("browsingContext.setViewport", context=self._tab, viewport=viewport)

    async def evaluate(self, expression: str) -> Any:
        target = {"context": self._tab}
        told = await self._ask("script.evaluate", expression=expression, target=target, awaitPromise=True)
        assert told["type"] == "success", told
        return told["result"].get("value")

    async def wait(self, condition: str) -> None:
        """Until a JavaScript expression is true; the page may change meanwhile."""
        async with asyncio.timeout(FIREFOX_S):
            while not await self.evaluate(f"Boolean({condition})"):
                await asyncio.sleep(0.05)


@asynccontextmanager
async def firefox(profile: Path) -> AsyncIterator[Firefox]:
    program = shutil.which("firefox-esr")
    if program is None:
        pytest.skip("there is no firefox-esr (Debian's package) to open the pages in")
    (profile / "user.js").write_text(PREFERENCES)
    command = [program, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0"]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        assert process.stderr is not None
        async with asyncio.timeout(FIREFOX_S):
            address = None
            while address is None:
                line = await process.stderr.readline()
                assert line, "Firefox has ended"
                address = LISTENING.search(line)
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{address[1].decode()}/session") as socket:
            browser = Firefox(socket)
            await browser.open()
            yield browser
    finally:
        process.terminate()
        await process.communicate()


async def test_the_pages_work_in_firefox(served: Served, tmp_path: Path) -> None:
    jobs = [await submit(served, "/exact", note=note) for note in ("one", "two")]
    shared = served.ask("POST", "/deployments/exact/links", {})["url"]
    async with firefox(tmp_path) as browser:
        await browser.goto(shared)
        await browser.wait(
            "location.pathname === '/ui/shared/exact' && !location.hash && document.getElementById('run')"
        )
        await browser.goto(served.link())
        await browser.wait("location.pathname === '/ui/'")
        await check_pages(browser, served, jobs)
        await browser.goto(f"{served.url}/ui/inference/digits/invoke?example=0")
        await browser.wait("document.querySelector('.preview figcaption')")
        await browser.evaluate("document.getElementById('run').click()")
        await browser.wait("document.querySelectorAll('.boxes rect').length > 20")
        await browser.evaluate("document.querySelector('[aria-label=\"Zoom in\"]').click()")
        await browser.wait("document.querySelector('.zoomed img').style.width")
        several = json.dumps({"flight": WEATHER, "field": PLACES, "speech": tone(1), "text": "two\nlines"})
        job = await submit(served, "/answers", kind="given", text=several)
        await browser.goto(f"{served.url}/ui/inference/answers/invoke?run={job}")
        await browser.wait("document.querySelectorAll('.outputs > *').length === 4")
        for part in (".series .line", ".geo .joint", ".gallery .waveform path"):
            await browser.wait(f"document.querySelector('{part}')?.getAttribute('d')")
        await browser.goto(f"{served.url}/ui/inference/answers/invoke")
        await browser.evaluate("document.getElementById('run').click()")
        await browser.wait("document.querySelectorAll('.rows tbody tr').length === 100")
        await browser.wait("document.querySelectorAll('.histogram').length === 2")
        assert browser.errors == []


async def check_pages(browser: Firefox, served: Served, jobs: list[str]) -> None:
    paths = [
        "",
        "deploy?module=my_model",
        "inference",
        "inference/digits",
        "inference/digits/logs",
        "jobs",
        "trainings",
    ]
    paths += [f"jobs/{jobs[0]}", f"compare?one={jobs[0]}&other={jobs[1]}", "files/digits", "status", "modules/my_model"]
    for width in (390, 1280):
        await browser.resize(width)
        for path in paths:
            await browser.goto(f"{served.url}/ui/{path}")
            await browser.wait(
                "!document.querySelector('main .spinner') || document.querySelector('[hidden] .spinner')"
            )
            assert await browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), (path, width)
