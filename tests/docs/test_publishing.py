"""docs/publishing.md is true: its commands print what it says."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.docs.test_serverless import ROOT, pattern, run, steps

PAGE = ROOT / "docs" / "publishing.md"


def commands_of_an_environment(folder: Path) -> Path:
    """Its folder of commands. Our libraries are there without a network; what is installed there is nowhere else."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    [own] = folder.glob("lib/python*/site-packages")
    (own / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n{ROOT / 'my_model' / 'src'}\n")
    for name in ("pip", "pytest", "modelport"):
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec {folder}/bin/python -m {name} "$@"\n')
        script.chmod(0o755)
    return folder / "bin"


@pytest.mark.slow
def test_the_page_works_as_written(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    (tmp_path / "my_model").symlink_to(ROOT / "my_model")
    cli.environ["PATH"] = f"{commands_of_an_environment(tmp_path / 'environment')}:/usr/local/bin:/usr/bin:/bin"
    cli.environ |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1"}
    commands = 0
    for command, expected in steps(PAGE.read_text()):
        if command == "python":
            (tmp_path / expected.partition("\n")[0].removeprefix("# ")).write_text(expected)
        elif command.startswith("cd "):
            cli.folder = (cli.folder / command.removeprefix("cd ")).resolve()
        else:
            said = run(cli, command)
            assert re.fullmatch(pattern(expected), said), f"$ {command}\n{said}\n--- the page says:\n{expected}"
            commands += 1
    assert commands >= 10
