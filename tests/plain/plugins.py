"""Plugins for the plain door: every kind of argument, of answer, and of error."""

EVERYTHING = """
import io, os, tempfile
from marshmallow import ValidationError, fields, validate

TYPES = ["application/json", "application/pdf", "text/html", "image/png", "text/plain"]

def get_metadata():
    return {
        "name": "Everything",
        "summary": "Answers with what it got",
        "description": "One argument of every kind.",
        "version": "1.2",
        "author": "me",
    }

def get_predict_args():
    file = {"type": "file", "location": "form", "description": "a picture"}
    return {
        "mode": fields.Str(load_default="echo", metadata={"location": "query"}),
        "word": fields.Str(metadata={"location": "form"}),
        "count": fields.Int(validate=validate.Range(1, 9)),
        "level": fields.Float(metadata={"location": "json"}),
        "loud": fields.Bool(),
        "numbers": fields.List(fields.Float()),
        "boxes": fields.List(fields.Nested({"x": fields.Int(required=True)})),
        "table": fields.Dict(),
        "secret": fields.Int(metadata={"format": "password"}),
        "wire": fields.Int(data_key="on-the-wire"),
        "image": fields.Raw(metadata=file),
        "images": fields.List(fields.Raw(), metadata=file),
        "accept": fields.Str(
            load_default="application/json", validate=validate.OneOf(TYPES), metadata={"location": "headers"}
        ),
    }

def _read(upload):
    with open(upload.filename, "rb") as file:
        return [upload.original_filename, upload.content_type, len(file.read())]

def _named(name, data):
    path = os.path.join(tempfile.mkdtemp(), name)
    with open(path, "wb") as file:
        file.write(data)
    return open(path, "rb")

def predict(mode, accept, **given):
    if mode == "fail":
        raise ValueError("I cannot")
    if mode == "die":
        os._exit(3)
    if mode == "refuse":
        raise ValidationError({"word": ["I do not like it."]})
    if mode == "refuse all":
        raise ValidationError("Not like this.")
    if accept == "application/pdf":
        if mode == "named":
            return _named('a "b"/\\u2603 \\xe9.pdf'.replace("/", ";"), b"%PDF-1.7 named")
        if mode == "large":
            return io.BytesIO(b"%PDF-1.7 " + bytes(3 << 20))
        return io.BytesIO(b"%PDF-1.7 small")
    if accept == "text/html":
        return "<script>alert(1)</script>"
    if accept == "text/plain":
        return "plain"
    if accept == "image/png":
        return tempfile_png()
    for name in ("image", "images"):
        if given.get(name):
            given[name] = [_read(each) for each in given[name]] if name == "images" else _read(given[name])
    return given

def tempfile_png():
    file = tempfile.NamedTemporaryFile(suffix=".png")
    file.write(b"\\x89PNG\\r\\n\\x1a\\n")
    return file
"""

NEEDS = """
from marshmallow import fields

def get_predict_args():
    return {"files": fields.Raw(required=True, metadata={"type": "file", "location": "form"}),
            "count": fields.Int(required=True)}

def predict(files, count):
    with open(files.filename, "rb") as file:
        return len(file.read()) * count
"""

SMALL = """
def get_predict_args():
    return {}

def predict():
    return None
"""

ALL = {"everything": EVERYTHING, "needs": NEEDS, "small": SMALL, "docs": SMALL}
