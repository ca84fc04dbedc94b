"""The inputs of a batch: the files that names, folders, patterns and lists stand for."""

from __future__ import annotations

import codecs
import contextlib
import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

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


def expand(sources: Sequence[str], lists: Sequence[str], output: str) -> list[Input]:
    """sources: files, folders with all that is below them, patterns, or - for names on stdin. lists: files of names.

    What lies in the folder `output`, or is hidden, is no input, unless it is given by its own name. Raises
    click.UsageError for names that stand for nothing.
    """
    names = [name for path in sources for name in (_read_names(STDIN) if path == STDIN else [path])]
    names += [name for path in lists for name in _read_names(path)]
    paths: dict[str, str] = {}  # each once, in the order given, with a folder that holds it
    problems = []
    for name in names:
        try:
            for path, folder in _inputs(name, os.path.abspath(output)):
                paths[path] = min(paths.get(path, folder), folder, key=len)
        except LookupError as error:
            problems.append(error.args[0])
    if problems:
        more = len(problems) - SHOWN_PROBLEMS
        told = "; ".join(problems[:SHOWN_PROBLEMS])
        raise click.UsageError(f"{told}; and {more} more" if more > 0 else told)
    if not paths:
        raise click.UsageError("there is no file to send: name files, folders, patterns, or - for names on stdin")
    root = os.path.commonpath(set(paths.values()))
    return [Input(path, os.path.relpath(path, root)) for path in paths]


def _inputs(name: str, output: str) -> Iterator[tuple[str, str]]:
    """(path, a folder that holds it). Raises LookupError, which says what is wrong."""
    path = os.path.abspath(os.path.expanduser(name))
    matches = [path]
    if os.path.isdir(path):
        yield from ((below, path) for below in _below(path, output))
        return
    if not os.path.exists(path):
        if not glob.has_magic(name):
            raise LookupError(f"there is no file {name}")
        matches = [os.path.abspath(match) for match in sorted(glob.iglob(os.path.expanduser(name), recursive=True))]
        if not matches:
            raise LookupError(f"nothing fits {name}")
        matches = [match for match in matches if os.path.isfile(match) and not _is_below(match, output)]
    elif not os.path.isfile(path):
        # It is read twice, and its result is kept by what it holds: a pipe can be neither.
        raise LookupError(f"{name} is not a regular file")
    yield from ((match, os.path.dirname(match)) for match in matches)


def _below(folder: str, output: str) -> Iterator[str]:
    """Every visible file below, in the order of names."""
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(
            folder
            for folder in folders
            if not folder.startswith(".") and not _is_below(os.path.join(here, folder), output)
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
        with contextlib.nullcontext(sys.stdin.buffer) if source == STDIN else open(source, "rb") as file:
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
