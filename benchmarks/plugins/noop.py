"""The plugin of the load tests: echoes a string, an int and a float; or computes, or sleeps, for a while."""

import time

from marshmallow import fields


def get_metadata():
    return {"name": "noop", "author": "modelport", "license": "Apache-2.0", "description": "echoes its arguments"}


def get_predict_args():
    return {
        "text": fields.Str(load_default="a"),
        "count": fields.Int(load_default=1),
        "share": fields.Float(load_default=0.5),
        "busy_ms": fields.Float(load_default=0.0),
        "sleep_s": fields.Float(load_default=0.0),
        "data": fields.Field(load_default=None, metadata={"type": "file", "location": "form"}),
    }


def get_train_args():
    return {}


def predict(text, count, share, busy_ms, sleep_s, data=None):
    if sleep_s:
        time.sleep(sleep_s)  # of 0 s takes 50 µs
    end = time.perf_counter() + busy_ms / 1000
    while busy_ms and time.perf_counter() < end:
        pass
    return {"text": text, "count": count, "share": share}
