"""docs/buckets.md is true: its commands and scripts are run against a real server, and print what it says."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import MODELPORT, Cli
from tests.docs.test_serverless import ROOT, pattern, run, steps
from tests.house import wait_until_now

PAGE = ROOT / "docs" / "buckets.md"
ADDRESS, KEY, SECRET = "http://127.0.0.1:9000", "digits-1a2b3c4d", "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c"


@pytest.mark.slow
def test_the_page_works_as_written(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    cli.environ["PATH"] = f"{Path(MODELPORT).parent}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    with cli.running("serve", "--empty", "--listen-port", "0", "--s3-port", "0"):
        wait_until_now(lambda: (cli.home / "server.json").exists())
        true: dict[str, str] = {}
        for command, expected in steps(PAGE.read_text()):
            for old, new in true.items():
                command, expected = command.replace(old, new), expected.replace(old, new)
            if command == "python":
                (tmp_path / expected.partition("\n")[0].removeprefix("# ")).write_text(expected)
                continue
            said = run(cli, command)
            if command.startswith("modelport deploy"):
                bucket = json.loads(run(cli, "modelport info digits --json"))["bucket"]
                true = {ADDRESS: bucket["endpoint"], KEY: bucket["access_key"], SECRET: bucket["secret_key"]}
                for old, new in true.items():
                    expected = expected.replace(old, new)
            assert re.fullmatch(pattern(expected), said), f"$ {command}\n{said}\n--- the page says:\n{expected}"
