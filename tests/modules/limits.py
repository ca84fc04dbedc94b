# mypy: ignore-errors
"""Every kind of validator that modules use."""

from webargs import fields, validate


def get_predict_args():
    return {
        "count": fields.Int(load_default=1, validate=validate.Range(min=1, max=9)),
        "share": fields.Float(
            load_default=0.5, validate=validate.Range(0, 1, min_inclusive=False, max_inclusive=False)
        ),
        "name": fields.Str(validate=validate.Length(min=2, max=5)),
        "code": fields.Str(validate=[validate.Length(equal=3), validate.Regexp("[a-z]+$")]),
        "box": fields.List(fields.Int, validate=validate.Length(equal=4)),
        "classes": fields.List(fields.Str(), validate=validate.ContainsOnly(["cat", "dog"])),
        "model": fields.Str(load_default="small", validate=validate.OneOf(("small", "large"))),
        "level": fields.Int(validate=validate.OneOf([0, 1, 2])),
        "hidden": fields.Str(dump_only=True),
        "maybe": fields.Int(allow_none=True),
        "link": fields.Url(),
        "day": fields.Date(),
        "id": fields.UUID(),
        "odd": fields.Int(validate=lambda value: value % 2 == 1),
    }


def predict(**kwargs):
    return {name: value if isinstance(value, (int, list)) else str(value) for name, value in kwargs.items()}
