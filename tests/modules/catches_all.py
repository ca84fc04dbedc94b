# mypy: ignore-errors
"""Tells of errors in an answer of its own, with status 200."""

from webargs import fields


def get_predict_args():
    return {"number": fields.Str(required=True)}


def predict(**kwargs):
    try:
        return {"status": "ok", "half": int(kwargs["number"]) / 2}
    except Exception as error:
        return {"status": "error", "message": str(error)}
