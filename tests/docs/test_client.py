"""docs/client.md is true: its programs are run against a real server, and print what it says."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from modelport.client import AsyncClient, Client
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


def test_the_client_without_an_event_loop_has_all_methods_of_the_other() -> None:
    public = {name: method for name, method in inspect.getmembers(AsyncClient) if not name.startswith("_")}
    asked = (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    names = {name for name, method in public.items() if any(is_one(method) for is_one in asked)}
    assert names - set(vars(Client)) == {"chunks", "decoded", "json_of", "model", "patiently"}
