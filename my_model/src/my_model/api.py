"""The plugin's functions, as the entry point group `deepaas.v2.model` expects them."""

import io
import secrets
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from my_model import classify, confusion, current, draw, images, reading, report, storage, training
from my_model.metadata import get_metadata

__all__ = [
    "BATCH_SAME",
    "BATCH_SIZE",
    "Predictions",
    "get_metadata",
    "get_predict_args",
    "get_train_args",
    "predict",
    "predict_batch",
    "schema",
    "train",
    "warm",
]

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ACCEPTED = ("application/json", "image/png", "application/pdf")
# Most calls of `predict_batch`. Beyond, there is little to gain (benchmarks/batching.py).
BATCH_SIZE = 16
# Calls that run together are answered by one model.
BATCH_SAME = ("model",)

Answer = list[dict[str, Any]] | io.BytesIO


class Box(Schema):
    """A box in pixels of the picture as it is shown (EXIF orientation applied); x2 and y2 lie just outside."""

    x1 = fields.Float(required=True, metadata={"description": "left edge"})
    y1 = fields.Float(required=True, metadata={"description": "upper edge"})
    x2 = fields.Float(required=True, metadata={"description": "right edge"})
    y2 = fields.Float(required=True, metadata={"description": "lower edge"})


class Predictions(Schema):
    """The JSON answer: a list of digits in reading order."""

    def __init__(self, **options: Any) -> None:
        # deepaas instantiates a schema without arguments; our answer is a list.
        options.setdefault("many", True)
        super().__init__(**options)

    name = fields.String(required=True, metadata={"description": "the digit as a word: zero to nine"})
    # `class` is a keyword, hence the second name; the schema's key is what counts.
    digit = fields.Integer(
        required=True, data_key="class", validate=validate.Range(0, 9), metadata={"description": "the digit, 0 to 9"}
    )
    confidence = fields.Float(
        required=True, validate=validate.Range(0, 1), metadata={"description": "how sure, from 0 to 1"}
    )
    box = fields.Nested(Box, required=True, metadata={"description": "where, in pixels"})


schema = Predictions


def get_predict_args() -> dict[str, fields.Field]:
    """Arguments of `predict`."""
    return {
        "files": _file_field(
            f"One image with handwritten digits: {images.FORMATS_TEXT}; "
            f"at most {images.LIMIT_PIXELS // 1_000_000} million pixels, {images.LIMIT_SIDE_PX:,} on a side."
        ),
        "confidence": fields.Float(
            load_default=0.5,
            validate=validate.Range(0, 1),
            metadata={"description": "Leave out digits that are read with less confidence than this, from 0 to 1."},
        ),
        "classes": fields.List(
            fields.Integer(validate=validate.Range(0, 9)),
            load_default=list(range(10)),
            metadata={"description": "Leave out all digits but these."},
        ),
        "model": fields.String(
            load_default="",
            # The names that a training gives, so that none leads to another folder.
            validate=validate.Regexp(r"([a-z]+-[0-9]{8}t[0-9]{6}-[0-9a-f]{4})?\Z", error="Not the name of a model."),
            metadata={"description": "The name of a model, as its training tells it; empty: the one trained last."},
        ),
        "accept": fields.String(
            load_default=ACCEPTED[0],
            # A list of its own each time: deepaas adds "*/*" to it.
            validate=validate.OneOf(list(ACCEPTED)),
            metadata={
                "location": "headers",
                "description": "JSON list of digits, the image with boxes drawn (PNG), or a one-page report (PDF).",
            },
        ),
    }


