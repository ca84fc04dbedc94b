"""A card as text for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from modelport.contract.card import Argument, Card
from modelport.contract.visible import visible

WIDTH_LIMIT = 110
# Shown in the first lines; the rest of the metadata follows.
HEAD = ("name", "version", "summary", "description")


def print_card(card: Card, module: str) -> None:
    page = click.HelpFormatter(max_width=WIDTH_LIMIT)
    metadata = card.metadata
    head = " ".join(str(word) for word in (metadata.get("name", card.name), metadata.get("version")) if word)
    page.write(f"{_bold(head)}\n")
    for text in dict.fromkeys(str(metadata[key]) for key in ("summary", "description") if metadata.get(key)):
        _write(page, text, "  ")
    if card.metadata_error:
        _write(page, f"get_metadata fails: {card.metadata_error}", "  ")
    rows = [(key, _plain(value)) for key, value in metadata.items() if key not in HEAD and value not in (None, "", [])]
    rows += [("from", card.origin)] if card.origin else []
    rows += [("functions", ", ".join(card.capabilities))]
    if card.answer_types:
        types = [f"{type} (default)" if type == card.default_answer_type else type for type in card.answer_types]
        rows.append(("answers", ", ".join(types)))
    _write_rows(page, "", rows)
    for method in ("predict", "train"):
        if method in card.capabilities:
            rows = [(f"--{argument.name}", _joined(argument)) for argument in card.arguments(method)]
            _write_rows(page, f"modelport {method} {module} …", rows or [("no arguments", "")])
    if (schema := card.answer_schema) is not None:
        title = "JSON answer, a list of" if schema.many else "JSON answer"
        _write_rows(page, title, [(field.wire_name, _joined(field)) for field in schema.fields])
    for warning in card.warnings:
        page.write("\n")
        _write(page, f"Note: {warning}")
    click.echo(page.getvalue(), nl=False)


def _write(page: click.HelpFormatter, text: str, indent: str = "") -> None:
    page.write(f"{click.wrap_text(_line(text), page.width, indent, indent)}\n")


def _write_rows(page: click.HelpFormatter, title: str, rows: list[tuple[str, str]]) -> None:
    page.write(f"\n{_bold(title)}\n" if title else "\n")
    with page.indentation():
        if rows:
            page.write_dl([(_line(name), _line(text)) for name, text in rows])


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


def _line(text: str) -> str:
    return visible(" ".join(text.split()))


def _bold(text: str) -> str:
    return click.style(visible(text), bold=True)
