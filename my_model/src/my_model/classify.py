"""A fitted classifier as plain arrays, and how to ask it: numpy only, nothing unpickled.

scikit-learn fits (training.py); here its results are evaluated. So a stored model cannot run code, does not depend on
the installed scikit-learn, and a prediction does not wait two seconds for the import.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from my_model.render import Floats

CLASSES = 10
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Classifier:
    """kind: a key of KINDS. arrays: what that kind needs, see the function of the same name below."""

    kind: str
    arrays: Arrays

    def probabilities(self, features: Floats) -> Floats:
        """(n, d) features → (n, 10) probabilities."""
        if not len(features):
            return np.zeros((0, CLASSES), dtype=np.float32)
        return _KINDS[self.kind](self.arrays, features)


def _softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


def _squared_distances(features: Floats, points: Floats) -> Floats:
    """(n, d), (m, d) → (n, m)."""
    cross = features @ points.T
    own = (features**2).sum(axis=1)[:, None] + (points**2).sum(axis=1)[None, :]
    return np.asarray(np.maximum(own - 2 * cross, 0.0), dtype=np.float32)


def _svm(arrays: Arrays, features: Floats) -> Floats:
    """One machine for each pair of digits, radial kernel; votes are summed with their margins.

    support (m, d), coefficients (45, m): for pair (i, j), i < j, positive speaks for i; offsets (45,); gamma ().
    """
    kernel = np.exp(-float(arrays["gamma"]) * _squared_distances(features, arrays["support"]))
    margins = kernel @ arrays["coefficients"].T + arrays["offsets"]
    scores = np.zeros((len(features), CLASSES), dtype=np.float32)
    for column, (first, second) in enumerate(zip(*np.triu_indices(CLASSES, 1), strict=True)):
        # A pair that knows neither digit must not outvote those that do: margins count up to 1.
        margin = np.clip(margins[:, column], -1.0, 1.0)
        scores[:, first] += margin
        scores[:, second] -= margin
    return _softmax(scores * float(arrays["sharpness"]))


def _mlp(arrays: Arrays, features: Floats) -> Floats:
    """One hidden layer of rectifiers. hidden (d, h), hidden_offsets (h,), output (h, 10), output_offsets (10,)."""
    hidden = np.maximum(features @ arrays["hidden"] + arrays["hidden_offsets"], 0.0)
    return _softmax(hidden @ arrays["output"] + arrays["output_offsets"])


def _logistic(arrays: Arrays, features: Floats) -> Floats:
    """weights (d, 10), offsets (10,)."""
    return _softmax(features @ arrays["weights"] + arrays["offsets"])


def _knn(arrays: Arrays, features: Floats) -> Floats:
    """The nearest examples vote, the nearer the more. points (m, d), labels (m,), neighbours ()."""
    distances = _squared_distances(features, arrays["points"])
    count = int(arrays["neighbours"])
    nearest = np.argpartition(distances, count - 1, axis=1)[:, :count]
    votes = 1 / (np.take_along_axis(distances, nearest, axis=1) + 1e-3)
    scores = np.zeros((len(features), CLASSES), dtype=np.float32)
    labels = arrays["labels"][nearest]
    for digit in range(CLASSES):
        scores[:, digit] = np.where(labels == digit, votes, 0.0).sum(axis=1)
    return np.asarray(scores / scores.sum(axis=1, keepdims=True), dtype=np.float32)


_KINDS: Mapping[str, Callable[[Arrays, Floats], Floats]] = {
    "svm": _svm,
    "mlp": _mlp,
    "logistic": _logistic,
    "knn": _knn,
}
KINDS = tuple(_KINDS)
