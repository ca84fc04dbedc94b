"""A form made from a card: one field for each argument."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelport.contract.card import Argument, Card
from modelport.describe.curl import SAMPLES, media, plausible, sample
from modelport.frontends.dashboard.filters import DATES, limits

# Shorter text has one line.
LINE_CHARS = 80
FILES = ("file", "files")


@dataclass(frozen=True)
class Field:
    """How one argument is asked for.

    kind: text, area, password, date, number, range, choice, several, check, list, dict, any, file, files, answer.
    type: of a value; of a list, of each. value: what the field shows at first, as text. choices: as JSON has them.
    media: of a file: image, audio, video, text, or empty. sample: a file that fits; None where there is none.
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
    sample: Path | None

    @property
    def name(self) -> str:
        return self.argument.wire_name

    @property
    def has_default(self) -> bool:
        return self.argument.has_default and self.argument.default is not None

    @property
    def exemplified(self) -> bool:
        """Whether an example has something to put in: what is needed, and what the plugin has an example for."""
        if self.kind in FILES:
            return self.sample is not None
        return "example" in self.argument.metadata or (self.argument.required and not self.has_default)

    def told(self) -> dict[str, Any]:
        """What the scripts of the page need of it."""
        argument = self.argument
        told: dict[str, Any] = {"id": self.id, "name": self.name, "kind": self.kind, "type": self.type}
        if self.exemplified:
            sample = self.sample and {"name": self.sample.name, "path": str(self.sample)}
            told |= {"sample": sample} if sample else {"example": plausible(argument)}
        told |= {"choices": self.choices, "required": argument.required, "nullable": argument.nullable}
        return told | {"has_default": self.has_default, "default": argument.default}


def fields_of(card: Card, method: str = "predict", samples: Path = SAMPLES) -> list[Field]:
    """In the plugin's own order. samples: the folder with files for examples; it is looked at."""
    given = [argument for argument in card.arguments(method) if not argument.read_only]
    return [_field(f"a{number}", argument, card, samples) for number, argument in enumerate(given)]


def sample_of(argument: Argument, card: Card, samples: Path) -> Path | None:
    """The file that an example has for an argument: for those that are needed, or else for the first of all."""
    files = [each for each in card.predict_args if each.is_file]
    shown = [each for each in files if each.required] or files[:1]
    path = Path(sample(argument, card, samples)) if argument in shown else None
    return path if path is not None and path.is_file() else None


def _field(id: str, argument: Argument, card: Card, samples: Path) -> Field:
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
        sample=sample_of(argument, card, samples) if argument.is_file else None,
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
