"""What the results of a batch's inputs are called: a stem for each, to which .json, .log and other endings are put."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import re
import unicodedata

# A component of a path may have 255 bytes; the ending of a result, and some room, must fit in as well.
COMPONENT_BYTES = 200
# What is put to a stem has no dot, so that different stems make different names.
ENDING = re.compile(r"[A-Za-z0-9]{1,16}")
JSON, LOG = "json", "log"
# Where the platform's table knows nothing better.
ENDINGS = {"application/json": JSON, "text/plain": "txt", "image/jpeg": "jpg", "application/octet-stream": "bin"}


class Stems:
    """Who comes first keeps a stem: bear.jpg is `bear`, and bear.png, after it, is `bear.png`.

    Two that differ only in case or in how an accent is written count as the same: some disks cannot tell them apart.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def keep(self, stem: str) -> None:
        """A stem that was given in an earlier run."""
        self._taken.add(_folded(stem))

    def give(self, name: str) -> str:
        """name: of an input, relative; its folders stay."""
        folder, last = os.path.split(name)
        whole = os.path.join(folder, last)
        number = 2
        stem = _cut(os.path.join(folder, os.path.splitext(last)[0]))
        if _folded(stem) in self._taken:
            stem = _cut(whole)
        while _folded(stem) in self._taken:
            stem = _cut(f"{whole}-{number}")
            number += 1
        self.keep(stem)
        return stem


def _folded(stem: str) -> str:
    return unicodedata.normalize("NFC", stem).casefold()


def _cut(stem: str) -> str:
    return os.path.join(*[_cut_component(part) for part in stem.split(os.sep)])


def _cut_component(text: str) -> str:
    """What is too long gives way to a hash of the whole."""
    data = os.fsencode(text)
    if len(data) <= COMPONENT_BYTES:
        return text
    digest = hashlib.sha256(data).hexdigest()[:8]
    # Not in the middle of a letter.
    return f"{data[: COMPONENT_BYTES - 9].decode(errors='ignore')}-{digest}"


def ending(media_type: str, filename: str = "") -> str:
    """Of a result's file, without the dot. filename: what the model called it."""
    kind = media_type.partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return JSON
    guesses = (os.path.splitext(filename)[1], ENDINGS.get(kind, ""), mimetypes.guess_extension(kind) or "")
    for each in (guess.removeprefix(".") for guess in guesses):
        # The log's name is the log's, and what is called .json is JSON.
        if ENDING.fullmatch(each) and each.lower() not in (LOG, JSON):
            return each
    return "bin"
