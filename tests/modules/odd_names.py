# mypy: ignore-errors
"""Names that no Python identifier could be, and defaults that their fields would refuse."""

from webargs import fields


def get_predict_args():
    return {
        "bbox(N,W,S,E)": fields.Str(load_default="44,7,40,11", metadata={"description": "<b>Box</b><br>in degrees"}),
        "demo-image": fields.Field(metadata={"type": "file", "location": "form"}),
        "threshold": fields.Str(load_default=0.8),
        "class": fields.Str(load_default=3),
        "d": fields.Int(load_default="7"),
    }


def predict(**kwargs):
    return {name: repr(value) for name, value in kwargs.items() if name != "demo-image"}
