"""What `pip install` of the wheel gives: README's first plugin is served, and nothing else is there."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.docs.test_readme import readme_plugin
from tests.environments import INSTALL_S
from tests.house import PATIENCE_S
from tests.plugins import installed_plugin

ROOT = Path(__file__).parent.parent
BUILT = ("modelport", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of a fresh environment with modelport's wheel and what it requires, in the lowest versions
    that it allows: the tests' own environment has newer ones."""
    folder = tmp_path_factory.mktemp("distribution")
    source = folder / "source"
    source.mkdir()
    for name in BUILT:  # elsewhere, since building writes beside the code
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    pip(Path(sys.executable), "wheel", "--no-deps", "--wheel-dir", str(folder), str(source))
    [wheel] = folder.glob("modelport-*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "environment")], check=True)
    commands = folder / "environment" / "bin"
    constraints = ROOT / "constraints.txt"
    if sys.version_info < (3, 12):  # under a newer Python the lowest have no wheels
        constraints = folder / "lowest.txt"
        constraints.write_text("\n".join(runpy.run_path(str(ROOT / "tools" / "lowest.py"))["lowest"]()))
    pip(commands / "python", "install", "--constraint", str(constraints), str(wheel))
    return commands


def pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S)
    assert done.returncode == 0, done.stderr


def variables(folder: Path, **more: str) -> dict[str, str]:
    """As on a machine that knows nothing of this checkout."""
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), **more}


@contextmanager
def serving(command: list[str], folder: Path, environ: Mapping[str, str]) -> Iterator[str]:
    """The address of `modelport serve`, once it listens."""
    command = [*command, "--listen-port", "0", "--s3-port", "0", "--home", str(folder / "home")]
    with (
        open(folder / "log", "wb") as log,
        subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, "")
            address = next((line.split()[-1] for line in lines if line.startswith("Listening on ")), None)
            assert address is not None, (folder / "log").read_text()
            yield address
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE_S)


async def test_readmes_plugin_is_served_without_the_checkout(commands: Path, tmp_path: Path) -> None:
    (tmp_path / "greeter.py").write_text(readme_plugin())
    command = [str(commands / "modelport"), "serve", "greeter.py"]
    async with aiohttp.ClientSession() as session:
        with serving(command, tmp_path, variables(tmp_path)) as address:
            url = f"{address}/v2/models/greeter/predict/"
            async with session.post(url, json={"name": "you"}) as response:
                assert await response.json() == {"status": "OK", "predictions": ["Hello, you"]}


async def test_an_environment_with_one_module_has_one_model(commands: Path, tmp_path: Path) -> None:
    modules = installed_plugin(tmp_path / "modules", "greeter", readme_plugin(), "greeter_code")
    environ = variables(tmp_path, PYTHONPATH=str(modules))
    async with aiohttp.ClientSession() as session:
        with serving([str(commands / "modelport"), "serve"], tmp_path, environ) as address:
            async with session.get(f"{address}/v2/models/") as response:
                assert [model["id"] for model in (await response.json())["models"]] == ["greeter"]
    command = [str(commands / "modelport"), "deepaas-cli", "predict", "--name", "you"]  # names no model
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0 and "Hello, you" in done.stdout + done.stderr, done.stderr


@pytest.mark.parametrize("kind", ["function", "onnx"])
def test_the_templates_of_new_modules_are_in_the_wheel(commands: Path, tmp_path: Path, kind: str) -> None:
    modelport = str(commands / "modelport")
    for command in (["new", "words", "--from", kind, "--hub", "--yes"], ["check", "./words", "--no-run", "--strict"]):
        done = subprocess.run(
            [modelport, *command], cwd=tmp_path, env=variables(tmp_path), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    made = {str(path.relative_to(tmp_path / "words")) for path in (tmp_path / "words").rglob("*") if path.is_file()}
    assert {".gitignore", ".sqa/config.yml", "LICENSE", "words/api.py"} <= made
    assert (kind == "onnx") == ("words/model.onnx" in made)


EXAMPLE = ("pyproject.toml", "words_frontend.py", "thread_executor.py", "test_conformance.py")


async def test_the_package_of_the_page_on_extending_is_built_served_and_conforms(
    commands: Path, tmp_path: Path
) -> None:
    """Last here, since it stays in the environment."""
    source = tmp_path / "source"
    source.mkdir()
    for name, code in zip(EXAMPLE, fenced(ROOT / "docs/extending.md"), strict=False):
        (source / name).write_text(code)
    python = commands / "python"
    pip(python, "install", "--constraint", str(ROOT / "constraints.txt"), str(source), "pytest")
    (tmp_path / "greeter.py").write_text(readme_plugin())
    tests = tmp_path / "tests"
    tests.mkdir()
    shutil.copy(source / EXAMPLE[-1], tests)
    command = [str(python), "-m", "pytest", "-q", "-W", "error", EXAMPLE[-1]]
    done = subprocess.run(
        command, cwd=tests, env=variables(tmp_path), capture_output=True, text=True, timeout=INSTALL_S
    )
    assert done.returncode == 0, done.stdout
    serve = [str(commands / "modelport"), "serve", "greeter.py", "--executor", "threads", "--words-limit", "2"]
    async with aiohttp.ClientSession() as session:
        with serving(serve, tmp_path, variables(tmp_path)) as address:
            async with session.post(f"{address}/words/greeter", data=b"name=you") as response:
                assert await response.text() == '["Hello, you"]\n'
            async with session.post(f"{address}/words/greeter", data=b"a=1 b=2 c=3") as response:
                refusal = "invalid_request: 3 words were sent; at most 2 are taken (words_limit)\n"
                assert (response.status, await response.text()) == (400, refusal)


def fenced(page: Path) -> list[str]:
    """The code of its blocks, in order."""
    return re.findall(r"^```\w+\n(.*?)^```$", page.read_text(), re.M | re.S)
