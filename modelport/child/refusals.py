"""What fields refuse: marshmallow's messages as they are, and one sentence for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from modelport.child.fields import library
from modelport.contract.card import Argument
from modelport.errors import InvalidArguments

SHOWN_CHARS = 60
SHOWN_CHOICES = 20
SHOWN_MESSAGES = 20


class Refused(ValueError):
    """A refusal of ours, where no marshmallow need be at hand."""


def classes(fields: Iterable[Any]) -> tuple[type[Exception], ...]:
    """The exceptions by which these fields refuse a value.

    ValueError too: a plugin's own field that reads JSON, a number or a date and catches nothing speaks of the value.
    """
    found: list[type[Exception]] = [ValueError]
    for field in fields:
        error = getattr(library(field), "ValidationError", None)
        if error is not None and error not in found:
            found.append(error)
    return tuple(found)


def messages(error: Exception) -> Any:
    """marshmallow's messages as plain data; index keys as text."""
    found = getattr(error, "messages", None)
    if found is None:
        text = str(error)
        found = [text if isinstance(error, Refused) else f"Not a valid value: {text}."]
    return _plain(found)


def _plain(found: Any) -> Any:
    if isinstance(found, Mapping):
        return {str(key): _plain(each) for key, each in found.items()}
    if isinstance(found, (list, tuple)):
        return [_plain(each) for each in found]
    return str(found)


def invalid(arguments: Sequence[Argument], refused: Mapping[str, Any], given: Mapping[str, Any]) -> InvalidArguments:
    """refused, given: by wire name. The sentence names each argument, what was given and what is allowed."""
    by_wire = {argument.wire_name: argument for argument in arguments}
    parts = [
        part
        for wire, found in refused.items()
        for part in _parts(wire, found, by_wire.get(wire), given.get(wire, _ABSENT))
    ]
    if len(parts) > SHOWN_MESSAGES:
        parts = [*parts[:SHOWN_MESSAGES], f"and {len(parts) - SHOWN_MESSAGES} more"]
    return InvalidArguments("; ".join(parts) + ".", fields=refused)


_ABSENT = object()


def sentence(found: Any, name: str = "") -> str:
    """All of marshmallow's messages in one line."""
    return "; ".join(_parts(name, _plain(found), None, _ABSENT)) + "."


def _parts(name: str, found: Any, argument: Argument | None, given: Any) -> list[str]:
    if isinstance(found, Mapping):
        parts = []
        for key, each in found.items():
            within, value = _step(name, key, given)
            parts += _parts(within, each, _inner(argument, key), value)
        return parts
    texts = [str(each) for each in found] if isinstance(found, list) else [str(found)]
    text = ", ".join(each.strip().rstrip(".") for each in texts)
    hint = _hint(text, argument, given)
    return [f"{name}: {text}{hint}" if name else text + hint]


def _step(name: str, key: str, given: Any) -> tuple[str, Any]:
    """One level down: a list's index, an object's key; "_schema" is the object itself."""
    if key == "_schema":
        return name, given
    if isinstance(given, (list, tuple)) and key.isdigit() and int(key) < len(given):
        return f"{name}[{key}]", given[int(key)]
    if isinstance(given, Mapping):
        return f"{name}.{key}" if name else key, given.get(key, _ABSENT)
    return f"{name}[{key}]" if key.isdigit() else (f"{name}.{key}" if name else key), _ABSENT


def _inner(argument: Argument | None, key: str) -> Argument | None:
    if argument is None or key == "_schema":
        return argument
    if key.isdigit() and argument.item is not None:
        return argument.item
    return next((each for each in argument.properties or () if each.wire_name == key), None)


def _hint(text: str, argument: Argument | None, given: Any) -> str:
    hints = []
    if given is not _ABSENT and (argument is None or argument.format != "password"):
        hints.append(f"given {_shown(given)}")
    allowed = "" if argument is None or "ust be" in text else _allowed(argument)
    if allowed:
        hints.append(allowed)
    return f" ({'; '.join(hints)})" if hints else ""


def _shown(given: Any) -> str:
    """A file by the client's name for it, never by its path."""
    if hasattr(given, "original_filename"):
        return f"the file {str(given.original_filename)[:SHOWN_CHARS]!r}"
    if isinstance(given, str):
        return repr(given if len(given) <= SHOWN_CHARS else given[:SHOWN_CHARS] + "…")
    if isinstance(given, (list, tuple)) and any(hasattr(each, "original_filename") for each in given):
        return f"{len(given)} files"
    text = repr(given)
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "…"


def _allowed(argument: Argument) -> str:
    if argument.choices and len(argument.choices) <= SHOWN_CHOICES:
        return "allowed: " + ", ".join(str(choice) for choice in argument.choices)
    low, high = argument.minimum, argument.maximum
    if low is not None and high is not None:
        return f"allowed: {low} to {high}"
    if low is not None or high is not None:
        return f"allowed: {low} or more" if high is None else f"allowed: {high} or less"
    if argument.type == "object":
        return 'give a JSON object such as {"key": "value"}'
    if argument.type == "array":
        return "give a list such as [1, 2]"
    return ""
