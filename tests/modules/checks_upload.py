# mypy: ignore-errors
"""Imports the class of uploaded files at the top, checks for it, and makes such files itself."""

import os

from deepaas.model.v2.wrapper import UploadedFile
from webargs import fields, validate


def get_predict_args():
    return {
        "image": fields.Field(required=True, metadata={"type": "file", "location": "form"}),
        "accept": fields.Str(validate=validate.OneOf(["application/json", "*/*"]), metadata={"location": "headers"}),
    }


def predict(**kwargs):
    image = kwargs["image"]
    assert isinstance(image, UploadedFile), type(image)
    fake = UploadedFile("data", image.filename, "image/jpeg", os.path.basename(image.filename))
    return {"size": os.path.getsize(fake.filename), "name": image.original_filename}
