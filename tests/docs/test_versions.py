"""docs/versions.md is true: its commands are run against a real server, and print what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import MODELPORT, Cli
from tests.docs.test_cli import check
from tests.docs.test_serverless import ADDRESS, ROOT, run, steps
from tests.house import wait_until_now

PAGE = ROOT / "docs" / "versions.md"


@pytest.mark.slow
def test_the_page_works_as_written(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    cli.environ["PATH"] = f"{Path(MODELPORT).parent}:/usr/local/bin:/usr/bin:/bin"
    with cli.running("serve", "--empty", "--listen-port", "0", "--s3-port", "0") as server:
        wait_until_now(lambda: (cli.home / "server.json").exists())
        page = PAGE.read_text().replace(ADDRESS, server.url)
        assert len(list(steps(page))) > 6
        for command, expected in steps(page):
            check(command, run(cli, command), expected)
