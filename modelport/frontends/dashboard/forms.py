"""A form made from a card: one field for each argument."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from modelport.contract.card import Argument, Card
from modelport.describe.examples import media
from modelport.frontends.dashboard.filters import DATES, limits

# Shorter text has one line.
LINE_CHARS = 80
FILES = ("file", "files")


@dataclass(frozen=True)
class Field:
    """How one argument is asked for.

    kind: text, area, password, date, number, range, choice, several, check, list, dict, any, file, files, answer.
    type: of a value; of a list, of each. value: what the field shows at first, as text. choices: as JSON has them.
    media: of a file: image, audio, video, text, or empty.
    """

    id: str
    kind: str
    type: str
    argument: Argument
    value: str
    limits: str
    choices: list[Any]
    media: str
    step: str

    @property
    def name(self) -> str:
        return self.argument.wire_name

    @property
    def has_default(self) -> bool:
        return self.argument.has_default and self.argument.default is not None

    @property
    def told(self) -> dict[str, Any]:
        """What the scripts of the page need of it."""
        argument = self.argument
        told: dict[str, Any] = {"id": self.id, "name": self.name, "kind": self.kind, "type": self.type}
        told |= {"choices": self.choices, "required": argument.required, "nullable": argument.nullable}
        return told | {"has_default": self.has_default, "default": argument.default}


def fields_of(card: Card, method: str = "predict") -> list[Field]:
    """In the plugin's own order."""
    arguments = [argument for argument in card.arguments(method) if not argument.read_only]
    return [_field(f"a{number}", argument, card) for number, argument in enumerate(arguments)]


def _field(id: str, argument: Argument, card: Card) -> Field:
    kind = _kind(argument, card)
    inner = argument.item if kind in ("list", "several") and argument.item is not None else argument
    return Field(
        id=id,
        kind=kind,
        type=inner.type,
        argument=argument,
        value=_shown(argument, kind),
        limits="" if kind in ("choice", "answer", "several") else limits(inner),
        choices=list(card.answer_types if kind == "answer" else inner.choices or []),
        media=(media(argument) or "") if argument.is_file else "",
        step="1" if argument.type == "integer" else _step(argument),
    )


def _kind(argument: Argument, card: Card) -> str:
    if argument is card.accept and card.answer_types:
        return "answer"
    if argument.is_file:
        return "files" if argument.type == "array" else "file"
    if argument.type == "array":
        return "several" if argument.item is not None and argument.item.choices else "list"
    if argument.choices:
        return "choice"
    if argument.type in ("integer", "number"):
        bounded = _is_number(argument.minimum) and _is_number(argument.maximum)
        return "range" if bounded and argument.default is not None else "number"
    return {"boolean": "check", "object": "dict", "any": "any"}.get(argument.type) or _kind_of_text(argument)


def _kind_of_text(argument: Argument) -> str:
    if argument.format == "password":
        return "password"
    if argument.format in DATES and not argument.has_default:
        return "date"
    return "text" if argument.format or (argument.max_length or LINE_CHARS + 1) <= LINE_CHARS else "area"


def _step(argument: Argument) -> str:
    """A slider's: a hundred steps from end to end, in ones, twos or fives."""
    if not (_is_number(argument.minimum) and _is_number(argument.maximum)):
        return "any"
    span = float(argument.maximum) - float(argument.minimum)
    return f"{10 ** (len(str(int(span))) - 3):g}" if span >= 1 else "0.01"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _shown(argument: Argument, kind: str) -> str:
    if argument.default is None or kind in FILES:
        return ""
    if isinstance(argument.default, str):
        return argument.default
    return json.dumps(argument.default, ensure_ascii=False)
