"""The plugins that the contract's tests talk to, each written as the contract's modules are: with webargs' fields."""

from __future__ import annotations

# What `predict` received: the keys in their order, each value with its type.
ARGUMENTS = """
from webargs import fields, validate

SEEN = {}

def get_predict_args():
    return {
        "s": fields.Str(),
        "i": fields.Int(),
        "f": fields.Float(),
        "b": fields.Bool(),
        "l": fields.List(fields.Int()),
        "ls": fields.List(fields.Str),
        "d": fields.Dict(),
        "url": fields.Url(),
        "email": fields.Email(),
        "uuid": fields.UUID(),
        "date": fields.Date(),
        "when": fields.DateTime(),
        "dl": fields.DelimitedList(fields.Int()),
        "raw": fields.Raw(),
        "field": fields.Field(),
        "old": fields.Str(missing="m", description="old spelling", enum=["m", "n"]),
        "new": fields.Int(load_default=3, metadata={"description": "new spelling", "enum": [1, 2, 3]}),
        "wrong_default": fields.Str(missing=0.8, require=False),
        "none": fields.Str(load_default=None),
        "nullable": fields.Int(allow_none=True),
        "choice": fields.Str(validate=validate.OneOf(["red", "green"])),
        "ranged": fields.Int(validate=[validate.Range(min=1, max=9)]),
        "q": fields.Str(location="query"),
        "qs": fields.Str(metadata={"location": "querystring"}),
        "form": fields.Str(location="form"),
        "js": fields.Int(metadata={"location": "json"}),
        "X-Head": fields.Str(location="headers"),
        "cookie": fields.Str(metadata={"location": "cookies"}),
        "renamed": fields.Str(data_key="other"),
        "bbox(N,W)": fields.Str(),
        "hidden": fields.Str(dump_only=True),
    }

def predict(**kwargs):
    return [[name, type(value).__name__, str(value)] for name, value in kwargs.items()]

def train(**kwargs):
    return None
"""

REQUIRED = """
from webargs import fields
def get_predict_args():
    return {
        "needed": fields.Str(required=True),
        "i": fields.Int(),
        "li": fields.List(fields.Int()),
        "head": fields.Str(required=True, location="headers"),
    }
def predict(**kwargs):
    return kwargs
"""

# No `accept`: the kinds of values by mode.
ANSWERS = """
import datetime, decimal, io, os, tempfile
from pathlib import Path
from webargs import fields

def get_predict_args():
    return {"mode": fields.Str(), "path": fields.Str(load_default="")}

def predict(mode, path):
    return globals()[mode](path)

def a_dict(path): return {"a": [1, 2.5, True, None, "é"], "b": ()}
def a_text(path): return "text"
def none(path): return None
def nan(path): return {"x": [float("nan")]}
def infinity(path): return float("inf")
def a_set(path): return {3, 1, 2}
def dates(path): return [datetime.date(2026, 1, 31), datetime.datetime(2026, 1, 31, 12)]
def decimals(path): return decimal.Decimal("1.50")
def a_path(path): return Path("/no/such/place")
def an_object(path): return object()
def a_function(path): return lambda: 1
def some_bytes(path): return b"\\x89PNG\\r\\n\\x1a\\n and more"
def opened(path): return open(path, "rb")
def generated(path): return (part for part in (b"one ", b"two"))
def numbers(path):
    import numpy
    return {"scalar": numpy.float32(0.5), "array": numpy.arange(3), "flag": numpy.bool_(True)}
def same_keys(path): return {1: "int", "a": {2.5: None}}
def large(path): return ["x" * 1000] * 3000
def itself(path):
    found = []
    found.append(found)
    return found
"""

