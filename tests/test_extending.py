"""What another package adds: a front end and an executor, as far as the conformance suites do not say it."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from modelport import extending, extensions, settings
from modelport.environment import child_environment
from modelport.errors import LoadFailed
from modelport.server import Server
from modelport.settings import BadSetting, Settings
from tests.conftest import OpenHouse
from tests.house import wait_until

HEAD = "from modelport.extending import *\nfrom aiohttp import web\n"
# Its handler asks nobody for anything.
FORGETFUL = """
class Door(Frontend):
    segments = ("words",)
    def routes(self):
        return [
            Route("POST", "/words", self.answer),
            Route("GET", "/words/of/{name}", self.answer),
            Route("GET", "/words/owner", self.answer, Access.OWNER),
            Route("GET", "/words/open", self.answer, Access.ANYONE),
        ]
    async def answer(self, request):
        return web.json_response({"got": await request.json() if request.can_read_body else None})
    async def describe(self, request):
        return {"/words": {"post": {"responses": {"200": {"description": "Words"}}}}}
    def greeting(self):
        return [GreetingRow("/words", "some words")]
"""
ECHO = "def predict():\n    return 'echoed'\n"

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """`install("words", source, group)`: a package with one module, and `Door` or `Machine` in it as an entry point."""
    forget()

    def install(name: str, source: str, entry: str = "Door", group: str = extensions.FRONTENDS) -> None:
        folder = tmp_path / f"installed-{name}"
        record = folder / f"{name}-1.0.dist-info"
        record.mkdir(parents=True)
        (folder / f"{name}_code.py").write_text(HEAD + source)
        (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (record / "entry_points.txt").write_text(f"[{group}]\n{name} = {name}_code:{entry}\n")
        monkeypatch.syspath_prepend(str(folder))
        forget()

    yield install
    for module in [module for module in sys.modules if module.endswith("_code")]:
        del sys.modules[module]
    forget()


def forget() -> None:
    """What is known of installed packages."""
    for cached in (extensions.registered, extensions.load, settings.table):
        cached.cache_clear()


# Front ends


async def test_a_route_that_forgets_authentication_is_refused_to_strangers(install: Install, house: OpenHouse) -> None:
    install("words", FORGETFUL)
    opened = await house({"x": ECHO}, token="secret")
    known = {"Authorization": "Bearer secret"}
    for method, path in (("POST", "/words"), ("GET", "/words/of/x"), ("GET", "/words/of/y"), ("GET", "/words/owner")):
        assert (await opened.ask(method, path)).status == 401, path
        assert (await opened.ask(method, path, headers={"Authorization": "Bearer wrong"})).status == 401, path
    assert (await opened.get("/words/open")).status == 200
    assert (await opened.get("/words/of/x", headers=known)).status == 200
    assert (await opened.get("/words/of/y", headers=known)).status == 404
    assert (await opened.post("/words", headers=known, json=[1])).json() == {"got": [1]}


async def test_pages_of_other_origins_are_refused_where_no_token_is_asked_for(
    install: Install, house: OpenHouse
) -> None:
    install("words", FORGETFUL)
    opened = await house({"x": ECHO})
    foreign = {"Origin": "https://elsewhere.test", "Sec-Fetch-Site": "cross-site"}
    assert (await opened.post("/words", json=[1])).status == 200
    assert (await opened.post("/words", json=[1], headers=foreign)).status == 403


async def test_a_body_comes_by_the_reader(install: Install, house: OpenHouse) -> None:
    install("words", FORGETFUL)
    opened = await house({"x": ECHO}, json_limit_bytes=100)
    assert (await opened.post("/words", data=b"[" + b"1," * 100 + b"1]")).status == 413
    answer = await opened.post("/words", data=b"{", headers={"Content-Type": "application/json"})
    assert (answer.status, answer.json()["error"]) == (400, "invalid_json")
    assert (await opened.post("/words", data=b"[1]", headers={"Content-Encoding": "br"})).status == 415
    assert (await opened.post("/words", data=b"[1]", headers={"Expect": "100-continue"})).json() == {"got": [1]}


@pytest.mark.parametrize("call", ["request.content", "await request.post()", "await request.multipart()"])
async def test_what_would_go_around_the_reader_says_what_to_use(
    install: Install, house: OpenHouse, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    install("words", FORGETFUL.replace("await request.json() if request.can_read_body else None", call))
    opened = await house({"x": ECHO})
    assert (await opened.post("/words", json=[1])).status == 500
    assert "with context.rea" in caplog.text


async def test_its_paths_and_its_row_are_shown(install: Install, house: OpenHouse) -> None:
    install("words", FORGETFUL)
    opened = await house({"x": ECHO}, dashboard=False, base_path="/base")
    assert "/base/words" in (await opened.get("/base/openapi.json")).json()["paths"]
    page = (await opened.get("/base", headers={"Accept": "text/html"})).text
    assert "/base/words" in page and "some words" in page


async def test_its_segment_is_no_name_for_a_service(install: Install, house: OpenHouse) -> None:
    install("words", FORGETFUL)
    opened = await house({}, token="secret")
    known = {"Authorization": "Bearer secret"}
    answer = await opened.post("/deployments", json={"name": "words", "module": "my_model"}, headers=known)
    assert answer.status == 422
    assert answer.json()["fields"] == {"name": ["'words' is taken by the front end words; choose another"]}


async def test_a_module_whose_path_a_front_end_has_is_named_at_the_start(
    install: Install, house: OpenHouse, caplog: pytest.LogCaptureFixture
) -> None:
    install("words", FORGETFUL)
    await house({"words": ECHO})
    assert "the service words cannot be reached at /words, because the front end words answers there" in caplog.text


async def test_two_front_ends_of_one_segment_do_not_start(install: Install, house: OpenHouse) -> None:
    install("words", FORGETFUL)
    install("others", FORGETFUL)
    with pytest.raises(LoadFailed, match=r"the front ends others and words both answer /words: uninstall"):
        await house({"x": ECHO})


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ('segments = ("other",)', "the front end words answers POST /words, and declares neither"),
        ('shares = ("deployments", "words")', None),
        ('segments = ("words",)\n    shares = ("ready",)', "the front ends health and words both answer GET /ready"),
    ],
)
async def test_routes_are_where_a_front_end_has_said_and_nowhere_else(
    install: Install, house: OpenHouse, declared: str, message: str | None
) -> None:
    source = FORGETFUL.replace('segments = ("words",)', declared)
    if "ready" in declared:
        source = source.replace('"POST", "/words"', '"GET", "/ready"')
    install("words", source)
    if message is None:
        await house({"x": ECHO})
        return
    with pytest.raises(LoadFailed, match=message):
        await house({"x": ECHO})


async def test_one_that_cannot_be_loaded_is_named_with_its_package(install: Install, house: OpenHouse) -> None:
    install("words", "raise RuntimeError('no such library')\n")
    with pytest.raises(LoadFailed, match=r"the front end words cannot be loaded from words_code:Door, of the package"):
        await house({"x": ECHO})


async def test_one_that_is_no_front_end_is_told_what_it_must_be(install: Install, house: OpenHouse) -> None:
    install("words", "class Door:\n    def add_routes(self, app): pass\n")
    with pytest.raises(LoadFailed, match=r"words is not a subclass of modelport\.extending\.Frontend"):
        await house({"x": ECHO})


async def test_it_is_started_before_the_first_request_and_stopped_at_the_end(
    install: Install, house: OpenHouse, tmp_path: Path
) -> None:
    install(
        "words",
        FORGETFUL
        + f"    async def start(self):\n        open({str(tmp_path / 'begun')!r}, 'w').close()\n"
        + f"    async def stop(self):\n        open({str(tmp_path / 'ended')!r}, 'w').close()\n",
    )
    opened = await house({"x": ECHO})
    assert (tmp_path / "begun").exists() and not (tmp_path / "ended").exists()
    await opened.server.stop(0)
    assert (tmp_path / "ended").exists()


BROKEN = {
    "when it is made": "    def __init__(self, context):\n        raise RuntimeError('no dictionary')\n",
    "when it is asked for its routes": "    def routes(self):\n        raise RuntimeError('no dictionary')\n",
    "when it starts": "    async def start(self):\n        raise RuntimeError('no dictionary')\n",
    "when it cannot connect": "    async def start(self):\n        raise ConnectionRefusedError('no dictionary')\n",
}


@pytest.mark.parametrize("when", BROKEN)
async def test_one_that_fails_at_the_start_is_named_and_leaves_nothing(
    install: Install, tmp_path: Path, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    install("words", FORGETFUL + BROKEN[when])
    server = Server(Settings(listen_port=0, s3_port=0, home=str(tmp_path / "home")), [])
    assert await server.run(lambda _: None) == 1
    assert "the front end words cannot" in caplog.text and "no dictionary" in caplog.text
    assert "cannot listen" not in caplog.text
    assert not list((tmp_path / "home" / "run").iterdir())


async def test_one_that_fails_at_the_end_keeps_nothing_else_from_ending(
    install: Install, house: OpenHouse, caplog: pytest.LogCaptureFixture
) -> None:
    install("words", FORGETFUL + "    async def stop(self):\n        raise RuntimeError('no dictionary')\n")
    opened = await house({"x": ECHO})
    await opened.server.stop(0)
    assert "the front end words did not stop in order" in caplog.text
    assert not opened.server._run_folder.path.exists()


async def test_one_that_cannot_describe_itself_takes_nobodys_description_away(
    install: Install, house: OpenHouse, caplog: pytest.LogCaptureFixture
) -> None:
    install(
        "words",
        FORGETFUL.replace('return {"/words":', 'raise RuntimeError("no dictionary")\n        return {"/words":'),
    )
    opened = await house({"x": ECHO})
    answer = await opened.get("/openapi.json")
    assert (answer.status, "/health" in answer.json()["paths"]) == (200, True)
    assert "the front end words does not describe itself" in caplog.text


async def test_its_own_setting_may_limit_a_body(install: Install, house: OpenHouse) -> None:
    source = """
