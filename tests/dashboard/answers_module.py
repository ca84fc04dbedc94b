"""A module that answers in the ways that people read: served by the tests."""

from __future__ import annotations

import base64
import io
import json
import wave
from typing import Any

from marshmallow import fields, validate

KINDS = ("rows", "beside", "formulas", "text", "sound", "given")
TYPES = ("application/json", "text/csv")


def get_predict_args() -> dict[str, fields.Field]:
    return {
        "kind": fields.Str(load_default="rows", validate=validate.OneOf(KINDS)),
        "text": fields.Str(load_default=""),
        "image": fields.Field(load_default=None, metadata={"type": "file", "location": "form"}),
        "accept": fields.Str(load_default=TYPES[0], validate=validate.OneOf(TYPES)),
    }


def predict(kind: str, text: str, image: Any, accept: str) -> Any:
    if accept == "text/csv":
        return table()
    if kind == "text":
        return text
    if kind == "given":
        return json.loads(text)
    if kind == "beside":
        return {"count": 250, "rows": rows()}
    return {"rows": rows, "formulas": formulas, "sound": sound}[kind]()


def rows() -> list[dict[str, Any]]:
    species = ('a "wasp", <b>', "bee")
    return [
        {
            "id": 9007199254740993 + number,
            "species": species[number % 2],
            "weight": None if number == 7 else number * 1.0,
        }
        for number in range(250)
    ]


def formulas() -> list[dict[str, Any]]:
    return [
        {"=name": text, "number": -1.5} for text in ('=HYPERLINK("http://x")', "+1", "-1+1", "@SUM(1)", "\t=1", "a=1")
    ]


def table() -> bytes:
    return b'name;weight\r\n"a;b";1.50\r\nc;10.0\r\nd;9\r\n'


def sound() -> str:
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(8000)
        wav.writeframes(bytes(800))
    return base64.b64encode(file.getvalue()).decode()
