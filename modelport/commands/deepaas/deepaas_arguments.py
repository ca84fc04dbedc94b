"""The arguments of one method on deepaas-cli's command line, as the card has them."""

from __future__ import annotations

import argparse
import ast
import mimetypes
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelport.client.calls import CallArguments, CallFile
from modelport.commands.model.call_arguments import listed_paths
from modelport.contract.card import Argument, Card
from modelport.contract.visible import visible
from modelport.describe.helptext import help_text

# What the original takes for a true Boolean, in any case. What else is true or false, the model's field knows.
TRUE = ("yes", "true", "t", "1")
# How `UploadedFile.name` reads on the command line, whatever the argument is called.
PART_NAME = "data"


def read(prog: str, card: Card, method: str, argv: Sequence[str]) -> CallArguments:
    """The method's arguments; what was not given is absent. Ends the program on a mistake, and after --help."""
    arguments = card.arguments(method) if method in ("predict", "train") else []
    parsed = vars(_parser(prog, card, method, arguments).parse_args(list(argv)))
    call_arguments = CallArguments()
    for number, argument in enumerate(arguments):
        texts: list[str] = parsed.get(_destination(number), [])
        if argument.is_file:
            # An empty path is no path: platform scripts write every argument there is.
            paths = [path for text in texts for path in listed_paths(text, argument) if path]
            call_arguments.files += [
                _file(argument, path) for path in (paths if argument.type == "array" else paths[-1:])
            ]
        elif texts:
            call_arguments.values[argument.name] = _raw(argument, texts[-1])
    return call_arguments


def _parser(prog: str, card: Card, method: str, arguments: Sequence[Argument]) -> argparse.ArgumentParser:
    prog = f"{prog} {method}"
    help = ""
    if arguments:
        help = help_text(card, prog=prog, method=method, width=shutil.get_terminal_size().columns)

    # The usage of the help text: argparse fails on some names when it lays out its own.
    usage = help.partition("\n\n")[0].removeprefix("usage: ").replace("%", "%%")
    # "resolve": a model's argument may be called help.
    parser = argparse.ArgumentParser(prog, usage or None, conflict_handler="resolve")
    if help:
        parser.format_help = lambda: visible(help)  # type: ignore[method-assign]
    for number, argument in enumerate(arguments):
        parser.add_argument(
            f"--{argument.name}",
            dest=_destination(number),
            action="append",
            default=argparse.SUPPRESS,
            required=argument.required,
        )
    return parser


def _destination(number: int) -> str:
    return f"argument_{number}"  # any text may be an argument's name; this is none of Python's attributes


def _file(argument: Argument, path: str) -> CallFile:
    # None where the ending is unknown: models test for it.
    return CallFile(replace(argument, wire_name=PART_NAME), Path(path), path, mimetypes.guess_type(path)[0])


def _raw(argument: Argument, text: str) -> Any:
    """What the worker's field is to read; it takes lists and dicts as text, too."""
    if argument.type == "boolean" and text.lower() in TRUE:
        return True
    if argument.type in ("array", "object") and argument.nullable and text == "None":
        return None
    return _unbracketed(text) if argument.type == "array" else text


def _unbracketed(text: str) -> Any:
    """`1,2` is a list as well: Python reads it as one, and so does the original."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return list(value) if isinstance(value, tuple) else text
