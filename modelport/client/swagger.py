"""A card read from a server's /swagger.json: what a command line needs of it.

The server may be modelport or deepaas itself; what its document does not say (a field's class, data keys) is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from modelport.contract.card import TYPES, Argument, Card
from modelport.errors import InvalidRequest, NotFound

PREDICT = re.compile(r".*/v2/models/([^/]+)/(?:predict/?|train/?)?")
LOCATIONS = {"query": "query", "formData": "form", "header": "headers", "body": "json"}
# The class whose help text fits the type (modelport.describe.helptext).
FIELD_TYPES = {"integer": "Integer", "number": "Float", "boolean": "Boolean", "array": "List", "object": "Dict"}

Document = Mapping[str, Any]


def model_names(document: Document) -> list[str]:
    matches = [PREDICT.fullmatch(path) for path in document.get("paths", {})]
    return list(dict.fromkeys(unquote(match[1]) for match in matches if match is not None and match[1] != "{name}"))


def choose_model(document: Document, name: str | None) -> str:
    """The model asked for, or the only one. Raises NotFound, InvalidRequest."""
    names = model_names(document)
    if name is None and len(names) == 1:
        return names[0]
    if name is None or name not in names:
        listed = ", ".join(names) or "none"
        if name is None and names:
            raise InvalidRequest(f"the server has several models, name one: {listed}")
        raise NotFound(f"the server has no model {name or ''}; it has {listed}".replace(" ;", ";"))
    return name


def read_card(document: Document, name: str, metadata: Mapping[str, Any]) -> Card:
    """metadata: what `/v2/models/<name>/` answers."""
    predict, train = (_operation(document, name, method) for method in ("predict", "train"))
    arguments = list(_arguments(predict))
    types = [produce for produce in predict.get("produces", []) if produce != "*/*"]
    accept = next((argument for argument in arguments if argument.name == "accept"), None)
    return Card(
        name=name,
        metadata={key: value for key, value in metadata.items() if key not in ("id", "links")},
        predict_args=arguments,
        train_args=list(_arguments(train)),
        answer_types=types if accept is not None else [],
        default_answer_type=(accept.default or (types or [None])[0]) if accept is not None else None,
        capabilities=[
            method
            for method, operation in (("predict", predict), ("train", train))
            if operation and "501" not in operation.get("responses", {})
        ],
        origin=f"{name} on a server",
    )


def _operation(document: Document, name: str, method: str) -> dict[str, Any]:
    for path, item in document.get("paths", {}).items():
        if unquote(path).rstrip("/").endswith(f"/v2/models/{name}/{method}"):
            return dict(item.get("post", {}))
    return {}


def has_envelope(document: Document, name: str) -> bool:
    """Whether a JSON answer stands in {"status", "predictions"}, as it does where the plugin has no schema."""
    response = _operation(document, name, "predict").get("responses", {}).get("200", {})
    schema = response.get("schema", {})
    reference = schema.get("$ref", "").rpartition("/")[2]
    properties = document.get("definitions", {}).get(reference, schema).get("properties", {})
    return set(properties) == {"status", "predictions"}


def _arguments(operation: Document) -> Iterable[Argument]:
    for parameter in operation.get("parameters", []):
        location = LOCATIONS.get(parameter.get("in", ""))
        if location == "json":
            schema = parameter.get("schema", {})
            required = schema.get("required", [])
            for name, field in schema.get("properties", {}).items():
                yield _argument(name, field, name in required, location)
        elif location is not None:
            yield _argument(parameter["name"], parameter, parameter.get("required") is True, location)


def _argument(name: str, schema: Mapping[str, Any], required: bool, location: str) -> Argument:
    kind = schema.get("type", "any")
    several_files = kind == "file" and "items" in schema
    item = None
    if several_files:
        item = Argument("", "file")
    elif isinstance(schema.get("items"), dict):
        item = _argument("", schema["items"], False, location)
    kind = "array" if several_files else kind if kind in TYPES else "any"
    choices = schema.get("enum")
    if name == "accept" and choices:
        choices = [choice for choice in choices if choice != "*/*"]
    return Argument(
        name=name,
        type=kind,
        field_type=FIELD_TYPES.get(kind, "Str"),
        item=item,
        required=required,
        has_default="default" in schema,
        nullable=bool(schema.get("x-nullable")),
        multiple=schema.get("collectionFormat") == "multi",
        choices=choices,
        exclusive_minimum=schema.get("exclusiveMinimum") is True,
        exclusive_maximum=schema.get("exclusiveMaximum") is True,
        min_length=schema.get("minLength", schema.get("minItems")),
        max_length=schema.get("maxLength", schema.get("maxItems")),
        format=schema.get("format") if kind == "string" else None,
        location=location,
        **{name: schema[name] for name in ("default", "minimum", "maximum", "description") if name in schema},
    )
