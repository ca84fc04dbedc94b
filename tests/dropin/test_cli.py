"""deepaas-cli: contract 3.1 to 3.6, and D-27, D-30 to D-36. Each command is a process."""

from __future__ import annotations

import ast
import json
import re
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.dropin.commands import LOG_LINE, Commands
from tests.dropin.conftest import Plugin
from tests.environments import environment
from tests.house import wait_until_now
from tests.plugins import DEEPAAS_CLI, installed_plugin

IMPORTS = "import io, os, time\nfrom marshmallow import fields, validate\n"

ECHO = (
    IMPORTS
    + """
def get_metadata(): return {"name": "echo", "author": ["Zoë"], "license": None}

def get_predict_args():
    return {
        "s": fields.Str(load_default="x", metadata={"description": "Some text\\n50% of it"}),
        "count": fields.Int(load_default=2, metadata={"description": "How many", "enum": [1, 2]}),
        "x": fields.Float(load_default=0.5),
        "flag": fields.Bool(load_default=False),
        "li": fields.List(fields.Float(), load_default=[1.5]),
        "di": fields.Dict(load_default={"c": "d"}),
        "f": fields.Field(metadata={"type": "file", "location": "form"}, data_key="data"),
        "accept": fields.Str(load_default="application/json", metadata={"location": "headers"}),
    }

def predict(**k):
    print("printed by the model")
    f = k.get("f")
    if f is not None:
        with open(f.filename) as file:
            k["f"] = [f.name, f.content_type, f.original_filename, file.read(), os.path.splitext(f.filename)[1]]
        os.remove(f.filename)
    return k

def get_train_args(): return {"epochs": fields.Int(required=True), "f": fields.Raw(metadata={"type": "file"})}

def train(**k):
    if k["epochs"] == 13: raise RuntimeError("a bad number")
    return {k["epochs"]}
"""
)

# What `predict` makes of no argument.
DEFAULTS = {
    "s": "x",
    "count": 2,
    "x": 0.5,
    "flag": False,
    "li": [1.5],
    "di": {"c": "d"},
    "accept": "application/json",
}


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory, shims: Path) -> Commands:
    folder = tmp_path_factory.mktemp("echo")
    installed_plugin(folder / "site", "echo", ECHO, entry="echo")
    (folder / "a.txt").write_text("content")
    return Commands(shims, folder, "echo")


# 3.1 and 3.4


def test_predict_prints_two_log_lines_and_what_the_model_prints(echo: Commands) -> None:
    done = echo.cli("predict")
    assert (done.status, done.err) == (0, "")
    called, printed, returned = done.lines
    match = LOG_LINE.fullmatch(called)
    assert match is not None
    assert match.groups()[2:] == ("INFO", "deepaas.cmd.cli", "predict was called.")
    assert printed == "printed by the model"
    match = LOG_LINE.fullmatch(returned)
    assert match is not None
    assert match[5] == f"return: {DEFAULTS}"


def test_get_metadata_returns_json_also_when_a_file_is_written(echo: Commands) -> None:
    wanted = '{"name": "echo", "author": ["Zo\\u00eb"], "license": null}'
    done = echo.cli("--deepaas_method_output", "new/folder/meta", "get_metadata")
    assert (done.status, done.returned) == (0, wanted)
    assert (echo.folder / "new/folder/meta").read_text() == wanted


def test_no_method_is_a_warning_then_the_metadata_and_status_0(echo: Commands) -> None:
    done = echo.cli()
    assert done.status == 0
    assert "WARNING deepaas.cmd.cli [-] No Method was requested! Return get_metadata()" in done.out
    assert json.loads(done.returned)["name"] == "echo"


def test_train_prints_its_elapsed_time_and_its_record_as_json(echo: Commands) -> None:
    done = echo.cli("train", "--epochs", "3", "--f", "a.txt")
    assert (done.status, done.err) == (0, "")
    assert re.search(r"INFO deepaas.cmd.cli \[-\] Elapsed time:  0:00:00", done.lines[-2])
    record = json.loads(done.returned)
    assert list(record) == ["date", "args", "status", "uuid", "result"]
    assert list(record["result"]) == ["finish_date", "duration", "output"]
    assert record["args"] == {"epochs": 3, "f": ["data", "text/plain", "a.txt"]}
    assert (record["status"], record["result"]["output"]) == ("done", [3])
    assert re.fullmatch("[0-9a-f]{32}", record["uuid"])


