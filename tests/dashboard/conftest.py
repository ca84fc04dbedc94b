"""A server in a process and a browser, both for all tests of this folder; a signed-in page for each."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Request, Response, Route, StorageState, async_playwright, expect

from tests.conftest import copy_home
from tests.dashboard.hostile import write_hostile
from tests.forked import Forked
from tests.house import PATIENCE_S, wait_until_now

ROOT = Path(__file__).parents[2]
# The first that is there: Debian's package of the same name. The headless shell is the same engine for less time.
BROWSERS = ("/usr/bin/chromium-headless-shell", "/usr/bin/chromium")
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
    # A camera and a microphone that every test may use.
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
)

SLOW = """
import time
from marshmallow import fields
def get_predict_args(): return {"seconds": fields.Float(load_default=60.0)}
def predict(seconds):
    print("working hard", flush=True)
    time.sleep(seconds)
    return "done"
"""
# Numbers that JavaScript would write another way, sent back as they came; and what has the name of an envelope.
EXACT = """
from marshmallow import fields
def get_predict_args():
    return {
        "whole": fields.Int(load_default=9007199254740993),
        "share": fields.Float(load_default=1.0),
        "wholes": fields.List(fields.Int(), load_default=[]),
        "table": fields.Dict(load_default={}),
        "note": fields.Str(load_default=""),
    }
def predict(**given):
    return {"result": given, "status": "OK"}
"""
FAILING = """
from marshmallow import fields
def get_predict_args(): return {"text": fields.Str(required=True)}
def predict(text):
    print("on the way to failing", flush=True)
    raise ValueError(text)
"""
STREAMED = """
import os, time
from marshmallow import fields
def get_predict_args(): return {"gate": fields.Str(required=True)}
def predict(gate):
    yield "<b>Bees</b> "
    yield "and "
    while not os.path.exists(gate):
        time.sleep(0.02)
    yield "wasps"
"""
# Tables, text, sound: as the argument asks.
ANSWERS = (Path(__file__).parent / "answers_module.py").read_text()
BROKEN = "import no_such_library\ndef predict(): pass\n"

EXEMPLIFIED = """
from marshmallow import fields
def get_predict_args(): return {"text": fields.Str(required=True)}
def predict(text): return text
"""
GREEDY = "title: greedy\nresources: {inference: {cpu: 4000, gpu: 3, memory_MB: 1000}}\n"

# A page's width in pixels changes what stands where, the scheme its colours. What looks at all of a page takes seconds.
APPEARANCES = [(1280, "light"), (390, "dark"), (1280, "dark"), (390, "light")]
in_every_appearance = pytest.mark.parametrize(
    ("width", "scheme"), [pytest.param(*appearance, marks=pytest.mark.thorough) for appearance in APPEARANCES]
)

expect.set_options(timeout=PATIENCE_S * 1000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The browser belongs to one event loop, so all tests here share it."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            item.add_marker(pytest.mark.slow)


@dataclass
class Served:
    """`modelport serve` as a process."""

    process: subprocess.Popen[bytes]
    home: Path
    log: Path
    context: ssl.SSLContext | None = None

    @property
    def notice(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.home / "server.json").read_text())
        return document

    @property
    def url(self) -> str:
        return str(self.notice["url"])

    @property
    def token(self) -> str:
        return str(self.notice["token"])

    def ask(self, method: str, path: str, document: Any = None) -> Any:
        """As the owner; the answer's JSON, or None."""
        body = None if document is None else json.dumps(document).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_S, context=self.context) as response:
            text = response.read()
        return json.loads(text) if text else None

    def link(self) -> str:
        """A new one, to sign in with."""
        return str(self.ask("POST", "/ui/code")["url"])

    def deploy(self, module: str, name: str, **options: Any) -> None:
        self.ask("POST", "/deployments", {"module": module, "name": name, **options})


