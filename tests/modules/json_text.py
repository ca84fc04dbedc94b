# mypy: ignore-errors
"""Every argument is JSON text, made from a table of defaults."""

import json

from webargs import fields

CONF = {
    "image_size": {"value": 224, "type": "int", "help": "input size"},
    "use_multiprocessing": {"value": True, "type": "bool", "help": "data loading"},
    "augmentation": {"value": {"flip": True, "zoom": [0.8, 1.2]}, "type": "dict", "help": "what to do to images"},
    "modelname": {"value": "Xception", "type": "str", "choices": ["Xception", "VGG16"], "help": "architecture"},
    "ckpt": {"value": None, "type": "str", "help": "checkpoint"},
}


def get_train_args():
    args = {}
    for name, entry in CONF.items():
        options = {"load_default": json.dumps(entry["value"]), "metadata": {"description": entry["help"]}}
        if "choices" in entry:
            options["metadata"]["enum"] = [json.dumps(choice) for choice in entry["choices"]]
        args[name] = fields.Str(**options)
    return args


def get_predict_args():
    return {}


def predict(**kwargs):
    return "nothing to predict"


def train(**kwargs):
    return {name: json.loads(value) for name, value in kwargs.items()}
