# mypy: ignore-errors
"""The advanced template: a schema's bound fields, put onto the module by a decorator around `predict`."""

import sys
from functools import wraps

import marshmallow
from marshmallow import ValidationError, fields, validate


class ModelName(fields.String):
    """A model that is there."""

    def _deserialize(self, value, attr, data, **kwargs):
        if value not in ("2024-01-01", "2025-06-30"):
            raise ValidationError(f"Checkpoint `{value}` not found.")
        return str(value)


class Dataset(fields.String):
    def __init__(self, *, metadata=None, **kwargs):
        self.metadata = metadata or {}
        self.metadata["description"] = "Data to predict on: a path inside data/"
        super().__init__(metadata=self.metadata, **kwargs)


class PredArgsSchema(marshmallow.Schema):
    class Meta:
        ordered = True

    model_name = ModelName(metadata={"description": "Which model."}, required=True)
    input_file = Dataset(required=True)
    batch_size = fields.Integer(
        metadata={"description": "Number of samples per batch."}, validate=[validate.Range(min=1)], load_default=8
    )
    accept = fields.String(
        metadata={"description": "Return format.", "location": "headers"},
        required=True,
        validate=validate.OneOf(["application/json", "application/pdf"]),
    )


def _catch(schema):
    def decorate(function):
        fields_of = schema().fields
        setattr(sys.modules[function.__module__], f"get_{function.__name__}_args", lambda: fields_of)

        @wraps(function)
        def inner(*args, **kwargs):
            return function(*args, **kwargs)

        return inner

    return decorate


def get_metadata():
    return {"name": "injected", "author": ["A", "B"], "license": "Apache-2.0", "version": "1.0"}


def warm():
    pass


@_catch(PredArgsSchema)
def predict(model_name, input_file, accept="application/json", **options):
    return {"model": model_name, "input": input_file, **options}
