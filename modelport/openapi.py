"""Cards as an OpenAPI 3.1 document, and the schemas that every door's description is made of.

What other doors reuse: `json_schema` (one argument), `parameters` and `request_body` (a request), `value_schema` and
`answer_content` (an answer), `error_responses`.

An argument that may travel by query, form or JSON body is described where most clients put it: in the body of a POST.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from modelport.card import Argument, Card

Schema = dict[str, Any]

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

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

ERRORS = {
    "400": "The request cannot be read",
    "401": "No token, or a wrong one",
    "413": "The request is too large",
    "422": "Arguments are missing or have values that they cannot have",
    "500": "The model failed, or its process was lost",
    "503": "All workers are busy and the queue is full, or the model is still loading; see Retry-After",
    "504": "The prediction did not end before its deadline",
}


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
    shown = argument.has_default and (argument.default is not None or argument.nullable)
    return {"default": argument.default} if shown else {}


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


# Requests


def parameters(arguments: Iterable[Argument], *, body: bool = True) -> list[Schema]:
    """The arguments that travel outside the body. With `body` false there is none, and all but files are listed.

    An Accept header is no parameter to OpenAPI: the media types of the answer stand for it.
    """
    found = []
    for each in arguments:
        place = _place(each, body)
        if place is None or each.read_only or (place == "header" and each.wire_name.lower() == "accept"):
            continue
        schema = json_schema(each)
        parameter: Schema = {"name": each.wire_name, "in": place, "required": each.required}
        if "description" in schema:
            parameter["description"] = schema.pop("description")
        if each.type == "array" and place == "query":
            parameter.update(style="form", explode=each.multiple)
        if each.type == "object" and place == "query":
            parameter["content"] = {JSON: {"schema": schema}}
        else:
            parameter["schema"] = schema
        found.append(parameter)
    return found


def _place(argument: Argument, body: bool) -> str | None:
    """OpenAPI's word for where an argument travels; None: in the body."""
    named = {"query": "query", "headers": "header", "cookies": "cookie"}.get(argument.location or "")
    if named or body or argument.is_file:
        return named
    return "query"


def request_body(arguments: Iterable[Argument]) -> Schema | None:
    """The body of a POST, in each media type that can carry what is required; None where nothing travels there."""
    inside = [each for each in arguments if _place(each, True) is None and not each.read_only]
    if not inside:
        return None
    forms = [each for each in inside if each.location != "json"]
    plain = [each for each in inside if not each.is_file]
    typed = [each for each in plain if each.location != "form"]
    content: Schema = {}
    has_files = len(plain) < len(inside)
    if has_files:
        content[MULTIPART] = _form(forms)
    if typed and not _required_elsewhere(inside, typed):
        content[JSON] = {"schema": object_schema(typed)}
    fields = [each for each in forms if not each.is_file]
    if fields and not _required_elsewhere(inside, fields):
        if not has_files:
            content[MULTIPART] = _form(fields)
        content[FORM] = _form(fields)
    return {"required": any(each.required for each in inside), "content": content} if content else None


def _required_elsewhere(inside: list[Argument], carried: list[Argument]) -> bool:
    return any(each.required and each not in carried for each in inside)


def _form(arguments: list[Argument]) -> Schema:
    media: Schema = {"schema": object_schema(arguments)}
    # Where a repeated field is read only once, its values go into one, with commas between.
    joined = [each.wire_name for each in arguments if each.type == "array" and not each.multiple and not each.is_file]
    if joined:
        media["encoding"] = {name: {"style": "form", "explode": False} for name in joined}
    return media


# Answers


def value_schema(card: Card) -> Schema:
    """What the plugin's `predict` returns as JSON: its own `schema`, or anything."""
    if card.answer_schema is None:
        return {"description": "What the model returned"}
    schema = object_schema(card.answer_schema.fields)
    return {"type": "array", "items": schema} if card.answer_schema.many else schema


