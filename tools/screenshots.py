"""The pictures of the documentation, made anew: python tools/screenshots.py [--folder docs/images] [--only jobs]

Starts a server of its own, deploys my_model and examples/demo_app, calls them, trains, drops files, and takes a picture
of each page of the dashboard in Debian's chromium. Needs the extra `test` and examples/demo_app. Ports, ids, tokens and
keys are replaced before a picture is taken: nothing of this machine is to be seen, and the pictures of two runs differ
in little but measured times.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

ROOT = Path(__file__).parent.parent
DATA = ROOT / "data"
CHROMIUMS = ("/usr/bin/chromium-headless-shell", "/usr/bin/chromium")
LIMIT_BYTES = 150_000
ALL_LIMIT_BYTES = 1_500_000
QUALITY = 88  # of the pictures with a photo in them, which are too large without loss
WAIT_S = 300

# Text of the page, and of its fields, by regular expressions: what they find, and what is shown instead.
REPLACE = """(pairs) => {
  const known = pairs.map(([found, shown]) => [new RegExp(found, "g"), shown]);
  const replaced = (text) => known.reduce((now, [found, shown]) => now.replace(found, shown), text);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const text = replaced(node.data);
    if (text !== node.data) node.data = text;
  }
  const fields = document.querySelectorAll("input:not([type=file]), textarea");
  for (const field of fields) field.value = replaced(field.value);
}"""


class Server:
    """`modelport serve` with nothing deployed."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("MODELPORT_", "BEARER_"))}
        environ |= {"MODELPORT_HOME": str(self.home), "MY_MODEL_HOME": str(folder / "my_model")}
        environ |= {"MODELPORT_LISTEN_PORT": "0", "MODELPORT_S3_PORT": "0", "MODELPORT_GRACE_S": "1"}
        self._log = folder / "log"
        with open(self._log, "wb") as log:
            command = [sys.executable, "-m", "modelport", "serve", "--empty"]
            self._process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=log)

    def wait(self) -> Server:
        notice = self.home / "server.json"
        wait_until(lambda: notice.exists() or self._process.poll() is not None)
        if not notice.exists():
            raise SystemExit(self._log.read_text())
        told = json.loads(notice.read_text())
        self.url, self.token = str(told["url"]), str(told["token"])
        return self

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """As the owner. body: JSON, or bytes as they are. Returns the answer's JSON, or None."""
        sent = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        all_headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        all_headers |= {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, sent, all_headers, method=method)  # noqa: S310 (http alone)
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:  # noqa: S310
            text = answer.read()
        return json.loads(text) if text.strip().startswith((b"{", b"[")) else None

    def send(self, name: str, files: dict[str, Path], **headers: str) -> Any:
        """Call a service with files, by argument."""
        boundary, parts = "a boundary of its own".replace(" ", "-"), []
        for argument, path in files.items():
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="{argument}"; filename="{path.name}"\r\n\r\n'
            parts.append(head.encode() + path.read_bytes() + b"\r\n")
        body = b"".join([*parts, f"--{boundary}--\r\n".encode()])
        return self.ask("POST", f"/{name}", body, Content_Type=f"multipart/form-data; boundary={boundary}", **headers)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("what was waited for did not come")
        time.sleep(0.05)


# What there is to see


def furnish(server: Server) -> None:
    server.ask("POST", "/deployments", {"name": "digits", "module": "my_model", "title": "Handwritten digits"})
    server.ask("POST", "/deployments", {"name": "demo", "module": "demo_app", "title": "One argument of every kind"})
    for name in ("digits", "demo"):
        server.ask("GET", f"/deployments/{name}/card")
    for _ in range(3):
        server.send("digits", {"files": DATA / "digits_page.png"})
        server.ask("POST", "/demo", {})
    for recipe in ("mlp&augmentation=0", "knn&augmentation=1", "mlp&augmentation=2", "mlp&augmentation=1"):
        server.ask("POST", f"/v2/models/digits/train/?classifier={recipe}", {})
    for number in range(6):
        picture = DATA / ("digits_page.png" if number % 2 == 0 else "digit.png")
        key = f"/files/digits/inputs/page%20{number + 1}.png"
        server.ask("PUT", key, picture.read_bytes(), Content_Type="image/png")
    server.ask("PUT", "/files/digits/inputs/tone.wav", DATA.joinpath("tone.wav").read_bytes(), Content_Type="audio/wav")
    server.ask("POST", "/demo", {"demo_int": 7}, Prefer="respond-async")
    server.send("digits", {"files": DATA / "tone.wav"}, Prefer="respond-async")
    server.send("digits", {"files": DATA / "digits_page.png"}, Prefer="respond-async")
    wait_until(lambda: all(job["finished"] for job in server.ask("GET", "/jobs")["jobs"]))
    wait_until(lambda: len(server.ask("GET", "/files/digits?prefix=outputs/")["files"]) == 13)