def test_train_writes_its_record_under_exactly_the_name_given(echo: Commands) -> None:
    done = echo.cli("--deepaas_method_output", "train.txt", "train", "--epochs", "1")
    assert done.returned == "Output is saved in train.txt"
    assert json.loads((echo.folder / "train.txt").read_text())["result"]["output"] == [1]


def test_an_exception_is_status_1_and_its_message_is_told(echo: Commands) -> None:
    done = echo.cli("train", "--epochs", "13")
    assert done.status == 1
    assert "Unhandled error: RuntimeError: a bad number" in done.out
    assert "Traceback" in done.out


@pytest.mark.parametrize(
    "argv",
    [
        ("nope",),
        ("predict", "--nope", "1"),
        ("train",),
        ("--nope", "predict"),
        ("predict", "--deepaas_method_output", "x"),
    ],
)
def test_a_usage_error_is_status_2_with_a_message_on_stderr(echo: Commands, argv: tuple[str, ...]) -> None:
    done = echo.cli(*argv)
    assert (done.status, done.out) == (2, "")
    assert "error: " in done.err


def test_a_method_that_the_plugin_lacks_is_status_1(plugin: Plugin) -> None:
    commands = plugin("def predict(): return 1\n")
    for method in ("get_metadata", "warm", "train"):
        done = commands.cli(method)
        assert done.status == 1
        assert f"has no {method}()" in done.out


def test_a_model_that_cannot_be_loaded_is_status_1_and_says_why(plugin: Plugin) -> None:
    done = plugin("import nothing_here\n").cli("predict")
    assert done.status == 1
    assert "No module named 'nothing_here'" in done.out


def test_a_worker_that_dies_is_status_1_and_no_hang(plugin: Plugin) -> None:
    done = plugin("import os\ndef predict(): os._exit(3)\n").cli("predict")
    assert done.status == 1
    assert "exit status 3" in done.out


def test_sigterm_ends_the_model_and_removes_its_files(plugin: Plugin, tmp_path: Path) -> None:
    commands = plugin("import time\ndef predict(): print('running', flush=True); time.sleep(60)\n")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    commands = commands.with_environment(TMPDIR=str(temporary))
    with open(tmp_path / "out", "wb") as out:
        process = subprocess.Popen([commands.shims / "deepaas-cli", "predict"], env=commands.environment(), stdout=out)
    wait_until_now(lambda: b"running" in (tmp_path / "out").read_bytes())
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 128 + signal.SIGTERM
    assert list(temporary.iterdir()) == []


# 3.2 and 3.3


def test_values_given_as_text_become_what_the_fields_say(echo: Commands) -> None:
    done = echo.cli(
        *("predict", "--s", "5", "--count", "1", "--x", "1e3", "--flag", "YES", "--li", "[1, 2]"),
        *("--di", "{'a': [1]}", "--f", "a.txt"),
    )
    wanted = {**DEFAULTS, "s": "5", "count": 1, "x": 1000.0, "flag": True, "li": [1.0, 2.0], "di": {"a": [1]}}
    assert eval(done.returned) == {**wanted, "f": ["data", "text/plain", "a.txt", "content", ""]}
    assert (echo.folder / "a.txt").read_text() == "content", "the model got a copy"


def test_every_value_may_be_text_as_platform_scripts_write_it(echo: Commands) -> None:
    texts = {"s": "x", "count": str(2), "x": str(0.5), "flag": str(False), "li": str([1.5]), "di": str({"c": "d"})}
    done = echo.cli("predict", *(word for name, text in texts.items() for word in (f"--{name}", text)), "--f", "")
    assert done.returned == str(DEFAULTS)