class Door(Frontend):
    segments = ("words",)
    settings = (Setting("words_limit_bytes", 10, "most of one request", unit="bytes", minimum=1),)
    def __init__(self, context):
        self.context = context
    def routes(self):
        return [Route("POST", "/words", self.answer)]
    async def answer(self, request):
        return web.json_response(len(await self.context.reader(request, "words_limit_bytes").read()))
"""
    install("words", source)
    opened = await house({"x": ECHO})
    assert (await opened.post("/words", data=b"1" * 10)).json() == 10
    answer = await opened.post("/words", data=b"1" * 11)
    assert answer.status == 413 and "words_limit_bytes" in answer.text


# Settings

SETTINGS = """
class Door(Frontend):
    settings = (
        Setting("words_limit", 3, "so many words are taken", minimum=1),
        Setting("words_key", "", "key of the dictionary", secret=True),
    )
    def routes(self):
        return []
"""


def test_a_setting_comes_from_file_environment_and_flag(install: Install, tmp_path: Path) -> None:
    install("words", SETTINGS)
    file = tmp_path / "modelport.toml"
    file.write_text("[words]\nwords_limit = 4\n")
    [limit, _] = [setting for setting in settings.table() if setting.section == "words"]
    assert settings.read(environ={}).value(limit) == 3
    assert settings.read(file, {}).value(limit) == 4
    assert settings.read(file, {"MODELPORT_WORDS_LIMIT": "5"}).value(limit) == 5
    assert settings.read(file, {"MODELPORT_WORDS_LIMIT": "5"}, {"words_limit": "6"}).value(limit) == 6
    with pytest.raises(BadSetting, match=r"MODELPORT_WORDS_LIMIT: '0' is too small; at least 1"):
        settings.read(environ={"MODELPORT_WORDS_LIMIT": "0"})


def test_its_secret_does_not_reach_models(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("words", SETTINGS)
    monkeypatch.setenv("MODELPORT_WORDS_KEY", "hush")
    assert "MODELPORT_WORDS_KEY" not in child_environment()
    assert "hush" not in repr(settings.read())


def test_its_settings_are_options_of_serve(install: Install) -> None:
    install("words", SETTINGS)
    command = [sys.executable, "-m", "modelport", "serve", "--help"]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert "--words-limit" in done.stdout and "So many words are taken.  [default: 3]" in " ".join(
        done.stdout.split()
    ).replace(". [", ".  [")


@pytest.mark.parametrize("name", ["limit", "token", "wordslimit", "words-limit"])
def test_the_name_of_a_setting_begins_with_the_extensions(install: Install, name: str) -> None:
    install("words", SETTINGS.replace("words_limit", name))
    with pytest.raises(BadSetting, match="its name must begin with words_"):
        settings.table()


# Executors

MACHINE = (Path(__file__).parent.parent / "examples/extension/thread_executor.py").read_text()
WAITS = """
import os, threading, time
from marshmallow import fields
def get_predict_args():
    file = fields.Raw(metadata={"type": "file", "location": "form"})
    return {"path": fields.Str(load_default=""), "note": fields.Str(load_default=""), "file": file}
