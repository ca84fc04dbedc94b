"""docs/cli.md is true: its examples are run against a real server, and print what it says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click
import pytest

from modelport.cli import Commands, group
from modelport.commands.export import TARGETS
from tests.cli.conftest import MODELPORT, Cli, Running
from tests.docs.test_serverless import ADDRESS, ROOT, pattern, steps
from tests.house import PATIENCE_S, wait_until_now

PAGE = ROOT / "docs" / "cli.md"


@pytest.mark.slow
def test_the_examples_work_as_written(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    cli.environ["PATH"] = f"{Path(MODELPORT).parent}:/usr/local/bin:/usr/bin:/bin"
    (serve, greeting), *rest = steps(PAGE.read_text())
    assert len(rest) >= 12
    with cli.running(*serve.split()[1:], "--listen-port", "0") as server:
        server.wait_ready()
        check(serve, listing(server, greeting), any_s3_port(greeting.replace(ADDRESS, server.url)))
        for command, expected in rest:
            fails = expected.startswith("error: ")
            check(
                command,
                run(cli, command.replace(ADDRESS, server.url), fails=fails),
                expected.replace(ADDRESS, server.url),
            )


def test_the_page_lists_every_command_and_every_platform() -> None:
    """Some lines list several: `register|check`, `deepaas-run, deepaas-cli`."""
    text = PAGE.read_text()
    lines = re.findall(r"^    modelport ([\w, -]*)", text.partition("**Contents")[0], re.M)
    assert set(Commands().list_commands(click.Context(group))) <= set(re.findall(r"[\w-]+", " ".join(lines)))
    [platforms] = re.findall(r"^\| `--to` \| (.*) \|$", text, re.M)
    assert re.findall(r"\w+(?=`)", platforms) == TARGETS


def any_s3_port(text: str) -> str:
    """Other tests' servers may have taken the usual one."""
    return text.replace("http://127.0.0.1:9000", "http://127.0.0.1:…")


def listing(server: Running, expected: str) -> str:
    """What the server has said when it has said all."""
    wait_until_now(lambda: len(server.out) >= len(expected.splitlines()))
    return "".join(server.out)


def check(command: str, said: str, expected: str) -> None:
    """Columns are as wide as what stands in them."""
    said, expected = (re.sub(" {2,}", "  ", each) for each in (said, expected))
    assert re.fullmatch(pattern(expected), said), f"$ {command}\n{said}\n--- the page says:\n{expected}"


def run(cli: Cli, command: str, *, fails: bool) -> str:
    """What the command prints; what it says on stderr only where the page says that it fails. Variables are kept."""
    script = f"set -a\n[ -f state ] && . ./state\n{command}\nstatus=$?\nexport -p > state\nexit $status"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=cli.folder,
        env=cli.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if fails else subprocess.PIPE,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode != 0) is fails, f"$ {command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
