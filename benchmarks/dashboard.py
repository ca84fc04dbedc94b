"""The dashboard with much in it: how long the server takes for each page, when the browser first paints it, and what a
page costs that lies open while nothing happens.

    python benchmarks/dashboard.py [--modules 200] [--jobs 5000] [--requests 100] [--loads 10] [--idle-s 20] [--check]

Needs chromium (Debian's package chromium or chromium-headless-shell). Beside each page stands, in the same run and
interleaved, a bare aiohttp handler that answers as many bytes (server), and the same HTML as a static file of that
handler, with the same stylesheet and without scripts (paint): what the browser takes for it at least.

--check: status 1 where a page misses its target: server p99 50 ms, first paint 200 ms in the median of cold loads.
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from dashboard_house import House, Measured, furnish, pages
from load import descendants, free_port
from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, sync_playwright

SERVER_MS = 50.0
PAINT_MS = 200.0
CHROMIUMS = ("/usr/bin/chromium-headless-shell", "/usr/bin/chromium")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
TICKS = os.sysconf("SC_CLK_TCK")

# A bare handler that answers what it was given: pages by number, and the stylesheet.
BARE = """
import sys, json
from pathlib import Path
from aiohttp import web
folder = Path(sys.argv[2])
known = {}
async def page(request):
    name = request.match_info["name"]
    if name not in known:
        known[name] = (folder / name).read_bytes()
    kind = "text/css" if name.endswith(".css") else "text/html"
    keep = "max-age=31536000, immutable" if name.endswith(".css") else "no-store"
    return web.Response(body=known[name], content_type=kind, charset="utf-8", headers={"Cache-Control": keep})
app = web.Application()
app.router.add_get("/{name}", page)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
"""


# The server's time


class Client:
    """One connection that is kept."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
        self._headers = headers

    def get(self, path: str, part: bool = False, signed: bool = True) -> tuple[int, bytes, float]:
        """Status, body, ms until the last byte of it."""
        headers = {**(self._headers if signed else {}), **({"HX-Request": "true"} if part else {})}
        start = time.perf_counter()
        self._connection.request("GET", path, headers=headers)
        answer = self._connection.getresponse()
        body = answer.read()
        return answer.status, body, (time.perf_counter() - start) * 1000


def serve_times(found: list[Measured], ours: Client, bare: Client, requests: int, rounds: int) -> None:
    """All pages in turn, so that what else the machine does meets each alike. Of a page's rounds the one with the
    lowest p99 counts: another's turn on the processor takes longer than any page."""
    for _ in range(rounds):
        took: list[tuple[list[float], list[float]]] = [([], []) for _ in found]
        for _ in range(requests):
            for each, (server, floor) in zip(found, took, strict=True):
                server.append(ours.get(each.path, each.part, each.signed)[2])
                floor.append(bare.get(f"/{each.file}")[2])
        for each, (server, floor) in zip(found, took, strict=True):
            each.server = min(each.server or server, server, key=p99)
            each.bare = min(each.bare or floor, floor, key=p99)


def processor_times(found: list[Measured], ours: Client, pid: int, requests: int) -> None:
    """What the server's process uses for a page: unlike the time, it hardly depends on what else the machine does."""
    for each in found:
        before = used_ms(pid)
        for _ in range(requests):
            ours.get(each.path, each.part, each.signed)
        each.processor = (used_ms(pid) - before) / requests


def used_ms(pid: int) -> float:
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            total += int((thread / "schedstat").read_text().split()[0])
    return total / 1e6


def keep_copies(found: list[Measured], ours: Client, folder: Path) -> list[Measured]:
    """Each page as a file without scripts, for the bare handler. Returns the pages that there are."""
    there = []
    for each in found:
        status, body, _ = ours.get(each.path, each.part, each.signed)
        if status != 200:
            print(f"  {each.name}: left out, it answers {status}")
            continue
        each.size_bytes = len(body)
        text = re.sub(r"<script\b.*?</script>", "", body.decode(), flags=re.S)
        text = re.sub(r"/ui/static/\w+/style\.css", "/style.css", text)
        (folder / each.file).write_text(text + " " * max(0, len(body) - len(text.encode())))
        there.append(each)
    style = re.search(r"/ui/static/\w+/style\.css", ours.get("/ui/login", signed=False)[1].decode())
    (folder / "style.css").write_bytes(ours.get(style[0])[1])
    return there


@contextlib.contextmanager
def bare_server(folder: Path) -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", BARE, str(port), str(folder)])
    try:
        while True:
            with contextlib.suppress(OSError):
                Client(f"http://127.0.0.1:{port}", {}).get("/style.css")
                break
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


# First paint

