"""What processes that we start get to see of our environment: all but the server's own secrets, wherever they start."""

from __future__ import annotations

import ast
import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

import modelport
from modelport import settings
from modelport.catalogue.processes import said_by
from modelport.catalogue.scan import Source, scan
from modelport.commands.serving import reload
from modelport.commands.tunnelling.tunnels import Tunnel
from modelport.environment import child_environment, secret_names
from tests.cli.conftest import MODELPORT
from tests.forked import completed
from tests.house import Spawned, alive, spawned_house, wait_until
from tests.plugins import environment, installed_plugin

ROOT = Path(modelport.__file__).parent

TOLD = "secret-0f5b"
SECRETS = {name: f"{TOLD}-{name.lower()}" for name in secret_names()}
KEPT = {"MODELPORT_GRACE_S": "1", "NOT_A_SECRET": "kept"}

# Says what it sees of the environment, and what the kernel shows of it.
PLUGIN = """
import os, sys, time
from marshmallow import fields
def seen():
    text = open("/proc/self/environ").read() + repr(dict(os.environ))
    return [TOLD in text, [name for name in NAMES if name in text], os.environ.get("NOT_A_SECRET")]
AT_IMPORT = seen()
def warm(): warmed.append(seen())
warmed = []
def get_metadata(): return {"seen": AT_IMPORT}
def get_predict_args(): return {"seconds": fields.Float(load_default=0)}
get_train_args = get_predict_args
def predict(seconds=0, **k):
    time.sleep(seconds)
    return [AT_IMPORT, *warmed, seen()]
train = predict
""".replace("TOLD", repr(TOLD)).replace("NAMES", repr(sorted(SECRETS)))
NOTHING = [False, [], "kept"]


@pytest.fixture
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**SECRETS, **KEPT}.items():
        monkeypatch.setenv(name, value)


def test_every_secret_setting_and_each_of_its_names_is_left_out(_secrets: None) -> None:
    assert {"BEARER_TOKEN", "MODELPORT_TOKEN", "MODELPORT_PASSWORD"} <= set(SECRETS)
    for row in settings.table():
        assert (row.environment in SECRETS) == row.secret
        assert (settings.ENVIRONMENT_ALIASES.get(row.name, row.environment) in SECRETS) == row.secret
    rest = child_environment()
    assert not set(rest) & set(SECRETS) and set(rest) | set(SECRETS) == set(os.environ)


# All places that start a process. A new one must say here how it is known to keep the secrets to itself.

