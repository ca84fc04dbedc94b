"""A model home of our own, and pictures with a known truth."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

import my_model
from my_model import render
from my_model.render import Floats, Ints

Answers = list[dict[str, Any]]


class Upload(NamedTuple):
    """What servers hand to a plugin."""

    name: str | None = None
    filename: str | None = None
    content_type: str | None = None
    original_filename: str | None = None


@pytest.fixture(autouse=True)
def _fitted(fitted_home: Path) -> None:
    """The model is there, where the environment says."""


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home without a model."""
    home = tmp_path / "home"
    monkeypatch.setenv("MY_MODEL_HOME", str(home))
    yield home


@pytest.fixture(scope="session")
def held_out() -> tuple[Floats, Ints]:
    """Cells and labels that the default training does not learn."""
    cells, labels = render.load()
    _, held = render.split(labels, 0.2, 0)
    return cells[held], labels[held]


@pytest.fixture
def upload(tmp_path: Path) -> Callable[..., Upload]:
    """upload(image or bytes, format="PNG", **save options) → a file as servers hand it over: no extension."""
    numbers = itertools.count()

    def store(content: Image.Image | bytes, format: str = "PNG", **options: Any) -> Upload:
        path = tmp_path / f"upload{next(numbers)}"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content.save(path, format, **options)
        return Upload("files", str(path), f"image/{format.lower()}", "my picture.png")

    return store


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
