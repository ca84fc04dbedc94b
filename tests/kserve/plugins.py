"""Modules for the tests of this folder."""

EVERYTHING = """
from marshmallow import fields
from webargs import fields as more


def optional(kind, *inner, **options):
    return kind(*inner, load_default=None, **options)


def get_predict_args():
    file = {"type": "file", "location": "form"}
    return {
        "text": optional(fields.Str, data_key="the-text"),
        "count": optional(fields.Int),
        "part": optional(fields.Float),
        "yes": optional(fields.Bool),
        "numbers": fields.List(fields.Float(), load_default=None),
        "words": fields.List(fields.Str(), load_default=None),
        "matrix": fields.List(fields.List(fields.Int()), load_default=None),
        "comma": more.DelimitedList(more.Str(), load_default=None),
        "tree": optional(fields.Dict),
        "any": optional(fields.Raw),
        "image": optional(fields.Field, metadata=file),
        "files": fields.List(fields.Field(metadata=file), load_default=None, metadata={"location": "form"}),
        "never": fields.Str(dump_only=True),
    }


def told(file):
    with open(file.filename, "rb") as opened:
        content = opened.read()
    ending = file.filename.rpartition("/")[2].partition(".")[2]
    return [file.original_filename, file.content_type, ending, len(content), content[:20].hex()]


def predict(image=None, files=None, **arguments):
    said = {name: value for name, value in arguments.items() if value is not None}
    if image is not None:
        said["image"] = told(image)
    if files is not None:
        said["files"] = [told(file) for file in files]
    return said
"""
# With a schema of one record; `like` says what the answer is like.
RECORD = """
from marshmallow import Schema, fields


class Box(Schema):
    x = fields.Int()


class schema(Schema):
    label = fields.Str()
    number = fields.Int(data_key="class")
    score = fields.Float(allow_none=True)
    sure = fields.Bool()
    vector = fields.List(fields.Float())
    table = fields.List(fields.List(fields.Int()))
    box = fields.Nested(Box)
    boxes = fields.List(fields.Nested(Box))


RECORD = {
    "label": "süß", "class": 7, "score": 0.5, "sure": True, "vector": [1.0, 2.5], "table": [[1, 2, 3], [4, 5, 6]],
    "box": {"x": 1}, "boxes": [{"x": 1}, {"x": 2}],
}


def get_predict_args():
    return {"like": fields.Str(load_default="all")}


def predict(like):
    if like == "null":
        return {**RECORD, "score": None}
    if like == "ragged":
        return {**RECORD, "table": [[1], [2, 3]]}
    return {"label": "few"} if like == "few" else RECORD
"""
# With a schema of many.
RECORDS = """
from marshmallow import Schema, fields


class Box(Schema):
    x = fields.Int()


class schema(Schema):
    def __init__(self, **options):
        super().__init__(**{"many": True, **options})

    label = fields.Str()
    score = fields.Float(allow_none=True)
    vector = fields.List(fields.Float())
    box = fields.Nested(Box)


def get_predict_args():
    return {"how": fields.Int(load_default=2), "hole": fields.Bool(load_default=False)}


def predict(how, hole):
    records = [{"label": str(n), "score": n / 2, "vector": [n, n], "box": {"x": n}} for n in range(how)]
    if hole:
        records[0]["score"] = None
    return records
"""
# Answers with bytes of a media type.
MEDIA = """
import time
from marshmallow import fields, validate


def get_predict_args():
    types = ["application/json", "image/png", "text/plain"]
    return {
        "size": fields.Int(load_default=10, validate=validate.Range(0)),
        "fail": fields.Bool(load_default=False),
        "seconds": fields.Float(load_default=0),
        "accept": fields.Str(load_default="application/json", validate=validate.OneOf(types)),
    }


def predict(size, fail, seconds, accept):
    time.sleep(seconds)
    if fail:
        raise ValueError("no such breed")
    if accept == "image/png":
        return b"\\x89PNG\\r\\n\\x1a\\n" + b"p" * size
    return "t" * size
"""
ALL = {"everything": EVERYTHING, "record": RECORD, "records": RECORDS, "media": MEDIA}
