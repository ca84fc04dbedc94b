# mypy: ignore-errors
"""Several files under one name: what deepaas announced and never did."""

from webargs import fields, validate


def get_predict_args():
    return {
        "files": fields.List(
            fields.Field(),
            required=True,
            validate=validate.Length(max=3),
            metadata={"type": "file", "location": "form", "description": "up to three images"},
        )
    }


def predict(files):
    return [file.original_filename for file in files]
