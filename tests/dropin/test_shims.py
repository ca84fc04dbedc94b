"""`modelport shims`: the two commands, written where there is no deepaas, and removed again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dropin.commands import PATIENCE_S
from tests.plugins import environment, installed_plugin

NAMES = ["deepaas-cli", "deepaas-run"]


def shims(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modelport", "shims", "--dir", str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)


def test_the_commands_are_written_can_be_run_and_are_removed_again(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "bin"
    done = shims(folder, "--force")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    for name in NAMES:
        version = subprocess.run([folder / name, "--version"], capture_output=True, text=True, timeout=PATIENCE_S)
        assert (version.returncode, version.stdout) == (0, "2.6.0\n")
    assert shims(folder, "--remove").returncode == 0
    assert list(folder.iterdir()) == []


def test_beside_an_installed_deepaas_nothing_is_written(tmp_path: Path) -> None:
    done = shims(tmp_path / "bin")
    assert done.returncode == 1
    assert "deepaas 2.6.0 is installed here" in done.stderr
    assert not (tmp_path / "bin").exists()


def test_the_files_of_others_stay_unless_forced_and_are_never_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib import metadata

    from click.testing import CliRunner

    from modelport.commands.shims import command

    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    # As in an environment that has no deepaas; making one takes too long.
    monkeypatch.setattr(metadata, "version", absent)
    theirs = tmp_path / "deepaas-run"
    theirs.write_text("#!/bin/sh\n")
    refused = CliRunner().invoke(command, ["--dir", str(tmp_path)])
    assert (refused.exit_code, "--force to overwrite" in refused.output) == (1, True)
    assert CliRunner().invoke(command, ["--dir", str(tmp_path), "--remove"]).exit_code == 0
    assert os.listdir(tmp_path) == ["deepaas-run"]
    theirs.unlink()
    for _ in range(2):  # ours may be written again
        assert CliRunner().invoke(command, ["--dir", str(tmp_path)], standalone_mode=False).return_value == 0
    assert sorted(os.listdir(tmp_path)) == NAMES


def test_a_python_with_a_blank_in_its_path_is_found(tmp_path: Path) -> None:
    """By way of the shell; the kernel would cut the first line there."""
    python = tmp_path / "my envs" / "python"
    python.parent.mkdir()
    # No link: Python would take the folder beside it for its own environment.
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    folder = tmp_path / "bin"
    code = f"import sys; sys.executable = {str(python)!r}; from modelport.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "shims", "--force", "--dir", str(folder)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    plugins = installed_plugin(tmp_path / "site", "x", "def predict(): return 'here'\n")
    predicted = subprocess.run(
        [folder / "deepaas-cli", "predict"],
        env=environment(plugins, "x"),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert "return: here\n" in predicted.stdout, predicted.stderr
