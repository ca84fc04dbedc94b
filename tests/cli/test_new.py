"""`modelport new` and `modelport init`: what they make is a module at once, and nothing that was there is changed."""

from __future__ import annotations

import ast
import json
import os
import pty
import subprocess
import sys
import sysconfig
import tomllib
import urllib.request
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from modelport.checks import metadata
from modelport.checks.schema import WORDS
from modelport.commands.exporting.workload import STATE
from modelport.scaffold import KINDS, LICENCES, Answers, names, render
from tests.cli.conftest import MODELPORT, Cli
from tests.environments import environment
from tests.house import PATIENCE_S

RUFF = str(Path(sys.executable).with_name("ruff"))


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def installed(folder: Path, site_packages: Path, environment: Path) -> Path:
    """The interpreter of an environment with the libraries that lie there, and the module as `pip install -e` does."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    [own] = environment.glob("lib/python*/site-packages")
    (own / "libraries.pth").write_text(f"{site_packages}\n")
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", str(python)]
    completed([*pip, "install", "--no-deps", "--no-build-isolation", "--editable", str(folder)])
    return python


def completed(command: list[str], folder: Path | None = None) -> str:
    # Plugins of pytest that lie among the libraries are not the module's.
    environ = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", [pytest.param("function", marks=pytest.mark.thorough), "sklearn"])
def test_a_new_module_is_green_at_once(cli: Cli, tmp_path: Path, kind: str) -> None:
    done = cli("new", "First Try", "--from", kind, "--author", "Ada", "--yes", "--hub")
    assert done.status == 0, done.err
    assert "modelport serve first_try" in done.text
    folder = tmp_path / "first-try"
    python = installed(folder, Path(sysconfig.get_path("purelib")), tmp_path / "environment")
    completed([str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider"], folder)
    checked = cli("check", "./first-try", "--strict", "--json", "--python", str(python))
    assert (checked.status, checked.json()["findings"], checked.json()["predictions"]) == (0, [], 1)
    with cli.running("serve", "first_try", "--python", str(python), "--listen-port", "0", "--s3-port", "0") as server:
        body = (folder / "examples" / "input.json").read_bytes()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{server.url}/first_try", body, headers)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            assert json.load(answer)["result"]


@pytest.mark.thorough
def test_a_new_onnx_module_is_green_at_once(cli: Cli, tmp_path: Path) -> None:
    libraries = environment("3.11", ["onnxruntime", "numpy", "marshmallow", "pytest", "setuptools>=77"])
    assert cli("new", "three", "--from", "onnx", "--author", "Ada", "--yes").status == 0
    [site_packages] = libraries.parents[1].glob("lib/python*/site-packages")
    python = installed(tmp_path / "three", site_packages, tmp_path / "environment")
    completed([str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider"], tmp_path / "three")
    checked = cli("check", "./three", "--strict", "--json", "--python", str(python))
    assert (checked.status, checked.json()["findings"], checked.json()["predictions"]) == (0, [], 1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_of_each_kind_pass_the_rules(cli: Cli, tmp_path: Path, kind: str) -> None:
    """Those of a kind whose library is not here, too: nothing heavy is imported before warm()."""
    assert cli("new", "thing", "--from", kind, "--author", "Ada", "--yes", "--hub").status == 0
    checked = cli("check", "./thing", "--no-run", "--strict", "--json")
    assert (checked.status, checked.json()["findings"]) == (0, [])
    described = cli("describe", "./thing", "--json").json()
    assert [argument["name"] for argument in described["predict_args"]][:1] == list(
        json.loads((tmp_path / "thing" / "examples" / "input.json").read_text())
    )[:1]
    # flake8 and bandit, as the hub runs them.
    completed([RUFF, "check", "--isolated", "--select", "E,W,F,S", "--line-length", "80", "thing/thing"], tmp_path)
    completed([RUFF, "check", "--isolated", "--select", "E,W,F", "--line-length", "80", "thing/tests"], tmp_path)
    compiled = "import sys; compile(open(sys.argv[1]).read(), sys.argv[1], 'exec')"
    completed([sys.executable, "-W", "error", "-c", compiled, str(tmp_path / "thing" / "thing" / "api.py")])


@pytest.mark.parametrize(("options", "email"), [([], "grace@example.org"), (["--author", "Ada"], None)])
def test_the_address_in_git_is_only_that_of_its_owner(
    cli: Cli, tmp_path: Path, options: list[str], email: str | None
) -> None:
    (tmp_path / "git.conf").write_text("[user]\nname = Grace\nemail = grace@example.org\n")
    cli.environ["GIT_CONFIG_GLOBAL"] = str(tmp_path / "git.conf")
    assert cli("new", "thing", "--yes", *options).status == 0
    [author] = tomllib.loads((tmp_path / "thing" / "pyproject.toml").read_text())["project"]["authors"]
    assert author.get("email") == email


def test_the_image_takes_the_server_from_where_it_is(cli: Cli, tmp_path: Path) -> None:
    """modelport may be a wheel in the folder, or in an index of one's own."""
    assert cli("new", "thing", "--author", "Ada", "--yes").status == 0
    dockerfile = (tmp_path / "thing" / "Dockerfile").read_text()
    assert "\nARG SERVER\n" in dockerfile  # nobody else's package of that name
    assert '\nRUN pip install --no-cache-dir "${SERVER:?' in dockerfile
    files = cli("export", "./thing", "--to", "compose", "--json").json()["files"]
    [service] = yaml.safe_load(files["compose.yaml"])["services"].values()
    assert dockerfile.startswith(f"# docker build -t {service['image']} --build-arg SERVER=")
    # Docker gives a volume the owner of the folder that it covers, and of one that is not there: root.
    assert f"install --directory --owner module --group module --mode 700 {STATE}" in dockerfile


