"""docs/batching.md is true: its commands are run against a real server, and print what it says."""

from __future__ import annotations

import re
from pathlib import Path

from tests.cli.conftest import MODELPORT, Cli
from tests.docs.test_serverless import ADDRESS, ROOT, pattern, run, steps
from tests.house import wait_until_now

PAGE = ROOT / "docs" / "batching.md"


def test_the_page_works_as_written(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.environ["PATH"] = f"{Path(MODELPORT).parent}:/usr/local/bin:/usr/bin:/bin"
    scripts = [text for kind, text in steps(PAGE.read_text()) if kind == "python"]
    for script in scripts:
        (tmp_path / script.partition("\n")[0].removeprefix("# ")).write_text(script)
    with cli.running("serve", "squares.py", "--listen-port", "0") as server:
        wait_until_now(lambda: (cli.home / "server.json").exists())
        commands = [step for step in steps(PAGE.read_text().replace(ADDRESS, server.url)) if step[0] != "python"]
        assert len(commands) == 3
        for command, expected in commands:
            said = run(cli, command)
            assert re.fullmatch(pattern(expected), said), f"$ {command}\n{said}\n--- the page says:\n{expected}"
