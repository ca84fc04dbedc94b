"""A plugin for the tests of faults: it sleeps, dies, prints, makes files and children, as it is told."""

# mypy: ignore-errors

import os
import signal
import subprocess
import sys
import tempfile
import time

from marshmallow import fields


def get_predict_args():
    return {
        "mode": fields.Str(load_default="ok"),
        "seconds": fields.Float(load_default=600.0),
        "size": fields.Int(load_default=0),
        "path": fields.Str(load_default=""),
        "file": fields.Raw(metadata={"type": "file", "location": "form"}),
        "number": fields.Int(),
        "text": fields.Str(load_default=""),
    }


def get_train_args():
    return get_predict_args()


def predict(mode, seconds, size, path, text, **arguments):
    if path:
        with open(path, "a") as file:
            file.write(f"{os.getpid()}\n")
    if mode == "ok":
        return text
    if mode == "sleep":
        time.sleep(seconds)
        return "slept"
    if mode == "fail":
        print("about to fail")
        raise ValueError(text or "failed")
    if mode == "die":
        os._exit(3)
    if mode == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "exit":
        sys.exit(4)
    if mode == "large":
        return "x" * size
    if mode == "bytes":
        return b"\0" * size
    if mode == "size":
        return os.path.getsize(arguments["file"].filename)
    if mode == "print":
        print("y" * size)
        return None
    if mode == "litter":
        # What a careless model leaves: a temporary file, an open descriptor, a child.
        tempfile.mkstemp()
        subprocess.Popen(["sleep", "0.01"])
        return None
    if mode == "family":
        subprocess.Popen(["sleep", "987"])
        subprocess.Popen(["sleep", "986"], start_new_session=True)
        subprocess.Popen(["sh", "-c", "sleep 985 & wait"])
        time.sleep(seconds)
    raise ValueError(mode)


train = predict
