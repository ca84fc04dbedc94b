"""The inputs of a batch: the files that names, folders, patterns and lists stand for."""

from __future__ import annotations

import codecs
import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import click

from modelport.settings import check_encoding

STDIN = "-"
# A million long names. A device would never end.
LIST_LIMIT_BYTES = 256 << 20
# So many names that stand for nothing are told.
SHOWN_PROBLEMS = 5


@dataclass(frozen=True, slots=True)
class Input:
    """path: absolute. name: relative to the deepest folder that holds all inputs; results are called after it."""

    path: str
    name: str


@dataclass
class _Found:
    """paths: in the order given, each once. folders: that hold them."""

    paths: dict[str, None] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def add(self, path: str, folder: str = "") -> None:
        self.paths[path] = None
        self.folders.add(folder or os.path.dirname(path))


def expand(given: Sequence[str], lists: Sequence[str], output: str) -> list[Input]:
    """given: files, folders with all that is below them, patterns, or - for names on stdin. lists: files of names.

    What lies in the folder `output`, or is hidden, is no input, unless it is given by its own name. Raises
    click.UsageError for names that stand for nothing.
    """
    found = _Found()
    output = os.path.abspath(output)
    for each in given:
        for name in _read_names(STDIN) if each == STDIN else [each]:
            _add(found, name, output)
    for each in lists:
        for name in _read_names(each):
            _add(found, name, output)
    if found.problems:
        more = len(found.problems) - SHOWN_PROBLEMS
        told = "; ".join(found.problems[:SHOWN_PROBLEMS])
        raise click.UsageError(f"{told}; and {more} more" if more > 0 else told)
    if not found.paths:
        raise click.UsageError("there is no file to send: name files, folders, patterns, or - for names on stdin")
    root = os.path.commonpath(found.folders)
    return [Input(path, os.path.relpath(path, root)) for path in found.paths]


def _add(found: _Found, name: str, output: str) -> None:
    path = os.path.abspath(os.path.expanduser(name))
    if os.path.isdir(path):
        _add_folder(found, path, output)
    elif os.path.exists(path):
        _add_file(found, name, path)
    elif matches := sorted(glob.iglob(os.path.expanduser(name), recursive=True)) if glob.has_magic(name) else []:
        for match in map(os.path.abspath, matches):
            if os.path.isfile(match) and not _is_below(match, output):
                found.add(match)
    else:
        found.problems.append(f"nothing fits {name}" if glob.has_magic(name) else f"there is no file {name}")


def _add_file(found: _Found, name: str, path: str) -> None:
    # It is read twice, and its result is kept by what it holds: a pipe can be neither.
    if os.path.isfile(path):
        found.add(path)
    else:
        found.problems.append(f"{name} is not a regular file")


def _add_folder(found: _Found, folder: str, output: str) -> None:
    for path in _below(folder, output):
        found.add(path, folder)


def _below(folder: str, output: str) -> Iterator[str]:
    """Every visible file below, in the order of names."""
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(
            each for each in folders if not each.startswith(".") and not _is_below(os.path.join(here, each), output)
        )
        for name in [] if _is_below(here, output) else sorted(names):
            path = os.path.join(here, name)
            if not name.startswith(".") and os.path.isfile(path):
                yield path


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))


def _read_names(source: str) -> Iterable[str]:
    """One a line; where there are NULs, as `find -print0` makes them, they end the names. Raises click.UsageError."""
    try:
        if source == STDIN:
            data = sys.stdin.buffer.read(LIST_LIMIT_BYTES + 1)
        else:
            with open(source, "rb") as file:
                data = file.read(LIST_LIMIT_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"--from: {source}: {error.strerror}") from error
    if len(data) > LIST_LIMIT_BYTES:
        raise click.UsageError(f"--from: {source} is larger than {LIST_LIMIT_BYTES} bytes; is it a list of names?")
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        check_encoding(data[:3])  # only by its mark: after short names `find -print0` has zeros, too
    except ValueError as error:
        raise click.UsageError(f"--from: {source}: {error}") from error
    ending = b"\0" if b"\0" in data else b"\n"
    names = data.split(ending) if ending == b"\0" else [part.rstrip(b"\r") for part in data.split(ending)]
    return [os.fsdecode(name) for name in names if name.strip()]
