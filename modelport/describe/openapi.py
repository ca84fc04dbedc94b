"""Cards as an OpenAPI 3.1 document.

What front ends reuse: `parameters` and `request_body` (a request), `answer_content` and `error_responses` (an answer);
the schemas of arguments and values are in modelport.describe.schemas.

An argument that may travel by query, form or JSON body is described where most clients put it: in the body of a POST.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from modelport.contract.card import Argument, Card
from modelport.describe import v2
from modelport.describe.documents import JSON, Failure, Schema, refusals, response, with_schemas
from modelport.describe.schemas import BINARY, fields_schema, json_schema, object_schema, value_schema

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
TEXT = "text/plain"
REFERENCE = "#/components/schemas/"
TEXTS: Schema = {"type": "string"}


# Requests


def parameters(arguments: Iterable[Argument], *, body: bool = True) -> list[Schema]:
    """The arguments that travel outside the body. With `body` false there is none, and all but files are listed.

    An Accept header is no parameter to OpenAPI: the media types of the answer stand for it.
    """
    listed = []
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
        listed.append(parameter)
    return listed


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
    forms = [argument for argument in inside if argument.location != "json"]
    plain = [argument for argument in inside if not argument.is_file]
    typed = [argument for argument in plain if argument.location != "form"]
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
    return {"required": any(argument.required for argument in inside), "content": content} if content else None


def _required_elsewhere(inside: list[Argument], carried: list[Argument]) -> bool:
    return any(argument.required and argument not in carried for argument in inside)


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


def answer_content(card: Card, schema: Any) -> Schema:
    """Schemas by the media types that the plugin answers in; `schema` is the one of its JSON."""
    content: Schema = {}
    for media in [media for media in card.answer_types if media != "*/*"] or [JSON]:
        if media == JSON:
            content[media] = schema
        else:
            content[media] = TEXTS if media.startswith("text/") else {**BINARY, "contentMediaType": media}
    return content


def asking(
    operation: Schema, arguments: Iterable[Argument], more: Iterable[Schema] = (), *, body: bool = True
) -> Schema:
    """`operation` with the arguments of a function. more: parameters. body: as for `parameters`."""
    arguments = list(arguments)
    listed = [
        *parameters(arguments if body else [argument for argument in arguments if not argument.is_file], body=body),
        *more,
    ]
    inside = request_body(arguments) if body else None
    asked: Schema = {"parameters": listed} if listed else {}
    return {**operation, **asked, **({"requestBody": inside} if inside is not None else {})}


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
    sold: Collection[str] = (),
) -> Schema:
    """The DEEPaaS V2 routes as an OpenAPI 3.1 document.

    cards: by the name in the routes. version: the server's. extra_paths: path items to add, by whole path; a type may
    stand for its schema. sold: the names of those whose predictions strangers can buy.
    """
    extra, named = with_schemas([{**v2.SHAPES, "Failure": Failure}, extra_paths or {}], REFERENCE)
    schemas = extra[0] | named
    names = v2.component_names(cards, set(schemas))
    schemas |= {names[name]: fields_schema(card) for name, card in cards.items() if name in names}
    paths: Schema = {}
    for operation in v2.operations(cards, base_path, predict=predict, train=train):
        described = _operation(operation, names)
        if operation.function == "predict" and operation.model in sold:
            described["responses"] |= refusals((402,), lambda status: {JSON: _reference("Failure")})
        paths.setdefault(operation.path, {})[operation.method] = described
    document: Schema = {
        "openapi": "3.1.0",
        "info": v2.information(cards, version),
        "paths": paths | extra[1],
        "components": {"schemas": schemas},
        "tags": [{"name": "models"}, {"name": "versions"}],
    }
    # A service has a token of its own, also where the server has none; its operations say so themselves.
    if token or any("security" in operation for path in extra[1].values() for operation in path.values()):
        document["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    if token:
        document["security"] = [{"bearer": []}]
    return document


def _operation(operation: v2.Operation, names: Mapping[str, str]) -> Schema:
    card, content = operation.card, {JSON: _reference(operation.shape)}
    if card is not None and operation.function == "predict":
        own = names.get(operation.model)
        schema = content[JSON] if own is None else value_schema(card, _reference(own))
        content = answer_content(card, schema)
    described: Schema = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "responses": {"200": response(200, content), **refusals(operation.refusals, _refusal)},
    }
    if card is not None:
        return asking(described, card.arguments(operation.function))
    if operation.path.endswith("{uuid}"):
        described["parameters"] = [path_parameter("uuid")]
    return described


def _refusal(status: int) -> Schema:
    """As the DEEPaaS front end refuses: a line of text, but for what is wrong with arguments."""
    errors = {JSON: _reference(v2.ARGUMENT_ERRORS)}
    return errors if status == 422 else {**(errors if status == 400 else {}), TEXT: TEXTS}


def _reference(name: str) -> Schema:
    return {"$ref": REFERENCE + name}


def path_parameter(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": TEXTS}
