"""`modelport serve`, as a process with real sockets."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import socket
import subprocess
import termios
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelport.commands.serving import reload
from tests.cli.conftest import MODELPORT, PLUGIN, Cli, post
from tests.house import PATIENCE_S, wait_until_now

pytestmark = pytest.mark.slow

SMALL = "def get_predict_args():\n    return {}\n\ndef predict(**given):\n    return 'one'\n"
PATH = "/v2/models/everything/predict/"


def test_a_path_is_served_and_the_printed_line_works(cli: Cli) -> None:
    cli.write("data/noise.wav", "RIFF")
    cli.write("data/a picture.png", "x" * 10)
    source = PLUGIN.replace('"image": fields.Raw(', '"image": fields.Raw(required=True, ')
    with cli.serving(cli.write("everything.py", source)) as server:
        line = server.wait_line("^curl ")
        assert line == f"curl -s -F 'image=@data/a picture.png' {server.url}{PATH}"
        done = subprocess.run(["bash", "-c", line], cwd=cli.folder, capture_output=True, check=True)
        assert json.loads(done.stdout)["predictions"]["image"] == ["a picture.png", "image/png", 10]
        printed = server.wait_line("working on echo", err=True)
        assert re.fullmatch(r"\[everything \d+\] working on echo", printed)
        assert server.end() == 0
    assert not list(cli.home.glob("run/*"))


def test_a_line_without_a_file_works_too(cli: Cli) -> None:
    source = """
from marshmallow import fields, validate
def get_predict_args():
    return {
        "name": fields.Str(required=True, validate=validate.Length(min=7)),
        "level": fields.Int(required=True, validate=validate.Range(3, 5)),
        "kinds": fields.List(fields.Str(validate=validate.OneOf(["it's", "b"])), required=True),
        "day": fields.Date(required=True, metadata={"location": "query"}),
    }
def predict(**given):
    return [given["level"], given["kinds"], str(given["day"])]
"""
    with cli.serving(cli.write("plain.py", source), BEARER_TOKEN="s3cret") as server:
        line = server.wait_line("^curl ")
        assert "s3cret" not in "".join(server.out + server.err)
        environ = {**cli.environ, "TOKEN": "s3cret"}
        done = subprocess.run(["bash", "-c", line], env=environ, capture_output=True, check=True)
        assert json.loads(done.stdout) == {"status": "OK", "predictions": [3, ["it's"], "2026-01-31"]}


def test_several_modules_are_served_under_their_names(cli: Cli) -> None:
    one, two = cli.write("a/model.py", SMALL), cli.write("b/model.py", SMALL.replace("one", "two"))
    with cli.running("serve", "--listen-port", "0", one, f"second={two}") as server:
        server.wait_ready(2)
        assert post(f"{server.url}/v2/models/model/predict/")[1] == b'{"status": "OK", "predictions": "one"}'
        assert post(f"{server.url}/v2/models/second/predict/")[1] == b'{"status": "OK", "predictions": "two"}'


def test_two_modules_of_one_name_are_refused_with_the_remedy(cli: Cli) -> None:
    done = cli("serve", "a/model.py", "b/model.py")
    assert done.status == 2
    assert "would both get the name model: name one of them, such as model-2=b/model.py" in done.err


def test_the_model_comes_from_option_or_variable_or_what_is_installed(cli: Cli) -> None:
    cli.write("one.py", SMALL)
    cli.write("two.py", SMALL)
    for arguments, environ, name in (
        (["--model-name", "one.py"], {"DEEPAAS_V2_MODEL": "two.py"}, "one"),
        ([], {"DEEPAAS_V2_MODEL": "two.py"}, "two"),
    ):
        with cli.running("serve", "--listen-port", "0", *arguments, **environ) as server:
            assert server.wait_line(": loading") == f"{name}: loading {name}.py"
    with cli.running("serve", "--listen-port", "0") as server:
        server.wait_line("^my_model: loading my_model")


def test_a_module_that_cannot_be_loaded_ends_the_server_with_the_reason(cli: Cli) -> None:
    broken = cli.write("broken.py", "raise RuntimeError('no weights here')\n")
    cold = cli.write("cold.py", SMALL + "def warm():\n    raise OSError('the disk is cold')\n")
    for module, reason in (
        (broken, "no weights here"),
        (cold, "the disk is cold"),
    ):
        done = cli("serve", module, "--listen-port", "0")
        assert done.status == 1
        assert reason in done.err
        assert ": ready after" not in done.text


def test_beyond_loopback_a_token_is_needed(cli: Cli) -> None:
    module = cli.write("everything.py")
    done = cli("serve", module, "--listen-ip", "0.0.0.0", "--listen-port", "0")
    assert done.status == 2
    assert "set one with --token, MODELPORT_TOKEN or BEARER_TOKEN" in done.err
    with cli.serving(module, "--listen-ip", "0.0.0.0", BEARER_TOKEN="s3cret") as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        assert post(url + PATH)[0] == 401
        assert post(url + PATH, "wrong")[0] == 401
        assert post(url + PATH, "s3cret")[0] == 200
        for token, status in (("", 3), ("s3cret", 0)):
            assert cli("predict", "--url", url, BEARER_TOKEN=token).status == status


def test_a_bad_setting_is_named_whatever_its_source(cli: Cli) -> None:
    module = cli.write("everything.py")
    file = cli.write("settings.toml", "[model]\nworkers = 'many'\n")
    for arguments, environ, text in (
        (["--workers", "many"], {}, "--workers: 'many' is not a whole number"),
        (["-p", "0"], {}, "--workers: '0' is too small; at least 1"),
        ([], {"MODELPORT_WORKERS": "many"}, "MODELPORT_WORKERS: 'many' is not a whole number"),
        (["--config-file", file], {}, f"{file}: workers: 'many' is not a whole number"),
        ([], {"MODELPORT_CONFIG": "absent.toml"}, "the settings file absent.toml does not exist"),
        (["--start-method", "beg"], {}, "'beg' is not one of 'auto', 'fork', 'spawn'"),
        (["--wrokers", "2"], {}, "No such option"),
    ):
        done = cli("serve", module, *arguments, **environ)
        assert (done.status, done.out) == (2, b"")
        assert text in done.err


def test_flags_win_over_the_environment_and_the_environment_over_the_file(cli: Cli) -> None:
    file = cli.write("settings.toml", "[server]\nbase_path = '/file'\n[model]\nworkers = 2\n")
    with cli.serving(
        cli.write("everything.py"),
        "--no-warm",
        "--base-path",
        "/flag",
        "--config-file",
        file,
        MODELPORT_BASE_PATH="/env",
    ) as server:
        assert server.url.endswith("/flag")
        assert server.wait_line(": ready after").endswith("2 workers")
        assert post(server.url + PATH)[0] == 200


def test_a_port_that_is_taken_is_told(cli: Cli, tmp_path: Path) -> None:
    module = cli.write("everything.py")
    with cli.serving(module) as server:
        port = server.url.rpartition(":")[2]
        done = cli("serve", module, "--listen-port", port, "--home", str(tmp_path / "other"))
    assert done.status == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.err


def test_sigterm_lets_running_predictions_end(cli: Cli, tmp_path: Path) -> None:
    go = tmp_path / "go"
    slow = f"""
