"""docs/dashboard.md is true: its commands are run against a real server; its pictures are there, and small."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import MODELPORT, Cli
from tests.docs.test_serverless import ADDRESS, ROOT, pattern, run, steps
from tests.house import wait_until_now

PAGE = ROOT / "docs" / "dashboard.md"
PICTURE = re.compile(r"!\[([^\]]+)\]\(([^)]+)\)")
LIMIT_BYTES, ALL_LIMIT_BYTES = 150_000, 1_500_000


@pytest.mark.slow
def test_the_page_works_as_written(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    cli.environ["PATH"] = f"{Path(MODELPORT).parent}:/usr/local/bin:/usr/bin:/bin"
    page = PAGE.read_text()
    assert len(list(steps(page))) > 6
    with cli.running("serve", "--empty", "--listen-port", "0", "--s3-port", "0") as server:
        wait_until_now(lambda: (cli.home / "server.json").exists())
        for command, expected in steps(page.replace(ADDRESS, server.url)):
            said = run(cli, command)
            assert re.fullmatch(pattern(expected), said), f"$ {command}\n{said}\n--- the page says:\n{expected}"


def test_every_picture_is_there_described_and_shown_once() -> None:
    shown = [path for _, path in PICTURE.findall(PAGE.read_text())]
    there = {f"images/{each.name}" for each in (ROOT / "docs" / "images").iterdir()}
    assert set(shown) == there and len(shown) == len(there)
    sizes = [(ROOT / "docs" / each).stat().st_size for each in shown]
    assert max(sizes) <= LIMIT_BYTES and sum(sizes) <= ALL_LIMIT_BYTES
    [(_, path)] = PICTURE.findall((ROOT / "README.md").read_text())
    assert path.removeprefix("docs/") in there
