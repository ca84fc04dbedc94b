"""Files of buckets in the OpenAPI document: /files…"""

from __future__ import annotations

from collections.abc import Iterable

from modelport.describe.schemas import Schema
from modelport.frontends.jobs.paths import JOB
from modelport.http.operations import TEXT, answer, operation, part

TAG = "files"
ANY: Schema = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
# Of one file; its path has slashes of its own, which many generators would escape.
FILE: Schema = {
    "type": "object",
    "properties": {
        "key": TEXT,
        "size_bytes": {"type": "integer"},
        "etag": TEXT,
        "modified": {"type": "string", "format": "date-time"},
    },
    "required": ["key", "size_bytes", "etag", "modified"],
}
PUT: Schema = {
    **FILE,
    "properties": {
        **FILE["properties"],
        "job": {"oneOf": [JOB, {"type": "null"}], "description": "What it has led to"},
    },
}
LIST: Schema = {
    "type": "object",
    "properties": {
        "bucket": TEXT,
        "prefix": TEXT,
        "folders": {"type": "array", "items": TEXT},
        "files": {"type": "array", "items": FILE},
        "next": {"type": ["string", "null"], "description": "Path of the next page"},
    },
    "required": ["bucket", "prefix", "folders", "files", "next"],
}
ERRORS = {
    "400": "No file can have this name",
    "401": "Neither the owner's token, nor the keys of the bucket",
    "402": "There are no buckets",
    "404": "There is no such deployment or file",
    "409": "A folder of this name is there",
    "413": "The file is too large",
    "503": "The object store does not answer, or too many jobs wait",
    "507": "There is no room",
}


def file_paths(base_path: str) -> dict[str, Schema]:
    deployment, key = part("deployment", "Its name"), part("key", "As in S3: with slashes, such as inputs/seven.png")
    listing = _operation(
        "files", "What lies in a folder of a bucket", {"200": answer("A page", LIST)}, ("401", "402", "404")
    )
    listing["parameters"] = [
        {"name": "prefix", "in": "query", "schema": {**TEXT, "examples": ["inputs/", "outputs/"]}},
        {"name": "after", "in": "query", "schema": TEXT},
    ]
    put = _operation(
        "put_file",
        "Put a file; under inputs/ it is a prediction",
        {"201": answer("It is kept", PUT)},
        ("400", "401", "402", "404", "409", "413", "503", "507"),
    )
    put["requestBody"] = {"content": ANY}
    got: Schema = {"200": {"description": "The file", "content": ANY}}
    gone: Schema = {"204": {"description": "It is not there"}}
    return {
        f"{base_path}/files/{{deployment}}": {"parameters": [deployment], "get": listing},
        f"{base_path}/files/{{deployment}}/{{key}}": {
            "parameters": [deployment, key],
            "get": _operation("file", "Fetch a file", got, ("401", "402", "404")),
            "put": put,
            "delete": _operation("delete_file", "Delete a file", gone, ("401", "402", "404")),
        },
    }


def _operation(id: str, summary: str, answers: Schema, codes: Iterable[str]) -> Schema:
    return operation(id, summary, TAG, answers, codes, ERRORS)
