"""The module that the conformance suites run. Python 3.8, needs marshmallow only."""

# mypy: ignore-errors

import itertools
import os
import tempfile
import time

from marshmallow import fields

import modelport


def get_metadata():
    return {"summary": "for conformance suites"}


def get_predict_args():
    return {
        "mode": fields.Str(load_default="echo"),
        "value": fields.Raw(load_default=None, allow_none=True),
        "number": fields.Int(load_default=0),
        "path": fields.Str(load_default=""),
        "trace": fields.Str(load_default=""),
        "file": fields.Raw(metadata={"type": "file", "location": "form"}),
    }


def get_train_args():
    return {"number": fields.Int(load_default=0)}


def warm():
    pass


def train(number):
    return {"trained": number}


def values(value, number, path, trace):
    """So many, or endlessly many (-1); all but the first when the file is there. Raises `value` at the end."""
    try:
        for index in itertools.count():
            if index == number:
                break
            while index == 1 and not os.path.exists(path):
                time.sleep(0.01)
            yield {"number": index}
        if value is not None:
            raise ValueError(value)
    finally:
        if trace:
            with open(trace, "a") as lines:
                lines.write("closed\n")


def predict(mode, value, number, path, trace, file=None):
    if trace:
        with open(trace, "a") as lines:
            lines.write(f"{value}\n")
    if mode == "raise":
        raise ValueError(value)
    if mode == "large":
        return "x" * number
    if mode == "read":
        with open(file.filename) as text:
            return [text.read(), file.original_filename]
    if mode == "print":
        print(value, flush=True)
    if mode == "progress":
        modelport.progress(0.5, str(value))
    if mode == "keep":
        modelport.progress(0.5, metrics={"epoch": 1, "loss": 0.5})
        with tempfile.NamedTemporaryFile("w") as text:
            text.write(value)
            text.flush()
            modelport.artifact(text.name, "kept.txt")
    if mode == "values":
        return values(value, number, path, trace)
    if mode == "wait":  # until the file is there
        while not os.path.exists(path):
            time.sleep(0.01)
    return value


def predict_batch(calls):
    if any(call["mode"] == "raise together" for call in calls):
        raise RuntimeError("one of them is bad")
    answers = []
    for call in calls:
        try:
            answers.append([predict(**call), len(calls)])
        except ValueError as error:
            answers.append(error)
    return answers