def predict(path, note, file=None):
    while path and not os.path.exists(path):
        time.sleep(0.01)
    if note:
        with open(file.filename) as source, open(note, "w") as target:
            target.write(source.read())
    return threading.current_thread() is not threading.main_thread()
"""


@pytest.fixture
def threads(install: Install) -> None:
    install("threads", MACHINE, "ThreadExecutor", extensions.EXECUTORS)


async def test_each_deployment_has_an_executor_of_its_own(threads: None, house: OpenHouse, tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text(WAITS)
    opened = await house({"x": WAITS}, token="secret")
    known = {"Authorization": "Bearer secret"}
    document: dict[str, Any] = {"name": "own", "module": str(tmp_path / "waits.py"), "executor": "threads"}
    answer = await opened.post("/deployments", json=document, headers=known)
    assert (answer.status, answer.json()["executor"]) == (201, "threads")
    assert (await opened.predict(name="own", headers=known)).json()["predictions"] is True
    assert (await opened.predict(name="x", headers=known)).json()["predictions"] is False
    answer = await opened.ask("PATCH", "/deployments/own", json={"executor": None}, headers=known)
    assert (answer.status, answer.json()["executor"]) == (200, None)
    assert (await opened.predict(name="own", headers=known)).json()["predictions"] is False


BATCHES = """
def predict():
    return "by predict"