def _file_field(description: str) -> fields.Field:
    """A required file. deepaas-cli takes only `Field` itself for a file, which marshmallow 3.24 began to warn about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fields.Field(required=True, metadata={"type": "file", "location": "form", "description": description})


def predict(
    files: Any,
    confidence: float = 0.5,
    classes: Sequence[int] | None = None,
    accept: str = ACCEPTED[0],
    model: str = "",
    **_: Any,
) -> Answer:
    """Digits in reading order, as `accept` says: a list, or PNG or PDF bytes from their start.

    files: what holds the path of an image as `filename`. Raises ValidationError that names `files` or `model`.
    """
    call = {"files": files, "confidence": confidence, "classes": classes, "accept": accept, "model": model}
    (answer,) = predict_batch([call])
    if isinstance(answer, ValidationError):
        raise answer
    return answer


def predict_batch(calls: Sequence[Mapping[str, Any]]) -> list[Answer | ValidationError]:
    """What `predict` answers to each call, or raises; the classifier is asked once for the digits of several.

    Raises ValidationError that names `model`, which is the same in all.
    """
    answers: list[Answer | ValidationError] = []
    for pictures in _together(calls):
        greys = [picture.grey for picture in pictures if isinstance(picture, images.Picture)]
        reads = iter(reading.read(greys, _classifier(calls[0].get("model", ""))) if greys else ())
        for picture in pictures:
            call = calls[len(answers)]
            answers.append(_answer(call, picture, next(reads)) if isinstance(picture, images.Picture) else picture)
    return answers


def _classifier(model: str) -> classify.Classifier:
    try:
        return current.classifier(model)
    except (FileNotFoundError, storage.Unreadable) as error:
        message = f"There is no model {model} any more; the last {storage.TRAINED_KEPT} are kept."
        raise ValidationError({"model": [message]}) from error


def _together(calls: Sequence[Mapping[str, Any]]) -> Iterator[list[images.Picture | ValidationError]]:
    """The pictures of the calls, so many at once that they are no larger together than one may be."""
    together: list[images.Picture | ValidationError] = []
    pixels = 0
    for call in calls:
        try:
            picture: images.Picture | ValidationError = images.load(call["files"])
        except ValidationError as error:
            picture = error
        size = picture.grey.size if isinstance(picture, images.Picture) else 0
        if together and pixels + size > images.SEARCHED_PIXELS:
            yield together
            together, pixels = [], 0
        together.append(picture)
        pixels += size
    if together:
        yield together


def _answer(
    call: Mapping[str, Any], picture: images.Picture, read: list[reading.Digit] | reading.TooMuch
) -> Answer | ValidationError:
    if isinstance(read, reading.TooMuch):
        return images.refused(str(read))
    classes = call.get("classes")
    kept = set(range(10)) if classes is None else set(classes)
    confidence, accept = call.get("confidence", 0.5), call.get("accept", ACCEPTED[0])
    digits = [_scaled(one, picture.scale) for one in read if one.confidence >= confidence and one.digit in kept]
    if accept == "image/png":
        return _png(draw.boxes(images.shown(picture.image), digits))
    if accept == "application/pdf":
        # Only the last part: what a browser sent may be a path on its user's disk.
        name = PurePath(str(getattr(call["files"], "original_filename", None) or "image").replace("\\", "/")).name
        return report.pdf(images.shown(picture.image), digits, name)
    return [_told(one) for one in digits]


def _scaled(one: reading.Digit, scale: float) -> reading.Digit:
    """From the searched picture's pixels to the uploaded one's."""
    return reading.Digit(one.digit, one.confidence, one.x1 / scale, one.y1 / scale, one.x2 / scale, one.y2 / scale)


def _told(one: reading.Digit) -> dict[str, Any]:
    box = {"x1": one.x1, "y1": one.y1, "x2": one.x2, "y2": one.y2}
    return {
        "name": WORDS[one.digit],
        "class": one.digit,
        "confidence": round(one.confidence, 4),
        "box": {edge: round(float(value), 2) for edge, value in box.items()},
    }


def _png(image: Any) -> io.BytesIO:
    body = io.BytesIO()
    # Level 1 is three times as fast as the default 6 and a tenth larger.
    image.save(body, "PNG", compress_level=1)
    body.seek(0)
    return body


def get_train_args() -> dict[str, fields.Field]:
    """Arguments of `train`."""
    return {
        "classifier": fields.String(
            load_default="svm",
            validate=validate.OneOf(list(classify.KINDS)),
            metadata={
                "enum": list(classify.KINDS),
                "description": "What to fit: support vectors, a small neural net, logistic regression, neighbours.",
            },
        ),
        "held_out": fields.Float(
            load_default=0.2,
            validate=validate.Range(0.05, 0.5),
            metadata={"description": "Share of the digits that is not learnt but measured on, 0.05 to 0.5."},
        ),
        "seed": fields.Integer(
            load_default=0,
            validate=validate.Range(0, 2**31 - 1),
            metadata={"description": "Decides which digits are held out and how digits are drawn."},
        ),
        "augmentation": fields.Integer(
            load_default=training.Recipe.augmentation,
            validate=validate.Range(0, 10),
            metadata={
                "description": "How often each digit is drawn to learn from, each time turned and inked differently; "
                "0 learns and measures the digits plainly as they are."
            },
        ),
    }


def train(
    classifier: str = "svm",
    held_out: float = 0.2,
    seed: int = 0,
    augmentation: int = training.Recipe.augmentation,
    **_: Any,
) -> dict[str, Any]:
    """Fit, store and measure a classifier; the next `predict` uses it. Returns the metrics.

    Raises ValidationError for values that a caller without validation (deepaas-cli) let through, OSError where the
    model cannot be stored.
    """
    _check_recipe(classifier, held_out, augmentation)
    started = time.perf_counter()
    fitted = training.fit(training.Recipe(classifier, held_out, seed, augmentation), _progress)
    name = f"{classifier}-{time.strftime('%Y%m%dt%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"
    storage.save(fitted, confusion.picture(fitted.metrics["confusion_matrix"]), name)
    _keep(storage.home() / storage.PICTURE_FILE)
    _progress(1.0, "stored", {"accuracy": fitted.metrics["accuracy"]})
    return fitted.metrics | {
        "seconds": round(time.perf_counter() - started, 3),
        "files": {"model": storage.MODEL_FILE, "confusion_matrix": storage.PICTURE_FILE},
        "use": {"model": name},
    }


def _check_recipe(classifier: str, held_out: float, augmentation: int) -> None:
    if classifier not in classify.KINDS:
        raise ValidationError({"classifier": [f"Must be one of: {', '.join(classify.KINDS)}."]})
    if not 0.0 < held_out <= 0.5:
        raise ValidationError({"held_out": ["Must be at least 0.05 and at most 0.5."]})
    if not 0 <= augmentation <= 10:
        raise ValidationError({"augmentation": ["Must be from 0 to 10."]})


def _progress(fraction: float, message: str, metrics: Mapping[str, float]) -> None:
    """Tell modelport how far a training is; under deepaas, or with no modelport, nobody asks."""
    try:
        import modelport
    except ImportError:
        return
    modelport.progress(fraction, message, metrics=metrics)


def _keep(path: Path) -> None:
    """Let modelport keep a file with the training."""
    try:
        import modelport
    except ImportError:
        return
    modelport.artifact(path)


def warm() -> None:
    """Load the fitted classifier; where there is none yet, fit one and keep it."""
    current.classifier()
