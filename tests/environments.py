"""Virtual environments that hold a module's libraries and no modelport, made once and kept.

They lie in `$MODELPORT_TEST_ENVS`, by default `~/.cache/modelport-test-envs`, in a folder named after the interpreter
and the packages asked for.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

INSTALL_S = 600


def environment(python: str, packages: Sequence[str] = ()) -> Path:
    """The interpreter of a virtual environment of Python `python` ("3.8") with just `packages` in it.

    Skips the test where there is no such interpreter; fails where the packages cannot be installed.
    """
    base = interpreter(python)
    if base is None:
        pytest.skip(f"no Python {python} in ~/.pyenv/versions or on PATH")
    key = hashlib.sha256("\n".join([str(base), *sorted(packages)]).encode()).hexdigest()[:12]
    folder = _cache() / f"{python}-{key}"
    made = folder / "bin" / "python"
    with _locked(folder.with_suffix(".lock")):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _make(base, folder, packages)
            (folder / "complete").touch()
    return made


def interpreter(python: str) -> Path | None:
    """A real interpreter of that version, not pyenv's shim, which may point to nothing."""
    versions = (Path.home() / ".pyenv" / "versions").glob(f"{python}.*")
    found = [version / "bin" / f"python{python}" for version in sorted(versions, key=_numbers, reverse=True)]
    on_path = shutil.which(f"python{python}")
    for each in [*found, *([Path(on_path)] if on_path else [])]:
        asked = [str(each), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        if each.exists() and subprocess.run(asked, capture_output=True, text=True).stdout.strip() == python:
            return each
    return None


def _numbers(path: Path) -> list[int]:
    return [int(match) for match in re.findall(r"\d+", path.name)]


def _cache() -> Path:
    given = os.environ.get("MODELPORT_TEST_ENVS")
    folder = Path(given) if given else Path.home() / ".cache" / "modelport-test-envs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process makes an environment, the others wait for it."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(base: Path, folder: Path, packages: Sequence[str]) -> None:
    _run([str(base), "-m", "venv", str(folder)])
    if packages:
        quick = ["--quiet", "--disable-pip-version-check", "--no-input", "--prefer-binary", "--no-compile"]
        _run([str(folder / "bin" / "python"), "-m", "pip", "install", *quick, *packages])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