# `accept` by the header, more types than one, and a default that is not the first.
TYPED = """
import io, os, tempfile
from webargs import fields, validate

TYPES = ["application/json", "text/plain", "image/png", "image/*", "application/pdf", "application/zip"]

def get_predict_args():
    return {
        "accept": fields.Str(missing="application/json", location="headers", validate=validate.OneOf(TYPES)),
        "mode": fields.Str(load_default="echo"),
        "path": fields.Str(load_default=""),
    }

def predict(accept, mode, path):
    return globals()[mode](accept, path)

def echo(accept, path): return accept
def a_dict(accept, path): return {"a": 1}
def number(accept, path): return 7
def none(accept, path): return None
def some_bytes(accept, path): return b"\\0raw\\xff"
def an_array(accept, path): return bytearray(b"array")
def png(accept, path): return b"\\x89PNG\\r\\n\\x1a\\n and more"
def buffer(accept, path):
    found = io.BytesIO()
    found.write(b"not rewound")
    return found
def texts(accept, path):
    found = io.StringIO()
    found.write("é not rewound")
    return found
def opened(accept, path): return open(path, "rb")
def opened_text(accept, path): return open(path)
def read_already(accept, path):
    found = open(path, "rb")
    found.read()
    return found
def deleted(accept, path):
    found = open(path, "rb")
    os.unlink(path)
    return found
def closed(accept, path):
    with open(path, "rb") as found:
        return found
def temporary(accept, path):
    found = tempfile.NamedTemporaryFile()
    found.write(b"temporary")
    found.flush()
    return found
def generated(accept, path): return (part for part in (b"one ", b"two"))
"""

DEFAULT_TYPE = """
from webargs import fields, validate
def get_predict_args():
    return {"accept": fields.Str(missing="application/pdf", location="headers",
                                 validate=validate.OneOf(["application/json", "application/pdf"]))}
def predict(accept):
    return accept
"""

# Nine modules declare no location: the argument is read from query, form or JSON, the header is not.
ACCEPT_ANYWHERE = """
from webargs import fields, validate
def get_predict_args():
    return {"accept": fields.Str(validate=validate.OneOf(["application/json", "text/plain"]))}
def predict(accept):
    return accept
"""

ACCEPT_REQUIRED = """
from webargs import fields, validate
def get_predict_args():
    return {"accept": fields.Str(required=True, location="headers", validate=validate.OneOf(["application/json"]))}
def predict(accept):
    return accept
"""

DICT_SCHEMA = """
from webargs import fields
schema = {"p": fields.Float(required=True), "label": fields.Str()}
def get_predict_args():
    return {"mode": fields.Str(load_default="good")}
GOOD = {"p": "0.5", "label": "cat"}
ANSWERS = {"good": GOOD, "unknown": {"p": 1, "more": 2}, "missing": {"label": "cat"}, "list": [1]}
def predict(mode):
    return ANSWERS[mode]
"""

CLASS_SCHEMA = """
from marshmallow import Schema, fields
class DigitsSchema(Schema):
    p = fields.Float(required=True)
schema = DigitsSchema
def get_predict_args():
    return {"p": fields.Str()}
def predict(**kwargs):
    return kwargs
"""

FAILING = """
import os, signal, sys, time
from aiohttp import web
from webargs import fields

def get_predict_args():
    return {"mode": fields.Str(load_default="fine"), "text": fields.Str(load_default="what happened")}

def get_train_args():
    return get_predict_args()

class Own(Exception):
    def __init__(self, code, *, hint):
        super().__init__("code {}".format(code))

def predict(mode, text):
    return globals()[mode](text)

train = predict

def fine(text): return text
def value_error(text): raise ValueError(text)
def attribute_error(text): return text.nothing
def not_implemented(text): raise NotImplementedError(text)
def own(text): raise Own(7, hint="x")
def bad_request(text): raise web.HTTPBadRequest(reason=text)
def bad_request_text(text): raise web.HTTPBadRequest(text=text)
def not_found(text): raise web.HTTPNotFound(reason=text)
def base(text): raise web.HTTPException(reason=text)
def reason_is_error(text):
    try:
        raise ValueError(text)
    except ValueError as error:
        raise web.HTTPBadRequest(reason=error)
def base_reason_is_error(text):
    try:
        raise ValueError(text)
    except ValueError as error:
        raise web.HTTPException(reason=error)
def redirect(text): raise web.HTTPFound("http://example.org/")
def ok(text): raise web.HTTPOk(text=text)
def sys_exit(text): sys.exit(text)
def os_exit(text): os._exit(1)
def killed(text): os.kill(os.getpid(), signal.SIGKILL)
def interrupted(text): raise KeyboardInterrupt
def refused(text):
    from webargs import ValidationError
    raise ValidationError({"mode": [text]})
"""

