"""What a marshmallow field tells of itself, read by duck typing: marshmallow is never imported here.

A plugin brings its own marshmallow (3.14 to 4.x) and perhaps its own field classes; what is described here is for
people and documents, while the fields themselves decide on values (modelport.child.arguments).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import Enum
from typing import Any

from modelport.contract.card import TYPES, Argument

# marshmallow's classes by name: JSON's type and its format. The first one found along a field's ancestors counts.
KINDS: dict[str, tuple[str, str | None]] = {
    **{
        name: ("string", name.lower()) for name in ("UUID", "Url", "URL", "Email", "Date", "Time", "IP", "IPv4", "IPv6")
    },
    **dict.fromkeys(("String", "Enum"), ("string", None)),
    **dict.fromkeys(("Float", "Decimal", "Number", "TimeDelta"), ("number", None)),
    **dict.fromkeys(("List", "Tuple"), ("array", None)),
    **dict.fromkeys(("Dict", "Mapping", "Nested"), ("object", None)),
    "DateTime": ("string", "date-time"),
    "Integer": ("integer", None),
    "Boolean": ("boolean", None),
    "Pluck": ("any", None),
}
LOCATIONS = {
    "query": "query",
    "querystring": "query",
    "form": "form",
    "files": "form",
    "json": "json",
    "headers": "headers",
    "cookies": "cookies",
}
# Schemas may nest themselves; deeper than this nobody reads.
DEPTH = 4
REPR_CHARS = 200


def library(thing: Any) -> Any:
    """The marshmallow package whose class a field or schema is; None where it is none of marshmallow's."""
    cls = thing if isinstance(thing, type) else type(thing)
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] == "marshmallow":
            return sys.modules.get("marshmallow")
    return None


def is_field(thing: Any) -> bool:
    return not isinstance(thing, type) and callable(getattr(thing, "deserialize", None))


def is_schema(thing: Any) -> bool:
    """A marshmallow Schema, class or instance."""
    return callable(getattr(thing, "load", None)) and library(thing) is not None


def in_order(schema: Any) -> list[tuple[str, Any]]:
    """A schema's fields as they were declared: marshmallow before 3.20 keeps them in no order."""
    declared = {name: position for position, name in enumerate(getattr(schema, "_declared_fields", ()))}
    return sorted(schema.fields.items(), key=lambda item: declared.get(item[0], len(declared)))


