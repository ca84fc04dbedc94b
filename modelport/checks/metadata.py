"""`ai4-metadata.yml` with the lines of its values, and what its schema refuses, said for people."""

from __future__ import annotations

import datetime
import difflib
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from modelport.catalogue import about
from modelport.checks.schema import FORMER, NEWEST, VERSIONS, known_names, schema

if TYPE_CHECKING:
    from jsonschema import ValidationError

Path = tuple[Any, ...]
Wrong = tuple[str, int]  # what is wrong, and in which line

TYPES = {
    "string": "text",
    "array": "a list",
    "object": "a mapping of names to values",
    "integer": "a whole number",
    "number": "a number",
}


@dataclass(frozen=True)
class Document:
    """A file, read. failure: why it cannot be; then `value` is None. lines: by path, from 1. repeated: keys, lines."""

    value: Any = None
    failure: Wrong | None = None
    lines: Mapping[Path, int] = field(default_factory=dict)
    repeated: tuple[Wrong, ...] = ()

    def line(self, path: Sequence[Any]) -> int:
        """Of the value there, or of the nearest that surrounds it."""
        place = tuple(path)
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def get(self, *path: str) -> Any:
        """The value there; None where there is none."""
        value = self.value
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value


def read(text: str) -> Document:
    try:
        about.check_shape(text)
        loader = about.LOADER(text)
        node = loader.get_single_node()
        lines: dict[Path, int] = {}
        repeated = tuple(_walk(node, (), lines))
        return Document(loader.construct_document(node) if node is not None else None, None, lines, repeated)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        told = getattr(error, "problem", None) or str(error)
        return Document(failure=(f"it is not valid YAML: {told}", mark.line + 1 if mark is not None else 1))


def _walk(node: Any, path: Path, lines: dict[Path, int]) -> Iterator[Wrong]:
    """Fills `lines`; yields the keys that are there twice, of which the last counts."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            place = (*path, str(key.value))
            line = key.start_mark.line + 1
            if place in lines:
                yield f"{_named(place)} is there twice, first in line {lines[place]}; remove one", line
            lines[place] = line
            yield from _walk(value, place, lines)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            lines[(*path, number)] = value.start_mark.line + 1
            yield from _walk(value, (*path, number), lines)


def refusals(document: Document) -> list[Wrong]:
    """What the schemas refuse. What only one of them refuses names it."""
    versions: dict[Wrong, list[str]] = {}
    for version in VERSIONS:
        for error in _validator(version).iter_errors(document.value):
            told = versions.setdefault((_sentence(error), document.line(error.absolute_path)), [])
            if version not in told:
                told.append(version)
    return sorted(
        (
            (message if len(told) == len(VERSIONS) else f"{message} (schema {', '.join(told)})", line)
            for (message, line), told in versions.items()
        ),
        key=lambda wrong: wrong[1],
    )


@functools.cache
def _validator(version: str) -> Any:
    from jsonschema import Draft202012Validator  # 100 ms, which no other command need wait for

    return Draft202012Validator(schema(version))


def _sentence(error: ValidationError) -> str:
    name = _named(error.absolute_path)
    value: Any = error.instance
    said: Any = error.validator_value
    if error.validator == "required":
        missing = ", ".join(word for word in said if word not in value)
        return f"{name} has no {missing}" if error.absolute_path else f"missing: {missing}"
    if error.validator == "type":
        return f"{name} is {_kind(value)}; it must be {TYPES[str(said)]}{_quoting(value, str(said))}"
    if error.validator == "enum":
        return f"{name} is {value!r}; {_instead(str(value), said)}"
    if error.validator == "uniqueItems":
        twice = sorted({str(item) for item in value if value.count(item) > 1})
        return f"{name} has {', '.join(twice)} more than once; remove the repetition"
    if error.validator == "minimum":
        return f"{name} is {value}; give {said} or more"
    if error.validator == "pattern":
        return f"{name} is {value!r}; give three numbers such as {NEWEST}"
    instead = FORMER[str(error.absolute_path[-1])]  # no value is allowed there
    return f"{name} belongs to version 1 of the schema; " + (f"write it as {instead}" if instead else "remove it")


def _kind(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return f"{str(value).lower()}, which is true or false"
    if isinstance(value, datetime.date):
        return f"{value}, which YAML reads as a date"
    if isinstance(value, (int, float)):
        return f"{value}, which is a number"
    return "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list) else f"the text {value!r}"


def _quoting(value: Any, text: str) -> str:
    if text == "string" and isinstance(value, (datetime.date, int, float)):
        return f": write it in quotes, '{value}'"
    return ": write [] if there is none" if text == "array" and value is None else ""


def _instead(value: str, allowed: Iterable[str]) -> str:
    allowed = list(allowed)
    best = nearest(value, allowed)
    return f"did you mean {best!r}?" if best else f"give one of {', '.join(allowed)}"


def nearest(value: str, names: Iterable[str]) -> str | None:
    """The name that was most likely meant."""
    folded = {name.casefold(): name for name in names}
    # `memory` for memory_MB: the beginning counts, too.
    begun = [name for key, name in folded.items() if len(value) > 2 and key.startswith(value.casefold() + "_")]
    close = difflib.get_close_matches(value.casefold(), folded, n=1, cutoff=0.75)
    return folded[close[0]] if close else begun[0] if begun else None


def unknown(document: Document) -> Iterator[Wrong]:
    """Names that no schema has, next to one that it has: both schemas let them pass unseen."""
    for path in ((), ("links",), ("dates",), ("resources",), ("resources", "inference"), ("resources", "training")):
        value = document.get(*path)
        names = known_names(path)
        for name in value if isinstance(value, dict) else ():
            if name not in names and name not in FORMER and (best := nearest(str(name), names)):
                yield f"{_named((*path, name))} is not a known name; did you mean {best}?", document.line((*path, name))


def _named(path: Iterable[Any]) -> str:
    """`resources.inference.cpu`, `tags[2]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "the file"