def test_a_file_of_unknown_type_has_no_content_type(echo: Commands) -> None:
    (echo.folder / "b.unheard-of").write_text("b")
    done = echo.cli("predict", "--f", "./b.unheard-of")
    assert eval(done.returned)["f"][:3] == ["data", None, "./b.unheard-of"]


def test_a_missing_file_is_status_1(echo: Commands) -> None:
    done = echo.cli("predict", "--f", "nope.txt")
    assert done.status == 1
    assert "nope.txt" in done.out


def test_the_help_text_has_the_layout_of_the_contract(echo: Commands) -> None:
    done = echo.cli("predict", "--help", "")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("usage: deepaas-cli predict [-h] ")
    count = """
  --count COUNT
          How many
          Type: int
          Default: 2
          Choices: [1, 2]
"""
    assert count in done.out
    assert "          50% of it\n          Type: str\n          Default: x\n" in done.out


# 3.5


def test_the_answer_is_saved_as_json_under_a_name_that_the_log_tells(echo: Commands) -> None:
    done = echo.cli("--deepaas_method_output", "out/tmp-file-xxxxx", "predict", "--s", "é")
    assert done.status == 0
    warning = next(number for number, line in enumerate(done.lines) if "WARNING" in line)
    assert LOG_LINE.fullmatch(done.lines[warning])
    assert "You are trying to store .json type data in the file with  extension!" in done.lines[warning]
    # What a platform script takes: the fifth word of the line with these words.
    line = next(line for line in done.lines if "New output is" in line)
    assert line == "===================> New output is out/tmp-file-xxxxx.json"
    assert done.returned == "Output is saved in out/tmp-file-xxxxx.json"
    saved = (echo.folder / line.split(" ")[4]).read_text()
    assert saved == json.dumps({**DEFAULTS, "s": "é"})


def test_a_fitting_extension_stays_without_a_warning(echo: Commands) -> None:
    done = echo.cli("--deepaas_method_output", "fitting.json", "predict")
    assert "WARNING" not in done.out
    assert json.loads((echo.folder / "fitting.json").read_text()) == DEFAULTS


BINARY = (
    IMPORTS
    + """
def get_predict_args():
    return {"kind": fields.Str(required=True), "accept": fields.Str(load_default="application/zip")}

def predict(kind, accept):
    if kind == "bytes": return b"PK\\x03\\x04abc"
    if kind == "unrewound":
        b = io.BytesIO()
        b.write(b"PK\\x03\\x04abc")
        return b
    if kind == "large": return b"x" * 3_000_000
    if kind == "dict": return {"a": 1}
    open("answer.zip", "wb").write(b"PK\\x03\\x04abc")
    return open("answer.zip", "rb")
"""
)


@pytest.mark.slow
def test_d_30_binary_answers_of_every_kind_are_saved(plugin: Plugin) -> None:
    commands = plugin(BINARY)
    for kind in ("bytes", "unrewound", "file"):
        done = commands.cli("--deepaas_method_output", f"{kind}.out", "predict", "--kind", kind)
        assert done.returned == f"Output is saved in {kind}.out.zip", done
        assert "store .zip type data in the file with .out extension!" in done.out
        assert (commands.folder / f"{kind}.out.zip").read_bytes() == b"PK\x03\x04abc"
    done = commands.cli("--deepaas_method_output", "large", "predict", "--kind", "large", "--accept", "image/*")
    assert done.returned == "Output is saved in large", "a type without an extension keeps the name"
    assert (commands.folder / "large").stat().st_size == 3_000_000


def test_d_30_what_cannot_be_saved_is_an_error_that_does_not_say_saved(plugin: Plugin) -> None:
    commands = plugin(BINARY)
    done = commands.cli("--deepaas_method_output", "dict.zip", "predict", "--kind", "dict")
    assert done.status == 1
    assert "Output is saved" not in done.out
    assert "application/zip was asked for" in done.out
    assert not (commands.folder / "dict.zip").exists()


def test_a_folder_that_cannot_be_written_is_status_1_and_no_traceback(plugin: Plugin) -> None:
    done = plugin("def predict(): return 1\n").cli("--deepaas_method_output", "/proc/nope/x", "predict")
    assert done.status == 1
    assert "Traceback" not in done.out + done.err


