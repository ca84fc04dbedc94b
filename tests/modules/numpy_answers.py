# mypy: ignore-errors
"""Answers as they come out of numpy."""

import datetime

import numpy as np
from webargs import fields


def get_predict_args():
    return {"what": fields.Str(load_default="all", metadata={"enum": ["all", "nan"]})}


def predict(what):
    if what == "nan":
        return {"scores": [{"value": np.float32(0.5)}, {"value": np.array([1.0, np.nan])}]}
    return {
        "label": np.str_("bear"),
        "index": np.int64(3),
        "score": np.float32(0.5),
        "sure": np.bool_(True),
        "probabilities": np.array([[0.25, 0.75]]),
        "when": datetime.datetime(2026, 1, 31, 12, 0),
        "seen": {3, 1, 2},
        "shape": (1, 2),
        "by_class": {np.int64(7): 1},
    }
