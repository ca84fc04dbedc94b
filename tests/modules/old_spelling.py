# mypy: ignore-errors
"""The oldest template: `missing=`, and description, enum, type and location as keywords of the field."""

from webargs import fields, validate


def get_metadata():
    return {"name": "old-spelling", "author": "A. Author", "license": "MIT", "version": "0.1"}


def get_predict_args():
    return {
        "demo_str": fields.Str(required=False, missing="some-string", description="test string"),
        "demo_choice": fields.Str(
            require=False, missing="choice2", enum=["choice1", "choice2"], description="a choice"
        ),
        "demo_int": fields.Int(missing=1, validate=[validate.Range(min=1, max=100)], description="an integer"),
        "demo_bool": fields.Bool(missing=True),
        "demo_dict": fields.Str(missing='{"a": 0, "b": 1}', description="a dictionary as text"),
        "demo_list": fields.List(fields.Float(), missing=[0.1, 0.2, 0.3]),
        "demo_secret": fields.Str(missing=None, format="password"),
        "demo_image": fields.Field(missing=None, type="file", location="form", description="image"),
    }


def predict(**kwargs):
    image = kwargs["demo_image"]
    return dict(kwargs, demo_image=image.original_filename if image else None)
