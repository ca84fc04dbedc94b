"""A form made from a card: one field for each argument."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from modelport.contract.card import Argument, Card
from modelport.describe.curl import media
from modelport.frontends.dashboard.marketplace import limits

# Longer text gets more lines.
LINE_CHARS = 80
DATES = {"date": "date", "time": "time", "date-time": "datetime-local"}
# What the file chooser offers first.
ACCEPTED = {"image": "image/*", "audio": "audio/*", "video": "video/*"}


@dataclass(frozen=True)
class Field:
    """How one argument is asked for.

    kind: text, area, password, date, number, range, choice, several, check, list, dict, any, file, files, answer.
    default: as JSON has it; only where `has_default`. value: what the field shows at first, as text.
    """

    id: str
    name: str
    kind: str
    type: str
    label: str
    help: str = ""
    limits: str = ""
    required: bool = False
    nullable: bool = False
    has_default: bool = False
    default: Any = None
    value: str = ""
    minimum: Any = None
    maximum: Any = None
    step: str = "any"
    choices: list[Any] = field(default_factory=list)
    media: str = ""  # of a file: image, audio, video, text, or empty
    accepted: str = ""
    input: str = "text"

    def told(self) -> dict[str, Any]:
        """What the scripts of the page need of it."""
        names = ("id", "name", "kind", "type", "required", "nullable", "has_default", "default", "choices")
        return {name: getattr(self, name) for name in names}


def fields_of(card: Card, method: str = "predict") -> list[Field]:
    """Those that must be given first, then files, then the others, each as the plugin orders them."""
    given = [argument for argument in card.arguments(method) if not argument.read_only]
    fields = [_field(f"a{number}", each, card) for number, each in enumerate(given)]
    return sorted(
        fields, key=lambda each: (not each.required, each.kind not in ("file", "files"), each.kind == "answer")
    )


def _field(id: str, argument: Argument, card: Card) -> Field:
    kind = _kind(argument, card)
    kind_of_file = (media(argument) or "") if argument.is_file else ""
    value = _shown(argument, kind)
    choices = list(card.answer_types) if kind == "answer" else list(argument.choices or [])
    if kind == "several":
        assert argument.item is not None
        choices = list(argument.item.choices or [])
    return Field(
        id=id,
        name=argument.wire_name,
        kind=kind,
        type=argument.item.type if kind in ("list", "several") and argument.item is not None else argument.type,
        label=argument.wire_name,
        help=argument.description,
        limits=_limits(argument, kind),
        required=argument.required,
        nullable=argument.nullable,
        has_default=argument.has_default and argument.default is not None,
        default=argument.default,
        value=value,
        minimum=argument.minimum,
        maximum=argument.maximum,
        step="1" if argument.type == "integer" else _step(argument),
        choices=choices,
        media=kind_of_file,
        accepted=ACCEPTED.get(kind_of_file, ""),
        input=DATES.get(argument.format or "", "text"),
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
    shown = str(argument.default or "")
    return "area" if "\n" in shown or len(shown) > LINE_CHARS or (argument.max_length or 0) > 500 else "text"


def _limits(argument: Argument, kind: str) -> str:
    if kind in ("choice", "answer", "several"):
        return ""
    return limits(argument.item if kind == "list" and argument.item is not None else argument)


def _step(argument: Argument) -> str:
    """A slider's: a hundred steps from end to end, in ones, twos or fives."""
    if not (_is_number(argument.minimum) and _is_number(argument.maximum)):
        return "any"
    span = float(argument.maximum) - float(argument.minimum)
    return f"{10 ** (len(str(int(span))) - 3):g}" if span >= 1 else "0.01"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _shown(argument: Argument, kind: str) -> str:
    if argument.default is None or kind in ("file", "files"):
        return ""
    if isinstance(argument.default, str):
        return argument.default
    return json.dumps(argument.default, ensure_ascii=False)
