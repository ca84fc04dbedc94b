"""docs/deploying.md is true: its commands are run against a real server, and print what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from modelport.commands.export import TARGETS, loaded
from tests.cli.conftest import MODELPORT, Cli
from tests.docs.test_serverless import ADDRESS, ROOT, pattern, run, steps
from tests.house import wait_until_now

PAGE = ROOT / "docs" / "deploying.md"


@pytest.mark.slow
def test_the_page_works_as_written(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    cli.environ["PATH"] = f"{Path(MODELPORT).parent}:/usr/local/bin:/usr/bin:/bin"
    page = PAGE.read_text()
    with cli.running("serve", "--empty", "--listen-port", "0", "--s3-port", "0") as server:
        wait_until_now(lambda: (cli.home / "server.json").exists())
        for command, expected in steps(page.replace(ADDRESS, server.url)):
            said = run(cli, command)
            assert re.fullmatch(pattern(expected), said), f"$ {command}\n{said}\n--- the page says:\n{expected}"
    # What the page only shows, since it needs root, an engine or a cluster, is what the exported files say, too.
    # Not of data/ and home/.
    exported = [path.read_text() for path in tmp_path.glob("[!dh]*/*")]
    for line in re.findall(r"^    \$ (sudo .*|kubectl .*|oscar-cli .*|docker compose .*|sed .*)$", page, re.M):
        assert any(f"#     {line}\n" in text for text in exported), line


def test_the_page_has_each_target() -> None:
    page = PAGE.read_text()
    for name, target in ((name, loaded(name)) for name in TARGETS):
        assert f"--to {name}" in page
        assert all(option.opts[0] in page for option in target.OPTIONS)
