"""A model home of our own, and pictures with a known truth."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from my_model.render import Floats, Ints
from pictures import Upload
from PIL import Image

import my_model
from my_model import render


@pytest.fixture(scope="session", autouse=True)
def fitted_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a fitted model, where the environment says. To read from, or to copy."""
    home = tmp_path_factory.mktemp("my_model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MY_MODEL_HOME", str(home))
        my_model.warm()
        yield home


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
