"""A plugin with `predict_batch`: it tells with how many others each call ran. Python 3.8."""

# mypy: ignore-errors

import os
import signal
import tempfile
import time

from marshmallow import ValidationError, fields

import modelport

BATCH_SIZE = 4


def get_predict_args():
    return {
        "mode": fields.Str(load_default="echo"),
        "value": fields.Raw(load_default=None, allow_none=True),
        "number": fields.Int(load_default=0),
        "path": fields.Str(load_default=""),
        "file": fields.Raw(metadata={"type": "file", "location": "form"}),
    }


def wait_for(path):
    """Until the file is there; another says that it is waited for."""
    open(path + ".awaited", "w").close()
    while not os.path.exists(path):
        time.sleep(0.005)


def predict(mode, value, number, path, file=None):
    if mode == "wait":
        wait_for(path)
    if mode == "refuse":
        raise ValidationError({"value": ["not this one"]})
    if mode in ("kill", "kill singly"):
        os.kill(os.getpid(), signal.SIGKILL)
    return {"value": value, "by": "predict"}


def predict_batch(calls):
    modes = [call["mode"] for call in calls]
    print(*(call["value"] for call in calls), flush=True)
    modelport.progress(0.5, f"with {len(calls)}")
    for call in calls:
        if call["mode"] in ("wait", "wait and print"):
            wait_for(call["path"])
    if "wait and print" in modes:
        print("waited", flush=True)
    if "kill" in modes:
        os.kill(os.getpid(), signal.SIGKILL)
    if {"raise", "refuse", "kill singly"} & set(modes):
        raise RuntimeError("one is bad")
    if "short" in modes:
        return []
    if "dict" in modes:
        return dict.fromkeys(range(len(calls)))
    return [answer(call, len(calls)) for call in calls]


def answer(call, number):
    mode = call["mode"]
    if mode == "exception":
        return ValidationError({"value": ["not this one"]})
    if mode == "class":
        return KeyError
    if mode == "object":
        return object()
    if mode == "read":
        with open(call["file"].filename) as text:
            return {"value": text.read(), "by": number}
    if mode == "temporary":
        with tempfile.NamedTemporaryFile("w", delete=False) as file:
            file.write(str(call["value"]))
        return {"value": os.path.dirname(file.name), "by": number}
    return {"value": call["value"], "by": number}
