"""One curl line that asks a model for a prediction, with plausible values: to be pasted, and to work."""

from __future__ import annotations

import json
import mimetypes
import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from modelport.contract import naming
from modelport.contract.card import Argument, Card

SAMPLES = Path("data")
# Where a module has files to try it with, in its own folder.
SAMPLE_FOLDERS = ("examples", "data", "tests/data")
# More files than this are not looked at.
SAMPLES_LIMIT = 1000

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


def samples_of(module: str) -> Path:
    """Where its sample files are: in its own folder, or else in `data` where the server was started."""
    if naming.is_path(module):
        path, _ = naming.split_path(module)
        beside = path if path.is_dir() else path.parent
        if beside.is_relative_to(Path.cwd()):  # as people there would write it
            beside = beside.relative_to(Path.cwd())
        return next((own for name in SAMPLE_FOLDERS if (own := beside / name).is_dir()), SAMPLES)
    return SAMPLES


def curl_line(card: Card, url: str, *, token: bool, samples: Path = SAMPLES) -> str:
    """url: of the predict route. token: callers must send one; its value is never shown."""
    parts = ["curl", "-s", *(["-H", "TOKEN"] if token else [])]
    files: list[str] = []
    body: dict[str, Any] = {}
    query: dict[str, Any] = {}
    for each in needed(card):
        name, value = each.wire_name, None if each.is_file else plausible(each)
        if each.is_file:
            files.append(f"{name}=@{sample(each, card, samples)}")
        elif each.location == "headers":
            parts += ["-H", f"{name}: {_text(value)}"]
        elif each.location == "cookies":
            parts += ["-b", f"{name}={_text(value)}"]
        else:
            (query if each.location == "query" else body)[name] = value
    if files:
        fields = [*files, *(f"{name}={_text(value)}" for name, value in body.items())]
        parts += [part for field in fields for part in ("-F", field)]
    elif body:
        parts += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    else:
        parts += ["-X", "POST"]
    if query:
        url += "?" + urlencode({name: _text(value) for name, value in query.items()})
    line = shlex.join([*parts, url])
    # In double quotes, so that the shell puts the token in.
    return line.replace("-H TOKEN", '-H "Authorization: Bearer $TOKEN"', 1) if token else line


def needed(card: Card) -> list[Argument]:
    """What a call shows: what is required, or else a file."""
    required = [argument for argument in card.predict_args if argument.required and not argument.read_only]
    return required or [argument for argument in card.predict_args if argument.is_file][:1]


def predict_url(base: str, name: str) -> str:
    return f"{base}/v2/models/{quote(name, safe='')}/predict/"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def sample(argument: Argument, card: Card, folder: Path) -> str:
    """A file in the samples' folder that fits; of several the one whose name the card's words speak of most."""
    files = fitting(argument, folder)
    if not files:
        return f"path/to/{PLACEHOLDERS.get(media(argument) or '', 'file')}"
    said = [str(card.metadata.get(key, "")) for key in ("name", "summary", "description")]
    about = _words(" ".join([card.name, argument.name, argument.description, *said]))
    return str(max(files, key=lambda path: len(_words(path.stem) & about)))


def fitting(argument: Argument, folder: Path) -> list[Path]:
    """The files there of the kind that the argument takes."""
    wanted = media(argument)
    return [
        file for file in _files(folder) if wanted in (None, str(mimetypes.guess_type(file.name)[0]).partition("/")[0])
    ]


def media(argument: Argument) -> str | None:
    """image, audio, video or text, if the argument's name or description says so."""
    words = _words(f"{argument.name} {argument.description} {argument.metadata.get('format', '')}")
    scores = {kind: sum(each in words for each in known) for kind, known in MEDIA_WORDS.items()}
    best = max(scores, key=lambda kind: scores[kind])
    return best if scores[best] else None


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in list(folder.iterdir())[:SAMPLES_LIMIT] if path.is_file() and path.name[0] != ".")
    except OSError:
        return []


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
        return {each.name: plausible(each) for each in argument.properties or [] if each.required}
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
