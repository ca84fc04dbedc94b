"""What any web page can make the user's browser send to a server that asks for no token: refused, and nothing runs."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.house import Answer, House, open_house

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD = "open sesame"
EVIL = "https://evil.example"
FORM, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"

# The headers of each way; {own} is our host and port, {port} the port.
WAYS: dict[str, dict[str, str]] = {
    "a form": {"Origin": EVIL, "Content-Type": FORM, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    "a form with files": {"Origin": EVIL, "Content-Type": MULTIPART},
    "a fetch of text": {"Origin": EVIL, "Content-Type": "text/plain"},
    "a fetch without a type": {"Origin": EVIL},
    "a fetch that is let through a preflight": {"Origin": EVIL, "Content-Type": "application/json"},
    "a sandboxed frame": {"Origin": "null", "Content-Type": "text/plain"},
    "a page without an origin": {"Origin": ""},
    "another server of this machine": {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"},
    "another port, without metadata": {"Origin": "http://127.0.0.1:1"},
    "another name of this server": {"Origin": "http://localhost:{port}"},
    "an origin that begins like ours": {"Origin": "http://{own}.evil.example"},
    "an origin that ends like ours": {"Origin": "http://evil.example#{own}"},
    "an origin with ours as its user": {"Origin": "http://{own}@evil.example"},
    "an origin that is only our host": {"Origin": "{own}"},
    "a picture": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    "a script": {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
    "a frame": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    "an object": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "object"},
    "unknown metadata": {"Sec-Fetch-Site": "nonsense"},
    "a rebound name": {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
    "a rebound name with our port": {"Host": "evil.example:{port}", "Sec-Fetch-Site": "same-origin"},
    "a rebound name, silent": {"Host": "evil.example"},
    "a name that begins like an address": {"Host": "127.0.0.1.evil.example"},
    "a name that begins like ours": {"Host": "localhost.evil.example"},
    "a name that ends like ours": {"Host": "evil-localhost"},
    "an address as a user": {"Host": "127.0.0.1:80@evil.example"},
    "an address before a slash": {"Host": "127.0.0.1/evil.example"},
    "an address before a backslash": {"Host": "127.0.0.1\\evil.example"},
    "two names": {"Host": "127.0.0.1, evil.example"},
    "no name": {"Host": ""},
    "a word of a proxy that nobody named": {"Host": "evil.example", "X-Forwarded-Host": "127.0.0.1"},
    "the same in the standard's words": {"Host": "evil.example", "Forwarded": "host=127.0.0.1"},
    "a token of its own making": {"Origin": EVIL, "Authorization": "Bearer guess"},
    "an account of its own making": {"Origin": EVIL, "Authorization": "Bearer a.b.c"},
    "a password of its own making": {"Origin": EVIL, "Authorization": "Basic b3NjYXI6Z3Vlc3M="},
    "a header that we know": {"Origin": EVIL, "X-Modelport-Page": "1"},
    "a cookie of its own making": {"Origin": EVIL, "Cookie": "modelport_{port}=guess"},
}

# (door, method, path, how a refusal looks)
TARGETS = (
    ("OSCAR, run", "POST", "/run/x", "text"),
    ("OSCAR, job", "POST", "/job/x", "text"),
    ("OSCAR, services", "GET", "/system/services", "text"),
    ("plain, GET", "GET", "/x?word=a", "detail"),
    ("plain, POST", "POST", "/x", "detail"),
    ("plain, job", "POST", "/x/async", "detail"),
    ("plain, nobody", "GET", "/nobody", "detail"),
    ("DEEPaaS, predict", "POST", "/v2/models/x/predict/", "text"),
    ("DEEPaaS, train", "POST", "/v2/models/x/train/", "text"),
    ("DEEPaaS, list", "GET", "/v2/models/", "text"),
    ("jobs, list", "GET", "/jobs", "error"),
    ("jobs, clear", "DELETE", "/jobs?deployment=x", "error"),
    ("jobs, again", "POST", "/jobs/00000000000000000000000000000000/run-again", "error"),
    ("events", "GET", "/events", "error"),
    ("deployments", "POST", "/deployments", "error"),
    ("files", "PUT", "/files/x/inputs/a.json", "error"),
    ("modules", "POST", "/modules/refresh", "error"),
    ("document", "GET", "/openapi.json", "error"),
    ("metrics", "GET", "/metrics", "error"),
    ("health", "GET", "/health", "error"),
    ("dashboard", "POST", "/ui/login", "page"),
    ("dashboard, code", "POST", "/ui/code", "page"),
    ("nowhere", "GET", "/no/such/thing", "detail"),
    ("another method", "PATCH", "/x", "detail"),
    ("nobody's method", "PROPFIND", "/x", "detail"),
)


@dataclass
class Open:
    house: House
    runs: Path

    async def ask(self, method: str, path: str, headers: dict[str, str], body: bytes = b"{}") -> Answer:
        port = self.house.server.port
        said = {name: value.format(own=f"127.0.0.1:{port}", port=port) for name, value in headers.items()}
        return await self.house.ask(method, path, headers=said, data=body, skip_auto_headers=["Content-Type"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Open]:
    folder = tmp_path_factory.mktemp("pages")
    runs = folder / "runs"
    source = f"""