@contextlib.contextmanager
def serving(home: Path, *modules: str, **settings: str) -> Iterator[Served]:
    """modules: named on the command line; none for `--empty`."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MODELPORT_", "BEARER_"))}
    environ |= {"MODELPORT_HOME": str(home), "MODELPORT_LISTEN_PORT": "0", "MY_MODEL_HOME": str(home / "my_model")}
    environ |= {f"MODELPORT_{name.upper()}": value for name, value in settings.items()}
    log = home.with_suffix(".log")
    with open(log, "ab") as output:
        process = Forked(
            [sys.executable, "-m", "modelport", "serve", *(modules or ("--empty",))],
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_now(lambda: (home / "server.json").exists() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield Served(process, home, log)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, fitted_home: Path) -> Iterator[Served]:
    """my_model as `digits`, demo_app as `demo`; modules that are slow, broken or hostile in folders."""
    folder = tmp_path_factory.mktemp("dashboard")
    for name, source in (
        ("slow", SLOW),
        ("broken", BROKEN),
        ("exact", EXACT),
        ("failing", FAILING),
        ("answers", ANSWERS),
        ("streamed", STREAMED),
        ("exemplified", EXEMPLIFIED),
    ):
        (folder / "modules" / name).mkdir(parents=True)
        (folder / "modules" / name / f"{name}_module.py").write_text(source)
    (folder / "modules" / "broken_yaml").mkdir()
    (folder / "modules" / "broken_yaml" / "api.py").write_text("def predict(): return 1\n")
    (folder / "modules" / "broken_yaml" / "ai4-metadata.yml").write_text("title: [unclosed\n")
    (folder / "modules" / "greedy").mkdir()
    (folder / "modules" / "greedy" / "api.py").write_text("def predict(): return 1\n")
    (folder / "modules" / "greedy" / "ai4-metadata.yml").write_text(GREEDY)
    write_hostile(folder / "hostile")
    copy_home(fitted_home, folder / "home" / "my_model")
    folders = f"{folder / 'modules'},{folder / 'hostile'}"
    with serving(folder / "home", module_folders=folders) as server:
        server.deploy("my_model", "digits", title="Handwritten digits")
        server.deploy("demo_app", "demo")
        own = ("slow", "exact", "failing", "answers", "streamed")
        for name in own:
            server.deploy(str(folder / "modules" / name), name)
        for name in ("digits", "demo", *own):
            server.ask("GET", f"/deployments/{name}/card")
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    path = next((each for each in BROWSERS if Path(each).exists()), None)
    if path is None:
        pytest.skip(f"there is none of {', '.join(BROWSERS)} (Debian's packages) to open the pages in")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def signed_in(browser: Browser, served: Served) -> StorageState:
    """What a browser keeps after it has signed in."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(served.link())
    await page.wait_for_url("**/ui/")
    state = await context.storage_state()
    await context.close()
    return state


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails says what its pages asked for."""
    report = yield
    watched = getattr(item, "funcargs", {}).get("watched")
    if report.failed and isinstance(watched, Watched):
        report.sections.append(("the pages asked for", "\n".join(watched.asked)))
    return report


@dataclass
class Watched:
    """What a page did that none should do."""

    own: str
    asked: list[str] = field(default_factory=list)  # not scripts and styles
    wrong: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)  # parts of messages that the test is about

    def watch(self, page: Page) -> None:
        page.on("console", lambda said: self._note(f"console: {said.text}") if said.type == "error" else None)
        page.on("pageerror", lambda error: self._note(f"error: {error}"))
        page.on("request", self._see)
        page.on("response", self._heard)

    def _see(self, request: Request) -> None:
        url = request.url
        if request.resource_type in ("document", "fetch", "xhr"):
            self.asked.append(f"{request.method} {url}")
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != self.own:
            self._note(f"asked for {url}")

    def _heard(self, response: Response) -> None:
        if response.status >= 400:
            self.asked.append(f"{response.status} {response.request.method} {response.url}")

    def _note(self, text: str) -> None:
        if not any(each in text for each in self.expected):
            self.wrong.append(text)


@pytest_asyncio.fixture(loop_scope="session")
async def watched(served: Served) -> AsyncIterator[Watched]:
    """Fails the test if a page wrote an error to its console, or asked for something from elsewhere."""
    seen = Watched(urlsplit(served.url).netloc)
    yield seen
    assert not seen.wrong


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, served: Served, signed_in: StorageState, watched: Watched) -> AsyncIterator[Page]:
    """A signed-in browser's page."""
    context = await browser.new_context(
        base_url=served.url, storage_state=signed_in, viewport={"width": 1280, "height": 900}
    )
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(PATIENCE_S * 1000)
    page = await context.new_page()
    page.on("dialog", lambda dialog: watched.wrong.append(f"a script said {dialog.message}"))
    watched.watch(page)
    yield page
    await context.close()


