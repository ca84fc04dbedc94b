"""`predict_batch` answers each call as `predict` does."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from marshmallow import ValidationError
from my_model.render import Floats, Ints
from pictures import Upload, row

import my_model
from my_model import images, reading

Store = Callable[..., Upload]


@pytest.fixture
def uploads(upload: Store, held_out: tuple[Floats, Ints]) -> list[Upload]:
    """One digit, two, … six."""
    cells, _ = held_out
    return [upload(row(cells[number * 7 : number * 8 + 1])) for number in range(6)]


def test_the_answers_are_those_of_predict(uploads: list[Upload]) -> None:
    calls: list[dict[str, Any]] = [{"files": file, "confidence": number / 10} for number, file in enumerate(uploads)]
    assert my_model.predict_batch(calls) == [my_model.predict(**call) for call in calls]


def test_each_call_is_answered_as_it_asks(uploads: list[Upload]) -> None:
    accepts = ["application/json", "image/png", "application/pdf"]
    calls = [{"files": file, "accept": accept} for file, accept in zip(uploads, accepts, strict=False)]
    listed, png, pdf = my_model.predict_batch(calls)
    assert listed == my_model.predict(uploads[0])
    assert isinstance(png, io.BytesIO) and isinstance(pdf, io.BytesIO)
    assert png.getvalue().startswith(b"\x89PNG") and pdf.getvalue().startswith(b"%PDF")


def test_a_picture_that_is_refused_is_refused_alone(uploads: list[Upload], upload: Store) -> None:
    first, refused, last = my_model.predict_batch(
        [{"files": file} for file in (uploads[0], upload(b"none"), uploads[1])]
    )
    assert isinstance(refused, ValidationError) and "Not an image" in str(refused.messages)
    assert [first, last] == [my_model.predict(uploads[0]), my_model.predict(uploads[1])]


def test_a_picture_with_too_much_on_it_is_refused_alone(uploads: list[Upload], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LIMIT_PIECES", 3)
    answers = my_model.predict_batch([{"files": file} for file in (uploads[0], uploads[5], uploads[1])])
    assert isinstance(answers[1], ValidationError) and "Too much" in str(answers[1].messages)
    assert [answers[0], answers[2]] == [my_model.predict(uploads[0]), my_model.predict(uploads[1])]


def test_pictures_that_are_large_together_are_read_one_after_the_other(
    uploads: list[Upload], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    read = reading.read

    def counted(greys: Any, classifier: Any) -> Any:
        sizes.append(len(greys))
        return read(greys, classifier)

    monkeypatch.setattr(reading, "read", counted)
    monkeypatch.setattr(images, "SEARCHED_PIXELS", int(np.prod(images.load(uploads[5]).grey.shape)))
    my_model.predict_batch([{"files": file} for file in uploads])
    assert sum(sizes) == len(uploads) and len(sizes) > 1


def test_no_calls_have_no_answers() -> None:
    assert my_model.predict_batch([]) == []
