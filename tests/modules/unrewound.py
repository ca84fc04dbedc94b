# mypy: ignore-errors
"""Answers with a buffer that stands at its end."""

import io

from webargs import fields, validate


def get_predict_args():
    return {
        "accept": fields.Str(
            metadata={"location": "headers"}, validate=validate.OneOf(["image/png", "application/zip", "image/*"])
        )
    }


def predict(**kwargs):
    buffer = io.BytesIO()
    buffer.write(b"\x89PNG\r\n\x1a\n" + b"pixels")
    buffer.name = "results/figure.png"
    return buffer
