"""The plugins in tests/modules: what their cards say, and that calls work as their authors meant them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from modelport.child import plugin
from modelport.child.media import encode
from modelport.contract.card import Argument, Card
from modelport.contract.prediction import InputFile, Outcome
from modelport.errors import InvalidArguments, ModelFailed

MODULES = Path(__file__).parent.parent / "modules"
OBJECTS = {"class_plugin": ":Model", "instance_plugin": ":plugin"}
NAMES = sorted(each.stem for each in MODULES.glob("*.py"))


@pytest.fixture(autouse=True)
def _left_as_it_was(clean_imports: None) -> None:
    """Each test loads its plugin anew."""


def load(name: str, attribute: str | None = None) -> plugin.Plugin:
    suffix = OBJECTS.get(name, "") if attribute is None else f":{attribute}"
    with warnings.catch_warnings():
        # These modules write what marshmallow 3.26 announces the end of: missing=, top-level keywords, Field().
        warnings.filterwarnings("ignore", module="marshmallow|test_modules|" + name)
        return plugin.load(f"{MODULES}/{name}.py{suffix}")


def card(name: str) -> Card:
    return load(name).describe()


def argument(name: str, wanted: str) -> Argument:
    return next(arg for arg in card(name).predict_args if arg.name == wanted)


def call(loaded: plugin.Plugin, *files: InputFile, accept: str | None = None, scratch: str = "", **values: Any) -> Any:
    """The decoded JSON of an answer, or the encoded answer where a type was asked for."""
    values = {**values, **({} if accept is None else {"accept": accept})}
    function = loaded.function("predict")
    assert function is not None
    value = function(**loaded.predict_fields.read(values, files))
    if accept in (None, "application/json"):
        loaded.check_answer(value)
        return json.loads(encode(value, accept, scratch, 1000).body)
    return encode(value, accept, scratch, 1000)


def upload(folder: Path, argument: str, filename: str = "cat.png", content: str = "content") -> InputFile:
    path = folder / filename
    path.write_text(content)
    return InputFile(argument, str(path), argument, "image/png", filename)


@pytest.mark.parametrize("name", NAMES)
def test_every_card_crosses_as_json(name: str) -> None:
    made = card(name)
    assert Card.from_plain(json.loads(json.dumps(made.to_plain()))) == made
    assert made.name == name
    assert "predict" in made.capabilities
    assert made.warnings == []


def test_old_spelling() -> None:
    args = {arg.name: arg for arg in card("old_spelling").predict_args}
    assert args["demo_str"] == Argument(
        "demo_str", "string", field_type="String", has_default=True, default="some-string", description="test string"
    )
    choice = args["demo_choice"]
    assert (choice.choices, choice.choices_enforced, choice.default) == (["choice1", "choice2"], False, "choice2")
    assert (choice.metadata, choice.description) == ({"require": False}, "a choice")
    assert (args["demo_int"].minimum, args["demo_int"].maximum) == (1, 100)
    assert (args["demo_list"].default, args["demo_list"].multiple) == ([0.1, 0.2, 0.3], True)
    assert (args["demo_secret"].format, args["demo_secret"].nullable) == ("password", True)
    image = args["demo_image"]
    assert (image.type, image.location, image.is_file, image.default) == ("file", "form", True, None)


def test_old_spelling_answers_with_its_defaults_and_a_file(tmp_path: Path) -> None:
    answer = call(load("old_spelling"), upload(tmp_path, "demo_image"), demo_choice="any", demo_list="[1]")
    assert (answer["demo_image"], answer["demo_choice"], answer["demo_list"]) == ("cat.png", "any", [1.0])
    assert answer["demo_str"] == "some-string"


def test_injected() -> None:
    made = card("injected")
    assert [arg.name for arg in made.predict_args] == ["model_name", "input_file", "batch_size", "accept"]
    assert [arg.field_type for arg in made.predict_args] == ["ModelName", "Dataset", "Integer", "String"]
    assert made.predict_args[1].description == "Data to predict on: a path inside data/"
    assert (made.answer_types, made.default_answer_type) == (
        ["application/json", "application/pdf"],
        "application/json",
    )
    assert made.accept is not None
    assert (made.accept.location, made.accept.required) == ("headers", True)
    assert made.metadata["author"] == ["A", "B"]
    assert made.capabilities == ["predict", "warm"]
    answer = call(load("injected"), model_name="2024-01-01", input_file="x", accept="application/json")
    assert answer == {"model": "2024-01-01", "input": "x", "batch_size": 8}
    with pytest.raises(InvalidArguments, match=r"model_name: Checkpoint `x` not found \(given 'x'\)"):
        call(load("injected"), model_name="x", input_file="x", accept="application/json")


def test_data_key_file(tmp_path: Path) -> None:
    files = argument("data_key_file", "files")
    assert (files.wire_name, files.type, files.required, files.location) == ("data", "file", True, "form")
    given = upload(tmp_path, "files")
    assert call(load("data_key_file"), given) == {"size": 7, "extension": ".png", "title": "cat.png", "part": "files"}
    assert not Path(given.path).exists()


def test_own_fields() -> None:
    kinds = [(arg.type, arg.field_type) for arg in card("own_fields").predict_args]
    assert kinds == [
        ("any", "JsonDict"),
        ("string", "Upper"),
        ("integer", "Even"),
        ("boolean", "own_fields.Boolean"),
        ("array", "Words"),
    ]
    loaded = load("own_fields")
    answer = call(loaded, options='{"a": 1}', count="4", flag="yes", words=["[1,2]"])
    assert answer == {"options": {"a": 1}, "name": "NOTHING", "count": 4, "flag": True, "words": "[1,2]"}
    with pytest.raises(InvalidArguments) as caught:
        call(loaded, options="{", count="3")
    assert caught.value.fields["count"] == ["Must be even."]
    assert "options" in caught.value.fields


def test_json_text() -> None:
    made = card("json_text")
    assert (made.predict_args, len(made.train_args)) == ([], 5)
    assert made.train_args[2].default == '{"flip": true, "zoom": [0.8, 1.2]}'
    assert made.train_args[3].choices == ['"Xception"', '"VGG16"']
    assert made.capabilities == ["predict", "train"]


# In marshmallow 4 such a validator is of no effect.
@pytest.mark.filterwarnings("ignore:Returning .False. from a validator")
def test_limits() -> None:
    args = {arg.name: arg for arg in card("limits").predict_args}
    share = args["share"]
    assert (share.minimum, share.exclusive_minimum, share.exclusive_maximum) == (0, True, True)
    assert (args["name"].min_length, args["name"].max_length) == (2, 5)
    assert (args["code"].min_length, args["code"].max_length, args["code"].pattern) == (3, 3, "[a-z]+$")
    assert (args["box"].min_length, args["box"].max_length) == (4, 4)
    assert args["box"].item == Argument("", "integer", field_type="Integer")
    assert args["classes"].item is not None
    assert args["classes"].item.choices == ["cat", "dog"]
    assert (args["model"].choices, args["model"].choices_enforced) == (["small", "large"], True)
    assert args["level"].choices == [0, 1, 2]
    assert (args["hidden"].read_only, args["maybe"].nullable) == (True, True)
    assert [args[each].format for each in ("link", "day", "id")] == ["url", "date", "uuid"]
    with pytest.raises(InvalidArguments) as caught:
        call(load("limits"), hidden="x", odd="2", classes=["cat", "bird"], box="[1, 2, 3]")
    assert sorted(caught.value.fields) == ["box", "classes", "hidden", "odd"]


def test_odd_names() -> None:
    made = card("odd_names")
    assert [arg.name for arg in made.predict_args][:2] == ["bbox(N,W,S,E)", "demo-image"]
    assert made.predict_args[0].description == "<b>Box</b><br>in degrees"
    assert [arg.default for arg in made.predict_args[2:]] == [0.8, 3, "7"]
    answer = call(load("odd_names"), **{"bbox(N,W,S,E)": "1,2,3,4"})
    assert answer == {"bbox(N,W,S,E)": "'1,2,3,4'", "threshold": "0.8", "class": "3", "d": "'7'"}


def test_video_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = card("video_file")
    # The declared default counts, though it is not the first choice.
    assert (made.answer_types, made.default_answer_type) == (["application/json", "video/mp4"], "video/mp4")
    first = call(load("video_file"), accept="video/mp4", scratch=str(tmp_path / "1"), text="x" * 2000)
    call(load("video_file"), accept="video/mp4", scratch=str(tmp_path / "2"))
    assert (first.media_type, first.filename) == ("video/mp4", "output.mp4")
    assert Path(first.path).read_bytes().endswith(b"x" * 2000)


def test_unrewound() -> None:
    assert card("unrewound").default_answer_type == "image/png"
    sent = call(load("unrewound"), accept="image/*")
    assert sent == Outcome("image/png", b"\x89PNG\r\n\x1a\npixels", filename="figure.png")


def test_set_from_train() -> None:
    loaded = load("set_from_train")
    train = loaded.function("train")
    assert train is not None
    answer = encode(train(**loaded.train_fields.read({"epochs": "3"})), None, "", 1000)
    assert json.loads(answer.body) == ["Model trained for 3 epochs"]


@pytest.mark.parametrize(
    ("how", "raised"),
    [("text", "HTTPBadRequest"), ("plain", "ValueError"), ("base", "HTTPException"), ("decorator", "HTTPBadRequest")],
)
def test_http_errors(how: str, raised: str) -> None:
    pytest.importorskip("aiohttp")
    loaded = load("http_errors")
    with pytest.raises(Exception) as caught:
        call(loaded, how=how)
    assert type(caught.value).__name__ == raised


def test_logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load("logged_in")
    assert [arg.name for arg in loaded.describe().train_args] == ["epochs"]
    monkeypatch.setenv("DISABLE_AUTHENTICATION_AND_ASSUME_AUTHENTICATED_USER", "yes")
    train = loaded.function("train")
    assert train is not None
    assert train(**loaded.train_fields.read({})) == {"epochs": 10}


def test_nested() -> None:
    args = {arg.name: arg for arg in card("nested").predict_args}
    assert args["box"].type == "object"
    assert args["box"].properties is not None
    assert [(each.name, each.type, each.required) for each in args["box"].properties] == [
        ("x", "number", True),
        ("y", "number", True),
        ("label", "string", False),
    ]
    assert (args["boxes"].type, args["many"].type) == ("array", "array")
    assert args["boxes"].item is not None
    assert args["boxes"].item.properties == args["box"].properties
    assert (args["options"].default, args["weights"].type) == ({}, "object")
    loaded = load("nested")
    for _ in range(2):
        assert call(loaded, weights="{'a': '0.5'}") == {"options": {"seen": True}, "weights": {"a": 0.5}}
    assert card("nested").predict_args[4].default == {}
    with pytest.raises(InvalidArguments, match=r"boxes\[0\]\.x: Not a valid number \(given 'a'\)"):
        call(loaded, boxes='[{"x": "a", "y": 1}]')


def test_bare() -> None:
    made = card("bare")
    assert (made.capabilities, made.predict_args, made.metadata, made.metadata_error) == (["predict"], [], {}, None)
    assert (made.answer_types, made.default_answer_type, made.answer_schema) == ([], None, None)
    assert call(load("bare")) == "hello"


def test_several_files(tmp_path: Path) -> None:
    assert [arg.type for arg in card("several_files").predict_args] == ["file"] * 3
    loaded = load("several_files")
    function = loaded.function("predict")
    assert function is not None
    files = [upload(tmp_path, "image", "i.png"), upload(tmp_path, "config", "c.yml")]
    assert list(loaded.predict_fields.read({}, files)) == ["image", "config"]
    with pytest.raises(InvalidArguments) as caught:
        call(loaded, files[1])
    assert caught.value.fields == {"image": ["Missing data for required field."]}


def test_list_of_files(tmp_path: Path) -> None:
    files = argument("list_of_files", "files")
    assert files.item is not None
    assert (files.type, files.item.type, files.multiple, files.max_length) == ("array", "file", True, 3)
    assert call(load("list_of_files"), upload(tmp_path, "files", "a"), upload(tmp_path, "files", "b")) == ["a", "b"]


def test_class_plugin() -> None:
    loaded = load("class_plugin")
    loaded.warm()
    assert [call(loaded)["calls"], call(loaded)["calls"]] == [1, 2]
    assert loaded.describe().metadata == {"name": "class-plugin"}
    assert loaded.describe().train_args == []
    assert call(load("class_plugin", "Static")) == "static"


def test_instance_plugin() -> None:
    loaded = load("instance_plugin")
    loaded.warm()
    assert [call(loaded), call(loaded)] == [{"sum": 6, "calls": 1}, {"sum": 6, "calls": 2}]


def test_parts(tmp_path: Path) -> None:
    assert card("parts").default_answer_type == "text/csv"
    loaded = load("parts")
    assert call(loaded, accept="text/csv").body == b"0,0\n1,1\n2,4\n"
    assert call(loaded, accept="application/json") == ["0,0\n", "1,1\n", "2,4\n"]
    with pytest.raises(RuntimeError, match="in the middle"):
        call(loaded, accept="text/csv", fail="true", scratch=str(tmp_path))


def test_numpy_answers() -> None:
    assert call(load("numpy_answers")) == {
        "label": "bear",
        "index": 3,
        "score": 0.5,
        "sure": True,
        "probabilities": [[0.25, 0.75]],
        "when": "2026-01-31T12:00:00",
        "seen": [1, 2, 3],
        "shape": [1, 2],
        "by_class": {"7": 1},
    }
    assert call(load("numpy_answers"), what="nan")["scores"][1]["value"][1] is None


def test_catches_all() -> None:
    assert call(load("catches_all"), number="x")["status"] == "error"


@pytest.mark.parametrize("name", ["checks_upload", "late_upload"])
def test_uploads_pass_for_deepaas_own(tmp_path: Path, name: str) -> None:
    loaded = load(name)
    answer = call(loaded, upload(tmp_path, "image"))
    assert answer in (True, {"size": 7, "name": "cat.png"})


def test_answer_schema() -> None:
    made = card("answer_schema")
    assert made.default_answer_type == "text/plain"
    assert made.answer_schema is not None
    assert (made.answer_schema.name, made.answer_schema.many) == ("ModelPredictionResponse", False)
    assert [(field.name, field.required) for field in made.answer_schema.fields] == [
        ("status", False),
        ("labels", True),
        ("probabilities", True),
    ]
    loaded = load("answer_schema")
    # Checked, and sent as it was returned.
    assert call(loaded, accept="application/json")["probabilities"] == ["0.5", "0.5"]
    assert call(loaded, accept="text/plain").body == b"cat\ndog"
    with pytest.raises(ModelFailed) as caught:
        call(loaded, accept="application/json", labels=[])
    assert caught.value.message == (
        "the answer does not fit the plugin's schema: answer.labels: Missing data for required field; "
        "answer.probabilities: Missing data for required field; answer.nothing: Unknown field."
    )


def test_class_schema() -> None:
    made = card("class_schema")
    assert made.answer_schema is not None
    assert (made.answer_schema.name, made.answer_schema.many) == ("Shoreline", True)
    loaded = load("class_schema")
    assert len(call(loaded, count=2)) == 2
    with pytest.raises(ModelFailed, match=r"answer\[0\]\.name: Missing data"):
        loaded.check_answer([{}])
    with pytest.raises(ModelFailed, match="Invalid input type"):
        loaded.check_answer(5)
