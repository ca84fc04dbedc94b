"""A module for tests of the cluster. Python 3.8, needs marshmallow only."""

# mypy: ignore-errors

import os
import signal
import sys
import time

from marshmallow import fields

import modelport


def get_predict_args():
    return {
        "mode": fields.Str(load_default="where"),
        "number": fields.Int(load_default=0),
        "path": fields.Str(load_default=""),
        "file": fields.Raw(metadata={"type": "file", "location": "form"}),
    }


def train():
    return "trained"


def predict(mode, number, path, file=None):
    if path:
        with open(path, "a") as trace:
            trace.write(f"{number} {os.getpid()}\n")
    if mode == "size":
        return os.path.getsize(file.filename)
    if mode == "large":
        return "x" * number
    if mode == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "sleep":
        time.sleep(number)
    if mode == "chatter":
        for step in range(number):
            print("line", step, flush=True)
            modelport.progress(step / number)
    if mode == "environment":
        return sorted(name for name in os.environ if "TOKEN" in name)
    return {"pid": os.getpid(), "worker": os.getppid(), "python": list(sys.version_info[:2]), "number": number}
