"""docs/serverless.md is true: its commands and scripts are run against a real server, and print what it says."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import MODELPORT, Cli
from tests.house import PATIENCE_S, wait_until_now

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "serverless.md"
ADDRESS = "http://127.0.0.1:5000"

FENCE = re.compile(r"^```(console|python)\n(.*?)^```$", re.M | re.S)


def steps(page: str) -> Iterator[tuple[str, str]]:
    """("python", a script with its name in the first line), or (a command, what it prints)."""
    for kind, text in FENCE.findall(page):
        if kind == "python":
            yield "python", text
            continue
        for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def pattern(expected: str) -> str:
    """`…` stands for anything in a line; in a line of its own for any lines."""
    lines = []
    for line in expected.splitlines():
        lines.append(r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + r"\n")
    return "".join(lines)


def test_what_is_printed_is_compared_by_line() -> None:
    assert re.fullmatch(pattern("a\n…\nd …\n"), "a\nb\nc\nd e\n")
    assert not re.fullmatch(pattern("a\nd …\n"), "a\nb\nd e\n")
    assert not re.fullmatch(pattern("a.c\n"), "abc\n")


@pytest.mark.slow
def test_the_tutorial_works_as_written(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    for name in ("data", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    cli.environ["PATH"] = f"{Path(MODELPORT).parent}:/usr/local/bin:/usr/bin:/bin"
    page = PAGE.read_text()
    assert len(list(steps(page))) > 20
    with cli.running("serve", "--empty", "--listen-port", "0") as server:
        url = server.url
        wait_until_now(lambda: (cli.home / "server.json").exists())
        for command, expected in steps(page.replace(ADDRESS, url)):
            if command == "python":
                (tmp_path / expected.partition("\n")[0].removeprefix("# ")).write_text(expected)
                continue
            said = run(cli, command)
            # The table of services is as wide as the address.
            shown = re.sub(r"(?m)^(NAME|digits) .*$", lambda line: re.sub(" {2,}", "  ", line[0]), said)
            wanted = re.sub(r"(?m)^(NAME|digits) .*$", lambda line: re.sub(" {2,}", "  ", line[0]), expected)
            assert re.fullmatch(pattern(wanted), shown), f"$ {command}\n{said}\n--- the page says:\n{expected}"


def run(cli: Cli, command: str) -> str:
    """What the command prints. What it exports is there for the next one."""
    script = f"[ -f state ] && . ./state\n{command}\nstatus=$?\nexport -p > state\nexit $status"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=cli.folder,
        env=cli.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}\n{done.stderr}"
    return done.stdout if done.stdout.endswith("\n") or not done.stdout else done.stdout + "\n"
