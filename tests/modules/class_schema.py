# mypy: ignore-errors
"""Says what its JSON answers look like, by a schema class for a list of objects."""

import marshmallow
from marshmallow import fields


class Point(marshmallow.Schema):
    x = fields.Float(required=True)
    y = fields.Float(required=True)


class ShorelineSchema(marshmallow.Schema):
    class Meta:
        unknown = marshmallow.INCLUDE

    def __init__(self, **options):
        super().__init__(many=True, **options)

    name = fields.Str(required=True)
    line = fields.List(fields.Nested(Point))


schema = ShorelineSchema


def get_predict_args():
    return {"count": fields.Int(load_default=1)}


def predict(count):
    return [{"name": str(number), "line": [{"x": number, "y": 0.5}]} for number in range(count)]