# By the module that a function is called of; "": of any object.
STARTS = {
    "": {"Popen", "create_subprocess_exec", "create_subprocess_shell", "subprocess_exec", "subprocess_shell"},
    "subprocess": {"run", "call", "check_call", "check_output", "getoutput", "getstatusoutput"},
    "os": {"system", "popen", "fork", "forkpty", "posix_spawn", "posix_spawnp"}
    | {f"{verb}{ending}" for verb in ("exec", "spawn") for ending in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")},
    "pty": {"fork", "spawn"},
    "multiprocessing": {"Process", "Pool", "get_context"},
}

PLACES = {
    "child/forking.py fork": "in the child, whose environment is clean: test_the_server",
    "child/template.py execv": "in the child, whose environment is clean: test_the_server",
    "child/template.py fork": "in the child, whose environment is clean: test_the_server",
    "commands/scaffolding/__init__.py run": "git, for the author's name",
    "commands/serving/reload.py Popen": "the server itself, which needs them",
    "commands/serving/reload.py run": "test_an_interpreter_that_is_asked_for_a_modules_place",
    "commands/tunnelling/tunnels.py create_subprocess_exec": "test_a_tunnel",
    "catalogue/processes.py create_subprocess_exec": "test_an_interpreter_that_is_asked_for_its_modules",
    "executors/template.py Popen": "test_the_server, test_commands",
}


def starts(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            owner = getattr(getattr(node.func, "value", None), "id", "")
            if name in STARTS[""] | STARTS.get(owner, set()):
                yield name, node


def test_no_place_starts_a_process_that_is_not_listed_here() -> None:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        for name, call in starts(path):
            place = f"{path.relative_to(ROOT)} {name}"
            found[place] = ast.unparse(call)
    assert set(found) == set(PLACES)
    for place, why in PLACES.items():
        if why.startswith("test_") and "child_environment()" not in found[place]:
            pytest.fail(f"{place} gives no child_environment(): {found[place]}")


# Seen from within, and by the kernel


def shown(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_text(errors="replace")
    except OSError:
        return ""


@pytest.mark.slow
@pytest.mark.parametrize("start_method", ["fork", "spawn"])
async def test_the_server(tmp_path: Path, start_method: str, _secrets: None) -> None:
    """Its templates, workers and trainings, with what they start in turn."""
    with spawned_house(tmp_path, PLUGIN, start_method=start_method, token="t", predict_timeout_s=0.0) as server:
        async with aiohttp.ClientSession(headers={"Authorization": "Bearer t"}) as session:
            async with session.post(server.predict_url) as response:
                assert (await response.json())["predictions"] == [NOTHING] * 3
            async with session.get(f"{server.url}/v2/models/x/") as response:
                assert (await response.json())["seen"] == NOTHING
            async with session.post(f"{server.url}/v2/models/x/train/?seconds=600") as response:
                assert response.status == 200
            await wait_until(lambda: is_training(server))
            for pid in server.descendants():
                text = shown(pid)
                assert TOLD not in text and not [name for name in SECRETS if f"{name}=" in text]


def is_training(server: Spawned) -> bool:
    """Two workers have a template of theirs as parent: one for predictions, one for the training."""
    return len([pid for pid in server.descendants() if "boot.py" in Path(f"/proc/{pid}/cmdline").read_text()]) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("command", ["predict", "train"])
def test_commands(tmp_path: Path, _secrets: None, command: str) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(PLUGIN)
    environ = {name: value for name, value in os.environ.items() if name != "BEARER_TOKEN"}
    ended = completed([MODELPORT, command, str(plugin)], timeout_s=60, env={**environ, "MODELPORT_HOME": str(tmp_path)})
    assert ended.returncode == 0, ended.stderr
    answer = json.loads(ended.stdout)
    assert answer == [NOTHING] * 3
    ended = completed([MODELPORT, "describe", str(plugin), "--json"], timeout_s=60, env=environ)
    assert json.loads(ended.stdout)["metadata"]["seen"] == NOTHING


@pytest.mark.slow
def test_deepaas_cli(tmp_path: Path, _secrets: None) -> None:
    folder = installed_plugin(tmp_path / "plugins", "seeing", PLUGIN)
    output = tmp_path / "answer.json"
    command = [MODELPORT, "deepaas-cli", "--deepaas_method_output", str(output), "predict"]
    ended = completed(command, timeout_s=60, env=environment(folder, "seeing"))
    assert ended.returncode == 0, ended.stderr + ended.stdout
    assert json.loads(output.read_text()) == [NOTHING] * 3


def listening_program(path: Path, says: str) -> tuple[Path, Path]:
    """A program that writes its environment to a file, and says something. (program, file)."""
    written = path.with_suffix(".environ")
    path.write_text(f"#!/bin/sh\ncat /proc/self/environ > {written}.part\nmv {written}.part {written}\n{says}\n")
    path.chmod(0o755)
    return path, written


def check(written: Path) -> None:
    text = written.read_text()
    assert "NOT_A_SECRET=kept" in text
    assert TOLD not in text and not [name for name in SECRETS if f"{name}=" in text]


async def test_an_interpreter_that_is_asked_for_its_modules(tmp_path: Path, _secrets: None) -> None:
    program, written = listening_program(tmp_path / "python", """echo '{"modules": [], "watched": []}'""")
    assert (await scan([Source(str(program), "x")], 20))[2] == []
    check(written)


def test_an_interpreter_that_is_asked_for_a_modules_place(tmp_path: Path, _secrets: None) -> None:
    program, written = listening_program(tmp_path / "python", "echo")
    assert reload._origin("x", str(program)) is None
    check(written)


async def test_a_tunnel(tmp_path: Path, _secrets: None) -> None:
    program, written = listening_program(tmp_path / "ngrok", """echo '"url":"https://x.example"'; sleep 60""")
    async with Tunnel(("ngrok", str(program)), "http://127.0.0.1:1") as tunnel:
        assert await asyncio.wait_for(tunnel.wait_url(), 20) == "https://x.example"
    check(written)


# What short processes say


async def test_what_a_process_says_is_kept_up_to_a_limit() -> None:
    said = await said_by(["sh", "-c", "yes | head -c 1000000; yes complaint | head -c 9000 >&2; exit 3"], 20, 100)
    assert (said.status, said.out) == (3, b"y\n" * 50)
    assert len(said.complaint) <= 2000 and said.complaint.endswith("complaint")


@pytest.mark.parametrize("script", ["sleep 600", "sleep 600 & exit"])
async def test_what_a_process_has_started_ends_with_it(tmp_path: Path, script: str) -> None:
    """Also what has outlived it, and keeps its streams open."""
    written = tmp_path / "pid"
    asked = asyncio.create_task(said_by(["sh", "-c", f"sh -c 'echo $$ > {written}; {script}'"], 600, 100))
    await wait_until(lambda: written.exists() and written.read_text().strip())
    asked.cancel()
    await asyncio.wait([asked])
    await wait_until(lambda: not alive(int(written.read_text())))