import os, time
def get_predict_args():
    return {{}}
def predict(**given):
    print("working", flush=True)
    while not os.path.exists({str(go)!r}):
        time.sleep(0.005)
    return "slow"
"""
    with cli.serving(cli.write("slow.py", slow)) as server:
        client = subprocess.Popen(
            ["curl", "-s", "-X", "POST", f"{server.url}/v2/models/slow/predict/"], stdout=subprocess.PIPE
        )
        server.wait_line(r"\] working", err=True)
        server.process.send_signal(signal.SIGTERM)
        # It no longer listens, and still works.
        wait_until_now(lambda: subprocess.run(["curl", "-s", server.url], capture_output=True).returncode == 7)
        go.touch()
        assert client.communicate()[0] == b'{"status": "OK", "predictions": "slow"}'
        assert server.wait() == 0


def test_a_server_goes_on_when_nobody_reads_what_it_prints(cli: Cli) -> None:
    command = [MODELPORT, "serve", cli.write("everything.py"), "--listen-port", "0"]
    server = subprocess.Popen(command, env=cli.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert server.stdout is not None
    url = server.stdout.readline().split()[-1]
    server.stdout.close()
    assert post(url + PATH)[0] == 200
    server.terminate()
    assert "BrokenPipe" not in server.communicate()[1]
    assert server.returncode == 0


def test_ctrl_c_is_a_clean_end(cli: Cli) -> None:
    with cli.serving(cli.write("everything.py"), "--workers", "2") as server:
        assert server.end(signal.SIGINT) == 0
    assert "Traceback" not in "".join(server.err)


def test_a_change_of_the_source_is_served_and_a_mistake_is_survived(cli: Cli) -> None:
    module = Path(cli.write("small.py", SMALL))

    def change(text: str) -> None:
        beside = module.with_suffix(".new")
        beside.write_text(text)
        os.replace(beside, module)

    with cli.serving(str(module), "--reload") as server:
        url = f"{server.url}/v2/models/small/predict/"
        assert b'"one"' in post(url)[1]
        change(SMALL.replace("one", "number two"))
        server.wait_ready(2)
        assert b'"number two"' in post(url)[1]
        change("def predict(:\n")
        server.wait_line("waiting for a change", err=True)
        assert "SyntaxError" in "".join(server.err)
        change(SMALL.replace("one", "three"))
        server.wait_ready(3)
        assert b'"three"' in post(url)[1]
        assert server.end() == 0


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_a_server_that_reloads_takes_a_free_port_of_ipv6(cli: Cli) -> None:
    with cli.serving(cli.write("small.py", SMALL), "--reload", "--listen-ip", "::1") as server:
        assert b'"one"' in post(f"{server.url}/v2/models/small/predict/")[1]
        assert server.end() == 0


def test_a_terminal_that_is_closed_does_not_cost_the_running_prediction(cli: Cli) -> None:
    source = SMALL.replace("    return 'one'", "    import time; print('begun'); time.sleep(1); return 'one'")
    ours, theirs = pty.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    server = subprocess.Popen(
        [MODELPORT, "serve", "--listen-port", "0", cli.write("model.py", source)],
        cwd=cli.folder,
        env=cli.environ,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=take_terminal,
    )
    os.close(theirs)
    try:
        shown = b""
        while b": ready after" not in shown:
            shown += os.read(ours, 1 << 16)
        url = json.loads((cli.home / "server.json").read_text())["url"]
        with ThreadPoolExecutor() as threads:
            call = threads.submit(post, f"{url}/v2/models/model/predict/")
            while b"begun" not in shown:
                shown += os.read(ours, 1 << 16)
            os.close(ours)
            assert call.result() == (200, b'{"status": "OK", "predictions": "one"}')
        assert server.wait(PATIENCE_S) == 0
    finally:
        server.kill()
        server.wait()


def test_an_interpreter_that_hangs_only_keeps_its_module_from_being_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 600\n")
    python.chmod(0o755)
    monkeypatch.setattr(reload, "FIND_S", 0.1)
    assert list(reload._roots("json", str(python))) == []