FIRST_PAINT = """() => new Promise((resolve) => {
  const found = () => performance.getEntriesByName("first-contentful-paint")[0];
  if (found()) return resolve(found().startTime);
  new PerformanceObserver(() => found() && resolve(found().startTime)).observe({ type: "paint", buffered: true });
})"""


def contexts(browser: Browser, url: str, cookie: str) -> Callable[..., BrowserContext]:
    """Makes browsers that have signed in, with nothing in their caches."""
    name, _, value = cookie.partition("=")

    def make(signed: bool = True) -> BrowserContext:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        if signed:
            context.add_cookies([{"name": name, "value": value, "url": url + "/", "sameSite": "Strict"}])
        return context

    return make


def paint(page: Page, url: str) -> float:
    """ms from the beginning of the navigation to the first paint that shows something."""
    page.goto(url, wait_until="load")
    return float(page.evaluate(FIRST_PAINT))


def paint_times(found: list[Measured], make: Callable[..., BrowserContext], url: str, bare: str, loads: int) -> None:
    """In a tab that has shown something before: how a browser begins a process is not ours. Cold: its cache is empty.
    Warm: the scripts and the stylesheet are in it, as for every page but the first. static: cold, too."""
    for each in [each for each in found if not each.part]:
        with contextlib.closing(make(each.signed)) as context:
            page = context.new_page()
            session = context.new_cdp_session(page)
            paint(page, url + each.path)
            for _ in range(loads):
                session.send("Network.clearBrowserCache")
                each.cold.append(paint(page, url + each.path))
                each.warm.append(paint(page, url + each.path))
                session.send("Network.clearBrowserCache")
                each.static.append(paint(page, f"{bare}/{each.file}"))


# A page that lies open


