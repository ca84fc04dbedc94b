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
from modelport.describe import v2
from modelport.describe.documents import JSON, Schema, with_schemas
from modelport.describe.schemas import fields_schema, json_schema, value_schema
from modelport.describe.statuses import REFUSALS

REFERENCE = "#/definitions/"
PLACES = {"query": "query", "form": "formData", "json": "body", "headers": "header", "cookies": "cookie"}

BEARER = {
    "type": "apiKey",
    "in": "header",
    "name": "Authorization",
    "description": "The word Bearer, a blank, and the token",
}
UUID = {"in": "path", "name": "uuid", "required": True, "type": "string"}
DEBUG = v2.Operation("get", "/v2/debug/", "debug", "Debug information", "", "debug")


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
    shapes, named = with_schemas(v2.SHAPES, REFERENCE)
    definitions = shapes | named
    names = v2.component_names(cards, {*definitions, "Failure"})
    definitions |= {names[name]: fields_schema(card, swagger=True) for name, card in cards.items() if name in names}
    paths: Schema = {f"{base_path}{DEBUG.path}": {"get": _debug(token)}}
    for operation in v2.operations(cards, base_path, predict=predict, train=train):
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, names, token)
    document: Schema = {
        "swagger": "2.0",
        "info": v2.information(cards, version, swagger=True),
        "paths": paths,
        "definitions": definitions,
    }
    if token:
        document |= {"securityDefinitions": {"bearer": BEARER}, "security": [{"bearer": []}]}
    return document


def parameters(arguments: Iterable[Argument]) -> list[Schema]:
    """The arguments in declaration order; those that travel in JSON are one parameter, where the first of them is."""
    schemas: list[Schema] = []
    body: Schema | None = None
    for argument in arguments:
        place = "formData" if argument.is_file else PLACES.get(argument.location or "query", "query")
        if argument.read_only or place == "cookie":
            continue
        schema = json_schema(argument, swagger=True)
        if place != "body":
            schema.pop("required", None)  # a nested object's list of keys, which here would be read as "is required"
            many = {"collectionFormat": "multi"} if argument.type == "array" else {}
            schemas.append({"in": place, "name": argument.wire_name, "required": argument.required, **many, **schema})
            continue
        if body is None:
            body = {"in": "body", "name": "body", "required": False, "schema": {"type": "object", "properties": {}}}
            schemas.append(body)
        body["schema"]["properties"][argument.wire_name] = schema
        if argument.required:
            body["schema"].setdefault("required", []).append(argument.wire_name)
    return schemas


def _debug(token: bool) -> Schema:
    described = {**_described(DEBUG, token), "produces": ["text/plain"]}
    described["responses"] |= {
        "200": {"description": "What the server printed"},
        "204": {"description": "Switched off"},
    }
    return described


def _operation(operation: v2.Operation, names: Mapping[str, str], token: bool) -> Schema:
    described = _described(operation, token)
    answer = described["responses"]["200"]
    answer["schema"] = {"$ref": REFERENCE + operation.shape}
    if operation.card is None:
        return {**described, "parameters": [UUID]} if operation.path.endswith("{uuid}") else described
    if (own := names.get(operation.model)) is not None and operation.function == "predict":
        answer["schema"] = value_schema(operation.card, {"$ref": REFERENCE + own})
    _ask(described, operation.card.arguments(operation.function))
    if operation.function == "predict":
        _choose_answer(described, operation.card)
    return described


def _described(operation: v2.Operation, token: bool) -> Schema:
    refusals = {*operation.refusals} - {401} | ({401} if token else set())
    return {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "produces": [JSON],
        "parameters": [],
        "responses": {
            "200": {"description": operation.summary},
            **{str(status): _refusal(status) for status in sorted(refusals)},
        },
    }


def _ask(described: Schema, arguments: list[Argument]) -> None:
    """Adds the arguments, and says how they travel."""
    described["parameters"] = parameters(arguments)
    places = {parameter["in"] for parameter in described["parameters"]}
    if "formData" in places:
        described["consumes"] = ["multipart/form-data"]
        if not any(argument.is_file for argument in arguments):
            described["consumes"].insert(0, "application/x-www-form-urlencoded")
    elif "body" in places:
        described["consumes"] = [JSON]
    if cookies := [argument.wire_name for argument in arguments if argument.location == "cookies"]:
        described["x-cookies"] = cookies


def _choose_answer(described: Schema, card: Card) -> None:
    """Adds the media types that the client may ask for."""
    if card.accept is None:
        return
    described["produces"] = [*(media for media in card.answer_types if media != "*/*"), "*/*"]
    for parameter in described["parameters"]:
        if parameter["name"] == card.accept.wire_name:
            parameter |= {"enum": list(described["produces"]), "default": card.default_answer_type}


def _refusal(status: int) -> Schema:
    """What is not said in ArgumentErrors is a line of text."""
    schema = {"schema": {"$ref": REFERENCE + v2.ARGUMENT_ERRORS}} if status in (400, 422) else {}
    return {"description": REFUSALS[status], **schema}
