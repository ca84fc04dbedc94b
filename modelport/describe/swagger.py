"""Cards as a Swagger 2.0 document of the DEEPaaS V2 routes, for clients written for deepaas' own.

As deepaas writes it (contract, 2.9), with these differences: trainings, lists and metadata have the shapes that are
really sent (D-26); errors are described; a file is in the form even where the plugin forgot to say so; and no parameter
is "in: cookie", which Swagger 2.0 does not have: cookies are listed beside, as `x-cookies`.

A Dict stays a query parameter of type "object", and a Raw one without a type: not valid to the letter, but what clients
of deepaas know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from modelport.contract.card import Argument, Card
from modelport.describe.schemas import (
    Schema,
    answer_schema,
    component_names,
    error_schemas,
    fields_schema,
    information,
    json_schema,
    operation_id,
    v2_shapes,
)

JSON = "application/json"
REFERENCE = "#/definitions/"
PLACES = {"query": "query", "form": "formData", "json": "body", "headers": "header", "cookies": "cookie"}

BEARER = {
    "type": "apiKey",
    "in": "header",
    "name": "Authorization",
    "description": "The word Bearer, a blank, and the token",
}
# What is not said in ArgumentErrors is a line of text.
ERRORS = {
    "400": "The request cannot be read",
    "413": "The request is too large",
    "422": "Arguments are missing or have values that they cannot have",
    "500": "The model failed, or its process was lost",
    "503": "All workers are busy and the queue is full, or the model is still loading; see Retry-After",
    "504": "It did not end before its deadline",
}
ARGUMENT_ERRORS = ("400", "422")


def swagger2(
    cards: Mapping[str, Card],
    *,
    base_path: str,
    version: str,
    predict: bool = True,
    train: bool = True,
    token: bool = False,
) -> Schema:
    """The document. cards: by the name in the routes. version: the server's. The rest: as the server is set."""
    names = component_names(cards)
    definitions = {**v2_shapes(REFERENCE), "ArgumentErrors": error_schemas()["ArgumentErrors"]}
    definitions.update(
        {names[name]: fields_schema(card, swagger=True) for name, card in cards.items() if name in names}
    )
    paths = _general_paths(base_path)
    for name, card in cards.items():
        root = f"{base_path}/v2/models/{name}"
        paths[f"{root}/"] = {"get": _operation("The model's metadata", "ModelMeta")}
        if train:
            paths.update(_train_paths(card, f"{root}/train/"))
        if predict:
            paths[f"{root}/predict/"] = {"post": _predict(card, names.get(name))}
        for path in [each for each in paths if each.startswith(f"{root}/")]:
            _name_operations(paths[path], path[len(root) :], name, cards)
    document: Schema = {
        "swagger": "2.0",
        "info": information(cards, version, swagger=True),
        "paths": paths,
        "definitions": definitions,
    }
    if token:
        document["securityDefinitions"] = {"bearer": BEARER}
        document["security"] = [{"bearer": []}]
        for item in paths.values():
            for operation in item.values():
                operation["responses"]["401"] = {"description": "No token, or a wrong one"}
    return document


def parameters(arguments: Iterable[Argument]) -> list[Schema]:
    """The arguments in declaration order; those that travel in JSON are one parameter, where the first of them is."""
    found: list[Schema] = []
    body: Schema | None = None
    for argument in arguments:
        place = "formData" if argument.is_file else PLACES.get(argument.location or "query", "query")
        if argument.read_only or place == "cookie":
            continue
        schema = json_schema(argument, swagger=True)
        if place != "body":
            schema.pop("required", None)  # a nested object's list of keys, which here would be read as "is required"
            many = {"collectionFormat": "multi"} if argument.type == "array" else {}
            found.append({"in": place, "name": argument.wire_name, "required": argument.required, **many, **schema})
            continue
        if body is None:
            body = {"in": "body", "name": "body", "required": False, "schema": {"type": "object", "properties": {}}}
            found.append(body)
        body["schema"]["properties"][argument.wire_name] = schema
        if argument.required:
            body["schema"].setdefault("required", []).append(argument.wire_name)
    return found


