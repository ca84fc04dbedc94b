"""Cards as JSON Schema: the arguments and the answers.

Two dialects: JSON Schema 2020-12 for OpenAPI 3.1, and, with `swagger`, the older one of Swagger 2.0 as deepaas
writes it. Both documents are made of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from modelport.contract.card import Argument, Card
from modelport.describe.documents import Schema

BINARY: Schema = {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}

# Keys that a plugin may write into a field's metadata for the document; the card has a place of its own for the others.
SCHEMA_KEYS = (
    "title",
    "multipleOf",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxProperties",
    "minProperties",
    "maximum",
    "minimum",
    "items",
    "allOf",
    "properties",
    "additionalProperties",
    "default",
    "example",
    "externalDocs",
)
LENGTHS = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
FORMATS = {"url": "uri"}
# Regular expressions of Python that ECMA 262, the language of JSON Schema, does not have.
PYTHON_ONLY = re.compile(r"\(\?[P#aiLmsux-]|\\[AZ]|[*+?}]\+|\(\?>")


# Arguments


def json_schema(argument: Argument, *, swagger: bool = False) -> Schema:
    """One argument as JSON Schema; with `swagger`, in the older dialect of Swagger 2.0, as deepaas writes it."""
    schema = _type(argument, swagger)
    schema.update(_default(argument))
    if argument.choices is not None:
        null = argument.nullable and not swagger and None not in argument.choices
        schema["enum"] = [*argument.choices, *([None] if null else [])]
    if argument.read_only:
        schema["readOnly"] = True
    schema.update(_bounds(argument, swagger))
    schema.update(_extras(argument, schema, swagger))
    if argument.description:
        schema["description"] = argument.description
    if argument.item is not None and argument.type != "file":
        schema["items"] = {} if swagger and argument.is_file else json_schema(argument.item, swagger=swagger)
    elif schema.get("type") == "array":
        schema.setdefault("items", {})
    if argument.properties is not None:
        schema.update(object_schema(argument.properties, swagger=swagger))
    return _nullable(argument, schema, swagger)


def object_schema(arguments: Iterable[Argument], *, swagger: bool = False) -> Schema:
    """Several arguments as the properties of one object, by their wire names."""
    listed = list(arguments)
    schema: Schema = {
        "type": "object",
        "properties": {argument.wire_name: json_schema(argument, swagger=swagger) for argument in listed},
    }
    required = [argument.wire_name for argument in listed if argument.required]
    return {**schema, "required": required} if required else schema


def _type(argument: Argument, swagger: bool) -> Schema:
    if swagger and argument.is_file:
        return {"type": "file"}
    if argument.type == "file":
        return dict(BINARY)
    schema: Schema = {} if argument.type == "any" else {"type": argument.type}
    format = argument.format
    if swagger and format is None:
        if argument.type == "integer":
            format = "int32"
        elif argument.type == "number" and argument.field_type not in ("Number", "Decimal", "TimeDelta"):
            format = "float"
    if format:
        schema["format"] = format if swagger else FORMATS.get(format, format)
    return schema


def _default(argument: Argument) -> Schema:
    # A default of None that may not be null stands for a function, such as a clock: it has no value to show.
    if not argument.has_default or (argument.default is None and not argument.nullable):
        return {}
    default = argument.default
    if argument.type == "string" and isinstance(default, (int, float)):
        default = str(default)  # Str(missing=0.8): the plugin gets its number, but a document's default fits its type
    return {"default": default}


def _bounds(argument: Argument, swagger: bool) -> Schema:
    schema: Schema = {}
    for key, limit, exclusive in (
        ("Minimum", argument.minimum, argument.exclusive_minimum),
        ("Maximum", argument.maximum, argument.exclusive_maximum),
    ):
        if not isinstance(limit, (int, float)) or argument.type not in ("integer", "number", "any"):
            continue  # a range of dates, say, which JSON Schema has no word for
        if swagger or not exclusive:
            schema[key.lower()] = limit
        if exclusive:
            schema[f"exclusive{key}"] = True if swagger else limit
    least, most = LENGTHS.get(argument.type, LENGTHS["string"])
    for key, length in ((least, argument.min_length), (most, argument.max_length)):
        if length is not None and argument.type != "file":
            schema[key] = length
    if argument.pattern is not None and (swagger or not PYTHON_ONLY.search(argument.pattern)):
        schema["pattern"] = argument.pattern
    return schema


def _extras(argument: Argument, known: Schema, swagger: bool) -> Schema:
    """What the plugin wrote into the metadata for this document; what the field itself says goes first."""
    extras = {}
    for key, value in argument.metadata.items():
        if key.startswith(("x-", "x_")):
            extras[key.replace("_", "-")] = value
        elif key in SCHEMA_KEYS and key not in known:
            extras[key] = value
    if not swagger and "example" in extras:
        extras["examples"] = [extras.pop("example")]
    return extras


def _nullable(argument: Argument, schema: Schema, swagger: bool) -> Schema:
    if not argument.nullable:
        return schema
    if swagger:
        return {**schema, "x-nullable": True}
    return {**schema, "type": [schema["type"], "null"]} if isinstance(schema.get("type"), str) else schema


# Answers


def value_schema(card: Card, fields: Schema | None = None) -> Schema:
    """What the plugin's `predict` returns as JSON: its own `schema`, or anything.

    fields: stands for `fields_schema(card)`, such as a reference to it.
    """
    if card.answer_schema is None:
        return {"description": "What the model returned"}
    schema = fields_schema(card) if fields is None else fields
    return {"type": "array", "items": schema} if card.answer_schema.many else schema


def fields_schema(card: Card, *, swagger: bool = False) -> Schema:
    """The object that the plugin's `schema` describes; only for a card that has one."""
    assert card.answer_schema is not None
    return object_schema(card.answer_schema.fields, swagger=swagger)