def predict_batch(calls):
    return ["by predict_batch"] * len(calls)
"""
# It knows nothing of batches, but is built on one that does.
COUNTED = """
class Machine(LocalExecutor):
    calls = 0
    async def run(self, call, watcher=None):
        Machine.calls += 1
        return await super().run(call, watcher)
"""


async def test_an_executor_that_knows_no_batches_runs_predict(
    install: Install, threads: None, house: OpenHouse
) -> None:
    install("counted", COUNTED, "Machine", extensions.EXECUTORS)
    for executor, answer in (("threads", "by predict"), ("counted", "by predict"), ("local", "by predict_batch")):
        opened = await house({"x": BATCHES}, executor=executor)
        assert (await opened.predict()).json()["predictions"] == answer


# It runs here, and says that it has two machines elsewhere.
CLUSTERED = """
class Machine(LocalExecutor):
    def places(self):
        return [Place(f"10.0.0.{number + 1}", place.pid, place.busy) for number, place in enumerate(super().places())]
    async def nodes(self):
        return [Node(id, f"10.0.0.{id}", 4.0, 0.5, 8 << 30) for id in "21"]
"""


async def test_where_workers_are_is_told_to_the_owner(install: Install, house: OpenHouse) -> None:
    install("clustered", CLUSTERED, "Machine", extensions.EXECUTORS)
    opened = await house(ECHO, executor="clustered", workers=2, token="secret")
    owner = {"Authorization": "Bearer secret"}
    document = (await opened.get("/deployments/x", headers=owner)).json()
    pids = opened.workers()
    assert {place["node"] for place in document["places"]} == {"10.0.0.1", "10.0.0.2"}
    assert sorted(place["pid"] for place in document["places"]) == pids
    assert not any(place["busy"] for place in document["places"])
    nodes = [{"id": id, "name": f"10.0.0.{id}", "cpus": 4.0, "gpus": 0.5, "memory_bytes": 8 << 30} for id in "21"]
    assert document["nodes"] == nodes

    figures = (await opened.get("/metrics", headers=owner)).text
    assert 'modelport_node_workers{deployment="x",node="10.0.0.2"} 1.0' in figures
    assert 'modelport_node_gpus{node="10.0.0.1"} 0.5' in figures

    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        await browser.post(
            f"{opened.url}/ui/login", data={"code": opened.gateway.sessions.new_code()}, headers={"Origin": opened.url}
        )
        async with browser.get(f"{opened.url}/ui/status") as page:
            assert '<th scope="row" class="mono">10.0.0.2</th><td class="number">1</td>' in await page.text()
        async with browser.get(f"{opened.url}/ui/inference/x") as page:
            assert f"10.0.0.2, process {document['places'][1]['pid']}" in await page.text()

    said = {}
    for command in ("services --all", "info x"):
        words = [str(Path(sys.executable).with_name("modelport")), *command.split(), "--url", opened.url]
        done = await asyncio.create_subprocess_exec(
            *words, env={**os.environ, "BEARER_TOKEN": "secret"}, stdout=subprocess.PIPE
        )
        said[command] = (await done.communicate())[0].decode()
    assert "  2 on 2 nodes  " in said["services --all"]
    assert re.search(r"^worker    10\.0\.0\.1, process \d+$", said["info x"], re.M)
    assert "node      10.0.0.1: 4 CPUs, 0.5 GPUs, 8 GiB of memory\n" in said["info x"]


async def test_machines_are_not_everybodys(install: Install, house: OpenHouse) -> None:
    install("clustered", CLUSTERED, "Machine", extensions.EXECUTORS)
    opened = await house(ECHO, executor="clustered")
    figures = (await opened.get("/metrics")).text
    assert 'modelport_worker_workers{deployment="x"}' in figures and "10.0.0." not in figures


async def test_an_executor_that_is_not_installed_is_refused(threads: None, house: OpenHouse) -> None:
    opened = await house({}, token="secret")
    answer = await opened.post(
        "/deployments", json={"module": "my_model", "executor": "slurm"}, headers={"Authorization": "Bearer secret"}
    )
    assert answer.status == 422
    told = answer.json()["fields"]["executor"][0]
    assert re.match(r"there is no executor 'slurm'; installed are local, (ray, )?threads", told)


async def test_a_late_call_that_cannot_be_stopped_is_answered_in_time_and_keeps_its_place_and_files(
    threads: None, house: OpenHouse, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened = await house({"x": WAITS}, executor="threads", predict_timeout_s=0.2, queue_limit=0)
    gate, note = tmp_path / "gate", tmp_path / "note"
    form = aiohttp.FormData()
    form.add_field("file", b"still there", filename="letter.txt")
    assert (await opened.predict({"path": str(gate), "note": str(note)}, data=form)).status == 504
    assert "its executor cannot stop it" in caplog.text
    assert opened.counts().busy == 1
    assert (await opened.predict()).status == 503  # its place is taken
    gate.touch()
    await wait_until(lambda: opened.server.predictions.in_flight == 0)
    assert note.read_text() == "still there"
    assert (await opened.predict()).status == 200
    await wait_until(lambda: not list((opened.server._run_folder.path / "scratch").iterdir()))


async def test_a_client_that_leaves_a_call_that_cannot_be_stopped_keeps_its_place(
    threads: None, house: OpenHouse, tmp_path: Path
) -> None:
    opened = await house({"x": WAITS}, executor="threads", queue_limit=0)
    gate = tmp_path / "gate"
    call = asyncio.create_task(opened.predict({"path": str(gate)}))
    await opened.wait_running(1)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert (await opened.predict()).status == 503
    gate.touch()
    await wait_until(lambda: opened.server.predictions.in_flight == 0)
    await wait_until(lambda: not list((opened.server._run_folder.path / "scratch").iterdir()))


# The face


def test_everything_public_says_what_it_is() -> None:
    for name, value in vars(extending).items():
        if name.startswith("_") or name == "annotations":
            continue
        assert name in ("VERSION", "Output") or (value.__doc__ or "").strip(), f"{name} has no docstring"


def test_the_page_shows_the_example_as_it_is() -> None:
    root = Path(__file__).parent.parent
    page = (root / "docs/extending.md").read_text()
    files = [file for file in sorted((root / "examples/extension").iterdir()) if file.suffix in (".py", ".toml")]
    assert [file.name for file in files if f"\n{file.read_text()}```\n" not in page] == []


STREAMING = """
class Door(Frontend):
    segments = ("words",)
    def routes(self):
        return [Route("GET", "/words/{name}", self.answer)]
    async def answer(self, request):
        deployment = self.context.find(request, request.match_info["name"])
        async with self.context.scratch() as scratch:
            call = self.context.make_call(await deployment.wait_card(), {}, scratch)
            if "all" in request.query:
                return await self.context.respond_stream(request, deployment, call, "application/x-ndjson")
            async with self.context.stream(deployment, call) as values:
                found = [value.decode() async for value in values]
            return web.json_response({"values": found, "told": values.outcome.values})
