"""Every command that writes a file writes it the same way: whole, through links, with the mode that was there."""

from __future__ import annotations

import ast
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import modelport
from modelport.commands.shell.files import replaced
from tests.cli.conftest import MODELPORT, Both

COMMANDS = Path(modelport.__file__).parent / "commands"
WRITING = {"write_text", "write_bytes", "mkstemp", "NamedTemporaryFile", "copy", "copy2", "copyfile"}
# Copies of input files in folders of our own; nothing into /dev/null; the list that a batch appends to.
ALLOWED = {
    *(("calling/local.py", "copyfile"), ("deepaas/deepaas_arguments.py", "copyfile")),
    *(("shell/output.py", "open"), ("calling/completion.py", "open"), ("batching/batch_results.py", "open")),
}


def writes(node: ast.AST) -> str:
    """The name of the call, if it can write a file."""
    if not isinstance(node, ast.Call):
        return ""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name == "open":
        texts = [
            each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)
        ]
        flags = [each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)]
        modes = [text for text in texts if set(text) <= set("rwxabt+") and set(text) & set("wxa+")]
        return "open" if modes or {"O_WRONLY", "O_RDWR"} & set(flags) else ""
    return name if name in WRITING and not (name == "copy" and len(node.args) < 2) else ""


def test_no_command_writes_a_file_in_a_way_of_its_own() -> None:
    others = [path for path in COMMANDS.rglob("*.py") if path.name != "files.py"]
    found = {
        (str(path.relative_to(COMMANDS)), name)
        for path in others
        for node in ast.walk(ast.parse(path.read_text()))
        if (name := writes(node))
    }
    assert found - ALLOWED == set()


def test_no_command_waits_in_a_loop_where_signals_are_not_heard() -> None:
    """Only `event_loop.until_terminated` ends a write that blocks by Ctrl-C and SIGTERM; servers have their own."""
    own = {"shell/event_loop.py", "deepaas_cli.py", "calling/completion.py"}
    found = {str(path.relative_to(COMMANDS)) for path in COMMANDS.rglob("*.py") if "asyncio.run(" in path.read_text()}
    assert found == own
    assert "asyncio.run(event_loop.until_terminated(" in (COMMANDS / "deepaas_cli.py").read_text()


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("before")
    with pytest.raises(RuntimeError), replaced(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["x"]


# Every command, with the file it is to write.
def arguments(both: Both, command: str) -> list[str]:
    here = [both.module]
    there = ["everything", "--url", both.server.url]
    server = ["--url", both.server.url]
    if command == "job":
        job = both.cli("predict", *there, "--async").text.strip()
        return ["job", job, *server, "--wait", "-o"]
    return {
        "predict": ["predict", *here, "-o"],
        "predict --url": ["predict", *there, "-o"],
        "predict --async --wait": ["predict", *there, "--async", "--wait", "-o"],
        "train": ["train", *here, "-o"],
        "train --url": ["train", *there, "-o"],
        "payload": ["payload", "--word", "x", "-o"],
        "deepaas-cli": ["deepaas-cli", "--model-name", both.module, "--deepaas_method_output"],
    }[command]


NAMES = ("predict", "predict --url", "predict --async --wait", "train", "train --url", "payload", "job", "deepaas-cli")


@pytest.fixture(params=NAMES)
def write(request: pytest.FixtureRequest, both: Both) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs a command that writes to the path; more: what a shell has to say behind the command."""
    words = arguments(both, request.param)
    after = ["get_metadata"] if request.param == "deepaas-cli" else []

    def run(path: str, more: str = "") -> subprocess.CompletedProcess[bytes]:
        command = ["sh", "-c", f'"$@" {more}', "sh", MODELPORT, *words, path, *after]
        return subprocess.run(command, cwd=both.cli.folder, env=both.cli.environ, capture_output=True, check=False)

    return run


@pytest.mark.slow
def test_a_link_stays_and_its_target_is_replaced_with_its_mode(
    write: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path
) -> None:
    target, link = tmp_path / "deep" / "target.json", tmp_path / "link.json"
    target.parent.mkdir()
    target.write_text("yesterday's")
    target.chmod(0o640)
    link.symlink_to("deep/target.json")
    os.link(target, tmp_path / "other")
    done = write(str(link))
    assert done.returncode == 0, done.stderr
    assert os.readlink(link) == "deep/target.json"
    assert target.read_bytes().startswith(b"{")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert (tmp_path / "other").read_text() == "yesterday's", "replaced, not written over"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["deep", "link.json", "other", "target.json"]


@pytest.mark.slow
def test_a_device_is_written_to_and_stays(
    write: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path
) -> None:
    before = os.readlink("/dev/stdout")
    kept = tmp_path / "kept"
    kept.write_text("first\n")
    done = write("/dev/fd/3", f"3>>{kept}")
    assert done.returncode == 0, done.stderr
    text = kept.read_text()
    assert text.startswith("first\n{")
    assert write("/dev/stdout", f">>{kept}").returncode == 0
    assert os.readlink("/dev/stdout") == before
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_pipes_are_written_to(tmp_path: Path) -> None:
    imports = "import sys; from modelport.commands.shell.files import replaced"
    code = f"{imports}\nwith replaced(sys.argv[1]) as file: file.write(b'x')"
    done = subprocess.run([sys.executable, "-c", code, "/dev/stdout"], capture_output=True, check=True)
    assert done.stdout == b"x"
    with replaced("/dev/null") as file:
        file.write(b"x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