LINES = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=1, max_size=40).filter(
    lambda text: text.strip() == text
)


@settings(max_examples=40, database=None)
@given(
    title=LINES,
    summary=LINES,
    author=LINES,
    kind=st.sampled_from(list(KINDS)),
    licence=st.sampled_from(LICENCES),
    hub=st.booleans(),
    tasks=st.lists(st.sampled_from(WORDS["tasks"]), min_size=1, unique=True).map(tuple),
)
def test_whatever_is_answered_the_files_are_valid(
    title: str, summary: str, author: str, kind: str, licence: str, hub: bool, tasks: tuple[str, ...]
) -> None:
    repository, package = names("Some Name")
    lists = (tasks, ("Other",), ("AI4 inference",), ("Text",))
    files = render(
        Answers(
            *(repository, package, kind, title, summary, author, "", licence, "1.2.3", "https://example.org/x"),
            *lists,
            *("python", "3.12-slim", hub),
        )
    )
    document = metadata.read(files["ai4-metadata.yml"].decode())
    assert document.failure is None
    assert metadata.refusals(document) == []
    assert (document.get("title"), document.get("summary")) == (title, summary)
    project = tomllib.loads(files["pyproject.toml"].decode())["project"]
    assert (project["description"], project["authors"][0]["name"]) == (summary, author)
    for name, content in files.items():
        if name.endswith(".py"):
            ast.parse(content)


