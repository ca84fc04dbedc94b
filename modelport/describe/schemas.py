"""Cards as JSON Schema: the arguments, the answers, and what the DEEPaaS V2 routes send.

Two dialects: JSON Schema 2020-12 for OpenAPI 3.1, and, with `swagger`, the older one of Swagger 2.0 as deepaas
writes it. Both documents are made of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from modelport.contract.card import Argument, Card

Schema = dict[str, Any]

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
    "file": ("minLength", "maxLength"),
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
        schema["enum"] = _choices(argument, swagger)
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
        "properties": {each.wire_name: json_schema(each, swagger=swagger) for each in listed},
    }
    required = [each.wire_name for each in listed if each.required]
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


def _choices(argument: Argument, swagger: bool) -> list[Any]:
    choices = list(argument.choices or [])
    return [*choices, None] if argument.nullable and not swagger and None not in choices else choices


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
    for key, length in zip(LENGTHS.get(argument.type, LENGTHS["string"]), _lengths(argument), strict=True):
        if length is not None:
            schema[key] = length
    if argument.pattern is not None and (swagger or not PYTHON_ONLY.search(argument.pattern)):
        schema["pattern"] = argument.pattern
    return schema


def _lengths(argument: Argument) -> tuple[int | None, int | None]:
    return (None, None) if argument.type == "file" else (argument.min_length, argument.max_length)


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


def answer_schema(card: Card, fields: Schema | None = None) -> Schema:
    """The JSON answer of a DEEPaaS predict: bare where the plugin has a schema, else in an envelope."""
    value = value_schema(card, fields)
    return _envelope(value) if card.answer_schema is None else value


def v2_shapes(reference: str) -> dict[str, Schema]:
    """What the DEEPaaS V2 routes really send, by the names that deepaas gives them (its own document says otherwise of
    trainings: contract, D-26). reference: what stands before a name in a `$ref`."""
    text = {"type": "string"}
    links = {"type": "array", "items": {"$ref": f"{reference}Location"}}
    return {
        "Location": {
            "type": "object",
            "properties": {"rel": text, "href": text, "type": text},
            "required": ["rel", "href"],
        },
        "Version": {
            "type": "object",
            "properties": {"version": text, "id": text, "links": links},
            "required": ["version", "id", "links"],
        },
        "Versions": {
            "type": "object",
            "properties": {"versions": {"type": "array", "items": {"$ref": f"{reference}Version"}}, "links": links},
            "required": ["versions", "links"],
        },
        "ModelMeta": {
            "type": "object",
            "description": "What the plugin says of itself; it may say anything, and say it in any type",
            "properties": {
                "id": {"description": "Model identifier"},
                "name": {"description": "Model name"},
                "links": {"description": "Where the model is; a list of links unless the plugin says otherwise"},
                **{
                    key: {"description": f"Model {key}"}
                    for key in ("version", "description", "summary", "author", "license", "url")
                },
            },
            "required": ["id", "name", "links"],
            "additionalProperties": True,
        },
        "ModelList": {
            "type": "object",
            "properties": {"models": {"type": "array", "items": {"$ref": f"{reference}ModelMeta"}}},
            "required": ["models"],
        },
        "Prediction": _envelope({"description": "What the model returned"}),
        "Training": _training(),
        "TrainingList": {"type": "array", "items": {"$ref": f"{reference}Training"}},
    }


def _envelope(value: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {"status": {"type": "string", "enum": ["OK"]}, "predictions": value},
        "required": ["status", "predictions"],
    }


def _training() -> Schema:
    text = {"type": "string"}
    return {
        "type": "object",
        "properties": {
            "uuid": {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "Training identifier"},
            "date": {
                "type": "string",
                "description": "When it was asked for, local time without a zone",
                "example": "2026-01-31 12:00:00.123456",
            },
            "status": {
                "type": "string",
                "enum": ["running", "done", "error", "cancelled"],
                "description": "Training status; one that waits for its turn is running too",
            },
            "args": {"type": "object", "description": "What the training was given, after conversion"},
            "message": {"type": "string", "description": "With status error: why it failed"},
            "progress": {
                "type": "object",
                "description": "With status running, where the model reports it",
                "properties": {"fraction": {"type": "number"}, "message": text},
            },
            "result": {
                "type": "object",
                "description": "With status done",
                "properties": {
                    "output": {"description": "What the model returned"},
                    "finish_date": text,
                    "duration": {"type": "string", "example": "0:00:01.376544"},
                },
                "required": ["output", "finish_date", "duration"],
            },
        },
        "required": ["uuid", "date", "status", "args"],
    }


def error_schemas() -> dict[str, Schema]:
    """The shapes of error answers, by name."""
    return {
        "Failure": {
            "type": "object",
            "description": "Why there is no answer",
            "properties": {
                "error": {"type": "string", "description": "Its kind, for programs"},
                "message": {"type": "string", "description": "What was wrong, for people"},
            },
        },
        "ArgumentErrors": {
            "type": "object",
            "description": "What was wrong, by argument: a list of messages, or of such lists by index",
            "additionalProperties": {},
            "example": {"count": ["Not a valid integer."]},
        },
    }


# Documents


def information(cards: Mapping[str, Card], version: str, *, swagger: bool = False) -> Schema:
    """The document's `info`: of the model where there is one, else of the server; version: the server's."""
    only = next(iter(cards.values())) if len(cards) == 1 else None
    metadata = only.metadata if only else {}
    said = {key: value.strip() for key, value in metadata.items() if isinstance(value, str) and value.strip()}
    info: Schema = {"title": said.get("name", only.name if only else "Models"), "version": version}
    summary, description = said.get("summary"), said.get("description")
    model_version = f"Version {said['version']} of the model." if "version" in said else None
    if summary and not swagger:
        info["summary"] = summary
        summary = None
    texts = dict.fromkeys(filter(None, (summary, description, model_version)))
    if texts:
        info["description"] = "\n\n".join(texts)
    if "author" in said:
        info["contact"] = {"name": said["author"]}
    if "license" in said:
        info["license"] = {"name": said["license"]}
    return info


def component_names(cards: Mapping[str, Card]) -> dict[str, str]:
    """The name of each card's answer schema in the document, by model; unique, and the plugin's own where it can be."""
    taken = {*v2_shapes(""), *error_schemas()} - {"Prediction"}
    if any(each.answer_schema is None for each in cards.values()):
        taken.add("Prediction")
    names = {}
    for model, card in cards.items():
        if card.answer_schema is None:
            continue
        own = card.answer_schema.name or "ModelPredictionResponse"
        wanted = re.sub(r"[^A-Za-z0-9._-]", "_", own if len(cards) == 1 else f"{model}.{own}")
        name, number = wanted, 1
        while name in taken:
            name, number = f"{wanted}{number}", number + 1
        taken.add(name)
        names[model] = name
    return names


def operation_id(verb: str, name: str, cards: Mapping[str, Card]) -> str:
    """Unique in the document; short where there is one model."""
    return verb if len(cards) == 1 else f"{verb}_{re.sub('[^A-Za-z0-9_]', '_', name)}"
