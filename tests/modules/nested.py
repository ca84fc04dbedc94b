# mypy: ignore-errors
"""Objects, lists of objects, lists of lists."""

import marshmallow
from marshmallow import fields


class Box(marshmallow.Schema):
    x = fields.Float(required=True)
    y = fields.Float(required=True)
    label = fields.Str(load_default="")


def get_predict_args():
    return {
        "box": fields.Nested(Box),
        "boxes": fields.List(fields.Nested(Box)),
        "many": fields.Nested(Box(many=True)),
        "matrix": fields.List(fields.List(fields.Float())),
        "options": fields.Dict(load_default={}),
        "weights": fields.Dict(keys=fields.Str(), values=fields.Float()),
    }


def predict(**kwargs):
    kwargs["options"]["seen"] = True
    return kwargs
