# mypy: ignore-errors
"""A class with ordinary methods, on deepaas' own base class."""

from deepaas.model.v2.base import BaseModel
from webargs import fields


class Model(BaseModel):
    def __init__(self):
        self.calls = 0

    def get_metadata(self):
        return {"name": "class-plugin"}

    def warm(self):
        raise NotImplementedError

    def get_predict_args(self):
        return {"word": fields.Str(load_default="word")}

    def predict(self, **kwargs):
        self.calls += 1
        return {"word": kwargs["word"], "calls": self.calls}

    def get_train_args(self):
        raise NotImplementedError

    def train(self, **kwargs):
        raise NotImplementedError("not yet")


class Static:
    """Used as it is."""

    @staticmethod
    def get_predict_args():
        return {}

    @staticmethod
    def predict(**kwargs):
        return "static"