def answer_schema(card: Card, value: Schema | None = None) -> Schema:
    """The JSON answer of a DEEPaaS predict: bare where the plugin has a schema, else in an envelope.

    value: stands for the value's own schema, such as a reference to it.
    """
    if card.answer_schema is not None:
        return value or value_schema(card)
    return {
        "type": "object",
        "properties": {"status": {"type": "string", "const": "OK"}, "predictions": value or value_schema(card)},
        "required": ["status", "predictions"],
    }


def answer_content(card: Card, schema: Schema) -> Schema:
    """Each media type that the plugin answers in; `schema` is the one of its JSON."""
    content: Schema = {}
    for media in [each for each in card.answer_types if each != "*/*"] or [JSON]:
        if media == JSON:
            content[media] = {"schema": schema}
        elif media.startswith("text/"):
            content[media] = {"schema": {"type": "string"}}
        else:
            content[media] = {"schema": {**BINARY, "contentMediaType": media}}
    return content


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


def error_responses(codes: Iterable[str] = ERRORS) -> dict[str, Schema]:
    """The error answers of a prediction, by status; they refer to `error_schemas` in the document's components."""
    return {code: _error(code) for code in codes}


def _error(code: str) -> Schema:
    name = "ArgumentErrors" if code in ("400", "422") else "Failure"
    response: Schema = {"description": ERRORS[code], "content": {JSON: {"schema": _ref(name)}}}
    if code == "413":
        response["content"]["text/plain"] = {"schema": {"type": "string"}}
    if code == "503":
        response["headers"] = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}
    return response


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


# The document


def openapi31(
    cards: Mapping[str, Card],
    *,
    base_path: str,
    version: str,
    predict: bool = True,
    train: bool = True,
    token: bool = False,
    extra_paths: Mapping[str, Any] | None = None,
) -> Schema:
    """The DEEPaaS V2 routes as an OpenAPI 3.1 document.

    cards: by the name in the routes. version: the server's. extra_paths: path items to add, by whole path.
    """
    names = component_names(cards)
    schemas = {**{name: _modern(each) for name, each in v2_schemas("#/components/schemas").items()}, **error_schemas()}
    for name, card in cards.items():
        if card.answer_schema is not None:
            schemas[names[name]] = value_schema(card)
    paths = _general_paths(base_path)
    for name, card in cards.items():
        paths.update(_model_paths(name, card, f"{base_path}/v2/models/{quote(name)}", names, predict, train))
    paths.update(extra_paths or {})
    document: Schema = {
        "openapi": "3.1.0",
        "info": information(cards, version),
        "paths": paths,
        "components": {"schemas": {name: _modern(each) for name, each in schemas.items()}},
        "tags": [{"name": "models"}, {"name": "versions"}],
    }
    if token:
        document["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"bearer": []}]
    return document


def information(cards: Mapping[str, Card], version: str) -> Schema:
    """The document's `info`: of the model where there is one, else of the server."""
    only = next(iter(cards.values())) if len(cards) == 1 else None
    metadata = only.metadata if only else {}
    found = {key: value for key, value in metadata.items() if isinstance(value, str) and value.strip()}
    info: Schema = {"title": found.get("name", only.name if only else "Models"), "version": version}
    summary = found.get("summary", "")
    description = found.get("description", summary)
    if summary and summary != description:
        info["summary"] = summary
    model_version = f"Version {found['version']} of the model." if "version" in found else ""
    if description or model_version:
        info["description"] = "\n\n".join(filter(None, (description, model_version)))
    if "author" in found:
        info["contact"] = {"name": found["author"]}
    if "license" in found:
        info["license"] = {"name": found["license"]}
    return info


def component_names(cards: Mapping[str, Card]) -> dict[str, str]:
    """The name of each card's answer schema in the document, by model; unique, and the plugin's own where it can be."""
    taken = {*v2_schemas(""), *error_schemas()} - {"Prediction"}
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
