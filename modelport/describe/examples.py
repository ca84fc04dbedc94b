"""Examples to try a model with: values that it most likely takes, and files from the folder next to the module."""

from __future__ import annotations

import json
import mimetypes
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelport.contract import naming
from modelport.contract.card import Argument, Card

SAMPLES = Path("data")
# Where a module has files to try it with, in its own folder.
SAMPLE_FOLDERS = ("examples", "data", "tests/data")
# More files than this are not looked at.
SAMPLES_LIMIT = 1000
# What lies beside samples and is none: of an argument that takes any file these are not shown.
NO_SAMPLES = (".md", ".py", ".pyc")
EXAMPLES_LIMIT = 12
DOCUMENT_LIMIT_BYTES = 64 << 10

MEDIA_WORDS = {
    "image": ("image", "picture", "photo", "png", "jpg", "jpeg", "tif", "tiff"),
    "audio": ("audio", "sound", "recording", "wav", "mp3", "flac", "ogg"),
    "video": ("video", "movie", "film", "mp4", "avi", "mov"),
    "text": ("text", "csv", "txt", "table"),
}
PLACEHOLDERS = {"image": "image.png", "audio": "sound.wav", "video": "video.mp4", "text": "table.csv"}
FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00",
    "time": "12:00:00",
    "url": "https://example.org/",
    "uri": "https://example.org/",
    "email": "somebody@example.org",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ip": "127.0.0.1",
    "ipv4": "127.0.0.1",
}


@dataclass(frozen=True)
class Example:
    """A call that somebody may try. values, files: by wire name; a list of files has several paths."""

    title: str
    values: dict[str, Any]
    files: dict[str, list[Path]] = field(default_factory=dict)


def samples_of(module: str) -> Path:
    """Where its sample files are: in its own folder, or else in `data` where the server was started."""
    beside: Path | None
    if naming.is_path(module):
        path, _ = naming.split_path(module)
        beside = path if os.path.isdir(path) else path.parent
    else:
        beside = None if SAMPLES.is_dir() else _installed_from(module)
    if beside is not None:
        if beside.is_relative_to(Path.cwd()):  # as people there would write it
            beside = beside.relative_to(Path.cwd())
        return next((own for name in SAMPLE_FOLDERS if os.path.isdir(own := beside / name)), SAMPLES)
    return SAMPLES


def _installed_from(module: str) -> Path | None:
    """The folder of a module that is installed as it lies there; None of any other. The search takes some 10 ms."""
    for point, distribution in naming.points():
        if naming.same_name(point.name) == naming.same_name(module):
            return Path(folder) if (folder := naming.editable_folder(distribution)) else None
    return None


def examples_of(card: Card, folder: Path) -> list[Example]:
    """Those that the folder describes in JSON files, or else one for each file that fits the first file argument."""
    if examples := _written(card, folder):
        return examples
    values = {argument.wire_name: plausible(argument) for argument in _arguments(card) if _is_exemplified(argument)}
    needed = _needed_files(card)
    files = _sampled(needed, card, folder)
    paths = _by_words(needed[0], card, folder)[:EXAMPLES_LIMIT] if needed else []
    if paths:
        return [Example(_title(path), values, {**files, needed[0].wire_name: [path]}) for path in paths]
    return [Example("Example", values, files)] if values or files else []


