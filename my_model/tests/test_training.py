"""Training: metrics, files, reload, and what happens when the stored model is damaged or two write at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from marshmallow import ValidationError
from my_model.render import Floats, Ints
from pictures import Upload, digits, read, row
from PIL import Image

import my_model
from my_model import classify, current, render, storage, training

Store = Callable[..., Upload]
Held = tuple[Floats, Ints]


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory, held_out: Held) -> tuple[Upload, list[int]]:
    cells, labels = held_out
    wanted = [0, 2, 4, 6, 7]
    path = tmp_path_factory.mktemp("row") / "row"
    row(np.stack([cells[np.flatnonzero(labels == digit)[1]] for digit in wanted])).save(path, "PNG")
    return Upload("files", str(path), "image/png", "row.png"), wanted


@pytest.mark.parametrize("kind", classify.KINDS)
def test_every_kind_of_classifier_learns_and_then_predicts(
    kind: str, empty_home: Path, file: tuple[Upload, list[int]]
) -> None:
    # One plain drawing of each digit keeps this quick; the benchmark measures the real thing.
    metrics = my_model.train(classifier=kind, augmentation=0, held_out=0.5)
    assert metrics["accuracy"] >= 0.95
    assert storage.load().classifier.kind == kind
    assert digits(read(file[0])) == file[1]


def test_metrics_are_json_that_adds_up_and_holds_no_path(empty_home: Path) -> None:
    metrics = my_model.train(classifier="knn", held_out=0.3, seed=4, augmentation=0)
    assert json.loads(json.dumps(metrics)) == metrics
    matrix = np.array(metrics["confusion_matrix"])
    assert matrix.sum() == metrics["digits"]["held_out"] == 1797 - metrics["digits"]["learnt"]
    assert metrics["accuracy"] == pytest.approx(np.trace(matrix) / matrix.sum(), abs=1e-6)
    assert [one["support"] for one in metrics["per_class"]] == matrix.sum(axis=1).tolist()
    assert all(0.9 < one["precision"] <= 1 and 0.9 < one["recall"] <= 1 for one in metrics["per_class"])
    assert metrics["files"] == {"model": "digits.npz", "confusion_matrix": "confusion.png"}
    assert str(empty_home) not in json.dumps(metrics)
    with Image.open(empty_home / "confusion.png") as picture:
        picture.load()
    assert sorted(path.name for path in empty_home.iterdir()) == ["confusion.png", "digits.npz", "trained"]


def test_nothing_held_out_is_learnt() -> None:
    _, labels = render.load()
    for seed in range(3):
        kept, held = render.split(labels, 0.2, seed)
        assert not set(kept) & set(held)
        assert len(kept) + len(held) == len(labels)
        assert np.bincount(labels[held]).min() >= 34


def test_held_out_digits_are_read(held_out: Held) -> None:
    random = np.random.default_rng(11)
    cells, labels = held_out
    asked = training._drawn(cells, True, random, lambda share: None)
    answers = current.classifier().probabilities(asked)
    assert answers.sum(axis=1) == pytest.approx(np.ones(len(asked)), abs=1e-5)
    assert (answers.argmax(axis=1) == labels).mean() >= 0.98


@pytest.mark.slow
def test_the_next_prediction_uses_a_newer_model(empty_home: Path, file: tuple[Upload, list[int]]) -> None:
    my_model.train(classifier="svm", augmentation=0)
    read(file[0])
    assert current.classifier().kind == "svm"
    # Another process trains.
    code = "import my_model; my_model.train(classifier='knn', augmentation=0)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.getcwd()})
    read(file[0])
    assert current.classifier().kind == "knn"


def test_an_unchanged_model_is_not_read_again(fitted_home: Path) -> None:
    assert current.classifier() is current.classifier()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"\x93NUMPY"])
def test_a_damaged_model_is_told_from_none(content: bytes, empty_home: Path) -> None:
    with pytest.raises(FileNotFoundError):
        storage.load()
    empty_home.mkdir()
    (empty_home / "digits.npz").write_bytes(content)
    with pytest.raises(storage.Unreadable):
        storage.load()


@pytest.mark.slow
def test_a_damaged_model_is_fitted_anew(empty_home: Path, file: tuple[Upload, list[int]]) -> None:
    empty_home.mkdir()
    (empty_home / "digits.npz").write_bytes(b"PK\x03\x04 not a zip")
    assert digits(read(file[0])) == file[1]
    assert storage.load().metrics["accuracy"] > 0.98


def test_a_model_of_another_format_is_not_used(empty_home: Path) -> None:
    my_model.train(classifier="knn", augmentation=0)
    with np.load(empty_home / "digits.npz") as stored:
        arrays = dict(stored)
    about = json.loads(str(arrays.pop("about"))) | {"format": 999}
    np.savez(empty_home / "digits.npz", about=np.array(json.dumps(about)), **arrays)
    with pytest.raises(storage.Unreadable, match="999"):
        storage.load()


def test_a_pickle_in_the_place_of_the_model_is_not_run(empty_home: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "exploded"),)

    empty_home.mkdir()
    np.savez(empty_home / "digits.npz", about=np.array([Bomb()], dtype=object))
    with pytest.raises(storage.Unreadable):
        storage.load()
    assert not (tmp_path / "exploded").exists()


def test_a_write_that_fails_leaves_the_old_model_and_no_litter(
    empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, picture = training.Fitted(classify.Classifier("knn", {}), {}), Image.new("RGB", (8, 8))
    storage.save(fitted, picture)
    before = (empty_home / "digits.npz").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            storage.save(fitted, picture)
    assert (empty_home / "digits.npz").read_bytes() == before
    assert sorted(path.name for path in empty_home.iterdir()) == ["confusion.png", "digits.npz"]


@pytest.mark.slow
def test_a_home_that_cannot_be_written_still_predicts(
    tmp_path: Path, file: tuple[Upload, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "blocked").write_text("a file where a folder should be")
    monkeypatch.setenv("MY_MODEL_HOME", str(tmp_path / "blocked" / "home"))
    assert digits(read(file[0])) == file[1]
    first = current.classifier()
    assert current.classifier() is first, "fitted for each prediction"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "kind"),
    [("train(classifier='knn', augmentation=0)", "knn"), pytest.param("warm()", "svm", marks=pytest.mark.thorough)],
)
def test_two_that_fit_at_once_leave_one_whole_model(code: str, kind: str, empty_home: Path) -> None:
    code = f"import my_model; my_model.{code}"
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    both = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(2)]
    assert [one.wait(60) for one in both] == [0, 0]
    assert storage.load().classifier.kind == kind
    assert sorted({path.name for path in empty_home.iterdir()} - {"trained"}) == ["confusion.png", "digits.npz"]


def test_progress_only_grows_and_ends_at_one(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import modelport

    told: list[float] = []
    kept: list[Path] = []
    monkeypatch.setattr(modelport, "progress", lambda fraction, message="", metrics=None: told.append(fraction))
    monkeypatch.setattr(modelport, "artifact", kept.append)
    my_model.train(classifier="knn", augmentation=0)
    assert kept == [empty_home / "confusion.png"]
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) >= 4


def test_a_network_tells_of_each_epoch(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import modelport

    told: list[dict[str, float]] = []
    monkeypatch.setattr(modelport, "progress", lambda fraction, message="", metrics=None: told.append(metrics or {}))
    result = my_model.train(classifier="mlp", augmentation=0)
    epochs = [metrics for metrics in told if "epoch" in metrics]
    assert [metrics["epoch"] for metrics in epochs] == list(range(1, len(epochs) + 1))
    assert len(epochs) > training.PATIENCE_EPOCHS
    assert epochs[-1]["loss"] < epochs[0]["loss"] / 10
    assert epochs[-1]["accuracy"] == pytest.approx(result["accuracy"], abs=1e-6)


def test_an_earlier_model_is_used_by_its_name_until_it_is_forgotten(
    empty_home: Path, file: tuple[Upload, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = my_model.train(classifier="knn", augmentation=0)["use"]
    my_model.train(classifier="logistic", augmentation=0)
    assert digits(read(file[0], **first)) == file[1]
    assert current.classifier(first["model"]).kind == "knn"
    assert digits(read(file[0])) == file[1]
    assert current.classifier().kind == "logistic"
    monkeypatch.setattr(storage, "TRAINED_KEPT", 1)
    my_model.train(classifier="knn", augmentation=0)
    with pytest.raises(ValidationError) as caught:
        read(file[0], **first)
    assert list(caught.value.messages_dict) == ["model"]


@pytest.mark.parametrize(
    ("field", "value"), [("classifier", "oracle"), ("held_out", 0.0), ("held_out", 0.9), ("augmentation", -1)]
)
def test_a_recipe_that_nobody_validated_is_refused_by_name(field: str, value: object, empty_home: Path) -> None:
    with pytest.raises(ValidationError) as caught:
        my_model.train(**{field: value})  # type: ignore[arg-type]
    assert list(caught.value.messages_dict) == [field]