def masks(server: Server) -> list[tuple[str, str]]:
    """What is replaced in every picture: (regular expression, text)."""
    found = [
        (re.escape(server.url.partition("//")[2]), "127.0.0.1:5000"),
        (re.escape(str(server.home)), "~/.modelport"),
    ]
    found.append((r"my-model-[0-9a-f]{6}", "my-model-3f9a1c"))
    found.append((r"\S+, process \d+", "server, process 4711"))
    for name in ("digits", "demo"):
        told = server.ask("GET", f"/deployments/{name}")
        bucket = told["bucket"]
        found += [(re.escape(told["token"]), "•" * 24), (re.escape(bucket["secret_key"]), "•" * 24)]
        found += [(re.escape(bucket["access_key"]), f"{name}-0a1b2c3d")]
        found += [(re.escape(bucket["endpoint"].partition("//")[2]), "127.0.0.1:9000")]
    for number, job in enumerate(
        sorted(server.ask("GET", "/jobs?limit=100")["jobs"], key=lambda each: str(each["id"]))
    ):
        shown = f"{number + 1:08x}"
        found += [(str(job["id"]), f"{'0' * 12}01{shown * 2}{'0' * 2}"), (str(job["id"])[-8:], shown)]
    return found


# The pictures


@dataclass(frozen=True)
class Scene:
    """One picture. prepare: what is done on the page before it is taken."""

    name: str
    path: str
    prepare: Callable[[Page], None] = lambda page: None
    width: int = 1280
    height: int = 800
    scheme: str = "light"
    flat: bool = True


def invoke(page: Page) -> None:
    page.get_by_label("files").set_input_files(DATA / "digits_page.png")
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".boxes svg")).to_be_visible(timeout=WAIT_S * 1000)
    page.evaluate("scrollTo(0, 0)")


def compare(page: Page) -> None:
    """Leads to the page of two runs."""
    for confidence in ("0.5", "0.9"):
        page.get_by_label("confidence", exact=True).fill(confidence)
        invoke(page)
        page.wait_for_url("**?run=*")
        expect(page.locator("#runs .succeeded").first).to_be_visible(timeout=WAIT_S * 1000)
    for number in range(2):
        page.locator("[data-compare]").nth(1 - number).check()
    page.get_by_role("link", name="Compare the two").click()
    expect(page.locator(".boxes svg")).to_have_count(2, timeout=WAIT_S * 1000)


def tick(page: Page) -> None:
    for box in page.locator("[data-curves]").all():
        box.check()
    expect(page.locator("#curves .chart-figure")).to_have_count(2, timeout=WAIT_S * 1000)


def invoke_on_phone(page: Page) -> None:
    invoke(page)
    page.locator(".boxes").scroll_into_view_if_needed()
    page.evaluate("window.scrollTo(0, document.querySelector('.boxes').getBoundingClientRect().top + scrollY - 120)")


def shown(selector: str) -> Callable[[Page], None]:
    return lambda page: expect(page.locator(selector).first).to_be_visible(timeout=WAIT_S * 1000)


