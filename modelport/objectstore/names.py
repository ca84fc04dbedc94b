"""Names: of the bucket of a deployment, and of the outputs of an input."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from itertools import count

from modelport.objectstore.keys import COMPONENT_BYTES, KEY_BYTES, is_plain

INPUTS = "inputs/"
OUTPUTS = "outputs/"
OWN = ".modelport/"
LOG = ".log"

BUCKET_CHARACTERS = 63
BUCKET_LEAST = 3
BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", re.ASCII)

# The longest ending of a result: a point and 16 characters.
ENDING_BYTES = 17
HASH_CHARACTERS = 16

# What stands behind the last point is an extension if it looks like one: not in "Dr. Smith" and not in "v1.".
_EXTENSION = re.compile(r"(?P<stem>.*[^/])\.[A-Za-z0-9]{1,16}", re.ASCII | re.DOTALL)


def bucket_names(deployment: str, prefix: str = "") -> Iterator[str]:
    """Names for its bucket, the best first, without end: its own, made valid for S3, then with -2, -3, …"""
    name = re.sub(r"[^a-z0-9]+", "-", f"{prefix}{deployment}".lower()).strip("-") or "model"
    if len(name) < BUCKET_LEAST:
        name = f"{name}-bucket"
    yield name[:BUCKET_CHARACTERS].rstrip("-")
    for number in count(2):
        ending = f"-{number}"
        yield name[: BUCKET_CHARACTERS - len(ending)].rstrip("-") + ending


def is_input(key: str) -> bool:
    """Whether an object of this key starts a job: it lies under inputs/ and is no folder marker."""
    return key.startswith(INPUTS) and not key.endswith("/") and len(key) > len(INPUTS)


def may_start(key: str) -> bool:
    """Whether an event of an object of this key, wherever it lies, can start a job: no marker, and nothing of ours."""
    return bool(key) and not key.endswith("/") and not key.startswith((OUTPUTS, OWN))


def is_arguments(key: str) -> bool:
    """Whether the object is a JSON file of arguments; any other is a file argument itself."""
    return key[-5:].lower() == ".json"


def stems(key: str) -> Iterator[str]:
    """Stems for the outputs of an input, the best first, without end; who comes first keeps one.

    inputs/a/bear.jpg → a/bear; where that is another's, such as that of inputs/a/bear.json: a/bear.jpg; then with a
    hash, and then without folders, since a folder, too, may be in the way where buckets are folders.
    """
    name = key.removeprefix(INPUTS)
    whole = _fitted(name, name)
    if (match := _EXTENSION.fullmatch(name)) is not None:
        stem = match["stem"]
        # "..a" without its extension is no name, but "..a" is one.
        if _fitted(stem, name) == stem or whole != name:
            yield _fitted(stem, name)
    yield whole
    yield _hashed(name, name)
    for number in count(1):
        yield _hashed(name.replace("/", "_"), f"{number}/{name}")


def output(stem: str, ending: str) -> str:
    """The key of an output. ending: with its point."""
    return f"{OUTPUTS}{stem}{ending}"


def _fitted(stem: str, name: str) -> str:
    """`stem`, where no part of an output's key and not the whole would be too long, or cannot be a path."""
    parts = stem.split("/")
    fits = all(len(part.encode()) <= COMPONENT_BYTES - ENDING_BYTES for part in parts)
    whole = len(f"{OUTPUTS}{stem}".encode()) + ENDING_BYTES <= KEY_BYTES
    return stem if fits and whole and all(map(is_plain, parts)) else _hashed(stem, name)


def _hashed(stem: str, name: str) -> str:
    """A stem that is as much like `stem` as can be, with a hash of the whole name at its end."""
    parts = ["".join(character if is_plain(character) else "_" for character in part) for part in stem.split("/")]
    *folders, last = (part if part.strip(".") else part.replace(".", "_") or "_" for part in parts)
    folders = [_cut(folder, COMPONENT_BYTES - ENDING_BYTES) for folder in folders]
    mark = f"-{hashlib.sha256(name.encode()).hexdigest()[:HASH_CHARACTERS]}"
    last = _cut(last, COMPONENT_BYTES - ENDING_BYTES - len(mark)) + mark
    while folders and len(f"{OUTPUTS}{'/'.join([*folders, last])}".encode()) + ENDING_BYTES > KEY_BYTES:
        folders.pop()
    return "/".join([*folders, last])


def _cut(text: str, limit_bytes: int) -> str:
    """The beginning, in whole characters."""
    return text.encode()[:limit_bytes].decode(errors="ignore")
