"""One call on a plugin that is loaded in this very process, as an executor of a third party runs it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

import modelport
from modelport.child import plugin
from modelport.child.invoke import InvokeOptions, invoke
from modelport.contract.prediction import Call, InputFile, Outcome
from modelport.errors import InvalidArguments, ModelFailed, NotImplementedByModel

SOURCE = """
import tempfile
import modelport
from marshmallow import fields
def get_predict_args():
    return {"mode": fields.Str(load_default=""), "count": fields.Int(load_default=1), "file": fields.Raw()}
def predict(mode, count, file=None):
    if mode == "raise":
        raise ValueError("no such breed")
    if mode == "exit":
        raise SystemExit(3)
    if mode == "read":
        with open(file.filename) as text:
            return text.read()
    if mode == "progress":
        modelport.progress(0.5, "half")
        return None
    if mode == "folder":
        return tempfile.gettempdir()
    return "x" * count
"""


ALONE = InvokeOptions()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> plugin.Plugin:
    file = tmp_path_factory.mktemp("plugin") / "invoked.py"
    file.write_text(SOURCE)
    return plugin.load(str(file))


def run(loaded: plugin.Plugin, scratch: Path, options: InvokeOptions = ALONE, **values: Any) -> Outcome:
    files = [InputFile("file", str(values.pop("file")), "file")] if "file" in values else []
    return invoke(loaded, Call("one", arguments=values, files=files, scratch=str(scratch)), options)


def test_a_call_is_answered_with_bytes_and_timings(loaded: plugin.Plugin, tmp_path: Path) -> None:
    outcome = run(loaded, tmp_path / "scratch", count=3)
    assert (outcome.error, outcome.media_type, outcome.body) == (None, "application/json", b'"xxx"')
    assert set(outcome.timings) == {"validate", "predict", "encode"}


def test_a_large_answer_is_a_file_in_the_calls_folder(loaded: plugin.Plugin, tmp_path: Path) -> None:
    outcome = run(loaded, tmp_path, InvokeOptions(inline_limit_bytes=10), count=20)
    assert outcome.path is not None and Path(outcome.path).parent == tmp_path
    assert json.loads(Path(outcome.path).read_text()) == "x" * 20


def test_files_reach_the_plugin(loaded: plugin.Plugin, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("content")
    assert run(loaded, tmp_path, mode="read", file=tmp_path / "given").body == b'"content"'


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ({"mode": "raise"}, ModelFailed, "ValueError: no such breed"),
        ({"mode": "exit"}, ModelFailed, "the model called sys.exit(3)"),
        ({"count": "many"}, InvalidArguments, "count: Not a valid integer"),
    ],
)
def test_what_goes_wrong_is_in_the_outcome(
    loaded: plugin.Plugin, tmp_path: Path, values: dict[str, Any], kind: type[Exception], message: str
) -> None:
    error = run(loaded, tmp_path, **values).error
    assert type(error) is kind and message in str(error)


def test_a_missing_function_is_told(loaded: plugin.Plugin) -> None:
    outcome = invoke(loaded, Call("one", method="train"), InvokeOptions(name="dogs"))
    assert type(outcome.error) is NotImplementedByModel and "'dogs'" in outcome.error.message


def test_temporary_files_go_with_the_call_only_where_it_is_alone(loaded: plugin.Plugin, tmp_path: Path) -> None:
    usual = tempfile.gettempdir()
    scratch = Path(tempfile.mkdtemp())
    assert json.loads(run(loaded, scratch, mode="folder").body) == str(scratch)
    assert json.loads(run(loaded, scratch, InvokeOptions(alone=False), mode="folder").body) == usual
    assert tempfile.gettempdir() == usual


def test_progress_is_told_during_the_call_only(loaded: plugin.Plugin) -> None:
    told: list[tuple[float | None, str]] = []
    invoke(loaded, Call("one", arguments={"mode": "progress"}), ALONE, lambda *news: told.append(news))
    modelport.progress(1.0, "nobody")
    assert told == [(0.5, "half")]
