"""deploy, services, info, token, logs, undeploy: against a real `modelport serve`, from the outside."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelport.commands.shell.flags import duration
from tests.cli.conftest import MODELPORT, Cli, Done, Running, post
from tests.forked import Forked
from tests.house import PATIENCE_S, wait_until_now

pytestmark = pytest.mark.slow

MODULE = """
import os
from marshmallow import fields

def get_metadata():
    return {"name": "Talker", "summary": "Says what it is told"}

def get_predict_args():
    return {
        "word": fields.Str(required=True),
        "image": fields.Raw(metadata={"type": "file", "location": "form"}),
    }

def predict(word, image=None):
    print("asked for", word, flush=True)
    size = os.path.getsize(image.filename) if image else None
    return [word, size, os.environ.get("GREETING"), os.environ.get("OMP_NUM_THREADS")]
"""


class Served:
    """A server of no module but what is deployed, in a folder with samples."""

    def __init__(self, cli: Cli, server: Running) -> None:
        self.cli = cli
        self.server = server
        self.url = server.url
        wait_until_now(lambda: (cli.home / "server.json").exists())
        cli.write("talker.py", MODULE)
        cli.write("data/bear.png", "x" * 10)

    def deploy(self, *arguments: str) -> Done:
        done = self.cli("deploy", "./talker.py", *arguments)
        assert done.status == 0, done.err
        return done


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cli, Running]]:
    cli = Cli(tmp_path_factory.mktemp("deployments"))
    with cli.running("serve", "--empty", "--listen-port", "0") as server:
        yield cli, server
        assert server.end() == 0


@pytest.fixture
def served(shared: tuple[Cli, Running]) -> Iterator[Served]:
    cli, server = shared
    yield Served(cli, server)
    cli.clear(server)


def test_a_module_is_deployed_called_and_undeployed(served: Served) -> None:
    cli = served.cli
    done = served.deploy("--name", "talker", "--title", "The talker", "--env", "GREETING=a=b", "--cpu", "2", "--wait")
    rows = dict(line.split(None, 1) for line in done.text.splitlines() if "  " in line)
    assert rows["endpoint"] == f"{served.url}/run/talker"
    assert rows["plain"] == f"{served.url}/talker"
    assert re.fullmatch(r"[0-9a-f]{64}", rows["token"])
    assert (rows["name"], rows["title"], rows["module"]) == ("talker", "The talker", str(cli.folder / "talker.py"))
    assert rows["calls"] == "no calls yet"
    assert post(f"{rows['plain']}?word=hi", rows["token"]) == (200, b'{"result": ["hi", null, "a=b", "2"]}')
    assert re.search(r"^calls +1, median time [\d.e-]+ s$", cli("info", "talker").text, re.M)

    listed = cli("services")
    assert listed.text.splitlines()[0].split() == ["NAME", "MODULE", "STATUS", "WORKERS", "CALLS", "ENDPOINT"]
    assert listed.text.splitlines()[1].split()[0] == "talker"
    assert [each["name"] for each in cli("services", "--json").json()] == ["talker"]

    document = cli("info", "talker", "--json").json()
    assert {key: document[key] for key in ("name", "module", "endpoint", "token")} == {
        "name": "talker",
        "module": str(cli.folder / "talker.py"),
        "endpoint": rows["endpoint"],
        "token": rows["token"],
    }
    assert document["bucket"] == {
        "bucket": rows["bucket"],
        "endpoint": rows["S3"],
        "access_key": rows["key"],
        "secret_key": rows["secret"],
        "region": "us-east-1",
    }
    assert document["bucket"]["bucket"] == "talker"
    assert document["status"] in ("ready", "cold")

    assert cli("undeploy", "talker", "--yes").text == "talker is undeployed\n"
    assert cli("info", "talker").status == 3
    assert post(f"{rows['plain']}?word=hi", rows["token"])[0] in (401, 404)
    done = cli("services")
    assert (done.status, done.out) == (0, b"")
    assert "nothing is deployed" in done.err


def test_the_lines_of_info_work_when_pasted(served: Served) -> None:
    name = json.loads(served.deploy("--json").out)["name"]
    assert re.fullmatch(r"talker-[0-9a-f]{6}", name)
    text = served.cli("info", name).text
    snippets = text.partition("From a shell:")[2]
    shell, _, python = snippets.partition("From Python:")
    python, _, asynchronous = python.partition("Asynchronous, by its bucket:")
    lines = [line.strip() for line in shell.strip().splitlines()]
    assert lines[0].startswith("TOKEN=")
    done = subprocess.run(
        ["bash", "-c", f"{lines[0]}; {lines[-1]}"], cwd=served.cli.folder, capture_output=True, check=True
    )
    assert json.loads(done.stdout)["result"][0] == "text"
    assert b"\nreturn: ['text', 10, None, None]\n" in b"\n" + pasted(served, python)
    printed = pasted(served, asynchronous).decode().splitlines()
    assert [line.split()[0] for line in printed] == ["outputs/test-prediction.json", "outputs/test-prediction.log"]
    assert json.loads((served.cli.folder / "test-prediction.json").read_text()) == ["text", 10, None, None]
    assert "return: ['text', 10, None, None]\n" in (served.cli.folder / "test-prediction.log").read_text()


def pasted(served: Served, lines: str) -> bytes:
    """What a script prints that was shown indented by four."""
    script = "\n".join(line[4:] for line in lines.strip("\n").splitlines())
    done = subprocess.run([sys.executable, "-c", script], cwd=served.cli.folder, capture_output=True, check=True)
    return done.stdout


def test_a_token_is_printed_alone_and_rotated(served: Served) -> None:
    served.deploy("--name", "talker")
    old = served.cli("token", "talker").text.strip()
    assert post(f"{served.url}/talker?word=hi", old)[0] == 200
    new = served.cli("token", "talker", "--rotate").text.strip()
    assert new != old
    assert served.cli("token", "talker", "--json").json() == {"name": "talker", "token": new}
    assert post(f"{served.url}/talker?word=hi", old)[0] == 401
    assert post(f"{served.url}/talker?word=hi", new)[0] == 200


def test_logs_are_what_the_module_printed_and_followed_while_it_prints(served: Served) -> None:
    served.deploy("--name", "talker")
    token = served.cli("token", "talker").text.strip()
    post(f"{served.url}/talker?word=first", token)
    wait_until_now(lambda: "asked for first" in served.cli("logs", "talker").text)
    assert "asked for first" in served.cli("logs", "talker", "--json").json()["log"]
    stamped = served.cli("logs", "talker", "--times").text.splitlines()
    assert any(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  asked for first", line) for line in stamped), stamped
    assert served.cli("logs", "talker", "--times", "--json").status == 2
    with served.cli.running("logs", "talker", "--follow") as following:
        following.wait_line("asked for first")
        post(f"{served.url}/talker?word=second", token)
        following.wait_line("asked for second")
        assert following.end(signal.SIGINT) == 130
    assert following.err == []
    with served.cli.running("logs", "talker", "-f") as following:
        following.wait_line("asked for second")
        assert served.cli("undeploy", "talker", "-y").status == 0
        assert following.wait() == 0


def test_a_service_is_there_again_after_a_restart(cli: Cli) -> None:
    with cli.running("serve", "--empty", "--listen-port", "0") as server:
        served = Served(cli, server)
        served.deploy("--name", "talker")
        token = cli("token", "talker").text
        assert server.end() == 0
    assert cli("services").status == 3
    with cli.running("serve", "--empty", "--listen-port", "0") as server:
        served = Served(cli, server)
        assert cli("token", "talker").text == token
        assert post(f"{served.url}/talker?word=hi", token.strip())[0] == 200


def test_a_module_that_does_not_load_is_told_with_its_reason(served: Served) -> None:
    broken = served.cli.write("broken.py", "raise RuntimeError('no weights here')\n")
    done = served.cli("deploy", broken, "--name", "broken", "--wait")
    assert done.status == 1
    assert "no weights here" in done.text
    assert served.cli("info", "broken", "--json").json()["status"] == "failed"
    assert "From a shell" not in served.cli("info", "broken").text
    served.deploy("--name", "talker", "--wait")  # the others live


def test_what_is_invalid_is_refused_with_the_reason(served: Served) -> None:
    for arguments, reason in (
        (["--name", "Not A Name"], "name"),
        (["--name", "docs"], "docs"),
        (["--max-workers", "0"], "max_workers"),
        (["--memory", "much"], "memory"),
        (["--idle", "soon"], "'soon' is not a time; give seconds, or 300s, 5m, 1.5h"),
        (["--env", "GREETING"], "--env is 'GREETING'; give NAME=VALUE"),
        (["--python", "/no/such/python"], "python"),
        (["--min-workers", "x"], "is not a valid integer"),
    ):
        done = served.cli("deploy", "talker.py", *arguments)
        assert (done.status, done.out) == (2, b"")
        assert reason in done.err
    assert served.cli("services", "--json").json() == []


def test_a_file_that_is_not_here_is_noted(served: Served) -> None:
    """The server may be on another machine, so it is not refused; but most often the name is a slip."""
    done = served.cli("deploy", "./walker.py", "--name", "walker")
    assert done.status == 0
    assert "note: there is no ./walker.py here; the server looks for it on its own disk" in done.err
    assert "note" not in served.deploy("--name", "talker").err
    for name in ("walker", "talker"):
        assert served.cli("undeploy", name, "--yes").status == 0


def test_a_limit_of_a_link_is_refused_by_the_name_of_its_option(served: Served) -> None:
    done = served.cli("share", "talker", "--calls", "0")
    assert (done.status, "--calls" in done.err) == (2, True)


def test_a_name_is_taken_once(served: Served) -> None:
    served.deploy("--name", "talker")
    done = served.cli("deploy", "talker.py", "--name", "talker", "--json")
    assert done.status == 1
    assert json.loads(done.err)["error"] == "conflict"


def test_undeploying_asks_and_where_nobody_can_be_asked_wants_a_yes(served: Served) -> None:
    served.deploy("--name", "talker")
    done = served.cli("undeploy", "talker")
    assert done.status == 2
    assert "--yes" in done.err
    for answer, status in ((b"n\n", 1), (b"y\n", 0)):
        ours, theirs = pty.openpty()
        process = Forked(
            [MODELPORT, "undeploy", "talker"],
            env=served.cli.environ,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        os.close(theirs)
        os.write(ours, answer)
        process.communicate(timeout=PATIENCE_S)
        os.close(ours)
        assert process.returncode == status
        assert served.cli("info", "talker").status == (0 if status else 3)


def test_without_a_server_the_commands_say_what_to_do(cli: Cli) -> None:
    for arguments in (["services"], ["info", "x"], ["deploy", "my_model"], ["undeploy", "x", "-y"], ["logs", "x"]):
        done = cli(*arguments)
        assert (done.status, done.out) == (3, b"")
        assert f"there is no {cli.home}/server.json" in done.err
        assert "modelport serve" in done.err
    assert json.loads(cli("services", "--json").err)["error"] == "unreachable"


def test_a_server_that_was_killed_is_not_taken_for_one(cli: Cli) -> None:
    with cli.running("serve", "--empty", "--listen-port", "0") as server:
        assert server.url
        wait_until_now(lambda: (cli.home / "server.json").exists())
        server.process.kill()
        server.wait()
        done = cli("services")
        assert done.status == 3
        assert f"names process {server.process.pid}, which has ended" in done.err


def test_a_server_elsewhere_is_managed_with_its_owners_token(cli: Cli, tmp_path: Path) -> None:
    with cli.running("serve", "--empty", "--listen-port", "0", "--base-path", "/m", BEARER_TOKEN="s3cret") as server:
        other = Cli(tmp_path / "other")
        other.folder.mkdir()
        for environ, arguments, status in (
            ({"BEARER_TOKEN": "s3cret"}, [], 0),
            ({}, ["--token", "s3cret"], 0),
            ({}, [], 3),
            ({"BEARER_TOKEN": "wrong"}, [], 3),
        ):
            done = other("services", "--json", "--url", server.url, *arguments, **environ)
            assert done.status == status, done.err
        # A token in the environment may be some deployment's: the server's own notice counts more.
        assert cli("services", BEARER_TOKEN="another").status == 0
        assert other("services", "--url", "127.0.0.1:1").status == 3


def test_what_is_named_on_the_command_line_is_shown_but_is_no_service(cli: Cli) -> None:
    with cli.serving(cli.write("talker.py", MODULE)):
        assert cli("services", "--json").json() == []
        assert [each["name"] for each in cli("services", "--all", "--json").json()] == ["talker"]
        info = cli("info", "talker").text
        assert "the server's own, if it was started with one" in info
        assert "Authorization" not in info
        assert cli("token", "talker").status == 3
        assert cli("undeploy", "talker", "--yes").status == 3


def test_another_kind_of_server_is_recognised(cli: Cli) -> None:
    web = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(web, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        match = re.search(r"port (\d+)", process.stdout.readline())
        assert match is not None
        done = cli("services", "--url", f"http://127.0.0.1:{match[1]}")
        process.terminate()
    assert done.status == 3
    assert "answers 404 to /deployments: it is not a modelport server, an older one" in done.err


@pytest.mark.parametrize(
    ("text", "seconds"), [("300", 300), ("300s", 300), ("5m", 300), ("1.5h", 5400), ("2d", 172800), ("500 ms", 0.5)]
)
def test_times_have_units(text: str, seconds: float) -> None:
    assert duration(text) == seconds