def call_of(card: Card, folder: Path) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Values and paths of files of one call, by wire name: the first example that is described, or what is required."""
    if examples := _written(card, folder):
        named = {name: [str(path) for path in paths] for name, paths in examples[0].files.items()}
        return examples[0].values, named
    values = {
        argument.wire_name: plausible(argument)
        for argument in _arguments(card)
        if argument.required and not argument.is_file
    }
    # A file that is not required is left out where there is none, unless the call would have nothing.
    files = [
        argument for argument in _needed_files(card) if argument.required or not values or fitting(argument, folder)
    ]
    return values, {argument.wire_name: [sample(argument, card, folder)] for argument in files}


def _arguments(card: Card) -> list[Argument]:
    return [argument for argument in card.predict_args if not argument.read_only]


def _is_exemplified(argument: Argument) -> bool:
    has_default = argument.has_default and argument.default is not None
    return not argument.is_file and ("example" in argument.metadata or (argument.required and not has_default))


def _needed_files(card: Card) -> list[Argument]:
    """The file arguments that are required, or else the first one."""
    files = [argument for argument in _arguments(card) if argument.is_file]
    return [argument for argument in files if argument.required] or files[:1]


def _written(card: Card, folder: Path) -> list[Example]:
    paths = [path for path in _files(folder) if path.suffix == ".json"][:EXAMPLES_LIMIT]
    return [example for path in paths if (example := _read(path, card)) is not None]


def _read(path: Path, card: Card) -> Example | None:
    """None where the file holds something else than arguments."""
    try:
        example = read_example(path, card) if path.stat().st_size <= DOCUMENT_LIMIT_BYTES else None
    except (OSError, ValueError):
        return None
    if example is None or not (example.values or example.files):
        return None
    unnamed = [argument for argument in _needed_files(card) if argument.wire_name not in example.files]
    example.files.update(_sampled(unnamed, card, path.parent))
    return example


def read_example(path: Path, card: Card) -> Example:
    """The call that a JSON file describes: a file argument is the name of a file beside it, or a list of names.

    Raises ValueError, which says why it is none.
    """
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        raise ValueError("the file is not JSON") from None
    arguments = {argument.wire_name: argument for argument in _arguments(card)}
    if not isinstance(document, dict):
        raise ValueError("the file is not an object with the arguments of a call")
    if unknown := sorted(document.keys() - arguments.keys()):
        raise ValueError(f"predict() has no argument {unknown[0][:60]}; it has {', '.join(arguments) or 'none'}")
    example = Example(_title(path), {}, {})
    for name, value in document.items():
        if not arguments[name].is_file:
            example.values[name] = value
            continue
        names = value if isinstance(value, list) else [value]
        files = {file.name: file for file in _files(path.parent)}
        if not all(isinstance(name, str) and name in files for name in names):
            raise ValueError(f"{name} must be the name of a file beside this one, or a list of such names")
        example.files[name] = [files[name] for name in names]
    return example


def _sampled(arguments: list[Argument], card: Card, folder: Path) -> dict[str, list[Path]]:
    """Of each argument the file there that fits best, where there is one."""
    paths = {argument.wire_name: _by_words(argument, card, folder)[:1] for argument in arguments}
    return {name: files for name, files in paths.items() if files}


def _title(path: Path) -> str:
    return path.stem.replace("_", " ").replace("-", " ").strip().capitalize()


def sample(argument: Argument, card: Card, folder: Path) -> str:
    """A file in the samples' folder that fits; of several the one whose name the card's words speak of most."""
    files = _by_words(argument, card, folder)
    return str(files[0]) if files else f"path/to/{PLACEHOLDERS.get(media(argument) or '', 'file')}"


def _by_words(argument: Argument, card: Card, folder: Path) -> list[Path]:
    """First the file whose name the card's words speak of most."""
    said = [str(card.metadata.get(key, "")) for key in ("name", "summary", "description")]
    about = _words(" ".join([card.name, argument.name, argument.description, *said]))
    return sorted(fitting(argument, folder), key=lambda path: -len(_words(path.stem) & about))


def fitting(argument: Argument, folder: Path) -> list[Path]:
    """The files there of the kind that the argument takes."""
    kind = media(argument)
    return [path for path in _files(folder) if kind in (None, _main_type(path)) and path.suffix not in NO_SAMPLES]


def media(argument: Argument) -> str | None:
    """image, audio, video or text, if the argument's name or description says so."""
    words = _words(f"{argument.name} {argument.description} {argument.metadata.get('format', '')}")
    scores = {kind: sum(word in words for word in known) for kind, known in MEDIA_WORDS.items()}
    best = max(scores, key=lambda kind: scores[kind])
    return best if scores[best] else None


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in list(folder.iterdir())[:SAMPLES_LIMIT] if path.is_file() and path.name[0] != ".")
    except OSError:
        return []


def _main_type(path: Path) -> str:
    return (mimetypes.guess_type(path.name)[0] or "").partition("/")[0]


def _words(text: str) -> set[str]:
    words = set(re.findall(r"[a-z0-9]+", text.lower().replace("_", " ")))
    return words | {word.rstrip("s") for word in words}


def plausible(argument: Argument) -> Any:
    """A value that the argument most likely takes: its own example, where its metadata has one."""
    if "example" in argument.metadata:
        return argument.metadata["example"]
    if argument.has_default and argument.default is not None:
        return argument.default
    if argument.choices:
        return argument.choices[0]
    if argument.type == "array":
        length = max(argument.min_length or 1, 1)
        return [plausible(argument.item) if argument.item else "text"] * length
    if argument.type == "object":
        return {inner.name: plausible(inner) for inner in argument.properties or [] if inner.required}
    if argument.type in ("integer", "number"):
        return _number(argument)
    return True if argument.type == "boolean" else _string(argument)


def _number(argument: Argument) -> Any:
    least, most = argument.minimum, argument.maximum
    step = 1 if argument.type == "integer" else 0.5
    if isinstance(least, (int, float)) and isinstance(most, (int, float)) and argument.type == "number":
        return (least + most) / 2
    if isinstance(least, (int, float)):
        return least + step if argument.exclusive_minimum else least
    if isinstance(most, (int, float)):
        return most - step if argument.exclusive_maximum else most
    return step


def _string(argument: Argument) -> str:
    text = FORMATS.get(argument.format or "", "text")
    if argument.min_length and len(text) < argument.min_length:
        text = (text * argument.min_length)[: argument.min_length]
    return text[: argument.max_length] if argument.max_length else text