"""


@pytest.mark.parametrize("executor", ["local", "threads"])
async def test_a_front_end_gets_a_models_values_one_by_one(
    install: Install, threads: None, house: OpenHouse, executor: str
) -> None:
    install("words", STREAMING)
    opened = await house("def predict():\n    yield 1\n    yield {'a': 2}\n", executor=executor)
    assert (await opened.get("/words/x")).json() == {"values": ["1", '{"a": 2}'], "told": 2}
    assert (await opened.get("/words/x?all")).body == b'1\n{"a": 2}\n'


@pytest.mark.parametrize("executor", ["local", "threads"])
async def test_a_generator_that_nobody_wants_any_more_is_closed_by_every_executor(
    threads: None, house: OpenHouse, tmp_path: Path, executor: str
) -> None:
    closed = tmp_path / "closed"
    source = "def predict():\n    try:\n        while True:\n            yield 'on and on'\n"
    source += f"    finally:\n        open({str(closed)!r}, 'w').close()\n"
    opened = await house(source, executor=executor)
    async with opened.session.get(f"{opened.url}/x", headers={"Accept": "text/event-stream"}) as response:
        await response.content.readuntil(b"\n\n")
    await wait_until(closed.exists)
    await opened.wait_running(0)


BESIDE = """
class Door(Frontend):
    segments = ("words",)
    shares = ("v2",)
    def routes(self):
        words = "/v2/models/{name}/words"
        return [Route("GET", "/v2/words", self.answer, Access.ANYONE), Route("GET", words, self.answer)]
    async def answer(self, request):
        return web.json_response({"ready": self.context.models_ready(), "name": request.match_info.get("name")})
"""


async def test_a_front_end_adds_paths_beside_anothers(install: Install, house: OpenHouse) -> None:
    install("words", BESIDE)
    opened = await house({"x": ECHO}, token="secret")
    known = {"Authorization": "Bearer secret"}
    assert (await opened.get("/v2/words")).json() == {"ready": True, "name": None}
    assert (await opened.get("/v2/models/x/words", headers=known)).json() == {"ready": True, "name": "x"}
    assert (await opened.get("/v2/models/x/words")).status == 401
    assert (await opened.get("/v2/models/x/", headers=known)).json()["name"] == "x"
    assert (await opened.get("/v2/models", headers=known)).status == 308
