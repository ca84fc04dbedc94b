# mypy: ignore-errors
"""Imports the class of uploaded files only when it needs it."""

from marshmallow import fields


def get_predict_args():
    return {"image": fields.Field(required=True, metadata={"type": "file", "location": "form"})}


def predict(**kwargs):
    from deepaas.model.v2.wrapper import UploadedFile

    return isinstance(kwargs["image"], UploadedFile)
