# mypy: ignore-errors
"""Field classes of the module's own, one for each method that they override."""

import json

from marshmallow import ValidationError, fields


class JsonDict(fields.Field):
    """Text that is JSON."""

    def _deserialize(self, value, attr, data, **kwargs):
        return json.loads(value)


class Upper(fields.String):
    """Overrides the public method, which sees values that were not sent too."""

    def deserialize(self, value, attr=None, data=None, **kwargs):
        if not isinstance(value, str):
            return "NOTHING"
        return super().deserialize(value, attr, data, **kwargs).upper()


class Even(fields.Integer):
    def _validate(self, value):
        super()._validate(value)
        if value % 2:
            raise ValidationError("Must be even.")


class Boolean(fields.Boolean):
    """Named as marshmallow's."""


class Words(fields.List):
    """Wants its text as it was written."""

    def _deserialize(self, value, attr, data, **kwargs):
        return "|".join(value)


def get_predict_args():
    return {
        "options": JsonDict(load_default="{}"),
        "name": Upper(),
        "count": Even(load_default=2),
        "flag": Boolean(load_default=False),
        "words": Words(fields.Str()),
    }


def predict(**kwargs):
    return kwargs
