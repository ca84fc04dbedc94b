"""A card as text for people."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterator
from typing import Any

import click

from modelport.contract.card import Argument, Card
from modelport.contract.visible import visible

WIDTH_LIMIT = 110
# Shown in the first lines; the rest of the metadata follows.
HEAD = ("name", "version", "summary", "description")


def print_card(card: Card, module: str) -> None:
    click.echo("\n".join(_lines(card, module, min(shutil.get_terminal_size().columns, WIDTH_LIMIT))))


def _lines(card: Card, module: str, width: int) -> Iterator[str]:
    metadata = card.metadata
    yield _bold(" ".join(str(word) for word in (metadata.get("name", card.name), metadata.get("version")) if word))
    for text in dict.fromkeys(str(metadata[key]) for key in ("summary", "description") if metadata.get(key)):
        yield from _wrapped(text, width, "  ")
    if card.metadata_error:
        yield from _wrapped(f"get_metadata fails: {card.metadata_error}", width, "  ")
    rows = [(key, _plain(value)) for key, value in metadata.items() if key not in HEAD and value not in (None, "", [])]
    rows += [("from", card.origin)] if card.origin else []
    rows += [("functions", ", ".join(card.capabilities))]
    if card.answer_types:
        types = [f"{type} (default)" if type == card.default_answer_type else type for type in card.answer_types]
        rows.append(("answers", ", ".join(types)))
    yield ""
    yield from _table(rows, width)
    for method in ("predict", "train"):
        if method in card.capabilities:
            yield ""
            yield _bold(f"modelport {method} {module} …")
            yield from _arguments(card.arguments(method), width)
    if card.answer_schema is not None:
        yield ""
        yield _bold("JSON answer" + (", a list of" if card.answer_schema.many else ""))
        yield from _table([(field.wire_name, _joined(field)) for field in card.answer_schema.fields], width)
    for warning in card.warnings:
        yield ""
        yield from _wrapped(f"Note: {warning}", width, "")


def _arguments(arguments: list[Argument], width: int) -> Iterator[str]:
    if not arguments:
        yield "  no arguments"
    yield from _table([(f"--{argument.name}", _joined(argument)) for argument in arguments], width)


def _joined(argument: Argument) -> str:
    facts = "; ".join(_facts(argument))
    text = " ".join(argument.description.split())
    return f"{facts}. {text}" if text else facts


def _facts(argument: Argument) -> Iterator[str]:
    yield _type(argument)
    if argument.choices is not None:
        yield "one of " + ", ".join(_plain(choice) for choice in argument.choices)
    limits = _limits(argument)
    if limits:
        yield limits
    if argument.required:
        yield "required"
    elif argument.has_default and argument.default is not None:
        yield f"default {_plain(argument.default)}"


def _type(argument: Argument) -> str:
    if argument.type == "array":
        return f"list of {_type(argument.item) if argument.item else 'any'}"
    return f"{argument.type} ({argument.format})" if argument.format else argument.type


def _limits(argument: Argument) -> str:
    bounds = (
        ("more than" if argument.exclusive_minimum else "at least", argument.minimum),
        ("less than" if argument.exclusive_maximum else "at most", argument.maximum),
    )
    return ", ".join(f"{words} {_plain(bound)}" for words, bound in bounds if bound is not None)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _table(rows: list[tuple[str, str]], width: int) -> Iterator[str]:
    left = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        yield from _wrapped(text, width, " " * (left + 4), first=f"  {name:<{left}}  ")


def _wrapped(text: str, width: int, indent: str, first: str | None = None) -> list[str]:
    first = indent if first is None else first
    one_line = visible(" ".join(text.split()))
    lines = textwrap.wrap(one_line, max(width, 40), initial_indent=visible(first), subsequent_indent=indent)
    return lines or [visible(first.rstrip())]


def _bold(text: str) -> str:
    return click.style(visible(text), bold=True)
