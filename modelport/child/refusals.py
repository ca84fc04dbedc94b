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
    kinds: list[type[Exception]] = [ValueError]
    for field in fields:
        error = getattr(library(field), "ValidationError", None)
        if error is not None and error not in kinds:
            kinds.append(error)
    return tuple(kinds)


def messages(error: Exception) -> Any:
    """marshmallow's messages as plain data; index keys as text."""
    told = getattr(error, "messages", None)
    if told is None:
        text = str(error)
        told = [text if isinstance(error, Refused) else f"Not a valid value: {text}."]
    return _plain(told)


def _plain(messages: Any) -> Any:
    if isinstance(messages, Mapping):
        return {str(key): _plain(item) for key, item in messages.items()}
    if isinstance(messages, (list, tuple)):
        return [_plain(item) for item in messages]
    return str(messages)


def invalid(arguments: Sequence[Argument], refused: Mapping[str, Any], sent: Mapping[str, Any]) -> InvalidArguments:
    """refused, sent: by wire name. The sentence names each argument, what was given and what is allowed."""
    by_wire = {argument.wire_name: argument for argument in arguments}
    parts = [
        part
        for wire, messages in refused.items()
        for part in _parts(wire, messages, by_wire.get(wire), sent.get(wire, _ABSENT))
    ]
    if len(parts) > SHOWN_MESSAGES:
        parts = [*parts[:SHOWN_MESSAGES], f"and {len(parts) - SHOWN_MESSAGES} more"]
    return InvalidArguments("; ".join(parts) + ".", fields=refused)


_ABSENT = object()


def sentence(messages: Any, name: str = "") -> str:
    """All of marshmallow's messages in one line."""
    return "; ".join(_parts(name, _plain(messages), None, _ABSENT)) + "."


def _parts(name: str, messages: Any, argument: Argument | None, sent: Any) -> list[str]:
    if isinstance(messages, Mapping):
        parts = []
        for key, inner in messages.items():
            within, value = _step(name, key, sent)
            parts += _parts(within, inner, _inner(argument, key), value)
        return parts
    texts = [str(message) for message in messages] if isinstance(messages, list) else [str(messages)]
    text = ", ".join(message.strip().rstrip(".") for message in texts)
    hint = _hint(text, argument, sent)
    return [f"{name}: {text}{hint}" if name else text + hint]


def _step(name: str, key: str, value: Any) -> tuple[str, Any]:
    """One level down: a list's index, an object's key; "_schema" is the object itself."""
    if key == "_schema":
        return name, value
    if isinstance(value, (list, tuple)) and key.isdigit() and int(key) < len(value):
        return f"{name}[{key}]", value[int(key)]
    if isinstance(value, Mapping):
        return f"{name}.{key}" if name else key, value.get(key, _ABSENT)
    return f"{name}[{key}]" if key.isdigit() else (f"{name}.{key}" if name else key), _ABSENT


def _inner(argument: Argument | None, key: str) -> Argument | None:
    if argument is None or key == "_schema":
        return argument
    if key.isdigit() and argument.item is not None:
        return argument.item
    return next((inner for inner in argument.properties or () if inner.wire_name == key), None)


def _hint(text: str, argument: Argument | None, value: Any) -> str:
    hints = []
    if value is not _ABSENT and (argument is None or argument.format != "password"):
        hints.append(f"given {_shown(value)}")
    allowed = "" if argument is None or "ust be" in text else _allowed(argument)
    if allowed:
        hints.append(allowed)
    return f" ({'; '.join(hints)})" if hints else ""


def _shown(value: Any) -> str:
    """A file by the client's name for it, never by its path."""
    if hasattr(value, "original_filename"):
        return f"the file {str(value.original_filename)[:SHOWN_CHARS]!r}"
    if isinstance(value, str):
        return repr(value if len(value) <= SHOWN_CHARS else value[:SHOWN_CHARS] + "…")
    if isinstance(value, (list, tuple)) and any(hasattr(item, "original_filename") for item in value):
        return f"{len(value)} files"
    text = repr(value)
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
