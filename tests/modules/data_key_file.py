# mypy: ignore-errors
"""A file called `files` in Python and `data` over HTTP; read by its content type and removed by the module."""

import mimetypes
import os
import shutil

from webargs import fields


def get_metadata():
    return {"name": "data-key-file"}


def get_predict_args():
    return {
        "files": fields.Field(
            required=True,
            data_key="data",
            metadata={"type": "file", "location": "form", "description": "Select the image you want to classify."},
        )
    }


def predict(**kwargs):
    upload = kwargs["files"]
    extension = mimetypes.guess_extension(upload.content_type) or ""
    shutil.move(upload.filename, upload.filename + extension)
    with open(upload.filename + extension, "rb") as file:
        size = len(file.read())
    os.remove(upload.filename + extension)
    return {"size": size, "extension": extension, "title": upload.original_filename, "part": upload.name}
