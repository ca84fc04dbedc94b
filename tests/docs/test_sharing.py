"""The commands of docs/sharing.md and docs/versions.md are run against a real server, and print what the pages say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import MODELPORT, Cli
from tests.docs.test_cli import check
from tests.docs.test_serverless import ADDRESS, ROOT, run, steps
from tests.house import wait_until_now


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sharing", "versions"])
def test_the_page_works_as_written(tmp_path: Path, name: str) -> None:
    cli = Cli(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    cli.environ["PATH"] = f"{Path(MODELPORT).parent}:/usr/local/bin:/usr/bin:/bin"
    with cli.running("serve", "--empty", "--listen-port", "0", "--s3-port", "0") as server:
        wait_until_now(lambda: (cli.home / "server.json").exists())
        page = (ROOT / "docs" / f"{name}.md").read_text().replace(ADDRESS, server.url)
        assert len(list(steps(page))) > 6
        for command, expected in steps(page):
            check(command, run(cli, command), expected)