def run(**k):
    with open({str(runs)!r}, "a") as file:
        file.write("x")
    return 1
predict = train = run
"""
    async with open_house(folder, source, password=PASSWORD, start_method="fork") as house:
        yield Open(house, runs)


def looks(answer: Answer, shape: str) -> bool:
    if shape in ("detail", "error"):
        return isinstance(answer.json()[shape], str)
    return answer.type.startswith("text/html" if shape == "page" else "text/plain")


@pytest.mark.parametrize("target", TARGETS, ids=[target[0] for target in TARGETS])
@pytest.mark.parametrize("way", WAYS)
async def test_no_page_can(opened: Open, way: str, target: tuple[str, str, str, str]) -> None:
    _, method, path, shape = target
    answer = await opened.ask(method, path, WAYS[way])
    assert (answer.status, looks(answer, shape)) == (403, True), answer.text[:300]
    assert not [name for name in answer.headers if name.startswith("Access-Control")]
    assert not opened.runs.exists()
    assert sum(sum(row.values()) for row in opened.house.gateway.jobs.counts().values()) == 0


@pytest.mark.parametrize("way", [way for way, headers in WAYS.items() if "Origin" in headers and "Host" not in headers])
async def test_no_page_is_told_that_it_may(opened: Open, way: str) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    for _, _, path, _ in TARGETS:
        answer = await opened.ask("OPTIONS", path, WAYS[way] | asked, b"")
        assert answer.status == 403, path
        assert not [name for name in answer.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize("kind", ["text/plain", FORM, MULTIPART, "text/plain; charset=utf-8", ""])
async def test_a_password_that_the_browser_has_kept_lets_no_form_in(opened: Open, kind: str) -> None:
    password = {"Authorization": "Basic " + base64.b64encode(f"oscar:{PASSWORD}".encode()).decode()}
    form = {**password, "Origin": EVIL, **({"Content-Type": kind} if kind else {})}
    body = json.dumps({"module": "my_model"}).encode()
    for path in ("/deployments", "/modules/refresh", "/system/services", "/jobs"):
        assert (await opened.ask("POST", path, form, body)).status == 403
    # A page that was allowed to send JSON has been asked who it is; and so has one that may use other methods.
    script = {**password, "Origin": EVIL, "Content-Type": "application/json"}
    assert (await opened.ask("POST", "/deployments", script)).status == 422
    assert (await opened.ask("DELETE", "/deployments/nobody", {**password, "Origin": EVIL})).status == 404


async def test_our_own_pages_and_programs_can(opened: Open) -> None:
    for headers in (
        {},
        {"Origin": "http://{own}"},
        {"Origin": "http://{own}", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Host": "localhost:{port}"},
        {"Host": "LOCALHOST"},
        {"Host": "[::1]:{port}"},
        {"Host": "192.0.2.7:{port}"},
        {"Host": "digits.localhost:{port}", "Origin": "http://digits.localhost:{port}"},
    ):
        assert (await opened.ask("GET", "/v2/models/", headers)).status == 200, headers


@pytest.mark.parametrize("hosts", ["gpu.example", "GPU.example, other.example", "*"])
async def test_names_that_the_setting_lists_are_ours(tmp_path: Path, hosts: str) -> None:
    async with open_house(tmp_path, "def predict(**k): return 1\n", hosts=hosts) as house:
        for host, status in (("gpu.example", 200), ("gpu.example:81", 200), ("gpu.example.", 200), ("a.example", 403)):
            answer = await house.get("/v2/models/", headers={"Host": host, "Origin": f"http://{host}"})
            assert answer.status == (200 if hosts == "*" else status), host
        other = {"Host": "gpu.example", "Origin": EVIL}
        assert (await house.get("/v2/models/", headers=other)).status == 403
        # Only where any name is ours may a proxy have changed it.
        changed = await house.get("/v2/models/", headers={**other, "Sec-Fetch-Site": "same-origin"})
        assert changed.status == (200 if hosts == "*" else 403)


async def test_a_named_proxys_word_of_our_name_counts_beside_the_header(tmp_path: Path) -> None:
    settings = {"hosts": "gpu.example", "trusted_proxies": "127.0.0.1"}
    async with open_house(tmp_path, "def predict(**k): return 1\n", **settings) as house:
        for host, forwarded, origin, status in (
            ("127.0.0.1", "gpu.example", "https://gpu.example", 200),
            ("127.0.0.1", "gpu.example", "https://127.0.0.1", 403),
            ("127.0.0.1", "evil.example", "https://evil.example", 403),
            ("evil.example", "gpu.example", "https://gpu.example", 403),  # a rebound page may send it, too
        ):
            headers = {"Host": host, "X-Forwarded-Host": forwarded, "X-Forwarded-For": "192.0.2.1", "Origin": origin}
            assert (await house.get("/v2/models/", headers=headers)).status == status, (host, forwarded, origin)
        silent = {"Host": "127.0.0.1", "X-Forwarded-Host": "evil.example", "X-Forwarded-For": "192.0.2.1"}
        assert (await house.get("/v2/models/", headers=silent)).status == 403
