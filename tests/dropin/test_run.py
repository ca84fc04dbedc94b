"""deepaas-run: contract 2.11 and 2.12, D-1 and D-23, and who may listen beyond loopback. Each is a process."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dropin.commands import LOG_LINE, Commands, Done, Running
from tests.dropin.conftest import Plugin
from tests.house import descendants, wait_until_now
from tests.plugins import DEEPAAS_RUN, installed_plugin

ZOO = """
import time
from marshmallow import fields, validate

print("imported")

def get_metadata(): return {"name": "zoo", "author": ["A"], "license": "MIT", "version": "1"}

def get_predict_args():
    return {
        "s": fields.Str(load_default="x"),
        "li": fields.List(fields.Int(), load_default=[1]),
        "seconds": fields.Float(load_default=0),
        "accept": fields.Str(load_default="application/json", validate=validate.OneOf(["application/json"])),
    }

def warm(): print("warmed")

def predict(s, li, seconds, accept):
    print("predicting", s, flush=True)
    time.sleep(seconds)
    if s == "bad": raise ValueError("a bad animal")
    return {"s": s, "li": li}

def train(): return 1
"""


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory, shims: Path) -> Commands:
    folder = tmp_path_factory.mktemp("zoo")
    installed_plugin(folder / "site", "zoo", ZOO, entry="zoo")
    return Commands(shims, folder, "zoo")


@pytest.fixture(scope="module")
def zoo(commands: Commands) -> Iterator[Running]:
    """One server for the tests that only look at it."""
    with commands.running("--listen-port", "0", "--debug-endpoint") as running:
        yield running


# 2.11


def test_the_banner_comes_first_with_the_three_urls(zoo: Running) -> None:
    before, _, _ = zoo.out.partition("======== Running on")
    for line in (
        f"    API documentation: {zoo.url}/api",
        f"    API specification: {zoo.url}/swagger.json",
        f"          V2 endpoint: {zoo.url}/v2",
    ):
        assert line in before.splitlines()


def test_log_lines_have_the_format_of_the_contract_without_a_reset_at_their_end(zoo: Running) -> None:
    line = next(line for line in zoo.out.splitlines() if "Serving loaded V2 models" in line)
    match = LOG_LINE.fullmatch(line)
    assert match is not None
    _, pid, level, logger, message = match.groups()
    assert (int(pid), level, logger) == (zoo.process.pid, "INFO", "deepaas.api")
    assert message == "Serving loaded V2 models: ['zoo']"
    assert "\x1b" not in zoo.out


def test_each_request_gets_an_access_line(zoo: Running) -> None:
    zoo.get("/v2/models/?a=1", **{"User-Agent": "tester"})
    zoo.get("/not/there")
    zoo.wait_for('"GET /not/there HTTP/1.1" 404')
    line = next(line for line in zoo.out.splitlines() if '"tester"' in line)
    match = LOG_LINE.fullmatch(line)
    assert match is not None
    assert match[4] == "aiohttp.access"
    assert re.fullmatch(
        r"127\.0\.0\.1 \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
        r'"GET /v2/models/ HTTP/1\.1" 200 \d+ "-" "tester"',  # deepaas writes the query, too
        match[5],
    )


def test_what_the_model_prints_is_on_stdout_and_stderr_stays_empty(zoo: Running) -> None:
    zoo.json("/v2/models/zoo/predict/?s=cat", "POST")
    zoo.wait_for("predicting cat")
    lines = zoo.out.splitlines()
    assert lines.index("imported") < lines.index("warmed"), "and warm before the first request"
    assert lines.index("warmed") < next(n for n, line in enumerate(lines) if "Running on" in line)
    assert zoo.err == ""


def test_an_error_of_the_model_is_told_and_the_server_goes_on(zoo: Running) -> None:
    status, body = zoo.get("/v2/models/zoo/predict/?s=bad", "POST")
    assert (status, b"a bad animal" in body, b"Traceback" in body) == (500, True, False)
    zoo.wait_for("ValueError: a bad animal")
    assert zoo.json("/v2/models/zoo/predict/", "POST")["predictions"]["s"] == "x"


# 2.12


def test_module_qa_finds_id_name_author_and_license_and_no_dummy(zoo: Running) -> None:
    text = zoo.get("/v2/models/")[1].decode()
    assert 'id":' in text
    model = json.loads(text)["models"][0]
    assert {"name", "author", "license"} <= model.keys()
    assert model["name"] != "deepaas-test"


def test_the_gradio_ui_finds_one_predict_path_with_its_parameters(zoo: Running) -> None:
    document = zoo.json("/swagger.json")
    paths = [path for path in document["paths"] if path.endswith("predict/")]
    assert paths == ["/v2/models/zoo/predict/"]
    post = document["paths"][paths[0]]["post"]
    assert [parameter["name"] for parameter in post["parameters"]] == ["s", "li", "seconds", "accept"]
    assert "application/json" in post["produces"]
    answer = zoo.json(f"{paths[0]}?s=a&li=1&li=2&seconds=0.0&accept=application/json", "POST")
    assert answer == {"status": "OK", "predictions": {"s": "a", "li": [1, 2]}}


def test_normal_output_never_has_the_text_error(commands: Commands, tmp_path: Path) -> None:
    # Template tests start it so, with --config-file, and look for the word.
    config = tmp_path / "a.conf"
    config.write_text("[DEFAULT]\nlisten_port = 0\ndebug = true\nuse_stderr = false\n")
    with commands.running("--config-file", str(config)) as running:
        running.json("/v2/models/")
        running.json("/v2/models/zoo/predict/", "POST")
        assert running.stop() == 0
        assert "ERROR" not in running.out + running.err


# Stopping


def test_sigterm_ends_an_idle_server_with_status_0_and_its_processes(commands: Commands) -> None:
    with commands.running("--listen-port", "0") as running:
        below = descendants(running.process.pid)
        assert below
        assert running.stop() == 0
        assert not [pid for pid in below if os.path.exists(f"/proc/{pid}")]
        assert list((commands.folder / "home" / ".modelport" / "run").glob(f"{running.process.pid}-*")) == []


def test_a_running_prediction_is_waited_for(commands: Commands) -> None:
    with commands.running("--listen-port", "0") as running:
        asking = socket.create_connection(("127.0.0.1", int(running.url.rpartition(":")[2])))
        with asking:
            asking.sendall(b"POST /v2/models/zoo/predict/?s=last&seconds=0.5 HTTP/1.0\r\n\r\n")
            running.wait_for("predicting last")
            running.process.send_signal(signal.SIGTERM)
            answer = b"".join(iter(lambda: asking.recv(65536), b""))
        assert b'"s":"last"' in answer.replace(b" ", b"")
        assert running.process.wait(20) == 0


# Options that change what is served


def test_endpoints_can_be_switched_off_and_a_base_path_put_before_all(commands: Commands) -> None:
    off = ("--nopredict-endpoint", "--notrain-endpoint", "--nodoc-endpoint", "--nowarm", "--base-path", "/zoo/")
    with commands.with_environment(OS_DEFAULT__LISTEN_PORT="0").running(*off) as running:
        assert "V2 endpoint" in running.out
        assert f"{running.url}/zoo/v2\n" in running.out
        assert running.get("/zoo/v2/models/zoo/predict/", "POST")[0] == 402
        assert running.get("/zoo/v2/models/zoo/train/")[0] == 402
        assert running.get("/zoo/api")[0] == 404
        assert running.get("/v2/models/")[0] == 404
        assert "warmed" not in running.out


def test_the_log_goes_to_a_file_and_as_json_where_the_options_say_so(commands: Commands) -> None:
    options = ("--log-dir", str(commands.folder), "--log-file", "x.log", "--use-json", "--use-journal")
    with commands.running("--listen-port", "0", *options) as running:
        running.json("/v2/models/")
        log = commands.folder / "x.log"
        wait_until_now(lambda: "aiohttp.access" in log.read_text())  # written when the answer has been sent
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert {"deepaas", "deepaas.api", "aiohttp.access"} <= {each["name"] for each in lines}
        assert any("use_journal has no effect" in each["message"] for each in lines)
        assert "deepaas.api" not in running.out


@pytest.mark.slow
def test_without_a_name_every_installed_model_is_served(plugin: Plugin, shims: Path) -> None:
    # Beside what is installed in this environment.
    plugin("def predict(): return 'of x'\n", "x", choose=False)
    commands = plugin("def predict(): return 'of y'\n", "y", choose=False)
    with commands.running("--listen-port", "0") as running:
        names = {model["name"] for model in running.json("/v2/models/")["models"]}
        assert {"x", "y"} <= names
        assert running.json("/v2/models/y/predict/", "POST")["predictions"] == "of y"


# Refusals and defects


def refused(done: Done) -> str:
    assert done.status not in (0, None)
    return done.out + done.err


def test_d_1_a_model_that_cannot_be_loaded_ends_the_start_with_status_1(plugin: Plugin) -> None:
    done = plugin("import nothing_here\n").run("--listen-port", "0")
    assert done.status == 1
    assert "No module named 'nothing_here'" in done.out
    assert "deepaas-test" not in done.out
    assert "Running on" not in done.out


def test_d_1_a_name_that_is_not_installed_ends_the_start_with_status_1(commands: Commands) -> None:
    done = commands.run("--listen-port", "0", "--model-name", "giraffe")
    assert done.status == 1
    assert "giraffe" in done.out
    assert "zoo" in done.out, "what there is"


def test_a_warm_that_fails_ends_the_start_with_status_1(plugin: Plugin) -> None:
    done = plugin("def warm(): raise OSError('no weights')\ndef predict(): return 1\n").run("--listen-port", "0")
    assert done.status == 1
    assert "no weights" in done.out


def test_d_23_workers_0_is_refused(commands: Commands) -> None:
    assert "workers" in refused(commands.run("--workers", "0"))


def test_d_24_a_bad_value_is_a_failure(commands: Commands) -> None:
    assert "'x' is not a whole number" in refused(commands.run("--workers", "x"))


def test_a_port_that_is_taken_is_status_1_with_a_message(commands: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = commands.run("--listen-port", str(taken.getsockname()[1]))
    assert done.status == 1
    assert "cannot listen on" in done.out


def test_beyond_loopback_a_token_is_needed_and_the_message_says_how(commands: Commands) -> None:
    done = commands.run("--listen-ip=0.0.0.0", "--listen-port=0")
    assert done.status == 1
    assert "BEARER_TOKEN" in done.err
    assert "MODELPORT_OPEN=yes" in done.err


def test_beyond_loopback_with_a_token_callers_must_send_it(commands: Commands) -> None:
    with_token = commands.with_environment(BEARER_TOKEN="secret-of-the-zoo")
    with with_token.running("--listen-ip=0.0.0.0", "--listen-port=0") as running:
        assert running.get("/v2/models/")[0] == 401
        assert running.get("/v2/models/", Authorization="Bearer secret-of-the-zoo")[0] == 200
        assert "secret-of-the-zoo" not in running.out


def test_modelport_open_lets_a_platform_that_checks_callers_itself_do_without(commands: Commands) -> None:
    with commands.with_environment(MODELPORT_OPEN="yes").running("--listen-ip=0.0.0.0", "--listen-port=0") as running:
        assert running.get("/v2/models/")[0] == 200
        assert "without a token" in running.out


PROXIED = {"Host": "zoo-1234.apps.example", "Origin": "https://zoo-1234.apps.example"}


def test_behind_a_platforms_proxy_any_name_is_ours_and_other_pages_are_not(commands: Commands) -> None:
    with commands.with_environment(MODELPORT_OPEN="yes").running("--listen-ip=0.0.0.0", "--listen-port=0") as running:
        assert running.get("/v2/models/zoo/predict/", "POST", **PROXIED)[0] == 200
        # The proxy may tell another name than the browser has used; the browser says that the page is ours.
        changed = {**PROXIED, "Host": "10.0.0.7:5000", "Sec-Fetch-Site": "same-origin"}
        assert running.get("/v2/models/zoo/predict/", "POST", **changed)[0] == 200
        other = {**PROXIED, "Origin": "https://evil.example"}
        assert running.get("/v2/models/zoo/predict/", "POST", **other)[0] == 403


def test_the_names_can_be_listed_and_on_this_machine_they_must_be(commands: Commands) -> None:
    listed = commands.with_environment(MODELPORT_OPEN="yes", MODELPORT_HOSTS="other.example")
    with listed.running("--listen-ip=0.0.0.0", "--listen-port=0") as running:
        assert running.get("/v2/models/", **PROXIED)[0] == 403
    with commands.running("--listen-port=0") as running:
        assert running.get("/v2/models/", **PROXIED)[0] == 403


def test_a_home_that_cannot_be_written_to_is_replaced_by_a_temporary_folder(plugin: Plugin, tmp_path: Path) -> None:
    commands = plugin("def predict(): return 1\n")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    (tmp_path / "home").mkdir()
    # Not by permissions, which root does not mind: a file where the folder would be.
    (tmp_path / "home" / ".modelport").write_text("")
    with commands.with_environment(TMPDIR=str(temporary)).running("--listen-port", "0") as running:
        assert running.json("/v2/models/x/predict/", "POST")["predictions"] == 1
        assert "cannot be written to" in running.out
        assert running.stop() == 0
    wait_until_now(lambda: not list(temporary.iterdir()))


# Beside the original


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.mark.slow
def test_the_real_deepaas_run_gives_the_same_answers(commands: Commands, zoo: Running, tmp_path: Path) -> None:
    """The banner's URLs, documents, answers and refusals, of the same plugin."""

    def told(running: Running) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for method, path in (
            ("GET", "/"),
            ("GET", "/v2/models/"),
            ("GET", "/v2/models/zoo/"),
            ("GET", "/nope"),
            ("POST", "/v2/models/zoo/predict/?s=cat&li=1&li=2"),
            ("POST", "/v2/models/zoo/predict/?li=cat"),
            ("POST", "/v2/models/zoo/predict/?accept=text/html"),
        ):
            status, body = running.get(path, method)
            found[path] = status, json.loads(body) if body[:1] in b"{[" else body
        urls = re.findall(r"^ *(API \w+|V2 endpoint): http://127.0.0.1:\d+(\S+)$", running.out, re.M)
        return {**found, "banner": urls}

    real = Commands(commands.shims, tmp_path, "zoo")
    installed_plugin(tmp_path / "site", "zoo", ZOO, entry="zoo")
    port = str(free_port())
    with real.running("--listen-port", port, program=DEEPAAS_RUN) as running:
        original = told(running)
    ours = told(zoo)
    # The original lists `*/*` among the choices.
    path = "/v2/models/zoo/predict/?accept=text/html"
    assert ours.pop(path)[0] == original.pop(path)[0] == 422
    assert ours == original


def test_modelport_deepaas_run_is_the_same_command(commands: Commands) -> None:
    done = subprocess.run(
        [str(DEEPAAS_RUN.with_name("modelport")), "deepaas-run", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, commands.run("--version").out)
