"""What answers hold, as types: they are encoded from these, and OpenAPI's and Swagger's schemas are made of them.

In a description, a type stands wherever a schema may: `with_schemas` puts references in their place.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from modelport.describe.statuses import REFUSALS

Schema = dict[str, Any]

JSON = "application/json"
# What JSON has besides objects and lists.
PLAIN = (str, float, int, type(None))

RETRY_AFTER: Schema = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}
HEADERS: dict[int, Schema] = {
    202: {"Location": {"description": "Path of the job", "schema": {"type": "string"}}, **RETRY_AFTER},
    401: {"WWW-Authenticate": {"description": "Bearer", "schema": {"type": "string"}}},
    402: {
        "payment-required": {"description": "The price, as x402 says it: JSON in base64", "schema": {"type": "string"}}
    },
    503: RETRY_AFTER,
}


def one_of(*texts: str) -> Meta:
    return Meta(extra_json_schema={"enum": [*texts]})


class Failure(Struct):
    """Why there is no answer"""

    error: Annotated[str, Meta(description="The kind of error, for programs")]
    message: Annotated[str, Meta(description="The message for people")]
    fields: Annotated[dict[str, Any], Meta(description="What was wrong, by argument")] | UnsetType = UNSET


# Descriptions


def response(status: int, content: Schema | None = None) -> Schema:
    """What is answered with this status. content: schemas or types, by media type."""
    described = {"description": REFUSALS.get(status) or HTTPStatus(status).phrase, **by_media(content)}
    return {**described, "headers": HEADERS[status]} if status in HEADERS else described


def by_media(content: Schema | None) -> Schema:
    return {"content": {media: {"schema": schema} for media, schema in content.items()}} if content else {}


def refusals(statuses: Iterable[int], content: Callable[[int], Schema] = lambda status: {JSON: Failure}) -> Schema:
    return {str(status): response(status, content(status)) for status in statuses}


def with_schemas(described: Any, reference: str) -> tuple[Any, dict[str, Schema]]:
    """(`described` with references for its types, the schemas that they lead to by name).

    reference: what stands before a name.
    """
    named: dict[str, Schema] = {}

    def replaced(part: Any) -> Any:
        if isinstance(part, PLAIN):
            return part
        if isinstance(part, (dict, Mapping)):
            return {name: value if type(value) is str else replaced(value) for name, value in part.items()}
        if isinstance(part, list | tuple):
            return [replaced(value) for value in part]
        schema, components = _schemas(part, reference)
        named.update(components)
        return schema

    return replaced(described), named


@functools.lru_cache(maxsize=256)
def _schemas(kind: Any, reference: str) -> tuple[Schema, dict[str, Schema]]:
    (schema,), components = msgspec.json.schema_components((kind,), ref_template=reference + "{name}")
    return schema, components