def scenes(server: Server) -> Iterator[Scene]:
    jobs = server.ask("GET", "/jobs?limit=100")["jobs"]
    job = next(
        each
        for each in jobs
        if each["status"] == "succeeded" and each["source"] == "plain" and each["deployment"] == "digits"
    )
    training = next(each for each in jobs if each["method"] == "train")
    yield Scene("sign-in", "/ui/login", height=480)
    yield Scene("modules", "/ui/", height=640)
    yield Scene("module", "/ui/modules/my_model", shown("table"), height=900)
    yield Scene("deploy", "/ui/deploy?module=my_model", height=760)
    yield Scene("inference", "/ui/inference", shown("td:has-text('MiB')"), height=420)
    yield Scene("info", "/ui/inference/digits", height=900)
    yield Scene("invoke", "/ui/inference/digits/invoke", invoke, height=1000, flat=False)
    yield Scene("invoke-dark", "/ui/inference/digits/invoke", invoke, height=1000, scheme="dark", flat=False)
    yield Scene("invoke-phone", "/ui/inference/digits/invoke", invoke_on_phone, width=390, height=800, flat=False)
    yield Scene("compare", "/ui/inference/digits/invoke", compare, height=900, flat=False)
    yield Scene("jobs", "/ui/jobs", height=760)
    yield Scene("job", f"/ui/jobs/{job['id']}", shown(".boxes svg"), height=900, flat=False)
    yield Scene("trainings", "/ui/trainings?sort=-metric.accuracy", tick, height=760)
    yield Scene("training", f"/ui/jobs/{training['id']}", shown(".heat"), height=1000)
    yield Scene("files", "/ui/files/digits?prefix=outputs/", height=760)
    yield Scene("results", "/ui/files/digits/results", shown(".thumb svg"), height=900, flat=False)
    yield Scene("api", "/ui/api", shown(".opblock, .api"), height=760)
    yield Scene("status", "/ui/status", height=640)


def take(context: BrowserContext, url: str, scene: Scene, replaced: list[tuple[str, str]]) -> bytes:
    """WebP."""
    page = context.new_page()
    page.set_viewport_size({"width": scene.width, "height": scene.height})
    page.emulate_media(color_scheme=scene.scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    page.goto(url + scene.path)
    scene.prepare(page)
    expect(page.locator(".spinner:visible")).to_have_count(0, timeout=WAIT_S * 1000)
    page.evaluate("document.fonts.ready.then(() => undefined)")
    page.mouse.move(0, 0)
    page.evaluate(REPLACE, [list(each) for each in replaced])
    whole = Image.open(io.BytesIO(page.screenshot(animations="disabled", caret="hide")))
    page.close()
    return written(whole, lossless=True) if scene.flat else written(whole, quality=QUALITY)


def written(picture: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.convert("RGB").save(file, "WEBP", method=6, **options)
    return file.getvalue()


@contextlib.contextmanager
def browsing() -> Iterator[Browser]:
    program = next((chromium for chromium in CHROMIUMS if Path(chromium).exists()), None)
    if program is None:
        raise SystemExit(f"none of {', '.join(CHROMIUMS)} is here (Debian's package chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def photograph(server: Server, folder: Path, only: str) -> None:
    replaced = masks(server)
    with browsing() as browser:
        stranger, context = browser.new_context(), browser.new_context()
        page = context.new_page()
        page.goto(str(server.ask("POST", "/ui/code")["url"]))
        page.wait_for_url("**/ui/")
        page.close()
        for scene in scenes(server):
            if re.search(only, scene.name):
                picture = take(stranger if scene.name == "sign-in" else context, server.url, scene, replaced)
                path = folder / f"dashboard-{scene.name}.webp"
                path.write_bytes(picture)
                print(f"{path.name:32}{len(picture) / 1000:8.1f} kB", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--only", default="", help="pictures whose names this expression finds")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        server = Server(Path(name))
        try:
            furnish(server.wait())
            photograph(server, options.folder, options.only)
        finally:
            server.stop()
    sizes = {path.name: path.stat().st_size for path in options.folder.glob("dashboard-*.webp")}
    large = [name for name, size in sizes.items() if size > LIMIT_BYTES]
    print(f"{len(sizes)} pictures, {sum(sizes.values()) / 1000:.0f} kB; too large: {', '.join(large) or 'none'}")
    return 1 if large or sum(sizes.values()) > ALL_LIMIT_BYTES else 0


if __name__ == "__main__":
    sys.exit(main())