def test_a_person_is_asked_on_a_terminal(cli: Cli, tmp_path: Path) -> None:
    """The answers are typed ahead; an empty line takes the default."""
    ours, theirs = pty.openpty()
    typed = "sklearn\nIris species\nTells irises apart\nAda\nada@example.org\nbsd-3-clause\n\n\n\n\n\n"
    process = subprocess.Popen(
        [MODELPORT, "new", "irises"], cwd=tmp_path, env=cli.environ, stdin=theirs, stdout=subprocess.PIPE, text=True
    )
    os.close(theirs)
    try:
        os.write(ours, typed.encode())
        out, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        os.close(ours)
    assert process.returncode == 0, out
    document = metadata.read((tmp_path / "irises" / "ai4-metadata.yml").read_text())
    assert (document.get("title"), document.get("libraries")) == ("Iris species", ["Scikit-learn"])
    assert (tmp_path / "irises" / "LICENSE").read_text().startswith("BSD 3-Clause")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["2fast"], "'2fast' is not a valid name"),
        (["class"], "'class' is a keyword of Python"),
        (["json"], "json is the name of another Python module"),
        (["taken"], "taken is there already; `modelport init` adds what is missing"),
        (["x1", "--email", "nobody"], "--email is 'nobody'; give an address such as ada@example.org"),
        (["x1", "--title", "a\nb"], "--title is 'a\\nb'; give one line of text"),
        (["x1", "--app-version", "1"], "--app-version is '1'; give three numbers such as 0.1.0"),
        (["x1", "--base-image", "python"], "--base-image is 'python'; give an image with its tag"),
    ],
)
def test_what_cannot_be_made_is_refused(cli: Cli, tmp_path: Path, arguments: list[str], says: str) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes").touch()
    done = cli("new", *arguments, "--yes", "--author", "Ada")
    assert done.status == 2
    assert done.err.startswith(f"error: {says}")
    assert not (tmp_path / "x1").exists()


PITCH = """\
from marshmallow import fields


def get_metadata():
    return {"name": "pitch", "author": "Ada", "license": "MIT"}


def get_predict_args():
    return {"hertz": fields.Float(required=True, metadata={"description": "a frequency", "example": 440})}


def predict(hertz):
    return {"a": hertz == 440}
"""


def test_init_adds_what_is_missing_to_a_file(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "pitch"
    folder.mkdir()
    (folder / "pitch.py").write_text(PITCH)
    (folder / "README").write_text("mine\n")
    done = cli("init", "pitch", "--author", "Ada", "--yes")
    assert done.status == 0, done.err
    added = [line.removeprefix("added ") for line in done.text.splitlines() if line.startswith("added ")]
    expected = [".dockerignore", ".gitignore", "Dockerfile", "LICENSE", "ai4-metadata.yml", "pyproject.toml"]
    assert added == expected
    assert (folder / "pitch.py").read_text() == PITCH
    assert (folder / "README").read_text() == "mine\n"
    checked = cli("check", "./pitch", "--json", "--strict")
    assert (checked.status, checked.json()["findings"]) == (0, [])
    again = cli("init", "pitch", "--author", "Ada", "--yes")
    assert "nothing is missing" in again.text


def test_init_takes_what_the_packaging_says_and_changes_nothing(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    (folder / "src" / "sound").mkdir(parents=True)
    (folder / "src" / "sound" / "__init__.py").write_text(PITCH)
    packaging = '[project]\nname = "sound"\nversion = "3.1.4"\ndescription = "Names a pitch"\n'
    (folder / "pyproject.toml").write_text(packaging)
    done = cli("init", "work", "--author", "Ada", "--yes")
    assert done.status == 0, done.err
    assert "    sound = sound\n" in done.text, "an entry point is missing, and only its owner may add it"
    assert (folder / "pyproject.toml").read_text() == packaging
    assert metadata.read((folder / "ai4-metadata.yml").read_text()).get("summary") == "Names a pitch"


def test_init_in_a_folder_without_a_plugin_makes_one(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "try.ipynb").write_text("{}")
    assert cli("init", "notebooks", "--author", "Ada", "--yes").status == 0
    assert (folder / "notebooks" / "api.py").exists()
    assert cli("check", "./notebooks", "--strict").status == 0


def test_init_puts_nothing_through_a_link_or_in_place_of_a_file(cli: Cli, tmp_path: Path) -> None:
    folder, outside = tmp_path / "module", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "examples").symlink_to(outside)
    (folder / "tests").write_text("mine")
    (folder / "README.md").symlink_to(tmp_path / "nowhere")
    done = cli("init", str(folder), "--yes", "--author", "Ada")
    assert done.status == 0, done.err
    assert (folder / "ai4-metadata.yml").exists()
    assert not list(outside.iterdir()) and not (tmp_path / "nowhere").exists()
    assert (folder / "tests").read_text() == "mine"
