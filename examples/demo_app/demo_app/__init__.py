"""One argument of every kind: returns what it got. For trying interfaces, forms and clients without a real model.

Names, types and defaults are those of the public AI4OS demo application, with underscores; files are not required here.
Runs on Python 3.8 and with marshmallow 3.14 to 4, as a module's own environment may have them.
"""

from __future__ import annotations

import ast
import base64
import json
import random
import time
import warnings
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from marshmallow import ValidationError, fields, validate

__all__ = ["get_metadata", "get_predict_args", "get_train_args", "predict", "schema", "train", "warm"]

FILES = ("demo_image", "demo_audio", "demo_video")
LABELS = ("class0", "class1", "class2", "class3", "class4")
_FALLBACK = {
    "version": "0+unknown",
    "summary": "One argument of every kind: returns what it got",
    "author": "The modelport developers",
    "license": "Apache-2.0",
}


class DictOrText(fields.Dict):
    """A dictionary, or the text of one: forms and command lines have nothing but text."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        return super()._deserialize(_as_dict(value), attr, data, **kwargs)  # type: ignore[no-untyped-call]


def _as_dict(value: Any) -> Any:
    """Text of JSON or of a Python literal → what it says; anything else as it is. Raises ValidationError."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        pass
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise ValidationError('Not a valid dictionary: give text like {"a": 0, "b": 1}.') from None


def get_metadata() -> dict[str, Any]:
    """From the installed distribution; run from its folder, the values written here."""
    about = dict(_FALLBACK)
    try:
        found = metadata.metadata("demo_app")
    except metadata.PackageNotFoundError:
        found = None
    if found is not None:
        about.update({key: found[key] for key in _FALLBACK if key in found})
        if "License-Expression" in found:
            about["license"] = found["License-Expression"]
    return {"name": "demo_app", "description": about["summary"], **about}


def get_predict_args() -> dict[str, fields.Field]:
    """Arguments of `predict`: one of every kind."""
    return {
        "demo_str": fields.Str(load_default="some-string", metadata={"description": "any text"}),
        "demo_str_choice": fields.Str(
            load_default="choice2",
            validate=validate.OneOf(["choice1", "choice2"]),
            metadata={"enum": ["choice1", "choice2"], "description": "one of two"},
        ),
        "demo_int": fields.Int(load_default=1, metadata={"description": "a whole number"}),
        "demo_int_range": fields.Int(
            load_default=50, validate=validate.Range(min=1, max=100), metadata={"description": "from 1 to 100"}
        ),
        "demo_float": fields.Float(load_default=0.1, metadata={"description": "a number"}),
        "demo_bool": fields.Bool(load_default=True, metadata={"description": "yes or no"}),
        "demo_dict": DictOrText(load_default={"a": 0, "b": 1}, metadata={"description": "a dictionary, or its text"}),
        "demo_list_of_floats": fields.List(
            fields.Float(), load_default=[0.1, 0.2, 0.3], metadata={"description": "numbers"}
        ),
        "demo_image": _file_field("image"),
        "demo_audio": _file_field("audio"),
        "demo_video": _file_field("video"),
    }


def _file_field(description: str) -> fields.Field:
    """An optional file. deepaas-cli takes only `Field` itself for one, which marshmallow 3.24 began to warn about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The public application's user interface knows by the description what to show: image, audio or video.
        return fields.Field(
            required=False,
            load_default=None,
            metadata={"type": "file", "location": "form", "description": description},
        )


def predict(**arguments: Any) -> dict[str, Any]:
    """What it got, files as base64 text, and five made-up probabilities, the largest first, with their labels."""
    answer = dict(arguments)
    answer["demo_dict"] = _as_dict(answer.get("demo_dict"))
    for name in FILES:
        answer[name] = _as_base64(answer.get(name))
    answer["probabilities"] = _probabilities()
    answer["labels"] = random.sample(LABELS, len(LABELS))
    return answer


def _as_base64(upload: Any) -> str | None:
    """An upload's content; a part that was sent without a file name comes as text, an empty one as bytes."""
    if upload is None:
        return None
    if isinstance(upload, str):
        content = upload.encode()
    elif isinstance(upload, (bytes, bytearray)):
        content = bytes(upload)
    else:
        content = Path(upload.filename).read_bytes()
    return base64.b64encode(content).decode("ascii")


def _probabilities() -> list[float]:
    """Five numbers, largest first, that sum to 1."""
    shares = sorted((random.random() for _ in LABELS), reverse=True)
    total = sum(shares)
    return [share / total for share in shares]


def get_train_args() -> dict[str, fields.Field]:
    """Arguments of `train`."""
    return {
        "epoch_num": fields.Int(
            load_default=10,
            validate=validate.Range(min=0),
            metadata={"description": "epochs; each one is a second of sleep"},
        )
    }


def train(epoch_num: int = 10) -> dict[str, Any]:
    """Learns nothing, slowly: something to watch and to cancel."""
    for epoch in range(epoch_num):
        _progress(epoch / epoch_num, f"epoch {epoch + 1} of {epoch_num}")
        time.sleep(1.0)
    return {"status": "done", "epochs": epoch_num, "final accuracy": 0.9}


def _progress(fraction: float, message: str) -> None:
    """Tell modelport; under deepaas nobody asks."""
    try:
        import modelport
    except ImportError:
        return
    tell = getattr(modelport, "progress", None)
    if tell is not None:
        tell(fraction, message)


def warm() -> None:
    """Nothing to load."""


# The JSON answer.
schema: dict[str, fields.Field] = {
    "demo_str": fields.Str(),
    "demo_str_choice": fields.Str(),
    "demo_int": fields.Int(),
    "demo_int_range": fields.Int(),
    "demo_float": fields.Float(),
    "demo_bool": fields.Bool(),
    "demo_dict": fields.Dict(allow_none=True),
    "demo_list_of_floats": fields.List(fields.Float()),
    "demo_image": fields.Str(allow_none=True, metadata={"description": "image"}),
    "demo_audio": fields.Str(allow_none=True, metadata={"description": "audio"}),
    "demo_video": fields.Str(allow_none=True, metadata={"description": "video"}),
    "labels": fields.List(fields.Str()),
    "probabilities": fields.List(fields.Float()),
}