ADDRESS = re.compile(r' (?:href|src|action|hx-get|hx-post)="([^"]+)"')


async def pages_below(served: Served, cookie: str, but: str = "$^") -> dict[str, str]:
    """The HTML of every page, by path from `served.url` on, and "" for what else they name. All are there, and below
    that address. but: an expression; paths in which it matches are left out."""
    parts = urlsplit(served.url)
    origin, base = f"{parts.scheme}://{parts.netloc}", parts.path
    seen: dict[str, str] = {}
    ahead = {f"{base}/ui/"}
    jar, tls = aiohttp.DummyCookieJar(), aiohttp.TCPConnector(ssl=served.context or True)
    async with aiohttp.ClientSession(cookie_jar=jar, connector=tls, headers={"Cookie": cookie}) as session:
        while ahead:
            path = ahead.pop()
            async with session.get(origin + path, allow_redirects=False) as answer:
                seen[path] = text = await answer.text() if answer.content_type == "text/html" else ""
            assert answer.status == 200 or answer.headers.get("Location", "").startswith(f"{base}/"), path
            named = {unescape(match).partition("?")[0] for match in ADDRESS.findall(text)} - {"#main", ""}
            own = {address for address in named if not address.startswith(("https://", served.url))}
            own = {address for address in own if not re.search(but, address)}
            assert all(address.startswith(f"{base}/") for address in own), (path, own)
            ahead |= {address for address in own if not address.endswith(("/logout", "/login"))} - seen.keys()
    return {path.removeprefix(base): text for path, text in seen.items()}


async def drop(page: Page, place: str, files: list[Path]) -> None:
    """Files dragged in from elsewhere, as a hand does it: the browser itself decides what becomes of them."""
    box = await page.locator(place).bounding_box()
    assert box
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    dragged = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
    protocol = await page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        await protocol.send("Input.dispatchDragEvent", {"type": kind, **at, "data": dragged})
    await protocol.detach()


async def undeploy(page: Page, served: Served, name: str) -> None:
    """The page is left before: it would say that its service has gone, and the browser that something was not found."""
    await page.goto("about:blank")
    served.ask("DELETE", f"/deployments/{name}")


@contextlib.asynccontextmanager
async def held_back(page: Page, addresses: str) -> AsyncIterator[asyncio.Event]:
    """The answer to the first of these requests comes to the page only after the block. The event: it is there."""
    answered, released = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        response = await route.fetch()
        answered.set()
        await released.wait()
        await route.fulfill(response=response)

    await page.route(addresses, hold, times=1)
    try:
        yield answered
    finally:
        released.set()


async def copied(page: Page) -> str:
    """What lies in the clipboard."""
    return str(await page.evaluate("navigator.clipboard.readText()"))


async def wait_in_page(page: Page, condition: str, arg: Any = None) -> None:
    """Until it holds. What `wait_for_function` polls is text, which the pages' Content-Security-Policy forbids."""
    async with asyncio.timeout(PATIENCE_S):
        while not await page.evaluate(condition, arg):
            await asyncio.sleep(0.05)


async def run(command: list[str] | str, within_s: float = PATIENCE_S, **options: Any) -> str:
    """What a command prints; it must succeed. Text is for bash."""
    arguments = ["bash", "-c", command] if isinstance(command, str) else command
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*arguments, stdout=pipe, stderr=pipe, cwd=ROOT, **options)
    async with asyncio.timeout(within_s):
        said, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    return said.decode()