def plain(value: Any, depth: int = 20) -> Any:
    """`value` as JSON can say it; what JSON cannot say becomes its text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return plain(value.value, depth)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if depth:
        if isinstance(value, Mapping):
            return {str(key): plain(item, depth - 1) for key, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [plain(item, depth - 1) for item in value]
        if callable(getattr(value, "tolist", None)):
            return plain(value.tolist(), depth - 1)
    return str(value)


def metadata(field: Any) -> dict[str, Any]:
    """Both spellings end up here: marshmallow 3 folds unknown keywords into `metadata`."""
    values = getattr(field, "metadata", None)
    return {str(key): value for key, value in values.items()} if isinstance(values, Mapping) else {}


def wire_name(name: str, field: Any) -> str:
    key = getattr(field, "data_key", None)
    return name if key is None else str(key)


def missing(field: Any) -> Any:
    """marshmallow's word for "was not sent"; a private object where the field is none of marshmallow's."""
    return getattr(library(field), "missing", _MISSING)


_MISSING = object()


def default(field: Any) -> tuple[bool, Any]:
    """(has a default, the default), the latter still callable if the plugin gave a function."""
    absent = missing(field)
    value = getattr(field, "load_default", _MISSING)
    if value is _MISSING:
        value = getattr(field, "missing", absent)
    return (False, None) if value is absent else (True, value)


def kind(field: Any) -> tuple[str, str | None]:
    """(one of card.TYPES without "file", format)."""
    for cls in type(field).__mro__:
        if cls.__module__.partition(".")[0] in ("marshmallow", "webargs") and cls.__name__ in KINDS:
            return KINDS[cls.__name__]
    return "any", None


def is_list(field: Any) -> bool:
    """Takes all values of a repeated query or form field, as webargs decides it."""
    return kind(field)[0] == "array" and not hasattr(field, "delimiter")


def inner(field: Any) -> Any:
    """The field of a list's elements; of a tuple's, if they are all of one kind."""
    element = getattr(field, "inner", None)
    if element is None:
        parts = getattr(field, "tuple_fields", None) or []
        if parts and len({type(part) for part in parts}) == 1:
            element = parts[0]
    return element


def describe(name: str, field: Any, warnings: list[str], depth: int = 0) -> Argument:
    """One argument described; never fails. What cannot be described is "any" and shown by its repr."""
    try:
        if is_field(field):
            return _describe(name, field, warnings, depth)
        reason = f"a {type(field).__name__} is not a field"
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    try:
        shown = repr(field)[:REPR_CHARS]
    except Exception:  # a broken __repr__ must not hide the argument
        shown = f"<{type(field).__name__}>"
    warnings.append(f"argument {name!r} cannot be described ({reason}): {shown}")
    return Argument(name, "any", field_type=type(field).__name__, metadata={"repr": shown})


def _describe(name: str, field: Any, warnings: list[str], depth: int) -> Argument:
    extra = metadata(field)
    facts: dict[str, Any] = {"name": name, "wire_name": wire_name(name, field), "field_type": field_type(field)}
    facts["type"], facts["format"] = kind(field)
    facts.update(_structure(field, warnings, depth))
    facts.update(_default(field))
    facts.update(_limits(field))
    facts["required"] = bool(getattr(field, "required", False))
    facts["nullable"] = bool(getattr(field, "allow_none", False))
    facts["read_only"] = bool(getattr(field, "dump_only", False))
    facts["multiple"] = is_list(field)
    facts["location"] = _location(name, extra.pop("location", None), warnings)
    _read_metadata(facts, extra)
    items = facts.pop("item_choices", None)
    if items is not None and facts.get("item") is not None:
        facts["item"] = replace(facts["item"], choices=items, choices_enforced=True)
    return Argument(**facts)


def field_type(field: Any) -> str:
    """The class' name; with its module's where a plugin's own class is called as one of marshmallow's."""
    cls = type(field)
    own = cls.__module__.partition(".")[0] not in ("marshmallow", "webargs")
    shared = own and hasattr(sys.modules.get("marshmallow.fields"), cls.__name__)
    return f"{cls.__module__}.{cls.__name__}" if shared else cls.__name__


def _read_metadata(facts: dict[str, Any], extra: dict[str, Any]) -> None:
    """Move what the card has a place for out of `extra`, keep the rest."""
    description = extra.pop("description", None)
    facts["description"] = "" if description is None else str(description)
    listed = extra.pop("enum", None)
    if isinstance(listed, (list, tuple, set, frozenset)) and not facts.get("choices_enforced"):
        facts["choices"] = plain(listed)
    if isinstance(extra.get("format"), str):
        facts["format"] = extra.pop("format")
    declared = extra.get("type")
    if declared == "file":
        del extra["type"]
        if facts["type"] == "array":
            facts["item"] = Argument("", "file")
        else:
            facts["type"] = "file"
    elif facts["type"] == "any" and declared in TYPES:
        facts["type"] = extra.pop("type")
    facts["metadata"] = plain(extra)


def _location(name: str, location: Any, warnings: list[str]) -> str | None:
    if location is None:
        return None
    if location not in LOCATIONS:
        warnings.append(f"argument {name!r}: unknown location {location!r}; read from query, form or JSON")
    return LOCATIONS.get(location)


def _structure(field: Any, warnings: list[str], depth: int) -> dict[str, Any]:
    """What is inside a list, a nested schema or a plucked field."""
    own = kind(field)[0]
    if own == "array":
        element = inner(field) if depth <= DEPTH else None
        return {} if element is None else {"item": describe("", element, warnings, depth + 1)}
    schema: Any = field.schema if hasattr(type(field), "schema") else None
    if not hasattr(schema, "fields"):
        return {}
    many = bool(getattr(field, "many", False) or getattr(schema, "many", False))
    if own == "any":
        item = describe("", schema.fields[field.field_name], warnings, depth + 1)
    elif depth >= DEPTH:
        return {"type": "array", "item": Argument("", "object")} if many else {}
    else:
        properties = [describe(key, field, warnings, depth + 1) for key, field in in_order(schema)]
        item = Argument("", "object", properties=properties)
    if many:
        return {"type": "array", "item": item}
    return {"type": item.type, "format": item.format, "properties": item.properties, "item": item.item}


def _default(field: Any) -> dict[str, Any]:
    """A callable default is shown only where it gives the same value twice: a clock or a random name is no default."""
    has, value = default(field)
    if callable(value):
        try:
            value, again = value(), value()
            value = value if value == again else None
        except Exception:  # it will tell when it is used
            value = None
    return {"has_default": has, "default": plain(value)} if has else {}


def validators(field: Any) -> Iterator[Any]:
    """Every validator of a field, those inside `validate.And` too."""
    several = getattr(field, "validators", None) or getattr(field, "validate", None)
    for validator in several if isinstance(several, (list, tuple)) else [several]:
        if validator is not None:
            within = getattr(validator, "validators", None)
            if isinstance(within, (list, tuple)):
                yield from within
            else:
                yield validator


def _limits(field: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for validator in validators(field):
        names = {cls.__name__ for cls in type(validator).__mro__}
        choices = getattr(validator, "choices", None)
        if "ContainsOnly" in names:
            facts["item_choices"] = plain(list(validator.choices))
        elif choices is not None and "NoneOf" not in names:
            # A text as choices means its characters, as it does for `in`.
            facts.update(choices=plain(list(choices)), choices_enforced=True)
        elif "Length" in names:
            limits = (
                (validator.min, validator.max)
                if getattr(validator, "equal", None) is None
                else (validator.equal, validator.equal)
            )
            least, most = (limit if isinstance(limit, int) else None for limit in limits)
            facts.update(min_length=least, max_length=most)
        elif "Regexp" in names:
            facts["pattern"] = str(validator.regex.pattern)
        elif hasattr(validator, "min") and hasattr(validator, "max"):
            facts.update(
                minimum=plain(validator.min),
                maximum=plain(validator.max),
                exclusive_minimum=validator.min is not None and not getattr(validator, "min_inclusive", True),
                exclusive_maximum=validator.max is not None and not getattr(validator, "max_inclusive", True),
            )
    if "Enum" in {cls.__name__ for cls in type(field).__mro__} and hasattr(field, "enum") and "choices" not in facts:
        by_value = bool(getattr(field, "by_value", False))
        listed = [member.value if by_value else member.name for member in field.enum]
        facts.update(choices=plain(listed), choices_enforced=True)
    return facts
