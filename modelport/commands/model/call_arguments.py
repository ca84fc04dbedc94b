"""The model's arguments on a command line: `--name value`, read by the card."""

from __future__ import annotations

import ast
import difflib
import mimetypes
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import click

from modelport.client.calls import CallArguments, CallFile
from modelport.contract.card import Argument, Card
from modelport.errors import InvalidArguments

TRUTHS = ("true", "false", "yes", "no", "on", "off", "1", "0")


def parse(tokens: Sequence[str], arguments: Sequence[Argument], others: list[str] | None = None) -> CallArguments:
    """`--name value`, `--name=value`, `--flag`, `--no-flag`, in any order; a list by repeating or as one literal.

    others: gets what stands between them, as in `a.png --count 2 --loud b.png`; then a boolean takes the next word only
    where that says yes or no. Raises click.UsageError for what is no argument, InvalidArguments for a file that cannot
    be read.
    """
    collected: dict[str, list[str]] = {}
    known = {argument.name: argument for argument in arguments}
    for argument, value in _pairs(tokens, arguments, others):
        collected.setdefault(argument.name, []).append(value)
    parsed, refused = CallArguments(), {}
    for name, texts in collected.items():
        argument = known[name]
        if len(texts) > 1 and not (argument.multiple or argument.type == "array"):
            raise click.UsageError(f"--{name} was given {len(texts)} times; it takes one value")
        if not argument.is_file:
            check_text(f"--{name}", texts)
            parsed.values[name] = texts if len(texts) > 1 else texts[0]
            continue
        paths = [Path(os.path.expanduser(path)) for text in texts for path in listed_paths(text, argument)]
        problems = [problem for path in paths if (problem := _problem(path))]
        if problems:
            refused[name] = problems
        parsed.files += [CallFile.of(argument, path) for path in paths]
    if refused:
        raise InvalidArguments("a file cannot be read", fields=refused)
    return parsed


def check_text(option: str, texts: Iterable[str]) -> None:
    """Raises click.UsageError for bytes of a command line that are not UTF-8: they cannot be sent as text."""
    for text in texts:
        if not text.isascii() and text.encode(errors="replace").decode() != text:
            raise click.UsageError(f"{option} is {os.fsencode(text)[:100]!r}, which is not valid UTF-8")


def named(
    tokens: Sequence[str], takes: Callable[[str, str], bool], others: list[str] | None = None
) -> Iterator[tuple[str, str | None]]:
    """(name, value) of `--name value` and `--name=value`; None: there is no value. takes(name, the next word): whether
    that is its value. others: gets what has no name. Raises click.UsageError."""
    words = list(tokens)
    while words:
        word = words.pop(0)
        name, equals, value = word[2:].partition("=")
        if not word.startswith("--"):
            if others is None:
                raise click.UsageError(f"unexpected {word!r}: arguments are given as --name value")
            others.append(word)
        elif equals:
            yield name, value
        else:
            yield name, words.pop(0) if words and takes(name, words[0]) else None


def _pairs(
    tokens: Sequence[str], arguments: Sequence[Argument], others: list[str] | None
) -> Iterator[tuple[Argument, str]]:
    def takes(name: str, word: str) -> bool:
        is_option = word.startswith("--") and _match(word[2:].partition("=")[0], arguments) is not None
        argument, negated = _find(name, arguments)
        is_file = others is not None and argument.type == "boolean" and word.lower() not in TRUTHS
        return not (is_option or negated or is_file)

    for name, value in named(tokens, takes, others):
        argument, negated = _find(name, arguments)
        if value is None and argument.type != "boolean":
            raise click.UsageError(f"--{argument.name} needs a value")
        yield argument, "false" if negated else value if value is not None else "true"


def _find(name: str, arguments: Sequence[Argument]) -> tuple[Argument, bool]:
    """The argument of this name, and whether `--no-…` denied it. Raises click.UsageError."""
    if (match := _match(name, arguments)) is not None:
        return match
    names = [argument.name for argument in arguments]
    near = difflib.get_close_matches(name, names, 1)
    hint = f"; did you mean --{near[0]}?" if near else f"; it has {', '.join(f'--{name}' for name in names) or 'none'}"
    raise click.UsageError(f"the model has no argument --{name}{hint}")


def _match(name: str, arguments: Sequence[Argument]) -> tuple[Argument, bool] | None:
    known = {argument.wire_name: argument for argument in arguments}
    known |= {argument.name: argument for argument in arguments}
    dashed = {argument.name.replace("_", "-"): argument for argument in arguments}
    written = name.replace("_", "-")
    if (argument := known.get(name) or dashed.get(written)) is not None:
        return argument, False
    argument = dashed.get(written.removeprefix("no-"))
    return (argument, True) if argument is not None and argument.type == "boolean" else None


# Files


def listed_paths(text: str, argument: Argument) -> list[str]:
    """One path, or several as a literal: "['a.png', 'b.png']"."""
    if argument.type == "array" and text.lstrip()[:1] in ("[", "(") and not Path(text).exists():
        try:
            value = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return [text]
        if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
            return list(value)
    return [text]


def _problem(path: Path) -> str:
    if os.path.isdir(path):
        return f"{path} is a folder, not a file."
    return "" if os.path.exists(path) else f"There is no file {path}."


# The media type of the answer


def choose_accept(card: Card, arguments: CallArguments, output: str | None) -> None:
    """Where nobody said which media type is wanted, the name of the output file says it, if the card offers that."""
    accept = card.accept
    if output is None or accept is None or accept.name in arguments.values:
        return
    media_type = mimetypes.guess_type(output)[0]
    if media_type is not None and any(_covers(answer_type, media_type) for answer_type in card.answer_types):
        arguments.values[accept.name] = media_type


def _covers(offered: str, media_type: str) -> bool:
    return offered == media_type or (
        offered.endswith("/*") and offered != "*/*" and media_type.startswith(offered[:-1])
    )
