"""docs/mcp.md is true: its module is served, and the official package and curl get what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import MODELPORT, Cli
from tests.docs.test_serverless import ADDRESS, ROOT, pattern, run, steps
from tests.environments import environment
from tests.mcp.test_clients import NEW


@pytest.mark.slow
def test_the_page_works_as_written(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    client = environment("3.11", NEW).parent
    cli.environ["PATH"] = f"{client}:{Path(MODELPORT).parent}:/usr/local/bin:/usr/bin:/bin"
    page = list(steps((ROOT / "docs" / "mcp.md").read_text()))
    assert [command.partition(" ")[0] for command, _ in page] == ["python", "curl", "python", "python"]
    (tmp_path / "counter.py").write_text(page[0][1])
    with cli.running("serve", "counter.py", "--listen-port", "0", "--s3-port", "0") as server:
        server.wait_ready()
        (tmp_path / "count.py").write_text(page[2][1].replace(ADDRESS, server.url))
        for command, expected in (page[1], page[3]):
            said = run(cli, command.replace(ADDRESS, server.url))
            assert re.fullmatch(pattern(expected), said), f"$ {command}\n{said}\n--- the page says:\n{expected}"