def processor_s(pids: list[int]) -> float:
    """What these processes have used."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def resident_kb(pid: int) -> int:
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def chromium_pids() -> list[int]:
    return [pid for pid in descendants(os.getpid()) if "chrom" in Path(f"/proc/{pid}/cmdline").read_text()]


OPEN = ("modules", "inference", "info", "logs", "jobs", "job", "files: outputs", "files: results", "status")


def idle_costs(found: list[Measured], make: Callable[..., BrowserContext], house: House, seconds: float) -> None:
    print(
        f"\na page that lies open for {seconds:g} s while nothing happens: processor time, % of one core, load ", end=""
    )
    print(f"{os.getloadavg()[0]:.1f}\n{'':28}{'server':>8}{'browser':>9}{'requests':>10}")
    for name, path in [("nothing but the browser", ""), *((e.name, e.path) for e in found if e.name in OPEN)]:
        with contextlib.closing(make()) as context:
            page = context.new_page()
            page.goto(house.url + path if path else "about:blank", wait_until="load")
            page.wait_for_timeout(1500)
            asked: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            pids = chromium_pids()
            before = processor_s([house.process.pid]), processor_s(pids)
            page.wait_for_timeout(seconds * 1000)
            after = processor_s([house.process.pid]), processor_s(pids)
        shares = [(b - a) / seconds * 100 for a, b in zip(before, after, strict=True)]
        print(f"  {name:26}{shares[0]:7.2f}%{shares[1]:8.2f}%{len(asked):10}", flush=True)


# As the page itself asks again, but without waiting: (page, JavaScript that does it once).
AGAIN = {
    "inference": "() => htmx.ajax('GET', '/ui/inference', { target: '#deployments', swap: 'outerHTML' })",
    "info": "() => htmx.ajax('GET', location.pathname, { target: '#details', swap: 'outerHTML' })",
    "jobs": "() => htmx.ajax('GET', '/ui/jobs', { target: '#jobs', swap: 'outerHTML' })",
    "files: outputs": "() => htmx.ajax('GET', `${location}`, { target: '#files', swap: 'outerHTML' })",
    "status": "() => htmx.ajax('GET', '/ui/status', { target: '#status', swap: 'outerHTML' })",
}


def held_memory(found: list[Measured], make: Callable[..., BrowserContext], house: House, times: int) -> None:
    print(
        f"\nthe same pages after {times} changes of what they show: what JavaScript holds, and the server, load ",
        end="",
    )
    print(f"{os.getloadavg()[0]:.1f}\n{'':28}{'heap, kB':>16}{'nodes':>16}{'listeners':>14}{'server grows, kB':>19}")
    for each in found:
        if each.name in AGAIN:
            with contextlib.closing(make()) as context:
                page = context.new_page()
                page.goto(house.url + each.path, wait_until="load")
                session = context.new_cdp_session(page)
                repeat(page, AGAIN[each.name], 300)  # the browser's list of requests is full then
                before, server = counted(session), resident_kb(house.process.pid)
                repeat(page, AGAIN[each.name], times)
                after, grown = counted(session), resident_kb(house.process.pid) - server
            told = [f"{old} → {new}" for old, new in zip(before, after, strict=True)]
            print(f"  {each.name:26}{told[0]:>16}{told[1]:>16}{told[2]:>14}{grown:19}", flush=True)


def repeat(page: Page, script: str, times: int) -> None:
    for _ in range(times):
        page.evaluate(script)
    page.wait_for_timeout(4000)  # what was taken away waits for its next poll until then


def counted(session: CDPSession) -> tuple[int, int, int]:
    """kB of the heap, nodes and listeners, after collection."""
    session.send("HeapProfiler.enable")
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    told = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
    return int(told["JSHeapUsedSize"] / 1024), int(told["Nodes"]), int(told["JSEventListeners"])


# What is printed


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[98]


def show_server(found: list[Measured]) -> None:
    print(f"{'':26}{'kB':>7}{'p50':>9}{'p99':>9}{'processor':>11}{'bare p50':>10}{'bare p99':>10}{'ratio':>8}   ms")
    for each in found:
        middle, floor = statistics.median(each.server), statistics.median(each.bare)
        row = f"{each.size_bytes / 1000:7.1f}{middle:9.2f}{p99(each.server):9.2f}{each.processor:11.2f}"
        row += f"{floor:10.2f}{p99(each.bare):10.2f}"
        missed = "" if p99(each.server) <= SERVER_MS else "   missed"
        print(f"  {each.name:24}{row}{middle / floor:8.1f}{missed}", flush=True)


def show_paint(found: list[Measured]) -> None:
    print(f"{'':26}{'cold':>8}{'worst':>8}{'warm':>8}{'worst':>8}{'static':>9}{'ratio':>8}   ms")
    for each in [each for each in found if each.cold]:
        cold, static = statistics.median(each.cold), statistics.median(each.static)
        row = f"{cold:8.0f}{max(each.cold):8.0f}{statistics.median(each.warm):8.0f}{max(each.warm):8.0f}{static:9.0f}"
        print(f"  {each.name:24}{row}{cold / static:8.2f}{'' if cold <= PAINT_MS else '   missed'}", flush=True)


def missed(found: list[Measured]) -> list[str]:
    slow = [each.name for each in found if each.server and p99(each.server) > SERVER_MS]
    late = [each.name for each in found if each.cold and statistics.median(each.cold) > PAINT_MS]
    return [*(f"{each}: server" for each in slow), *(f"{each}: first paint" for each in late)]


def measure(house: House, names: list[str], folder: Path, options: argparse.Namespace) -> list[Measured]:
    cookie = house.sign_in()
    ours = Client(house.url, {"Cookie": cookie})
    found = keep_copies(pages(house, names), ours, folder)
    if options.only:
        found = [each for each in found if re.search(options.only, each.name)]
    with bare_server(folder) as bare, browsing() as browser:
        print(
            f"\nserver: the quietest of {options.rounds} rounds of {options.requests} requests, one connection, ",
            end="",
        )
        print(f"load {os.getloadavg()[0]:.1f}")
        serve_times(found, ours, Client(bare, {}), options.requests, options.rounds)
        processor_times(found, ours, house.process.pid, 20)
        show_server(found)
        make = contexts(browser, house.url, cookie)
        if options.loads:
            print(f"\nfirst contentful paint: medians of {options.loads} loads, load {os.getloadavg()[0]:.1f}")
            paint_times(found, make, house.url, bare, options.loads)
            show_paint(found)
        if options.idle_s:
            idle_costs(found, make, house, options.idle_s)
        if options.again:
            held_memory(found, make, house, options.again)
    return found


@contextlib.contextmanager
def browsing() -> Iterator[Browser]:
    program = next(chromium for chromium in CHROMIUMS if Path(chromium).exists())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield browser
        browser.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default=None, help="where the store and the files lie; a real disk")
    for name, value in (("modules", 200), ("deployments", 12), ("jobs", 5000), ("waiting", 200), ("files", 3000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loads", type=int, default=10, help="of each page, cold and warm; 0: none")
    parser.add_argument("--idle-s", type=float, default=20, help="how long pages lie open; 0: not at all")
    parser.add_argument("--again", type=int, default=1000, help="how often pages are changed; 0: not at all")
    parser.add_argument("--only", default="", help="pages whose names this expression finds")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        (folder / "bare").mkdir()
        names = furnish(folder / "home", folder / "modules", vars(options))
        house = House(folder / "home", folder / "modules")
        try:
            house.warm(names)
            house.hold(names[2], options.waiting)
            jobs = json.dumps({each: options.__dict__[each] for each in ("modules", "deployments", "jobs", "files")})
            print(f"{jobs}, {options.waiting} more jobs wait")
            late = missed(measure(house, names, folder / "bare", options))
        finally:
            house.stop()
    print("\nall targets are reached" if not late else f"\nmissed: {', '.join(late)}")
    return 1 if late and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
