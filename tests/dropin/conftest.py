"""The two commands as platforms meet them: scripts in a folder of PATH, written by `modelport shims`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.dropin.commands import Commands
from tests.plugins import installed_plugin

OURS = ("BEARER_TOKEN", "DEEPAAS_V2_MODEL")


@pytest.fixture(scope="session")
def shims(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shims")
    # This environment has a real deepaas, to compare with.
    wrote = [sys.executable, "-m", "modelport", "shims", "--dir", str(folder), "--force"]
    subprocess.run(wrote, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _clean_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name in OURS or name.startswith(("MODELPORT_", "OS_DEFAULT__")):
                patch.delenv(name)
        # argparse makes its lines as long as the terminal is wide.
        patch.setenv("COLUMNS", "80")
        yield


Plugin = Callable[..., Commands]


@pytest.fixture
def plugin(tmp_path: Path, shims: Path) -> Plugin:
    """`plugin(source)`: the commands, with this plugin (called x) installed and chosen."""

    def install(source: str, name: str = "x", *, choose: bool = True) -> Commands:
        installed_plugin(tmp_path / "site", name, source, entry=name)
        return Commands(shims, tmp_path, model=name if choose else "")

    return install