def _general_paths(base_path: str) -> Schema:
    debug = {"200": {"description": "What the server printed"}, "204": {"description": "Switched off"}}
    paths = {
        base_path or "/": {"get": _operation("The versions of this API", "Versions", tag="versions")},
        f"{base_path}/v2/": {"get": _operation("Version 2 of this API", "Version", tag="versions")},
        f"{base_path}/v2/debug/": {"get": {**_operation("Debug information", "", tag="debug"), "responses": debug}},
        f"{base_path}/v2/models/": {"get": _operation("All models", "ModelList")},
    }
    paths[f"{base_path}/v2/debug/"]["get"]["produces"] = ["text/plain"]
    for verb, item in zip(("versions", "version", "debug", "models"), paths.values(), strict=True):
        item["get"]["operationId"] = verb
    return paths


def _operation(summary: str, shape: str, *, tag: str = "models") -> Schema:
    return {
        "tags": [tag],
        "summary": summary,
        "produces": [JSON],
        "parameters": [],
        "responses": {"200": {"description": summary, "schema": {"$ref": REFERENCE + shape}}},
    }


def _predict(card: Card, shape: str | None) -> Schema:
    operation = _asking("Make a prediction given the input data", "Prediction", card, "predict")
    if shape is not None:
        operation["responses"]["200"]["schema"] = answer_schema(card, {"$ref": REFERENCE + shape})
    if card.accept is not None:
        types = [each for each in card.answer_types if each != "*/*"]
        operation["produces"] = [*types, "*/*"]
        for each in operation["parameters"]:
            if each["name"] == card.accept.wire_name:
                each["enum"] = list(operation["produces"])
                each["default"] = card.default_answer_type
    return operation


def _train_paths(card: Card, path: str) -> Schema:
    one = {"in": "path", "name": "uuid", "required": True, "type": "string"}
    status = _operation("One training: its status and result", "Training")
    cancel = _operation("Cancel a training and forget it", "Training")
    for operation in (status, cancel):
        operation["parameters"] = [one]
        operation["responses"]["404"] = {"description": "There is no such training"}
    return {
        path: {
            "post": _asking("Start a training", "Training", card, "train"),
            "get": _operation("All trainings, running or ended", "TrainingList"),
        },
        f"{path}{{uuid}}": {"get": status, "delete": cancel},
    }


def _asking(summary: str, shape: str, card: Card, method: str) -> Schema:
    """An operation with the arguments of the plugin's method."""
    operation = _operation(summary, shape)
    arguments = card.arguments(method)
    operation["parameters"] = parameters(arguments)
    operation["responses"].update({code: _error(code) for code in ERRORS})
    if method not in card.capabilities:
        operation["responses"]["501"] = {"description": "The model does not have this function"}
    places = {each["in"] for each in operation["parameters"]}
    if "formData" in places:
        operation["consumes"] = ["multipart/form-data"]
        if not any(argument.is_file for argument in arguments):
            operation["consumes"].insert(0, "application/x-www-form-urlencoded")
    elif "body" in places:
        operation["consumes"] = [JSON]
    cookies = [argument.wire_name for argument in arguments if argument.location == "cookies"]
    return {**operation, "x-cookies": cookies} if cookies else operation


def _name_operations(item: Schema, rest: str, name: str, cards: Mapping[str, Card]) -> None:
    """rest: the path below the model's."""
    for method, operation in item.items():
        verb = OPERATIONS[(method, rest)]
        operation["operationId"] = operation_id(verb, name, cards)


OPERATIONS = {
    ("get", "/"): "describe",
    ("post", "/predict/"): "predict",
    ("post", "/train/"): "train",
    ("get", "/train/"): "trainings",
    ("get", "/train/{uuid}"): "training",
    ("delete", "/train/{uuid}"): "cancel",
}


def _error(code: str) -> Schema:
    schema = {"schema": {"$ref": f"{REFERENCE}ArgumentErrors"}} if code in ARGUMENT_ERRORS else {}
    return {"description": ERRORS[code], **schema}
