# mypy: ignore-errors
"""Answers with an open file of a fixed name in the working directory."""

from webargs import fields, validate


def get_predict_args():
    return {
        "text": fields.Str(load_default="frames"),
        "accept": fields.Str(
            load_default="video/mp4",
            metadata={"location": "headers"},
            validate=validate.OneOf(["application/json", "video/mp4"]),
        ),
    }


def predict(**kwargs):
    if kwargs["accept"] == "application/json":
        return {"frames": len(kwargs["text"])}
    with open("output.mp4", "wb") as file:
        file.write(b"\0\0\0\x18ftypmp42" + kwargs["text"].encode())
    return open("output.mp4", "rb")
