"""The group: help, version, completion, the list of modules; and small parts by themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import modelport
from modelport import settings
from modelport.commands.shell import names
from modelport.commands.shell.output import RESTS_LIMIT, Prefixed, WithoutTracebacks
from modelport.errors import ModelFailed, messages
from tests.cli.conftest import MODELPORT, Cli
from tests.plugins import installed_plugin


def test_the_help_lists_every_command(cli: Cli) -> None:
    text = cli("--help").text
    for name in ("serve", "predict", "train", "describe", "modules"):
        assert f"\n  {name} " in text
    assert cli("--version").text == f"{modelport.__version__}\n"
    assert cli("nonsense").status == 2


def test_every_setting_is_an_option_of_serve(cli: Cli) -> None:
    text = cli("serve", "--help").text
    for row in settings.table():
        assert f"{row.flag} " in text or f"{row.flag}\n" in text


def test_python_m_modelport_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "modelport", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"{modelport.__version__}\n"


@pytest.mark.parametrize("words", ["predict --python python3", "train -o x", "batch --again", "payload --file a=b"])
def test_help_is_the_commands_own_where_no_model_is_named(cli: Cli, words: str) -> None:
    done = cli(*words.split(), "--help")
    assert (done.status, done.err) == (0, "")
    assert done.text.startswith(f"Usage: modelport {words.split()[0]} [OPTIONS] ")
    assert "[--ARGUMENT VALUE]..." in done.text.splitlines()[0]


def test_help_imports_no_server(cli: Cli) -> None:
    code = (
        "import sys\n"
        "from modelport.cli import main\n"
        "main(['--help'])\n"
        "print(sorted({'aiohttp', 'stevedore', 'rich', 'uvloop'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=cli.environ, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_installed_modules_are_listed(cli: Cli, tmp_path: Path) -> None:
    folder = installed_plugin(tmp_path / "site", "zoo", "def predict(): pass\n")
    done = cli("modules", PYTHONPATH=str(folder))
    assert ["zoo", "zoo", "1.0", "x"] in [line.split() for line in done.text.splitlines()]
    rows = cli("modules", "--json", PYTHONPATH=str(folder)).json()
    assert {"name": "zoo", "value": "x", "distribution": "zoo", "version": "1.0"} in rows


@pytest.mark.parametrize(
    ("words", "expected"),
    [("modelport pre", "predict"), ("modelport serve my_", "my_model"), ("modelport predict my_", "my_model")],
)
def test_the_shell_completes_commands_and_modules(cli: Cli, words: str, expected: str) -> None:
    number = str(len(words.split()) - 1)
    done = cli(_MODELPORT_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=number)
    assert f"plain,{expected}\n" in done.text


def test_the_shell_completes_options_and_paths(cli: Cli) -> None:
    done = cli(_MODELPORT_COMPLETE="bash_complete", COMP_WORDS="modelport serve --listen-p", COMP_CWORD="2")
    assert done.text == "plain,--listen-port\n"
    done = cli(_MODELPORT_COMPLETE="bash_complete", COMP_WORDS="modelport serve ./mo", COMP_CWORD="2")
    assert done.text == "file,./mo\n"
    assert "complete" in cli(_MODELPORT_COMPLETE="bash_source").text


def test_a_reader_that_leaves_early_is_no_error(cli: Cli) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{MODELPORT} serve --help | head -1"], env=cli.environ, capture_output=True, text=True
    )
    assert done.stdout.startswith("Usage: modelport serve")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("my_model", "my_model"),
        ("my_model:plugin", "my_model"),
        ("zoo.animals.api", "animals"),
        ("zoo.animals", "animals"),
        ("somewhere/bear.py", "bear"),
        ("bear.py:Model", "bear"),
        ("odd name!.py", "odd-name"),
        ("package", "package"),
        ("./package", "package"),
        ("./package/api.py", "package"),
        ("./package/bear.py", "bear"),
        ("./project", "declared"),
        ("./toml", "quoted"),
        ("./plain", "inside"),
        ("./loose", "loose"),
        ("./with_src", "deep"),
        ("my-model", "my_model"),
    ],
)
def test_a_deployment_is_named_after_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    for file, text in {
        "package/__init__.py": "",
        "package/api.py": "",
        "project/setup.cfg": "[options.entry_points]\ndeepaas.v2.model =\n    declared = x.api\n",
        "toml/pyproject.toml": '[project.entry-points."deepaas.v2.model"]\nquoted = "x"\n',
        "plain/inside/__init__.py": "",
        "plain/inside/api.py": "",
        "plain/tests/__init__.py": "",
        "loose/api.py": "",
        "with_src/src/deep/__init__.py": "",
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    monkeypatch.chdir(tmp_path)
    assert names.default_name(module) == name


def test_messages_are_flat() -> None:
    nested = {"box": {0: {"x": ["Missing.", "Wrong."]}}, "files": "Too many."}
    assert list(messages(nested)) == [("box.0.x", "Missing."), ("box.0.x", "Wrong."), ("files", "Too many.")]


def test_what_models_print_has_their_name_in_front(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    output = Prefixed()
    for name, pid, chunk in (
        ("a", 1, b"one\ntw"),
        ("b", 2, b"1%\r2%\r3%\n"),
        ("a", 1, b"o\n\nrest"),
    ):
        output(name, pid, chunk)
    output.flush()
    assert capfdbinary.readouterr().err == b"[a 1] one\n[b 2] 3%\n[a 1] two\n[a 1] \n[a 1] rest\n"


def test_a_model_that_prints_without_end_does_not_fill_the_log(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    output = Prefixed(rate_bytes_s=10)
    for _ in range(100):
        output("loud", 1, b"x" * 99 + b"\n")
    output("calm", 2, b"hello\n")
    output.flush()
    lines = capfdbinary.readouterr().err.decode().splitlines()
    assert lines[:6] == [f"[loud 1] {'x' * 99}"] * 6
    assert "more than 600 bytes within 60 s (setting log_rate_bytes_s)" in lines[6]
    assert lines[7:] == ["[calm 2] hello", "[loud] 9400 bytes were left out"]


def test_the_last_words_of_processes_do_not_gather(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    output = Prefixed()
    for pid in range(RESTS_LIMIT + 1):
        output("a", pid, b"I die")
    assert capfdbinary.readouterr().err == b"[a 0] I die\n"


TRACEBACK = b"Traceback (most recent call last):\n  File 'x'\n    y\nValueError: no\n"


def test_only_a_last_traceback_is_kept_back(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    output = WithoutTracebacks(show_all=False)
    output("a", 1, b"begin\n" + TRACEBACK)
    output("a", 1, b"but I go on: it is fine\n")
    assert capfdbinary.readouterr().err == b"begin\n" + TRACEBACK + b"but I go on: it is fine\n"
    with pytest.raises(ModelFailed), output:
        output("a", 1, b"end\n" + TRACEBACK[:50])
        output("a", 1, TRACEBACK[50:])
        raise ModelFailed("no")
    assert capfdbinary.readouterr().err == b"end\n"
