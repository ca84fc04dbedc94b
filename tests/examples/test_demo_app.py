"""The demo application: what it takes, what it gives back, with and without files."""

from __future__ import annotations

import base64
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from marshmallow import Schema, ValidationError

ROOT = Path(__file__).parents[2]
NAMES = [
    "demo_str", "demo_str_choice", "demo_int", "demo_int_range", "demo_float", "demo_bool", "demo_dict",
    "demo_list_of_floats", "demo_image", "demo_audio", "demo_video",
]  # fmt: skip


@pytest.fixture(scope="module")
def demo_app() -> Iterator[ModuleType]:
    """The package, from its folder: it is not installed here."""
    spec = importlib.util.spec_from_file_location("demo_app", ROOT / "examples/demo_app/demo_app/__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo_app"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["demo_app"]


def _loaded(demo_app: ModuleType, **values: Any) -> dict[str, Any]:
    """Values as a server checks them."""
    loaded: dict[str, Any] = Schema.from_dict(demo_app.get_predict_args())().load(values)
    return loaded


def test_arguments_are_those_of_the_public_application_in_order(demo_app: ModuleType) -> None:
    assert list(demo_app.get_predict_args()) == NAMES


def test_defaults_come_back_with_labels_and_probabilities(demo_app: ModuleType) -> None:
    answer = demo_app.predict(**_loaded(demo_app))
    assert answer["demo_str"] == "some-string"
    assert answer["demo_dict"] == {"a": 0, "b": 1}
    assert answer["demo_image"] is None
    assert sorted(answer["labels"]) == ["class0", "class1", "class2", "class3", "class4"]
    assert answer["probabilities"] == sorted(answer["probabilities"], reverse=True)
    assert sum(answer["probabilities"]) == pytest.approx(1.0)
    assert not Schema.from_dict(demo_app.schema)().validate(answer)


def test_files_come_back_as_base64(demo_app: ModuleType) -> None:
    paths = {"demo_image": "digit.png", "demo_audio": "tone.wav", "demo_video": "bounce.avi"}
    files = {name: SimpleNamespace(filename=str(ROOT / "data" / path)) for name, path in paths.items()}
    answer = demo_app.predict(**{**_loaded(demo_app), **files})
    for name, path in paths.items():
        assert base64.b64decode(answer[name]) == (ROOT / "data" / path).read_bytes()


@pytest.mark.parametrize("value", ['{"c": "d"}', "{'c': 'd'}", {"c": "d"}])
def test_a_dictionary_may_be_text(value: object, demo_app: ModuleType) -> None:
    assert _loaded(demo_app, demo_dict=value)["demo_dict"] == {"c": "d"}
    # deepaas-cli hands over the text as it is.
    assert demo_app.predict(demo_dict=value)["demo_dict"] == {"c": "d"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("demo_str_choice", "choice3"),
        ("demo_int", "x"),
        ("demo_int_range", 0),
        ("demo_int_range", 101),
        ("demo_float", "x"),
        ("demo_bool", "perhaps"),
        ("demo_dict", "[1]"),
        ("demo_dict", "{"),
        ("demo_list_of_floats", [1, "x"]),
    ],
)
def test_wrong_values_are_refused_by_name(name: str, value: object, demo_app: ModuleType) -> None:
    with pytest.raises(ValidationError) as caught:
        _loaded(demo_app, **{name: value})
    assert list(caught.value.messages_dict) == [name]


def test_metadata_are_there_though_it_is_not_installed(demo_app: ModuleType) -> None:
    about = demo_app.get_metadata()
    assert about["name"] == "demo_app"
    assert {"version", "author", "license", "summary"} <= set(about)
    assert all(about.values())


def test_the_sample_film_and_sound_are_what_they_say() -> None:
    film = (ROOT / "data/bounce.avi").read_bytes()
    assert film[:4] == b"RIFF"
    assert film[8:12] == b"AVI "
    assert int.from_bytes(film[4:8], "little") == len(film) - 8
    assert film.count(b"\xff\xd8\xff") == 12
    sound = (ROOT / "data/tone.wav").read_bytes()
    assert (sound[:4], sound[8:12]) == (b"RIFF", b"WAVE")
