"""What the child's side makes of the plugins in tests/modules, as one JSON object on stdout.

Run under any interpreter, with modelport's folder on the path and the plugins' files as arguments; Python 3.8 syntax.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

warnings.simplefilter("ignore")

from modelport.child import plugin  # noqa: E402
from modelport.child.arguments import Fields  # noqa: E402
from modelport.child.media import encode  # noqa: E402
from modelport.contract.prediction import InputFile  # noqa: E402
from modelport.errors import ModelportError  # noqa: E402

HOSTILE = ["[" * 100000, "[" + "-" * 16000 + "1]", "(" * 5000, "[" + "1+" * 8000 + "1]", "[" + "{1:" * 4000]
# Module: arguments for one call.
CALLS: dict[str, dict[str, Any]] = {
    "injected": {"model_name": "2025-06-30", "input_file": "x", "batch_size": "4", "accept": "application/json"},
    "own_fields": {"options": '{"a": 1}', "name": "x", "count": "4", "flag": "yes", "words": "[1,2]"},
    "limits": {"count": "3", "box": "[1,2,3,4]", "classes": ["cat", "dog"], "day": "2026-01-31", "odd": "3"},
    "nested": {
        "box": "{'x': '1', 'y': 2}",
        "boxes": ['{"x": 1, "y": 2}', '{"x": 3, "y": 4, "label": "b"}'],
        "many": '[{"x": 1, "y": 2}]',
        "matrix": "[[1, 2], [3]]",
        "weights": '{"a": "0.5"}',
    },
    "odd_names": {"bbox(N,W,S,E)": "1,2,3,4"},
    "answer_schema": {"labels": "['a']", "accept": "application/json"},
    "class_schema": {"count": "2"},
    "parts": {"count": "2", "accept": "text/csv"},
    "unrewound": {"accept": "image/*"},
    "list_of_files": {},
    "data_key_file": {},
    "checks_upload": {"accept": "application/json"},
    "late_upload": {},
    "class_plugin.py:Model": {},
    "instance_plugin.py:plugin": {},
}
WRONG = {"count": "x", "share": "1", "box": "[1, 'b']", "classes": ["bird"], "code": "ab", "hidden": "1", "link": "no"}


def main() -> None:
    told: dict[str, Any] = {}
    for path in sys.argv[1:]:
        name = path.rpartition("/")[2]
        name = name[:-3] if name.endswith(".py") else name
        try:
            told[name] = of_plugin(name, path)
        except ModelportError as error:
            told[name] = {"failed": error.to_plain()["message"]}
    for text in HOSTILE:
        told.setdefault("hostile", []).append(outcome(lambda: Fields(told_fields()).read({"d": text})))  # noqa: B023
    print(json.dumps(told))


def told_fields() -> dict[str, Any]:
    """A field without any library, which a text that spells a list reaches as it is."""

    class Mapping:
        __module__ = "marshmallow.fields"

        def deserialize(self, value, attr=None, data=None):  # type: ignore[no-untyped-def]
            return type(value).__name__

    Mapping.__name__ = "Dict"
    return {"d": Mapping()}


def of_plugin(name: str, path: str) -> dict[str, Any]:
    loaded = plugin.load(path)
    loaded.warm()
    found: dict[str, Any] = {"card": loaded.describe().to_plain()}
    if name == "limits":
        found["refused"] = outcome(lambda: loaded.predict_fields.read(WRONG))
    if name in CALLS:
        found["answer"] = outcome(lambda: answer(loaded, CALLS[name]))
    return found


def answer(loaded: plugin.Plugin, values: dict[str, Any]) -> list[Any]:
    files = []
    for argument in loaded.predict_fields.arguments:
        if argument.is_file:
            with open("upload", "w") as file:
                file.write("content")
            files.append(InputFile(argument.name, "upload", argument.wire_name, "image/png", "cat.png"))
    function = loaded.function("predict")
    assert function is not None
    value = function(**loaded.predict_fields.read(values, files))
    accept = values.get("accept")
    if accept in (None, "application/json"):
        loaded.check_answer(value)
    encoded = encode(value, accept, "scratch", 1000)
    text = encoded.body.decode("latin-1")
    return [encoded.media_type, json.loads(text) if encoded.media_type == "application/json" else text]


def outcome(run) -> object:  # type: ignore[no-untyped-def]
    try:
        return run()
    except ModelportError as error:
        return error.to_plain()


main()
