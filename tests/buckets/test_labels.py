"""Which labels and confidences an answer is counted with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelport.bucketjobs.labels import NOTHING, Said, labels_of

BOX = {"x1": 1, "y1": 2, "x2": 3, "y2": 4}


@pytest.mark.parametrize(
    ("answer", "labels", "confidence"),
    [
        ({"label": "cat", "confidence": 0.9}, {"cat": 1}, 0.9),
        ({"class": 3, "score": 1}, {"3": 1}, 1.0),
        ({"name": "cat", "probability": 0.25}, {"cat": 1}, 0.25),
        ({"status": "ok", "predictions": [{"label": "a", "score": 0.1}, {"label": "b", "score": 0.7}]}, {"b": 1}, 0.7),
        ([{"name": "cat", "class": 7, "confidence": 0.5, "box": BOX}] * 2, {"cat": 2}, 0.5),
        ([{"label": "a", "score": 0.9, **BOX}, {"label": "b", "score": 0.4, **BOX}], {"a": 1, "b": 1}, 0.4),
        ([{"label": "a", "score": 0.2}, {"label": "b", "score": 0.8}], {"b": 1}, 0.8),
        ({"labels": ["a", "b"], "probabilities": [0.3, 0.7]}, {"b": 1}, 0.7),
        ({"boxes": [[0, 0, 1, 1]] * 2, "labels": ["a", "a"], "scores": [0.3, 0.7]}, {"a": 2}, 0.3),
        ({"masks": ["…"] * 2, "labels": ["a", "b"], "scores": [0.3, 0.7]}, {"a": 1, "b": 1}, 0.3),
        ({"annotations": [{"category_id": 3, "segmentation": [[1, 1, 2, 1, 2, 2]]}]}, {"3": 1}, None),
        ({"cat": 0.9, "dog": 0.1}, {"cat": 1}, 0.9),
        ({"detections": {"objects": [{"label": "a", "bbox": [0, 0, 1, 1]}]}}, {"a": 1}, None),
        ({"label": "x" * 1000}, {"x" * 80: 1}, None),
    ],
)
def test_labels_are_found_by_their_usual_names(answer: Any, labels: dict[str, int], confidence: float | None) -> None:
    said = labels_of(json.dumps(answer).encode())
    assert (dict(said.labels), said.confidence) == (labels, confidence)


@pytest.mark.parametrize(
    "answer",
    [
        *("[]", "{}", "null", "7", '"a text"', "[[1]]", '[{"label": "a"}, 7]', '{"name": "Ada", "age": 36}'),
        *(
            '{"loss": 0.1, "accuracy": 0.95}',
            '{"label": null}',
            '{"label": true}',
            '{"label": " "}',
            '{"labels": ["a"], "scores": []}',
        ),
        *("not JSON", '{"label": "a"', '"\\ud800"', '{"label": "a", "confidence": NaN}', ""),
        "[" * 100_000,
        '{"predictions":' * 5000 + "1" + "}" * 5000,
    ],
)
def test_what_has_no_labels_is_not_counted(answer: str) -> None:
    assert labels_of(answer.encode("utf-8", "surrogateescape")) == NOTHING


def test_an_endless_number_is_no_confidence() -> None:
    assert labels_of(b'{"label": "a", "score": 1e999}') in (NOTHING, Said((("a", 1),), None))
    assert labels_of(b'{"label": "a", "score": %b}' % (b"9" * 5000)) in (NOTHING, Said((("a", 1),), None))
