"""docs/first-plugin.md is true: its plugins run and print what it says; those with heavy libraries can be described."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.cli.conftest import MODELPORT, Cli
from tests.docs.test_cli import run
from tests.docs.test_serverless import ADDRESS, ROOT, pattern, steps
from tests.house import wait_until_now

PAGE = (ROOT / "docs" / "first-plugin.md").read_text()


@pytest.mark.slow
def test_the_page_works_as_written(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    cli.environ["PATH"] = f"{Path(MODELPORT).parent}:/usr/local/bin:/usr/bin:/bin"
    with cli.running("serve", "--empty", "--listen-port", "0", "--s3-port", "0") as server:
        wait_until_now(lambda: (cli.home / "server.json").exists())
        commands = 0
        for command, expected in steps(PAGE.replace(ADDRESS, server.url)):
            if command == "python":
                (tmp_path / expected.partition("\n")[0].removeprefix("# ")).write_text(expected)
                continue
            said = run(cli, command, fails=expected.startswith("error: "))
            said = said if said.endswith("\n") or not said else said + "\n"
            assert re.fullmatch(pattern(expected), said), f"$ {command}\n{said}\n--- the page says:\n{expected}"
            commands += 1
    assert commands >= 10
    for name in ("sentiment.py", "photos.py"):  # nothing heavy is imported before warm()
        described = cli("describe", name)
        assert described.status == 0, described.err
        subprocess.run([sys.executable, "-W", "error", "-m", "py_compile", name], cwd=tmp_path, check=True)


def test_the_packaging_names_the_plugin() -> None:
    [text] = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.M | re.S)
    packaging = tomllib.loads(text)
    assert packaging["project"]["entry-points"]["deepaas.v2.model"] == {"pitch": "pitch"}
    assert packaging["tool"]["setuptools"]["py-modules"] == ["pitch"]
    assert "# pitch.py\n" in PAGE
