"""Pictures with a known truth, and what is read in them."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np
from my_model.render import Floats
from PIL import Image

import my_model
from my_model import render

Answers = list[dict[str, Any]]


class Upload(NamedTuple):
    """What servers hand to a plugin."""

    name: str | None = None
    filename: str | None = None
    content_type: str | None = None
    original_filename: str | None = None


def row(cells: Floats, size_px: float = 60.0) -> Image.Image:
    """Digits side by side, black on white, grey."""
    inks = [render.draw(one, render.Stroke(size_px)) for one in cells]
    return Image.fromarray((255 * (1 - np.hstack(inks))).astype(np.uint8))


def read(file: Any, **arguments: Any) -> Answers:
    """The JSON answer."""
    answers = my_model.predict(file, **arguments)
    assert isinstance(answers, list)
    return answers


def rendered(file: Any, accept: str) -> io.BytesIO:
    """The PNG or PDF answer."""
    answer = my_model.predict(file, accept=accept)
    assert isinstance(answer, io.BytesIO)
    return answer


def digits(answers: Answers) -> list[int]:
    """What was read, in order."""
    return [answer["class"] for answer in answers]
