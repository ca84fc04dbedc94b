"""A plugin for the tests of jobs: it waits, dies, fails, answers much, and spoils its inputs, as it is told."""

# mypy: ignore-errors

import os
import pathlib
import signal
import subprocess
import time

from marshmallow import fields

import modelport


def get_predict_args():
    return {
        "mode": fields.Str(load_default=""),
        "text": fields.Str(load_default=""),
        "gate": fields.Str(load_default=""),
        "trace": fields.Str(load_default=""),
        "order": fields.Str(load_default=""),
        "size": fields.Int(load_default=0),
        "file": fields.Raw(metadata={"type": "file", "location": "form"}),
        "number": fields.Int(),
        "accept": fields.Str(load_default="application/json"),
    }


def get_train_args():
    return get_predict_args()


def predict(mode, text, gate, trace, order, size, accept, **arguments):
    """trace: a file that gets a line with the process id of each attempt; order: one that gets its text."""
    if trace:
        with open(trace, "a") as file:
            file.write(f"{os.getpid()}\n")
    if order:
        with open(order, "a") as file:
            file.write(f"{text}\n")
    print(f"mode {mode}")
    attempts = len(pathlib.Path(trace).read_text().split()) if trace else 1
    if mode == "kill" or (mode == "kill once" and attempts == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "family":
        subprocess.Popen(["sleep", "986"], start_new_session=True)
    if mode == "half":
        modelport.progress(0.5, "half way")
    while gate and not os.path.exists(gate):
        time.sleep(0.005)
    if mode == "fail":
        raise ValueError(text or "failed")
    if mode == "large":
        return "x" * size
    if mode == "bytes":
        return b"\0" * size
    if mode == "spoil":
        content = pathlib.Path(arguments["file"].filename).read_text()
        with open(arguments["file"].filename, "w") as file:
            file.write("spoiled")
        os.remove(arguments["file"].filename)
        if attempts == 1:
            os._exit(3)
        return content
    if mode == "accept":
        return accept
    return text


train = predict
