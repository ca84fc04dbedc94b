"""Modules that are called as tools."""

EVERYTHING = """
import base64, io, time
from marshmallow import fields, validate

import modelport


def get_metadata():
    return {"name": "x", "summary": "Answers with <b>whatever</b> it was given"}


def get_predict_args():
    return {
        "text": fields.Str(data_key="the-text", load_default="", metadata={"description": "Any text"}),
        "count": fields.Int(load_default=1, validate=validate.Range(1, 9)),
        "numbers": fields.List(fields.Float(), load_default=[]),
        "many": fields.Int(load_default=0),
        "file": fields.Field(metadata={"type": "file", "location": "form"}),
        "files": fields.List(fields.Field(metadata={"type": "file", "location": "form"})),
        "secret": fields.Str(load_default="", metadata={"format": "password"}),
        "fail": fields.Bool(load_default=False),
        "steps": fields.Int(load_default=0),
        "sleep": fields.Float(load_default=0),
        "accept": fields.Str(
            load_default="image/png",
            validate=validate.OneOf(["image/png", "application/json", "text/csv", "application/pdf", "audio/wav"]),
        ),
    }


def read(file):
    with open(file.filename, "rb") as content:
        return [file.content_type, content.read().decode("latin-1")]


def predict(text, count, numbers, many, fail, steps, sleep, accept, secret, file=None, files=()):
    for step in range(steps):
        modelport.progress((step + 1) / steps, f"step {step + 1}")
    if sleep:
        print(f"asleep for {sleep}", flush=True)
    time.sleep(sleep)
    if fail:
        raise RuntimeError("the model is ill")
    if accept == "application/json":
        said = {"text": text, "count": count, "numbers": numbers}
        if many:
            said["many"] = "é" * many
        if file is not None:
            said["file"] = read(file)
        if files:
            said["files"] = [read(one) for one in files]
        return said
    return io.BytesIO({"image/png": b"\\x89PNG", "text/csv": b"a,b\\n"}.get(accept, b"%PDF-") + b"x" * many)
"""
RECORD = """
from marshmallow import fields


def get_metadata():
    return {"name": "record"}


def get_predict_args():
    return {"label": fields.Str(required=True)}


schema = {"label": fields.Str(), "score": fields.Float(), "box": fields.List(fields.Int())}


def predict(label):
    return {"label": label, "score": "0.5" if label == "text" else 0.5, "box": [1, 2]}
"""
ALL = {"x": EVERYTHING, "record": RECORD}
