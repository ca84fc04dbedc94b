"""Modules that declare themselves for embeddings and for chat, one that does not, and one that does wrongly."""

EMBEDDER = """
from marshmallow import fields


def get_metadata():
    return {"name": "embedder", "openai": "embeddings"}


def get_predict_args():
    return {
        "input": fields.List(fields.Str(), required=True),
        "dimensions": fields.Int(load_default=3),
        "wrong": fields.Str(load_default=""),
    }


def predict(input, dimensions, wrong):
    if wrong == "few":
        return [[1.0]]
    if wrong == "text":
        return "none"
    if wrong == "large":
        return [[1e300] for text in input]
    return [[len(text) / (n + 1) for n in range(dimensions)] for text in input]
"""
CHATTER = """
import tempfile
import time
from marshmallow import fields


def get_metadata():
    return {"name": "chatter", "openai": "chat"}


def get_predict_args():
    return {
        "messages": fields.List(fields.Dict(), required=True),
        "temperature": fields.Float(load_default=1.0, validate=lambda value: 0 <= value <= 2),
        "pieces": fields.Bool(load_default=False),
        "fail": fields.Bool(load_default=False),
        "stop_at": fields.Int(load_default=None),
    }


def broken(words, stop_at):
    for number, word in enumerate(words):
        if number == stop_at:
            raise RuntimeError("out of words")
        yield word if stop_at != -1 else 7


def predict(messages, temperature, pieces, fail, stop_at):
    if fail:
        raise RuntimeError("no such thought")
    if messages[-1]["content"] == "latin":
        file = tempfile.NamedTemporaryFile(suffix=".json")
        file.write(bytes([34, 0xE9, 34]))
        file.flush()
        return file
    last = messages[-1]["content"]
    words = [f"{len(messages)} messages at {temperature}: ", last if isinstance(last, str) else last[0]["text"]]
    return broken(words, stop_at) if pieces else "".join(words)
"""
OTHER = "def predict():\n    return 1\n"
WRONG = "def get_metadata():\n    return {'openai': 'embeddings'}\ndef predict():\n    return 1\n"
ALL = {"embedder": EMBEDDER, "chatter": CHATTER, "other": OTHER, "wrong": WRONG}
