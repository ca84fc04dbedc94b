"""Jobs in the OpenAPI document: /jobs…, /events, and what calls say of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from modelport.frontends.parts import prefer
from modelport.prediction import Status
from modelport.schemas import Schema

JSON = "application/json"
TAG = "jobs"

STATUSES = [each.value for each in Status]
ERRORS = {
    "400": "The request cannot be read",
    "401": "No token, or a wrong one",
    "404": "There is no such job, or it has been removed",
    "409": "The job is not in a state for this",
    "410": "The job was cancelled",
    "422": "The job's arguments have values that they cannot have",
    "500": "The model failed, or its process was lost",
    "503": "Too many streams are open, or jobs wait; see Retry-After",
    "504": "The job did not end before its deadline",
}

# What a call may send to be a job, or to be one job only.
PREFER: Schema = {
    "name": prefer.PREFER,
    "in": "header",
    "required": False,
    "description": "`respond-async`: answer 202 at once, and predict later; `wait=20`: only if it takes longer (s)",
    "schema": {"type": "string"},
    "examples": {"at once": {"value": "respond-async"}, "in time": {"value": "respond-async, wait=20"}},
}
JOB_HEADERS: list[Schema] = [
    {
        "name": prefer.KEY,
        "in": "header",
        "required": False,
        "description": "Of a job: the same key with the same call is the same job",
        "schema": {"type": "string", "minLength": 1, "maxLength": prefer.KEY_CHARS},
    },
    {
        "name": prefer.WEBHOOK,
        "in": "header",
        "required": False,
        "description": "Of a job: its end is reported there; the server's settings say which hosts may be told",
        "schema": {"type": "string", "format": "uri"},
    },
]


def _text(description: str = "", **more: Any) -> Schema:
    return {"type": "string", **({"description": description} if description else {}), **more}


def _maybe(kind: str, description: str = "", **more: Any) -> Schema:
    return {"type": [kind, "null"], **({"description": description} if description else {}), **more}


MOMENT = _text("UTC", format="date-time", examples=["2026-01-31T12:00:00.123Z"])
JOB: Schema = {
    "type": "object",
    "properties": {
        "id": _text(pattern="^[0-9a-f]{32}$"),
        "deployment": _text(),
        "method": _text(enum=["predict", "train"]),
        "status": _text(enum=STATUSES),
        "source": _text("The door that it came by"),
        "created": MOMENT,
        "started": {**MOMENT, "type": ["string", "null"], "description": "The last attempt's start"},
        "finished": {**MOMENT, "type": ["string", "null"]},
        "duration_s": _maybe("number", "From start to end"),
        "attempt": {"type": "integer", "description": "How often it was given to a worker"},
        "losses": {"type": "integer", "description": "How often worker or server was lost meanwhile"},
        "attempts": {"type": "integer", "description": "With so many losses it fails"},
        "position": _maybe("integer", "While it is queued: how many are before it"),
        "progress": _maybe(
            "object", properties={"fraction": _maybe("number", minimum=0, maximum=1), "message": _text()}
        ),
        "arguments": {"type": "object", "description": "For people: files by name, long values cut"},
        "result": _maybe(
            "object",
            properties={
                "url": _text(),
                "media_type": _text(),
                "size_bytes": {"type": "integer"},
                "filename": _maybe("string"),
            },
        ),
        "error": _maybe("object", properties={"kind": _text(), "message": _text(), "fields": {"type": "object"}}),
        "log": {"type": "object", "properties": {"url": _text(), "tail": _text("The end of what it has printed")}},
        "links": {"type": "object", "additionalProperties": _text()},
    },
    "required": ["id", "deployment", "method", "status", "source", "created", "attempt", "arguments", "links"],
}
LIST: Schema = {
    "type": "object",
    "properties": {
        "jobs": {"type": "array", "items": JOB},
        "after": _maybe("string", "Where the next page begins; null on the last"),
        "next": _maybe("string", "Path of the next page"),
    },
    "required": ["jobs", "after", "next"],
}
FAILURE: Schema = {
    "type": "object",
    "properties": {"error": _text("Its kind, for programs"), "message": _text(), "fields": {"type": "object"}},
    "required": ["error", "message"],
}


def accepted(description: str) -> Schema:
    """The answer 202."""
    return {
        "description": description,
        "headers": {
            "Location": {"description": "Path of the job", "schema": _text()},
            "Retry-After": {"description": "Seconds", "schema": {"type": "integer"}},
        },
        "content": {JSON: {"schema": JOB}},
    }


def job_parameter() -> Schema:
    return {"name": "id", "in": "path", "required": True, "schema": _text()}


def job_paths(base_path: str) -> dict[str, Schema]:
    job = {"200": _answer("The job", JOB)}
    ended = {"204": {"description": "It had ended, and is removed"}}
    result = {"200": {"description": "What the model answered", "content": {"*/*": {}}}}
    log = {"200": {"description": "What it has printed", "content": {"text/plain": {"schema": _text()}}}}
    one, path = {"parameters": [job_parameter()]}, f"{base_path}/jobs/{{id}}"
    again = {"202": accepted("A new job with the same arguments and files")}
    return {
        f"{base_path}/jobs": {
            "get": _operation(
                "jobs", "Jobs, the youngest first", {"200": _answer("A page", LIST)}, ("400", "401", "404")
            )
            | {"parameters": _filters()}
        },
        path: {
            **one,
            "get": _operation("job", "One job", job, ("401", "404")),
            "delete": _operation(
                "end_job", "Cancel a job, or remove one that has ended", {**job, **ended}, ("401", "404")
            ),
        },
        f"{path}/result": {
            **one,
            "get": _operation(
                "job_result",
                "Its answer, as the model gave it",
                result,
                ("401", "404", "409", "410", "422", "500", "504"),
            ),
        },
        f"{path}/files/{{number}}": {
            "parameters": [*one["parameters"], _number()],
            "get": _operation(
                "job_file",
                "A file that it was given",
                {"200": {"description": "The file", "content": {"*/*": {}}}},
                ("401", "404"),
            ),
        },
        f"{path}/log": {
            **one,
            "get": _operation("job_log", "What it has printed", log, ("401", "404", "503"))
            | {"parameters": [_query("follow", "1: as it is printed, until the end", {"enum": ["1"]})]},
        },
        f"{path}/run-again": {
            **one,
            "post": _operation("run_job_again", "The same once more", again, ("401", "404", "409")),
        },
    }


def event_paths(base_path: str) -> dict[str, Schema]:
    stream = {"200": {"description": "Server-sent events", "content": {"text/event-stream": {"schema": _text()}}}}
    codes = ("401", "404", "503")
    of_one = _operation("job_events", "What the job does, until its end", stream, codes)
    of_all = _operation("events", "What all jobs do", stream, codes)
    of_all["parameters"] = [_query("deployment", "Only of this one", {"type": "string"})]
    return {
        f"{base_path}/jobs/{{id}}/events": {"parameters": [job_parameter()], "get": of_one},
        f"{base_path}/events": {"get": of_all},
    }


def _number() -> Schema:
    return {"name": "number", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 0}}


def _filters() -> list[Schema]:
    return [
        _query("deployment", "Of this one", {"type": "string"}),
        _query("status", "In one of these states, separated by commas", {"type": "string", "examples": STATUSES}),
        _query("method", "", {"type": "string", "enum": ["predict", "train"]}),
        _query("source", "That came by this door", {"type": "string"}),
        _query("limit", "Most on a page", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50}),
        _query("after", "`after` of the page before", {"type": "string"}),
    ]


def _query(name: str, description: str, schema: Schema) -> Schema:
    found: Schema = {"name": name, "in": "query", "required": False, "schema": schema}
    return {**found, "description": description} if description else found


def _operation(id: str, summary: str, answers: Schema, errors: Iterable[str]) -> Schema:
    failures = {code: _answer(ERRORS[code], FAILURE) for code in errors}
    return {"operationId": id, "summary": summary, "tags": [TAG], "responses": {**answers, **failures}}


def _answer(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {JSON: {"schema": schema}}}
