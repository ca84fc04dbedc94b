"""Whatever a model says and wherever a command shows it: a terminal obeys nothing of it."""

from __future__ import annotations

import ast
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import modelport.commands
from tests.cli.conftest import MODELPORT, Cli, Running
from tests.forked import Forked
from tests.house import wait_until_now

COMMANDS = Path(modelport.commands.__file__).parent

# Changes a title, answers back, moves up and erases; C1; a line that another one takes the place of.
EVIL = "\x1b]0;PWNED\x07\x1b[5n\x1b[2J\x9b2Jevil\x7f"
FORBIDDEN = [b"\x1b]", b"\x07", b"\x1b[5n", b"\x1b[2J", b"\xc2\x9b", b"\x7f"]

PLUGIN = f"""
import logging, sys, time
from marshmallow import ValidationError, fields, validate
import modelport
EVIL = {EVIL!r}
print("at import " + EVIL)
def warm(): print("warm " + EVIL)
def get_metadata():
    return {{"name": "evil " + EVIL, "version": EVIL, "summary": EVIL, "author": EVIL, EVIL: EVIL, "more": [EVIL]}}
def get_predict_args():
    described = {{"description": EVIL}}
    return {{
        "mode": fields.Str(load_default="echo", validate=validate.OneOf(["echo", "fail", "refuse", "text", EVIL])),
        "word": fields.Str(load_default=EVIL, metadata=described),
        "ev" + EVIL: fields.Str(metadata=described),
        "accept": fields.Str(load_default="application/json", validate=validate.OneOf(
            ["application/json", "text/plain"]), metadata={{"location": "headers"}}),
    }}
get_train_args = lambda: {{"mode": fields.Str(load_default="echo")}}
def predict(mode, **k):
    print("printed " + EVIL)
    print("logged " + EVIL, file=sys.stderr)
    logging.getLogger("evil").warning("warned %s", EVIL)
    modelport.progress(0.5, EVIL)
    if mode == "fail": raise ValueError(EVIL)
    if mode == "refuse": raise ValidationError({{EVIL: [EVIL]}})
    return EVIL
train = lambda mode: predict(mode)
"""
BROKEN = f"print({EVIL!r})\nraise ValueError({EVIL!r})\n"


def check(said: bytes) -> None:
    assert b"evil" in said or b"broken" in said, said
    for each in FORBIDDEN:
        assert each not in said, said


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cli, Running]]:
    cli = Cli(tmp_path_factory.mktemp("terminal"))
    module = cli.write("evil.py", PLUGIN)
    cli.write("broken.py", BROKEN)
    with cli.serving(module, "--debug") as server:
        yield cli, server


def on_terminal(cli: Cli, *arguments: str) -> bytes:
    """What the command prints where stdout and stderr are a terminal."""
    ours, theirs = pty.openpty()
    process = Forked(
        [MODELPORT, *arguments],
        cwd=cli.folder,
        env={**cli.environ, "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    try:
        while chunk := os.read(ours, 1 << 16):
            said += chunk
    except OSError:
        pass  # the other end is closed
    finally:
        os.close(ours)
        process.wait()
    return said


HERE = {
    "describe": ["describe", "./evil.py"],
    "describe as JSON": ["describe", "./evil.py", "--json"],
    "help": ["predict", "./evil.py", "--help"],
    "predict": ["predict", "./evil.py"],
    "predict, text": ["predict", "./evil.py", "--accept", "text/plain"],
    "predict, failing": ["predict", "./evil.py", "--mode", "fail", "--debug"],
    "predict, refusing": ["predict", "./evil.py", "--mode", "refuse"],
    "predict, misused": ["predict", "./evil.py", "--mode", "other"],
    "train": ["train", "./evil.py"],
    "train, failing": ["train", "./evil.py", "--mode", "fail"],
    "broken": ["predict", "./broken.py", "--debug"],
    "deepaas-cli": ["deepaas-cli", "--model-name", "./evil.py", "predict"],
    "deepaas-cli, help": ["deepaas-cli", "--model-name", "./evil.py", "predict", "--help"],
    "deepaas-cli, failing": ["deepaas-cli", "--model-name", "./evil.py", "predict", "--mode", "fail"],
    "deepaas-cli, metadata": ["deepaas-cli", "--model-name", "./evil.py", "get_metadata"],
}
AT_URL = {
    "predict": ["predict", "evil"],
    "predict, failing": ["predict", "evil", "--mode", "fail", "--debug"],
    "help": ["predict", "evil", "--help"],
    "describe": ["describe", "evil"],
    "train": ["train", "evil"],
}
THERE = {
    **AT_URL,
    "logs": ["logs", "evil"],
    "info": ["info", "evil"],
    "info, failure": ["info", "broken"],
    "services": ["services", "--all"],
    "jobs": ["jobs"],
    "jobs as JSON": ["jobs", "--json"],
}


@pytest.mark.slow
@pytest.mark.parametrize("what", HERE)
def test_a_command_that_runs_a_model_shows_nothing_raw(served: tuple[Cli, Running], what: str) -> None:
    check(on_terminal(served[0], *HERE[what]))


@pytest.mark.slow
def test_commands_that_ask_a_server_show_nothing_raw(served: tuple[Cli, Running]) -> None:
    cli, server = served
    assert cli("deploy", "./broken.py", "--name", "broken").status == 0
    assert cli("predict", "evil", "--async", "--url", server.url).status == 0
    wait_until_now(lambda: b"failed" in cli("services").out)
    for what, command in THERE.items():
        said = on_terminal(cli, *command, *(["--url", server.url] if what in AT_URL else []))
        check(said)
    [job] = [job["id"] for job in cli("jobs", "--json").json() if job["method"] == "predict"]
    for more in ([], ["--log"], ["--result"]):
        check(on_terminal(cli, "job", job, *more))


@pytest.mark.slow
def test_the_servers_console_shows_nothing_raw(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    with cli.serving(cli.write("evil.py", PLUGIN), "--debug") as server:
        cli("predict", "evil", "--mode", "fail", "--url", server.url)
        server.wait_line("ValueError", err=True)
        server.end()
        check("".join([*server.out, *server.err]).encode())
        assert any(r"printed \x1b]0;PWNED\x07" in line for line in server.err)


# All places where commands print. What may have been written by a model goes through `visible`.

ALLOWED = {
    "commands/deepaas/deepaas_logs.py": "raw as the original's, but to a terminal",
    "commands/deepaas/deepaas_options.py": "an operator's own mistakes",
    "commands/deepaas_run.py": "its own address",
    "commands/model/card_text.py": "each line is made visible",
    "commands/model/answers.py": "a file or a pipe gets the answer as it is; a terminal through a VisibleStream",
    "commands/shell/output.py": "where the others print",
}


def test_no_command_prints_but_by_what_makes_it_visible() -> None:
    for path in sorted(COMMANDS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                text = ast.unparse(node)
                called = ast.unparse(node.func)
                prints = called in ("click.echo", "click.secho", "print") or called.endswith(
                    ("stdout.write", "stderr.write", "buffer.write")
                )
                name = str(path.relative_to(COMMANDS.parent))
                assert not prints or "visible(" in text or name in ALLOWED, f"{name}: {text}"
