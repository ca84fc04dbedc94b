# mypy: ignore-errors
"""Answers part by part."""

from webargs import fields, validate


def get_predict_args():
    return {
        "count": fields.Int(load_default=3),
        "fail": fields.Bool(load_default=False),
        "accept": fields.Str(
            load_default="text/csv",
            metadata={"location": "headers"},
            validate=[validate.OneOf(["text/csv", "application/json"])],
        ),
    }


def predict(count, fail, accept):
    for number in range(count):
        if fail and number:
            raise RuntimeError("in the middle")
        yield f"{number},{number * number}\n"