FILES = """
import os
from webargs import fields
from deepaas.model.v2.wrapper import UploadedFile

def file(**more):
    return fields.Field(type="file", location="form", **more)

def get_predict_args():
    return {
        "one": file(),
        "files": file(data_key="data"),
        "raw": fields.Raw(metadata={"type": "file", "location": "form"}),
        "several": fields.List(fields.Field(), metadata={"type": "file", "location": "form"}),
        "mode": fields.Str(load_default="show"),
    }

def shown(value):
    if isinstance(value, list):
        return [shown(each) for each in value]
    if not isinstance(value, UploadedFile):
        return [type(value).__name__, str(value)]
    with open(value.filename, "rb") as opened:
        content = opened.read().decode("latin-1")
    return {"name": value.name, "type": value.content_type, "original": value.original_filename, "content": content,
            "absolute": os.path.isabs(value.filename), "extension": os.path.splitext(value.filename)[1],
            "tuple": len(value)}

def predict(mode, **kwargs):
    if mode == "return":
        return open(kwargs["one"].filename, "rb")
    if mode == "delete":
        os.unlink(kwargs["one"].filename)
    if mode == "types":
        return {name: type(each).__name__ for name, each in kwargs.items()}
    return {name: shown(each) for name, each in kwargs.items()} if mode == "show" else mode

def get_train_args():
    return {"one": file()}

def train(one):
    return shown(one)
"""

TRAINER = """
import os, subprocess, time
from pathlib import Path
from webargs import fields

WARM = 0

def warm():
    global WARM
    WARM += 1

def get_train_args():
    return {
        "mode": fields.Str(load_default="done"),
        "seconds": fields.Float(missing=60.0),
        "gate": fields.Str(missing=""),
        "when": fields.Date(),
    }

def predict(**kwargs):
    return WARM

def train(mode, seconds, gate, **kwargs):
    if mode == "sleep":
        time.sleep(seconds)
    if mode == "wait":
        while not os.path.exists(gate):
            time.sleep(0.01)
    if mode == "child":
        child = subprocess.Popen(["sleep", "987"])
        Path(gate + ".part").write_text(str(child.pid))
        os.rename(gate + ".part", gate)
        child.wait()
    if mode == "fail":
        raise RuntimeError("it diverged")
    if mode == "set":
        return {2, 1}
    if mode == "object":
        return object
    return {"accuracy": 0.5}
"""

OBJECT = """
import threading
class Model:
    def __init__(self):
        self.calls = 0
        self.lock = threading.Lock()  # cannot be pickled
    def warm(self):
        self.calls = 100
    def predict(self, **kwargs):
        self.calls += 1
        return self.calls
obj = Model()
"""

STATIC_CLASS = """
class Model:
    @staticmethod
    def predict(**kwargs):
        return "static"
"""

# A module that says more of itself than it must, and less.
METADATA = """
def get_metadata():
    return {"id": "7", "name": "Own Name", "links": [], "author": ["A", {"b": None}], "license": None}
def warm():
    pass
"""

METADATA_FAILS = """
def get_metadata():
    raise RuntimeError("rclone is not there")
def predict(**kwargs):
    return 1
"""

NOTHING = """
def get_metadata():
    raise NotImplementedError
def get_predict_args():
    raise NotImplementedError
"""

# A mistake inside get_predict_args looks like "there are none".
MISTAKE = """
def get_predict_args():
    return None.nothing
def predict(**kwargs):
    return kwargs
"""

ALL = {
    "arguments": ARGUMENTS,
    "required": REQUIRED,
    "answers": ANSWERS,
    "typed": TYPED,
    "default-type": DEFAULT_TYPE,
    "accept_anywhere": ACCEPT_ANYWHERE,
    "accept_required": ACCEPT_REQUIRED,
    "dict_schema": DICT_SCHEMA,
    "class_schema": CLASS_SCHEMA,
    "failing": FAILING,
    "files": FILES,
    "trainer": TRAINER,
    "metadata": METADATA,
    "metadata_fails": METADATA_FAILS,
    "nothing": NOTHING,
    "mistake": MISTAKE,
}
