"""The JSON body of an OSCAR call, made from a command line: no server and no card is asked.

A value says itself what it is: a number, true, false, null, a JSON list or object; the path of a file, which becomes
base64 in `oscar-files`; anything else is text.
"""

from __future__ import annotations

import asyncio
import binascii
import json
import math
import os
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from modelport.commands.model.call_arguments import check_text, named
from modelport.commands.shell.flags import key_value

OSCAR_FILES = "oscar-files"

# Read at once: a multiple of 3 bytes, so that the pieces' base64 put together is the file's.
READ_BYTES = 3 << 18

# What the front end takes for a suffix, and what a file without one of that form is called.
SUFFIX = re.compile(r"\.([A-Za-z0-9]{1,16})")
NO_SUFFIX = "bin"
FILE_NAME = re.compile(r"[\w./-]*\w\.[A-Za-z][A-Za-z0-9]{1,4}")
WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}


def collect(
    tokens: Sequence[str], texts: Iterable[str], files: Iterable[str]
) -> tuple[dict[str, list[Any]], list[str]]:
    """(the values of each argument, a file as a Path; what may not be meant, for people).

    tokens: `--name value`, `--name=value`, or a bare `--name`, which means true. texts: `key=text`, taken as it is.
    files: `key=path`. Raises click.UsageError.
    """
    arguments: dict[str, list[Any]] = {}
    doubts = []
    for name, text in named(tokens, lambda _, word: not word.startswith("--")):
        if not name:
            raise click.UsageError(f"{f'--={text}'!r} has no name: arguments are given as --name value")
        if name == OSCAR_FILES:
            raise click.UsageError(f"--{OSCAR_FILES} is made here: give a file as --argument path or --file key=path")
        value = True if text is None else typed(text)
        if isinstance(value, str) and _is_file(value):
            value = Path(os.path.expanduser(value))
        elif isinstance(value, str) and _looks_like_a_path(value):
            doubts.append(f"--{name}: there is no file {value}; it is sent as text")
        if not isinstance(value, Path):
            check_text(f"--{name}", [name, text or ""])
        arguments.setdefault(name, []).append(value)
    for pair in texts:
        name, text = _split(pair, "--text", "KEY=TEXT")
        check_text("--text", [pair])
        arguments.setdefault(name, []).append(text)
    for file in files:
        name, text = _split(file, "--file", "KEY=PATH")
        arguments.setdefault(name, []).append(_readable(Path(os.path.expanduser(text))))
    for name, values in arguments.items():
        if len({isinstance(value, Path) for value in values}) > 1:
            raise click.UsageError(f"--{name} is given files and other values: {values[0]} … {values[-1]}")
    return arguments, doubts


def _split(text: str, option: str, form: str) -> tuple[str, str]:
    key, value = key_value(option, text, form)
    if key == OSCAR_FILES:
        raise click.UsageError(f"{option}: {OSCAR_FILES} is the body's own name for files; give the argument's name")
    return key, value


def typed(text: str) -> Any:
    """The number, boolean, null, list or object that the text is; else the text."""
    word = text.strip()
    if word in WORDS:
        return WORDS[word]
    try:
        value = json.loads(word, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        return text
    # "5" in quotes is text either way; --text says so more plainly.
    return text if isinstance(value, str) else value


def _finite(text: str) -> float:
    """Also of NaN and Infinity, which are not JSON. Raises ValueError."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a number of JSON")
    return value


def _is_file(text: str) -> bool:
    return os.path.isfile(os.path.expanduser(text))


def _looks_like_a_path(text: str) -> bool:
    """`images/bear.jpg`, `bear.jpg`, but not a sentence or an address."""
    if "://" in text or len(text) > 255 or re.search(r"\s", text):
        return False
    return text.startswith(("./", "../", "/", "~/")) or bool(FILE_NAME.fullmatch(text))


def _readable(path: Path) -> Path:
    if os.path.isdir(path):
        raise click.UsageError(f"--file: {path} is a folder, not a file")
    if not os.path.exists(path):
        raise click.UsageError(f"--file: there is no file {path}")
    return path


# Writing


async def body(arguments: dict[str, list[Any]]) -> AsyncIterator[bytes]:
    """The JSON object in pieces; a file is never in memory as a whole. Raises OSError.

    A repeated argument is a list; a repeated file is several files for one argument.
    """
    files = [(name, value) for name, values in arguments.items() for value in values if isinstance(value, Path)]
    others = {name: values for name, values in arguments.items() if not isinstance(values[0], Path)}
    plain = {name: values if len(values) > 1 else values[0] for name, values in others.items()}
    head = json.dumps(plain, ensure_ascii=False, allow_nan=False).encode()
    if not files:
        yield head
        return
    yield head[:-1] + (b", " if plain else b"") + f'"{OSCAR_FILES}": ['.encode()
    for number, (name, path) in enumerate(files):
        suffix = SUFFIX.fullmatch(path.suffix)
        entry = json.dumps({"key": name, "file_format": suffix[1] if suffix else NO_SUFFIX})
        yield (", " if number else "").encode() + entry[:-1].encode() + b', "data": "'
        async for piece in _base64(path):
            yield piece
        yield b'"}'
    yield b"]}"


async def _base64(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb", buffering=READ_BYTES) as file:  # a full piece at a time, also from a pipe
        while piece := await asyncio.to_thread(file.read, READ_BYTES):
            yield binascii.b2a_base64(piece, newline=False)
