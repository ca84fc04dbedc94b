"""A model for the tests of streams."""

# mypy: ignore-errors

import itertools
import os
import tempfile
import time

from marshmallow import fields

PATH = ""


def get_predict_args():
    return {
        "mode": fields.Str(load_default="count"),
        "number": fields.Int(load_default=3),
        "gate": fields.Str(load_default=""),  # a file: all but the first value wait for it
        "trace": fields.Str(load_default=""),  # a file that gets a line at each value and at the end
        "size": fields.Int(load_default=0),
    }


def predict(mode, number, gate, trace, size):
    if mode == "plain":
        return {"not": "a generator"}
    if mode == "large":
        return "x" * size
    if mode == "laid out":
        file = tempfile.NamedTemporaryFile(suffix=".json")  # noqa: SIM115 (it is the answer)
        file.write(b'{\n "not": \r\n\r\n "a generator"\n}' + b" \n" * size)
        file.flush()
        return file
    if mode == "image":
        return b"\x89PNG\r\n\x1a\n"
    if mode == "bytes":
        return iter([b"one", b"two"])
    if mode == "refuse":
        raise ValueError("no such breed")
    return values(mode, number, gate, trace, size)


def values(mode, number, gate, trace, size):
    try:
        for index in itertools.count() if mode == "endless" else range(number):
            if index == 1:
                while gate and not os.path.exists(gate):
                    time.sleep(0.002)
            note(trace, index)
            yield "x" * size if size else {"index": index, "é": [1.5, None]}
        if mode == "raise":
            raise ValueError("the film is torn")
        if mode == "unsayable":
            yield object
        if mode == "die":
            os.kill(os.getpid(), 9)
    finally:
        if mode == "stubborn":
            time.sleep(600)
        note(trace, "closed")


def note(trace, text):
    if trace:
        with open(trace, "a") as file:
            file.write(f"{text}\n")
