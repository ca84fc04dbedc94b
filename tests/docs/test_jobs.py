"""docs/jobs.md is true: its commands and scripts are run against a real server, and print what it says."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from tests.cli.conftest import MODELPORT, Cli
from tests.docs.test_serverless import ADDRESS, ROOT, pattern, run, steps
from tests.house import wait_until_now

PAGE = ROOT / "docs" / "jobs.md"


def free_port() -> int:
    """One that nobody has now: the page says it to the server before its script listens there."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.mark.slow
def test_the_page_works_as_written(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    cli.environ["PATH"] = f"{Path(MODELPORT).parent}:/usr/local/bin:/usr/bin:/bin"
    page = PAGE.read_text()
    assert len(list(steps(page))) > 15
    receiver = f"127.0.0.1:{free_port()}"
    with cli.running("serve", "--empty", "--listen-port", "0", "--webhook-hosts", receiver) as server:
        url = server.url
        wait_until_now(lambda: (cli.home / "server.json").exists())
        page = page.replace(ADDRESS, url).replace("8099", receiver.partition(":")[2])
        for command, expected in steps(page):
            if command == "python":
                (tmp_path / expected.partition("\n")[0].removeprefix("# ")).write_text(expected)
                continue
            said = run(cli, command)
            assert re.fullmatch(pattern(expected), said), f"$ {command}\n{said}\n--- the page says:\n{expected}"
