"""Labels and confidences in an answer, by the names that models usually give them.

The dashboard's `shapes.js` and `bars.js` look for the same names when they draw one answer.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

LABELS = ("label", "name", "class_name", "category", "class", "category_id", "class_id", "prediction")
# A person or a file has a name, too: it is a label only beside a score or a shape.
WEAK = "name"
SCORES = ("confidence", "score", "probability", "prob")
SHAPES = (
    *("box", "bbox", "bounding_box", "x1", "xmin", "left", "x"),
    *("segmentation", "polygon", "polygons", "contour", "outline", "mask", "rle", "keypoints", "landmarks"),
)
# Members in which the objects of an answer lie.
INSIDE = (
    *("predictions", "detections", "objects", "results", "instances", "annotations", "segments"),
    *("classification", "probabilities", "boxes"),
)
# Lists of one shape of each object, beside that of the labels.
COLUMNS = ("boxes", "masks", "polygons", "keypoints")
MOST_DEPTH = 3
LABEL_CHARS = 80
# Of one answer.
MOST_LABELS = 20
# Probabilities that belong together; rounded ones rarely come to exactly 1.
WHOLE = (0.98, 1.02)


class Said(NamedTuple):
    """labels: (label, how often). confidence: of the least certain object; of a classification, of what has won."""

    labels: tuple[tuple[str, int], ...] = ()
    confidence: float | None = None
    failure: str = ""


NOTHING = Said()
Pair = tuple[str, float | None]


def labels_of(answer: bytes) -> Said:
    """Nothing where it is not JSON, or has no labels."""
    try:
        pairs = _pairs(msgspec.json.decode(answer), MOST_DEPTH)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NOTHING
    counts = Counter(label[:LABEL_CHARS] for label, _ in pairs)
    return Said(
        tuple(counts.most_common(MOST_LABELS)), min((score for _, score in pairs if score is not None), default=None)
    )


def _pairs(value: Any, depth: int) -> Sequence[Pair]:
    """What counts: every object of a list of shapes, of a classification only the best."""
    if isinstance(value, list):
        return _of_list(value)
    if not isinstance(value, dict) or not depth:
        return ()
    inside = (_pairs(value[name], depth - 1) for name in INSIDE if name in value)
    return _of_columns(value) or next(filter(None, inside), ()) or _pair(value) or _of_shares(value)


def _of_list(value: list[Any]) -> Sequence[Pair]:
    if not value or not all(isinstance(item, dict) for item in value):
        return ()
    pairs = [pair for item in value for pair in _pair(item)]
    if len(pairs) < len(value):
        return ()
    scored = all(score is not None for _, score in pairs)
    return [_best(pairs)] if scored and not any(name in value[0] for name in SHAPES) else pairs


def _of_columns(value: Mapping[str, Any]) -> Sequence[Pair]:
    """{"labels": […], "probabilities": […]}"""
    labels = _list(value, "labels", "classes")
    scores = _list(value, "probabilities", "scores", "probs", "confidences")
    if not labels or len(labels) != len(scores) or not all(_is_label(label) for label in labels):
        return ()
    pairs = [(str(label), _number(score)) for label, score in zip(labels, scores, strict=True)]
    return pairs if any(isinstance(value.get(name), list) for name in COLUMNS) else [_best(pairs)]


def _of_shares(value: Mapping[str, Any]) -> Sequence[Pair]:
    """{"cat": 0.9, "dog": 0.1}"""
    shares = [(name, share) for name, number in value.items() if (share := _number(number)) is not None and share >= 0]
    whole = len(shares) == len(value) > 1 and WHOLE[0] <= sum(share for _, share in shares) <= WHOLE[1]
    return (_best(shares),) if whole else ()


def _pair(item: Mapping[str, Any]) -> Sequence[Pair]:
    """One, or none."""
    score = next((number for name in SCORES if (number := _number(item.get(name))) is not None), None)
    sure = score is not None or any(name in item for name in SHAPES)
    names = LABELS if sure else [name for name in LABELS if name != WEAK]
    label = next((item[name] for name in names if _is_label(item.get(name))), None)
    return () if label is None else ((str(label), score),)


def _best(pairs: Sequence[tuple[str, float | None]]) -> Pair:
    return max(pairs, key=lambda pair: -math.inf if pair[1] is None else pair[1])


def _list(value: Mapping[str, Any], *names: str) -> list[Any]:
    return next((value[name] for name in names if isinstance(value.get(name), list)), [])


def _is_label(value: Any) -> bool:
    return bool(value.strip()) if isinstance(value, str) else isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> float | None:
    return (
        float(value) if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 else None
    )