# 3.6


def test_grep_finds_the_answer_in_one_line(echo: Commands) -> None:
    command = f"{echo.shims / 'deepaas-cli'} predict --f a.txt 2>&1 | grep -Po '{{.*}}'"
    done = subprocess.run(command, shell=True, cwd=echo.folder, env=echo.environment(), capture_output=True, text=True)
    assert len(done.stdout.splitlines()) == 1
    assert eval(done.stdout)["f"][3] == "content"


def test_a_list_without_brackets_is_a_list(echo: Commands) -> None:
    assert ast.literal_eval(echo.cli("predict", "--li", "1,2", "--f", "a.txt").returned)["li"] == [1.0, 2.0]


def test_a_wrong_value_names_the_option_as_it_is_typed(echo: Commands) -> None:
    done = echo.cli("predict", "--count", "many", "--li", "[1, 'x']")
    assert done.status == 2
    assert "deepaas-cli predict: error: --count: Not a valid integer" in done.err
    assert "; --li[1]: Not a valid number" in done.err


def test_bytes_without_an_output_file_are_shown_as_python_shows_them(plugin: Plugin) -> None:
    commands = plugin(BINARY)
    for kind, shown in (("bytes", str(b"PK\x03\x04abc")), ("file", "<_io.BufferedReader name='answer.zip'>")):
        done = commands.cli("predict", "--kind", kind)
        assert (done.status, done.returned) == (0, shown)


@pytest.mark.slow
def test_the_models_own_interpreter_is_taken(plugin: Plugin, tmp_path: Path) -> None:
    """MODELPORT_PYTHON, with the programs beside it first on PATH."""
    python = environment("3.10", ["marshmallow==3.26.1"])
    source = "import shutil, sys\ndef predict(): return [sys.executable, shutil.which('pip')]\n"
    commands = plugin(source)
    site = str(commands.folder / "site")
    told = replace(commands, more={"MODELPORT_PYTHON": str(python), "PYTHONPATH": site}).cli("predict").returned
    assert ast.literal_eval(told) == [str(python), str(python.with_name("pip"))]


def test_modelport_deepaas_cli_is_the_same_command(echo: Commands) -> None:
    module = subprocess.run(
        [str(DEEPAAS_CLI.with_name("modelport")), "deepaas-cli", "predict", "--help", ""],
        env=echo.environment(),
        capture_output=True,
        text=True,
    )
    assert (module.returncode, module.stderr) == (0, "")
    assert module.stdout == echo.cli("predict", "--help", "").out


# Defects

FILE_PLUGIN = (
    IMPORTS
    + """
def get_predict_args(): return {"f": fields.Field(metadata={"type": "file", "location": "form"})}
def predict(f): return 1
"""
)


def test_d_27_the_copy_of_a_file_is_removed(plugin: Plugin, tmp_path: Path) -> None:
    commands = plugin(FILE_PLUGIN)
    (tmp_path / "a.txt").write_text("a")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    assert commands.with_environment(TMPDIR=str(temporary)).cli("predict", "--f", "a.txt").returned == "1"
    assert list(temporary.iterdir()) == []


def test_d_31_an_argument_without_default_that_is_not_given_is_absent(plugin: Plugin) -> None:
    source = IMPORTS + "def get_predict_args(): return {'s': fields.Str()}\ndef predict(**k): return k\n"
    assert plugin(source).cli("predict").returned == "{}"


RAW_PLUGIN = (
    IMPORTS
    + """
class Even(fields.Int):
    def _deserialize(self, value, attr, data, **more): return 2 * super()._deserialize(value, attr, data, **more)

def get_predict_args():
    return {
        "f": fields.Raw(metadata={"type": "file", "location": "form"}),
        "count": fields.Int(validate=validate.Range(max=3)),
        "twice": Even(load_default=0),
    }

def predict(**k): return [type(k["f"]).__name__, k["twice"]]
"""
)


