"""A small module that passes every rule, to be broken in one place."""

from __future__ import annotations

from pathlib import Path

import modelport

LICENCE = (Path(modelport.__file__).parent.parent / "LICENSE").read_text()

METADATA = """\
metadata_version: 2.3.0
title: Louder
summary: Says it again, louder.
description: Writes a word in capitals.
links:
  source_code: https://github.com/ai4os-hub/louder
  docker_image: ai4oshub/louder
dates:
  created: '2026-01-15'
  updated: '2026-02-15'
libraries:
  - Other
tasks:
  - Natural Language Processing
categories:
  - AI4 inference
tags:
  - words
data-type:
  - Text
license: Apache-2.0
resources:
  inference:
    cpu: 1
    memory_MB: 512
"""

CODE = """\
from marshmallow import fields, validate

HOW = {"enum": ["much", "more"], "description": "how loud"}


def get_metadata():
    return {"name": "louder", "author": "Ada", "license": "Apache-2.0"}


def get_predict_args():
    return {
        "word": fields.Str(required=True, metadata={"description": "what to say", "example": "hello"}),
        "how": fields.Str(load_default="much", validate=validate.OneOf(["much", "more"]), metadata=HOW),
        "times": fields.Int(load_default=2, validate=validate.Range(1, 9), metadata={"description": "how often"}),
    }


def predict(word, how, times):
    return {"said": [word.upper()] * times}
"""

FILES = {
    "ai4-metadata.yml": METADATA,
    "louder.py": CODE,
    "pyproject.toml": """\
[project]
name = "louder"
version = "0.1.0"
dependencies = ["marshmallow>=3.14", "deepaas>=2.5"]

[project.entry-points."deepaas.v2.model"]
louder = "louder"

[tool.setuptools]
py-modules = ["louder"]
""",
    "Dockerfile": """\
FROM python:3.12-slim
COPY . /module
RUN pip install modelport /module
ENV MODELPORT_OPEN=yes
EXPOSE 5000
CMD ["modelport", "serve", "louder", "--listen-ip", "0.0.0.0"]
""",
    "README.md": "# Louder\n",
    "LICENSE": LICENCE,
}


def good_module(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder
