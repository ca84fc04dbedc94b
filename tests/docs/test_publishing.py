"""docs/publishing.md is true: its commands print what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import MODELPORT, Cli
from tests.docs.test_serverless import ROOT, pattern, run, steps

PAGE = ROOT / "docs" / "publishing.md"


@pytest.mark.slow
def test_the_page_works_as_written(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    (tmp_path / "my_model").symlink_to(ROOT / "my_model")
    cli.environ["PATH"] = f"{Path(MODELPORT).parent}:/usr/local/bin:/usr/bin:/bin"
    commands = 0
    for command, expected in steps(PAGE.read_text()):
        if command == "python":
            (tmp_path / expected.partition("\n")[0].removeprefix("# ")).write_text(expected)
            continue
        said = run(cli, command)
        assert re.fullmatch(pattern(expected), said), f"$ {command}\n{said}\n--- the page says:\n{expected}"
        commands += 1
    assert commands >= 5