def test_d_32_raw_fields_are_files_subclasses_read_their_value_and_validators_count(
    plugin: Plugin, tmp_path: Path
) -> None:
    commands = plugin(RAW_PLUGIN)
    (tmp_path / "a.txt").write_text("a")
    assert commands.cli("predict", "--f", "a.txt", "--twice", "4").returned.endswith("UploadedFile', 8]")
    done = commands.cli("predict", "--f", "a.txt", "--count", "9")
    assert done.status == 2
    assert "count" in done.err
    assert "9" in done.err


def test_d_33_neither_argument_function_is_needed(plugin: Plugin) -> None:
    commands = plugin("def predict(): return 1\n")
    assert commands.cli("--version").lines == ["2.6.0"]
    assert commands.cli("predict").returned == "1"


@pytest.mark.slow
def test_d_34_model_name_chooses_the_model(plugin: Plugin) -> None:
    plugin("def predict(): return 'of x'\n", "x", choose=False)
    commands = plugin("def predict(): return 'of y'\n", "y", choose=False)
    assert commands.cli("--model-name", "x", "predict").returned == "of x"
    assert commands.with_environment(OS_DEFAULT__MODEL_NAME="y").cli("predict").returned == "of y"
    several = commands.cli("predict")
    assert several.status == 1
    assert "several models" in several.err
    assert "--model-name" in several.err


DASHED = (
    IMPORTS
    + """
def get_predict_args():
    names = ("a-b", "d", "n", "log", "bbox(N,W,S,E)", "config-file", "version")
    return {name: fields.Str(load_default="x") for name in names}
def predict(**k): return k
"""
)


def test_d_35_names_with_a_dash_and_those_that_begin_like_an_option_are_arguments(plugin: Plugin) -> None:
    given = {"a-b": "1", "d": "2", "n": "3", "log": "4", "bbox(N,W,S,E)": "5", "config-file": "6", "version": "7"}
    done = plugin(DASHED).cli("predict", *(word for name, text in given.items() for word in (f"--{name}", text)))
    assert eval(done.returned) == given, done


WARM = """
N = 0
def warm():
    global N
    N = 1
def predict(): return N
def train(): return N
"""


@pytest.mark.slow
def test_d_36_warm_is_called_before_predict_and_train_unless_nowarm_is_given(plugin: Plugin) -> None:
    commands = plugin(WARM)
    assert commands.cli("predict").returned == "1"
    assert json.loads(commands.cli("train").returned)["result"]["output"] == 1
    assert commands.cli("--nowarm", "predict").returned == "0"
    assert commands.cli("warm").returned == "Finished warm() method"


# Beside the original


@pytest.mark.slow
def test_the_real_deepaas_cli_prints_and_writes_the_same(echo: Commands) -> None:
    def shown(out: str) -> list[str]:
        """Without warnings of the original's libraries, and what differs from run to run."""
        lines = re.sub("\x1b\\[[0-9;]*m", "", out).splitlines()
        lines = [re.sub(r"^[-\d]+ [:\d.]+ \d+ ", "", line) for line in lines]
        return [line for line in lines if not line.startswith(("WARNING py.warnings", "  ")) and line]

    # Arguments without default are all given: for one that is not, the original passes its sentinel (D-31).
    # It takes a list as it is written; ours is what the field makes of it.
    given = ["predict", "--f", "a.txt", "--s", "é", "--li", "[1.0, 2.0]", "--flag", "true", "--di", "{'a': 1}"]
    saved, answers = echo.folder / "same.json", []
    for argv in (["get_metadata"], ["--deepaas_method_output", "same", *given], given):
        real = echo.cli(*argv, program=DEEPAAS_CLI)
        answers += [saved.read_bytes()] if saved.exists() else []
        saved.unlink(missing_ok=True)
        ours = echo.cli(*argv)
        answers += [saved.read_bytes()] if saved.exists() else []
        saved.unlink(missing_ok=True)
        assert ours.status == real.status == 0, real.err
        assert shown(ours.out) == shown(real.out)
    assert len(answers) == 2
    assert answers[0] == answers[1]
