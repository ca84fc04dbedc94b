"""The fitted classifier on disk: one .npz file of plain arrays, replaced whole, reloaded when it has changed.

Nothing in it is pickled (`allow_pickle=False`), so a file from elsewhere can be wrong but cannot run code.
"""

import contextlib
import io
import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from my_model import glyphs
from my_model.classify import KINDS, Classifier
from my_model.training import Fitted

MODEL_FILE = "digits.npz"
PICTURE_FILE = "confusion.png"
# The models of the last trainings, by name.
TRAINED_FOLDER = "trained"
TRAINED_KEPT = 20
# Changes with the file's layout or with what the arrays mean; other formats are fitted anew.
FORMAT = 1


class Unreadable(Exception):
    """The stored model is damaged, or of another format."""


def home() -> Path:
    """The folder of the fitted model: $MY_MODEL_HOME, by default ~/.cache/my_model."""
    return Path(os.environ.get("MY_MODEL_HOME") or Path.home() / ".cache" / "my_model")


def _path(name: str) -> Path:
    return home() / TRAINED_FOLDER / f"{name}.npz" if name else home() / MODEL_FILE


def stamp(name: str = "") -> tuple[int, int, int] | None:
    """Changes whenever the stored model does; None where there is none."""
    try:
        status = _path(name).stat()
    except OSError:
        return None
    # A new file has another inode, also within one tick of the file system's clock.
    return status.st_mtime_ns, status.st_ino, status.st_size


def save(fitted: Fitted, picture: Image.Image, name: str = "") -> None:
    """Model and picture, each written beside its final name, synced and renamed. Raises OSError.

    name: by which the model can be asked for later, when others have been trained.
    """
    about = {"format": FORMAT, "glyphs": glyphs.VERSION, "kind": fitted.classifier.kind, "metrics": fitted.metrics}
    body = io.BytesIO()
    arrays: dict[str, Any] = {"about": np.array(json.dumps(about)), **fitted.classifier.arrays}
    np.savez(body, **arrays)
    drawn = io.BytesIO()
    picture.save(drawn, "PNG")
    home().mkdir(parents=True, exist_ok=True)
    _replace(home() / PICTURE_FILE, drawn.getvalue())
    if name:
        _path(name).parent.mkdir(exist_ok=True)
        _replace(_path(name), body.getvalue())
        _forget_oldest(_path(name).parent)
    # Last, for this is the one that others wait for.
    _replace(home() / MODEL_FILE, body.getvalue())


def _forget_oldest(folder: Path) -> None:
    models = sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_mtime_ns)
    for path in models[:-TRAINED_KEPT]:
        path.unlink(missing_ok=True)


def load(name: str = "") -> Fitted:
    """The model of this name, or the last. Raises FileNotFoundError, or Unreadable."""
    try:
        # Opened here, for numpy leaves a broken archive open.
        with open(_path(name), "rb") as file, np.load(file, allow_pickle=False) as stored:
            about: dict[str, Any] = json.loads(str(stored["about"]))
            arrays = {name: stored[name] for name in stored.files if name != "about"}
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise Unreadable(f"{MODEL_FILE} cannot be read: {type(error).__name__}") from error
    version = about.get("format"), about.get("glyphs")
    if version != (FORMAT, glyphs.VERSION) or about.get("kind") not in KINDS:
        raise Unreadable(f"{MODEL_FILE} is of format {version}; this version reads {(FORMAT, glyphs.VERSION)}")
    return Fitted(Classifier(about["kind"], arrays), about["metrics"])


def _replace(path: Path, body: bytes) -> None:
    """Whole or not at all: readers see the old file or the new one, also after a power cut."""
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(beside).unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
