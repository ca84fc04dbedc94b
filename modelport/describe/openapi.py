"""Cards as an OpenAPI 3.1 document.

What other doors reuse: `parameters` and `request_body` (a request), `answer_content` and `error_responses` (an answer);
the schemas of arguments and values are in modelport.describe.schemas.

An argument that may travel by query, form or JSON body is described where most clients put it: in the body of a POST.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from modelport.contract.card import Argument, Card
from modelport.describe.schemas import (
    BINARY,
    Schema,
    answer_schema,
    component_names,
    error_schemas,
    fields_schema,
    information,
    json_schema,
    object_schema,
    operation_id,
    v2_shapes,
)

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
TEXT = "text/plain"
REFERENCE = "#/components/schemas/"
VERBS = ("describe", "predict", "train", "trainings", "training", "cancel")

ERRORS = {
    "400": "The request cannot be read",
    "401": "No token, or a wrong one",
    "413": "The request is too large",
    "422": "Arguments are missing or have values that they cannot have",
    "500": "The model failed, or its process was lost",
    "503": "All workers are busy and the queue is full, or the model is still loading; see Retry-After",
    "504": "The prediction did not end before its deadline",
}
OTHER_ERRORS = {"404": "There is no such training", "501": "The model does not have this function"}


# Requests


def parameters(arguments: Iterable[Argument], *, body: bool = True) -> list[Schema]:
    """The arguments that travel outside the body. With `body` false there is none, and all but files are listed.

    An Accept header is no parameter to OpenAPI: the media types of the answer stand for it.
    """
    found = []
    for argument in arguments:
        place = _place(argument, body)
        if place is None or argument.read_only or (place == "header" and argument.wire_name.lower() == "accept"):
            continue
        schema = json_schema(argument)
        parameter: Schema = {"name": argument.wire_name, "in": place, "required": argument.required}
        if "description" in schema:
            parameter["description"] = schema.pop("description")
        if argument.type == "array" and place == "query":
            parameter.update(style="form", explode=argument.multiple)
        if argument.type == "object" and place == "query":
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
    inside = [argument for argument in arguments if _place(argument, True) is None and not argument.read_only]
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
    fields = [form for form in forms if not form.is_file]
    if fields and not _required_elsewhere(inside, fields):
        if not has_files:
            content[MULTIPART] = _form(fields)
        content[FORM] = _form(fields)
    return {"required": any(each.required for each in inside), "content": content} if content else None


def _required_elsewhere(inside: list[Argument], carried: list[Argument]) -> bool:
    return any(each.required and each not in carried for each in inside)


def _form(arguments: list[Argument]) -> Schema:
    """A form. Its lists are repeated fields, or, where only the first of those is read, one field with commas."""
    encoding = {
        argument.wire_name: {"style": "form", "explode": argument.multiple}
        for argument in arguments
        if argument.type == "array" and not argument.is_file
    }
    schema = object_schema(arguments)
    return {"schema": schema, "encoding": encoding} if encoding else {"schema": schema}


# Answers


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


def error_responses(codes: Iterable[str] = ERRORS, *, text: bool = False) -> dict[str, Schema]:
    """The error answers of a prediction, by status; they refer to `schemas.error_schemas` in the document's components.

    text: all but what is wrong with arguments are a line of text, as the DEEPaaS door sends them.
    """
    return {code: _error(code, text) for code in codes}


def _error(code: str, text: bool) -> Schema:
    response: Schema = {"description": ERRORS.get(code) or OTHER_ERRORS[code], "content": {}}
    if code in ("400", "422"):
        response["content"][JSON] = {"schema": _ref("ArgumentErrors")}
    elif not text:
        response["content"][JSON] = {"schema": _ref("Failure")}
    if text and code != "422":
        response["content"][TEXT] = {"schema": {"type": "string"}}
    if code == "503":
        response["headers"] = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}
    return response


def _ref(name: str) -> Schema:
    return {"$ref": REFERENCE + name}


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
    schemas = {**v2_shapes(REFERENCE), **error_schemas()}
    schemas.update({names[name]: fields_schema(card) for name, card in cards.items() if name in names})
    paths = _general_paths(base_path)
    for name, card in cards.items():
        root = f"{base_path}/v2/models/{quote(name)}"
        ids = {verb: operation_id(verb, name, cards) for verb in VERBS}
        paths[f"{root}/"] = {"get": _operation(ids["describe"], "The model's metadata", "models", "ModelMeta")}
        if predict:
            paths[f"{root}/predict/"] = {"post": _predict(card, ids["predict"], names.get(name))}
        if train:
            paths.update(_train_paths(card, f"{root}/train/", ids))
    paths.update(extra_paths or {})
    document: Schema = {
        "openapi": "3.1.0",
        "info": information(cards, version),
        "paths": paths,
        "components": {"schemas": schemas},
        "tags": [{"name": "models"}, {"name": "versions"}],
    }
    if token:
        document["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"bearer": []}]
    return document


def _general_paths(base_path: str) -> Schema:
    return {
        base_path or "/": {"get": _operation("versions", "The versions of this API", "versions", "Versions")},
        f"{base_path}/v2/": {"get": _operation("version", "Version 2 of this API", "versions", "Version")},
        f"{base_path}/v2/models/": {"get": _operation("models", "All models", "models", "ModelList")},
    }


def _operation(id: str, summary: str, tag: str, shape: str, errors: Iterable[str] = ()) -> Schema:
    answer = {"description": summary, "content": {JSON: {"schema": _ref(shape)}}}
    return {
        "operationId": id,
        "summary": summary,
        "tags": [tag],
        "responses": {"200": answer, **error_responses(errors, text=True)},
    }


def _predict(card: Card, id: str, shape: str | None) -> Schema:
    schema = _ref("Prediction") if shape is None else answer_schema(card, _ref(shape))
    operation = _operation(id, "Make a prediction", "models", "Prediction", ERRORS)
    operation["responses"]["200"] = {"description": "The prediction", "content": answer_content(card, schema)}
    return _asking(operation, card, "predict")


def _train_paths(card: Card, path: str, ids: Mapping[str, str]) -> Schema:
    one = {"name": "uuid", "in": "path", "required": True, "schema": {"type": "string"}}
    start = _operation(ids["train"], "Start a training", "models", "Training", ERRORS)
    status = _operation(ids["training"], "One training: its status and result", "models", "Training", ["404"])
    cancel = _operation(ids["cancel"], "Cancel a training and forget it", "models", "Training", ["404"])
    return {
        path: {
            "get": _operation(ids["trainings"], "All trainings, running or ended", "models", "TrainingList"),
            "post": _asking(start, card, "train"),
        },
        f"{path}{{uuid}}": {"parameters": [one], "get": status, "delete": cancel},
    }


def _asking(operation: Schema, card: Card, method: str) -> Schema:
    """`operation` with the arguments of the plugin's method."""
    arguments = card.arguments(method)
    outside, body = parameters(arguments), request_body(arguments)
    if outside:
        operation["parameters"] = outside
    if body is not None:
        operation["requestBody"] = body
    if method not in card.capabilities:
        operation["responses"]["501"] = _error("501", True)
    return operation


def health_paths(base_path: str) -> Schema:
    """/health, /ready and /metrics, to be given as `extra_paths`."""
    ready = {"type": "object", "properties": {"ready": {"type": "boolean"}, "deployments": {"type": "object"}}}
    said = {"content": {JSON: {"schema": {**ready, "required": ["ready"]}}}}
    line = {"content": {TEXT: {"schema": {"type": "string"}}}}
    rows = {
        "health": ("The server answers", {"200": {"description": "It does", **line}}),
        "ready": (
            "The server can predict",
            {"200": {"description": "It can", **said}, "503": {"description": "It cannot, or not yet", **said}},
        ),
        "metrics": ("Figures for Prometheus", {"200": {"description": "The figures", **line}}),
    }
    return {
        f"{base_path}/{name}": {
            "get": {"operationId": name, "summary": summary, "tags": ["health"], "responses": responses}
        }
        for name, (summary, responses) in rows.items()
    }
