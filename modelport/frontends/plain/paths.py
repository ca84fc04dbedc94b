"""The plain endpoints in the OpenAPI document: for each deployment what the model is, takes and gives."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from modelport.contract.card import Argument, Card
from modelport.contract.prediction import Status
from modelport.describe.openapi import answer_content, parameters, request_body
from modelport.describe.schemas import Schema, value_schema
from modelport.frontends.jobs import paths as job_paths

JSON = "application/json"
TAG = "plain"

PREFERENCES = [job_paths.PREFER, *job_paths.JOB_HEADERS]

ERRORS = {
    "400": "The request cannot be read",
    "401": "No token, or a wrong one",
    "404": "There is none",
    "409": "This Idempotency-Key stands for another call",
    "413": "The request is too large",
    "415": "The body is of a type that is not read here",
    "422": "Arguments are missing, unknown, or have values that they cannot have",
    "500": "The model failed, or its process was lost",
    "503": "All workers are busy and the queue is full, or the model is still loading; see Retry-After",
    "504": "The prediction did not end before its deadline",
}

# Of a call; the others have what they say below.
CALL_ERRORS = tuple(error for error in ERRORS if error != "404")

BEGUN: Schema = {
    "type": "object",
    "properties": {
        "job_id": {"type": "string"},
        "status": {"type": "string", "enum": [each.value for each in Status]},
        "status_url": {"type": "string", "description": "A path of this server"},
        "result_url": {"type": "string", "description": "A path of this server"},
    },
    "required": ["job_id", "status", "status_url", "result_url"],
}
STATUS: Schema = {
    "type": "object",
    "properties": {
        **BEGUN["properties"],
        "progress": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "message": {"type": "string", "description": "What the model says of its progress"},
        "error": {"type": ["string", "null"]},
    },
    "required": [*BEGUN["required"], "progress", "message", "error"],
}

SENTENCE: Schema = {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}
ROW: Schema = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "description": "For programs: missing, int_parsing, value_error …"},
        "loc": {
            "type": "array",
            "items": {"type": ["string", "integer"]},
            "description": "Where: query, body or header, the argument, and the way inside it",
            "examples": [["body", "boxes", 0, "x"]],
        },
        "msg": {"type": "string"},
        "input": {"description": "What was sent"},
    },
    "required": ["type", "loc", "msg", "input"],
}
ROWS: Schema = {
    "type": "object",
    "properties": {"detail": {"type": "array", "items": ROW}},
    "required": ["detail"],
}


def title(card: Card, given: str = "") -> str:
    """given: by whoever deployed it."""
    return given or _text(card, "title") or _text(card, "name") or card.name


def plain_paths(
    base_path: str, name: str, card: Card, *, heading: str = "", about: str = "", token: bool = False
) -> dict[str, Schema]:
    """The path items of one deployment. heading, about: title and description given at deployment, before the model's.
    token: a bearer token is needed."""
    arguments = [_anywhere(arg) for arg in card.predict_args]
    identity = re.sub(r"[^A-Za-z0-9_]", "_", name)
    by_body = parameters(arguments), request_body(arguments)
    item: Schema = {"post": _operation(f"call_{identity}", card, heading, about, token)}
    item["post"].update(_asking([*by_body[0], *PREFERENCES], by_body[1]))
    if not any(argument.is_file and argument.required for argument in arguments):
        item["get"] = _operation(f"ask_{identity}", card, heading, about, token)
        item["get"].update(_asking([*_in_query(arguments), *PREFERENCES], None))
    later = _operation(f"begin_{identity}", card, heading, about, token)
    later["responses"] = {**later["responses"], "202": _begun()}
    del later["responses"]["200"]
    later.update(_asking([*by_body[0], *job_paths.JOB_HEADERS], by_body[1]))
    path = f"{base_path}/{quote(name, safe='')}"
    return {path: item, f"{path}/async": {"post": later}}


def status_paths(base_path: str) -> dict[str, Schema]:
    """What jobs that began at `/<name>/async` are asked for by."""
    one = job_paths.job_parameter()
    codes = ("401", "404")
    status = {
        "operationId": "job_status",
        "summary": "How a job stands",
        "tags": [TAG],
        "responses": {
            "200": {"description": "How it stands", "content": {JSON: {"schema": STATUS}}},
            **{code: _error(code, ERRORS[code]) for code in codes},
        },
    }
    result = {
        "operationId": "job_answer",
        "summary": "What the model has answered",
        "tags": [TAG],
        "responses": {
            "200": {"description": "The answer, as the call itself gives it", "content": {"*/*": {}}},
            "409": _error("409", "The job has not ended; see Retry-After"),
            "410": _error("410", "The job was cancelled"),
            **{code: _error(code, ERRORS[code]) for code in (*codes, "422", "500", "504")},
        },
    }
    return {
        f"{base_path}/status/{{id}}": {"parameters": [one], "get": status},
        f"{base_path}/results/{{id}}": {"parameters": [one], "get": result},
    }


def _begun() -> Schema:
    return {
        "description": "Accepted: it will be predicted, whatever happens; ask at status_url",
        "headers": {"Location": {"description": "status_url", "schema": {"type": "string"}}},
        "content": {JSON: {"schema": BEGUN}},
    }


def _anywhere(argument: Argument) -> Argument:
    """Query, form or JSON: this door takes an argument by each of them."""
    named = argument.location if argument.location in ("headers", "cookies") else None
    return dataclasses.replace(argument, location=named)


def _in_query(arguments: Sequence[Argument]) -> list[Schema]:
    return parameters([argument for argument in arguments if not argument.is_file], body=False)


def _asking(outside: list[Schema], body: Schema | None) -> Schema:
    asked: Schema = {"parameters": outside} if outside else {}
    return {**asked, "requestBody": body} if body is not None else asked


def _operation(identity: str, card: Card, heading: str, about: str, token: bool) -> Schema:
    result = {"type": "object", "properties": {"result": value_schema(card)}, "required": ["result"]}
    operation: Schema = {
        "operationId": identity,
        "summary": _summary(card, heading),
        "description": _description(card, about),
        "tags": [TAG],
        "responses": {
            "200": {"description": "The model's answer", "content": answer_content(card, result)},
            "202": job_paths.accepted("The answer is not there yet, by the header Prefer; this is the job"),
            **{code: _error(code, ERRORS[code]) for code in CALL_ERRORS},
        },
    }
    if token:
        operation["security"] = [{"bearer": []}]
    return operation


def _summary(card: Card, heading: str) -> str:
    name, summary = title(card, heading), _text(card, "summary")
    return f"{name}: {summary}" if summary and summary != name else name


def _description(card: Card, about: str) -> str:
    version = _text(card, "version")
    parts: Iterable[str] = (about, _text(card, "description"), f"Version {version} of the model." if version else "")
    return "\n\n".join(dict.fromkeys(filter(None, parts)))


def _text(card: Card, key: str) -> str:
    """A plugin may say anything of itself, in any type."""
    value = card.metadata.get(key)
    return str(value).strip() if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""


def _error(code: str, text: str) -> dict[str, Any]:
    response: dict[str, Any] = {"description": text, "content": {JSON: {"schema": ROWS if code == "422" else SENTENCE}}}
    if code == "401":
        response["headers"] = {"WWW-Authenticate": {"description": "Bearer", "schema": {"type": "string"}}}
    if code == "503":
        response["headers"] = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}
    return response
