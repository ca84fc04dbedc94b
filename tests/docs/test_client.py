"""docs/client.md is true: its programs are run against a real server, and print what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import MODELPORT, Cli
from tests.docs.test_serverless import ADDRESS, ROOT, pattern, run, steps
from tests.house import wait_until_now

PAGE = ROOT / "docs" / "client.md"


@pytest.mark.slow
def test_the_page_works_as_written(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    cli.environ["PATH"] = f"{Path(MODELPORT).parent}:/usr/local/bin:/usr/bin:/bin"
    cli.environ["PYTHONWARNINGS"] = "error"
    with cli.running("serve", "--empty", "--listen-port", "0") as server:
        wait_until_now(lambda: (cli.home / "server.json").exists())
        page = PAGE.read_text().replace(ADDRESS, server.url)
        assert len(list(steps(page))) == 8
        for command, expected in steps(page):
            if command == "python":
                (tmp_path / expected.partition("\n")[0].removeprefix("# ")).write_text(expected)
                continue
            said = run(cli, command)
            assert re.fullmatch(pattern(expected), said), f"$ {command}\n{said}\n--- the page says:\n{expected}"


def test_the_client_can_be_asked_for_without_waiting_for_its_libraries() -> None:
    code = "import sys, modelport.client; assert 'aiohttp' not in sys.modules; modelport.client.Client"
    subprocess.run([sys.executable, "-c", code], check=True)
