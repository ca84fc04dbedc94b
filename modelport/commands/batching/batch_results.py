"""The folder of a batch's results: for each input <stem>.json, or another ending, and last <stem>.log.

Which input has which result is kept in a small file beside them. What was accepted and not fetched yet is for the
server to know: it is sent again with the same key, and is not run a second time.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import json
import mimetypes
import os
import re
import secrets
import unicodedata
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import click

from modelport.client.calls import Answer
from modelport.commands.model.answers import pour
from modelport.commands.shell.files import PART, replaced

NAME = ".modelport-batch"
# A component of a path may have 255 bytes; the ending of a result, and some room, must fit in as well.
COMPONENT_BYTES = 200
# What is put to a stem has no dot, so that different stems make different names.
ENDING = re.compile(r"[A-Za-z0-9]{1,16}")
JSON, LOG = "json", "log"


@dataclass(frozen=True, slots=True)
class Result:
    """Of one input. stamp: of what it was made from; empty: it is to be made anew. answer: the name of the file."""

    stem: str
    stamp: str = ""
    answer: str = ""


class Results(contextlib.AbstractContextManager["Results"]):
    """Held by one command at a time. batch: a name that nobody else's batch has."""

    def __init__(self, folder: Path, *, again: bool = False) -> None:
        """again: everything is to be made anew. Raises OSError, click.UsageError where another command holds it."""
        self.folder = folder
        self.batch = ""
        self._stems = Stems()
        self._results: dict[str, Result] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._file = open(folder / NAME, "a+b", buffering=0)  # noqa: SIM115
        try:
            _lock(self._file, folder)
            self._read()
            if again or not self.batch:
                self.batch = secrets.token_hex(8)
                self._write({"batch": self.batch})
                self._results = {path: replace(result, stamp="") for path, result in self._results.items()}
            for part in folder.rglob(PART):  # what a command that was killed has left
                part.unlink(missing_ok=True)
        except BaseException:
            self._file.close()
            raise

    def __exit__(self, *reason: object) -> None:
        self._file.close()

    def of(self, path: str, name: str) -> Result:
        """What is known of an input; a new one gets a stem. name: see `Input`."""
        if path not in self._results:
            self._results[path] = Result(self._stems.give(name))
        return self._results[path]

    def has(self, result: Result, stamp: str) -> bool:
        there = (self.folder / result.answer).is_file() and self._log(result).is_file()
        return bool(result.answer) and result.stamp == stamp and there

    def remove(self, result: Result) -> None:
        """What an earlier run has given: it is not what this one gives."""
        if result.answer:
            (self.folder / result.answer).unlink(missing_ok=True)
        self._log(result).unlink(missing_ok=True)

    def note(self, path: str, result: Result) -> None:
        """Raises OSError."""
        self._results[path] = result
        self._write({"file": path, **asdict(result)})

    async def write_answer(self, result: Result, answer: Answer) -> str:
        """The name of the file."""
        name = f"{result.stem}.{ending(answer.media_type, answer.filename)}"
        with replaced(self.folder / name, parents=True) as file:
            await pour(answer, file)
        return name

    def write_log(self, result: Result, log: bytes) -> None:
        with replaced(self._log(result), parents=True) as file:
            file.write(log)

    def _log(self, result: Result) -> Path:
        return self.folder / f"{result.stem}.{LOG}"

    # A row of JSON a line; the last of an input counts. It begins with the newline: one that was cut off costs itself.

    def _write(self, row: dict[str, Any]) -> None:
        line = memoryview(b"\n" + json.dumps(row).encode())
        while line:
            line = line[self._file.write(line) :]  # a disk that is full takes a part of it, and says so the next time

    def _read(self) -> None:
        self._file.seek(0)
        for line in self._file.read().split(b"\n"):
            with contextlib.suppress(ValueError, KeyError):
                row = json.loads(line)
                if "batch" in row:
                    self.batch = str(row["batch"])
                    self._results = {path: replace(result, stamp="") for path, result in self._results.items()}
                else:
                    self._results[row["file"]] = Result(row["stem"], row.get("stamp", ""), row.get("answer", ""))
        for result in self._results.values():
            self._stems.keep(result.stem)


def _lock(file: BinaryIO, folder: Path) -> None:
    """Held until the file is closed, also by our end. Raises click.UsageError."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise click.UsageError(f"another `modelport batch` writes to {folder} at this moment") from error
    except OSError:
        pass  # a disk without locks


# What results are called: a stem for each input, to which .json, .log and other endings are put.


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
        numbered = (f"{name}-{number}" for number in itertools.count(2))
        stems = map(_cut, itertools.chain((os.path.splitext(name)[0], name), numbered))
        stem = next(stem for stem in stems if _folded(stem) not in self._taken)
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
    for guess in (os.path.splitext(filename)[1], mimetypes.guess_extension(kind) or ""):
        name = guess.removeprefix(".")
        # The log's name is the log's, and what is called .json is JSON.
        if ENDING.fullmatch(name) and name.lower() not in (LOG, JSON):
            return name
    return "bin"
