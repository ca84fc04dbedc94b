"""A deployment as a tool: its name, what a language model is told of it, and the schemas."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from modelport.extending import Argument, Card, Deployment, json_schema, object_schema, value_schema

JSON = "application/json"
Schema = dict[str, Any]

DESCRIPTION_CHARS = 1000
TAG = re.compile(r"<[^<>]*>")
UNKNOWN = "The module has not been loaded yet, so its arguments are not listed. An answer says which are wrong."
FILE = "A data: URI with base64{others}."
BUCKET, FETCHED = ", the key of a file in the tool's bucket, such as inputs/a.png", ", or an http(s) URL"

# What a field of a module's `schema` takes when it checks an answer: more than its type.
TAKEN = {
    "string": ["string", "null"],
    "integer": ["number", "string", "null"],
    "number": ["number", "string", "null"],
    "boolean": ["boolean", "number", "string", "null"],
    "array": ["array", "null"],
    "object": ["object", "null"],
}


class Annotations(Struct, frozen=True):
    """A prediction changes nothing, and looks at nothing outside."""

    readOnlyHint: bool = True
    openWorldHint: bool = False


class Tool(Struct, rename="camel"):
    name: str
    title: str | UnsetType
    description: str
    input_schema: Schema
    output_schema: Schema | UnsetType = UNSET
    annotations: Annotations = Annotations()


def tool(deployment: Deployment, buckets: bool, fetches: bool) -> Tool:
    """buckets, fetches: whether files may be named so."""
    card, title = deployment.card, deployment.title or UNSET
    if card is None:
        text = _text([deployment.description, UNKNOWN])
        return Tool(deployment.name, title, text, {"type": "object"})
    others = (BUCKET if buckets else "") + (FETCHED if fetches else "")
    output = output_schema(card) if has_output_schema(card) else UNSET
    return Tool(
        deployment.name, title, describe(deployment, card), input_schema(card, FILE.format(others=others)), output
    )


# What it is


def describe(deployment: Deployment, card: Card) -> str:
    """Written by others: for a language model to read, and nothing here interprets it."""
    said = [deployment.description, *(card.metadata.get(key) for key in ("summary", "description"))]
    files = [argument.wire_name for argument in arguments(card) if argument.is_file]
    takes = f"Files: {', '.join(files)}." if files else ""
    answers = f"Answers with {', '.join(card.answer_types)}." if card.answer_types else ""
    return _text([*said, takes, answers]) or f"Calls the model {deployment.name}"


def _text(parts: Iterable[Any]) -> str:
    texts = dict.fromkeys(" ".join(TAG.sub(" ", part).split()) for part in parts if isinstance(part, str))
    text = " ".join(filter(None, texts))
    return text if len(text) <= DESCRIPTION_CHARS else text[: DESCRIPTION_CHARS - 1] + "…"


# What it takes


def arguments(card: Card) -> list[Argument]:
    """Those that a language model is told of: no passwords that can be left out."""
    return [
        argument
        for argument in card.predict_args
        if not argument.read_only and (argument.format != "password" or argument.required)
    ]


def input_schema(card: Card, file: str) -> Schema:
    """file: how a file is given."""
    schema = object_schema(())
    for argument in arguments(card):
        schema["properties"][argument.wire_name] = _property(card, argument, file)
        if argument.required and not is_answer_type(card, argument):
            schema.setdefault("required", []).append(argument.wire_name)
    return {**schema, "additionalProperties": False}


def _property(card: Card, argument: Argument, file: str) -> Schema:
    if is_answer_type(card, argument):
        text = argument.description or "Media type of the answer"
        return {"type": "string", "description": text, "enum": card.answer_types, "default": answer_type(card)}
    if not argument.is_file:
        return json_schema(argument)
    text = f"{argument.description.rstrip('. ')}. {file}" if argument.description else file
    place: Schema = {"type": "string", "format": "uri-reference"}
    if argument.type != "file":
        place = {"type": "array", "items": place}
    return {**place, "description": text}


def is_answer_type(card: Card, argument: Argument) -> bool:
    return argument.name == "accept" and bool(card.answer_types)


def answer_type(card: Card) -> str | None:
    """The media type where the caller asks for none: text is what a language model reads best."""
    return JSON if JSON in card.answer_types else card.default_answer_type


# What it gives


def has_output_schema(card: Card) -> bool:
    """Clients refuse an answer that does not fit it, so only where every answer is JSON that the module checks."""
    return card.answer_schema is not None and set(card.answer_types) <= {JSON}


def output_schema(card: Card) -> Schema:
    """link: instead of a result that is too large."""
    properties = {"result": _lenient(value_schema(card)), "link": {"type": "string", "format": "uri"}}
    return {"type": "object", "properties": properties}


def _lenient(schema: Schema) -> Schema:
    """What the module's fields let through: a number may be text, and what was not a number is null."""
    loose: Schema = {key: schema[key] for key in ("title", "description") if key in schema}
    type = schema.get("type")
    names = [type] if isinstance(type, str) else type or []
    if names:
        loose["type"] = list(dict.fromkeys(taken for name in names for taken in TAKEN.get(name, [name])))
    if "items" in schema:
        loose["items"] = _lenient(schema["items"])
    if "properties" in schema:
        loose["properties"] = {name: _lenient(value) for name, value in schema["properties"].items()}
    return loose
