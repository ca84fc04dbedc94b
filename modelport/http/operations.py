"""What doors make their parts of the OpenAPI document of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from modelport.describe.schemas import Schema

JSON = "application/json"
TEXT: Schema = {"type": "string"}
FAILURE: Schema = {
    "type": "object",
    "properties": {
        "error": {"type": "string", "description": "Its kind, for programs"},
        "message": TEXT,
        "fields": {"type": "object"},
    },
    "required": ["error", "message"],
}


def operation(
    id: str, summary: str, tag: str, answers: Schema, codes: Iterable[str], said: Mapping[str, str]
) -> Schema:
    """codes: of the errors that it may be answered with. said: what each means."""
    failures = {code: answer(said[code], FAILURE) for code in codes}
    return {"operationId": id, "summary": summary, "tags": [tag], "responses": {**answers, **failures}}


def answer(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {JSON: {"schema": schema}}}


def body(schema: Schema, required: bool = True) -> Schema:
    return {"required": required, "content": {JSON: {"schema": schema}}}


def query(name: str, description: str, schema: Schema) -> Schema:
    found: Schema = {"name": name, "in": "query", "required": False, "schema": schema}
    return {**found, "description": description} if description else found


def part(name: str, description: str = "", schema: Schema = TEXT) -> Schema:
    """Of a path."""
    found: Schema = {"name": name, "in": "path", "required": True, "schema": schema}
    return {**found, "description": description} if description else found


def record(properties: Mapping[str, Schema], *optional: str) -> Schema:
    """An object with these members; all but the optional ones are always there."""
    return {"type": "object", "properties": dict(properties), "required": [n for n in properties if n not in optional]}


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def text(description: str = "", **more: Any) -> Schema:
    return {**TEXT, **({"description": description} if description else {}), **more}


def maybe(kind: str, description: str = "", **more: Any) -> Schema:
    """It, or null."""
    return {"type": [kind, "null"], **({"description": description} if description else {}), **more}
