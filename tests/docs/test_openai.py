"""docs/openai.md is true: its module is served, and the openai package and curl get what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import MODELPORT, Cli
from tests.docs.test_serverless import ADDRESS, ROOT, pattern, run, steps
from tests.environments import environment
from tests.openai.test_client import OPENAI


@pytest.mark.slow
def test_the_page_works_as_written(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    client = environment("3.11", OPENAI).parent
    cli.environ["PATH"] = f"{client}:{Path(MODELPORT).parent}:/usr/local/bin:/usr/bin:/bin"
    page = list(steps((ROOT / "docs" / "openai.md").read_text()))
    assert [command.partition(" ")[0] for command, _ in page] == ["python", "python", "python", "curl"]
    (tmp_path / "lengths.py").write_text(page[0][1])
    with cli.running("serve", "lengths.py", "--listen-port", "0", "--s3-port", "0") as server:
        server.wait_ready()
        (tmp_path / "embed.py").write_text(page[1][1].replace(ADDRESS, server.url))
        for command, expected in page[2:]:
            said = run(cli, command.replace(ADDRESS, server.url))
            assert re.fullmatch(pattern(expected), said), f"$ {command}\n{said}\n--- the page says:\n{expected}"
