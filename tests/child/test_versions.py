"""The child's side under other interpreters and libraries, where no modelport is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import modelport
from tests.environments import environment

pytestmark = pytest.mark.slow

MODULES = Path(__file__).parent.parent / "modules"
PROBE = Path(__file__).with_name("probe.py")
OBJECTS = {"class_plugin": ":Model", "instance_plugin": ":plugin"}
ENVIRONMENTS = {
    "3.8": ("marshmallow==3.14.*", "webargs==5.5.3"),
    "3.10": ("marshmallow==3.26.*", "webargs>=8,<9"),
    "3.13": ("marshmallow>=4,<5", "webargs>=8,<9"),
}
# What the environments do not have: these modules say so.
NEED_MORE = {"http_errors": "aiohttp", "numpy_answers": "numpy"}


def probe(python: Path | str, folder: Path, plugins: Sequence[str]) -> dict[str, Any]:
    """Run in `folder`, which gets a link to modelport: its neighbours in our site-packages stay out of reach."""
    folder.mkdir()
    (folder / "modelport").symlink_to(Path(modelport.__file__).parent)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [str(python), str(PROBE), *plugins],
        cwd=folder,
        env={**clean, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def paths() -> list[str]:
    return [f"{path}{OBJECTS.get(path.stem, '')}" for path in sorted(MODULES.glob("*.py"))]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What our own interpreter and libraries make of the plugins."""
    return probe(sys.executable, tmp_path_factory.mktemp("here") / "work", paths())


@pytest.fixture(scope="module", params=sorted(ENVIRONMENTS))
def there(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    python = environment(request.param, ENVIRONMENTS[request.param])
    return request.param, probe(python, tmp_path_factory.mktemp("there") / "work", paths())


def test_every_plugin_is_described_the_same(here: dict[str, Any], there: tuple[str, dict[str, Any]]) -> None:
    version, told = there
    for name, found in told.items():
        if name == "hostile" or "failed" in found:
            continue
        ours, theirs = here[name]["card"], found["card"]
        assert theirs.pop("versions")["python"].startswith(version + ".")
        ours = {key: value for key, value in ours.items() if key != "versions"}
        assert theirs == ours, name


def test_values_refusals_and_answers_are_the_same(here: dict[str, Any], there: tuple[str, dict[str, Any]]) -> None:
    _, told = there
    for name, found in told.items():
        if name != "hostile" and "failed" not in found:
            assert found.get("answer") == here[name].get("answer"), name
            assert found.get("refused") == here[name].get("refused"), name
    assert told["list_of_files"]["answer"] == ["application/json", ["cat.png"]]
    assert told["checks_upload"]["answer"][0] == "application/json"
    assert told["late_upload"]["answer"] == ["application/json", True]
    assert told["limits"]["refused"]["kind"] == "invalid_arguments"


def test_only_what_cannot_work_fails_and_says_why(there: tuple[str, dict[str, Any]]) -> None:
    version, told = there
    failed = {name: found["failed"] for name, found in told.items() if "failed" in found}
    for name, library in NEED_MORE.items():
        assert f"No module named '{library}'" in failed.pop(name)
    if version == "3.13":
        assert "is written for marshmallow 3 and finds 4." in failed.pop("old_spelling")
    assert failed == {}


def test_hostile_text_harms_no_interpreter(there: tuple[str, dict[str, Any]]) -> None:
    assert there[1]["hostile"] == [{"d": "str"}] * 5


def test_a_plugin_without_arguments_needs_no_marshmallow(tmp_path: Path) -> None:
    told = probe(environment("3.8"), tmp_path / "work", [str(MODULES / "bare.py"), str(MODULES / "limits.py")])
    assert told["bare"]["card"]["capabilities"] == ["predict"]
    assert "No module named 'webargs'" in told["limits"]["failed"]
