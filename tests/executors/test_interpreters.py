"""Plugins under interpreters of their own, where modelport is not installed. The same zoo, the same answers."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from modelport.contract.prediction import InputFile
from modelport.errors import InvalidArguments, ModelFailed, WorkerLost
from tests.environments import environment
from tests.executors.conftest import OpenBench

pytestmark = pytest.mark.slow

ENVIRONMENTS = [
    ("3.8", ["marshmallow==3.14.1", "webargs==5.5.3"]),
    ("3.10", ["marshmallow==3.26.1"]),
    ("3.13", ["marshmallow>=4,<5"]),
]


@pytest.mark.parametrize(("python", "packages"), ENVIRONMENTS, ids=[each for each, _ in ENVIRONMENTS])
async def test_a_plugin_runs_under_its_own_interpreter(
    bench: OpenBench, start_method: str, tmp_path: Path, python: str, packages: list[str]
) -> None:
    interpreter = environment(python, packages)
    opened = await bench(start_method, python=str(interpreter))
    executable = os.readlink(f"/proc/{opened.templates()[0]}/exe")
    assert Path(executable).samefile(interpreter)

    assert json.loads((await opened.run(value={"a": ["é", 1.5]})).body) == {"a": ["é", 1.5]}
    assert (await opened.run("set")).body == b"[1, 2, 3]"
    assert (await opened.run("large", number=2 << 20)).path is not None

    stored = tmp_path / "stored"
    stored.write_text("content")
    upload = InputFile("file", str(stored), "file", "image/png", "digits.png")
    document = json.loads((await opened.run("file", files=[upload])).body)
    assert document == ["file", "image/png", "digits.png", "content", str(stored)]
    # deepaas is not there, its wrapper can be imported all the same.
    assert (await opened.run("upload_class", files=[upload])).body == b"[true, null]"

    refused = await opened.run(number="seven")
    assert isinstance(refused.error, InvalidArguments)
    assert refused.error.fields == {"number": ["Not a valid integer."]}
    failed = await opened.run("raise", value="told")
    assert type(failed.error) is ModelFailed and failed.error.message == "ValueError: told"
    printed = (await opened.run("print", value="apple")).log.decode()
    assert printed.count("apple\n") == 5
    assert type((await opened.run("os_exit", number=3)).error) is WorkerLost
    assert json.loads((await opened.run("state")).body) == {"warm": 1, "calls": 1}
    assert (await opened.run("echo", method="train")).error is None
    assert json.loads((await opened.run("pool", number=3)).body) == [3, 2, 1]


@pytest.mark.parametrize(("python", "packages"), ENVIRONMENTS, ids=[each for each, _ in ENVIRONMENTS])
async def test_a_folder_is_what_its_pyproject_says(
    bench: OpenBench, tmp_path: Path, python: str, packages: list[str]
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/pyproject.toml").write_text(
        '[project]\nname = "birds"\n[project.entry-points."deepaas.v2.model"]\nsongs = "singing.birds"\n'
        '[tool.setuptools.package-dir]\nsinging = "elsewhere"\n'
    )
    (tmp_path / "folder/elsewhere").mkdir()
    (tmp_path / "folder/elsewhere/__init__.py").touch()
    (tmp_path / "folder/elsewhere/birds.py").write_text("def predict():\n    return 1\n")
    opened = await bench("spawn", python=str(environment(python, packages)), module=str(tmp_path / "folder"))
    assert (opened.card.name, (await opened.run()).body) == ("songs", b"1")


@pytest.mark.parametrize(("python", "packages"), ENVIRONMENTS, ids=[each for each, _ in ENVIRONMENTS])
async def test_the_gateways_packages_are_not_the_plugins(bench: OpenBench, python: str, packages: list[str]) -> None:
    source = """
def predict(**k):
    found = []
    for name in ("aiohttp", "msgspec", "modelport.server"):
        try:
            __import__(name)
            found.append(name)
        except ImportError:
            pass
    return found
"""
    opened = await bench("fork", source, python=str(environment(python, packages)))
    assert (await opened.run()).body == b"[]"
