# mypy: ignore-errors
"""`train` returns a set, by a mistake that nobody noticed."""

from webargs import fields


def get_predict_args():
    return {}


def predict(**kwargs):
    return []


def get_train_args():
    return {"epochs": fields.Int(load_default=1), "run": fields.Str(load_default="first")}


def train(**kwargs):
    return {f"Model trained for {kwargs['epochs']} epochs"}
