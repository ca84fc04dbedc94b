"""Jobs in the OpenAPI document: /jobs…, /events, and what calls say of them."""

from __future__ import annotations

from collections.abc import Iterable

from modelport.contract.prediction import Status
from modelport.describe.schemas import Schema
from modelport.http import prefer
from modelport.http.operations import JSON, answer, maybe, operation, part, query, text

TAG = "jobs"

STATUSES = [status.value for status in Status]
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


MOMENT = text("UTC", format="date-time", examples=["2026-01-31T12:00:00.123Z"])
JOB: Schema = {
    "type": "object",
    "properties": {
        "id": text(pattern="^[0-9a-f]{32}$"),
        "deployment": text(),
        "method": text(enum=["predict", "train"]),
        "status": text(enum=STATUSES),
        "source": text("The door that it came by"),
        "created": MOMENT,
        "started": {**MOMENT, "type": ["string", "null"], "description": "The last attempt's start"},
        "finished": {**MOMENT, "type": ["string", "null"]},
        "duration_s": maybe("number", "From start to end"),
        "attempt": {"type": "integer", "description": "How often it was given to a worker"},
        "losses": {"type": "integer", "description": "How often worker or server was lost meanwhile"},
        "attempts": {"type": "integer", "description": "With so many losses it fails"},
        "position": maybe("integer", "While it is queued: how many are before it"),
        "progress": maybe("object", properties={"fraction": maybe("number", minimum=0, maximum=1), "message": text()}),
        "arguments": {"type": "object", "description": "For people: files by name, long values cut"},
        "result": maybe(
            "object",
            properties={
                "url": text(),
                "media_type": text(),
                "size_bytes": {"type": "integer"},
                "filename": maybe("string"),
            },
        ),
        "error": maybe("object", properties={"kind": text(), "message": text(), "fields": {"type": "object"}}),
        "log": {"type": "object", "properties": {"url": text(), "tail": text("The end of what it has printed")}},
        "links": {"type": "object", "additionalProperties": text()},
    },
    "required": ["id", "deployment", "method", "status", "source", "created", "attempt", "arguments", "links"],
}
LIST: Schema = {
    "type": "object",
    "properties": {
        "jobs": {"type": "array", "items": JOB},
        "after": maybe("string", "Where the next page begins; null on the last"),
        "next": maybe("string", "Path of the next page"),
    },
    "required": ["jobs", "after", "next"],
}

REMOVED: Schema = {"type": "object", "properties": {"removed": {"type": "integer"}}, "required": ["removed"]}
DEPLOYMENT: Schema = {"name": "deployment", "in": "query", "required": True, "schema": text()}


def accepted(description: str) -> Schema:
    """The answer 202."""
    return {
        "description": description,
        "headers": {
            "Location": {"description": "Path of the job", "schema": text()},
            "Retry-After": {"description": "Seconds", "schema": {"type": "integer"}},
        },
        "content": {JSON: {"schema": JOB}},
    }


def job_parameter() -> Schema:
    return {"name": "id", "in": "path", "required": True, "schema": text()}


def job_paths(base_path: str) -> dict[str, Schema]:
    job = {"200": answer("The job", JOB)}
    ended = {"204": {"description": "It had ended, and is removed"}}
    result = {"200": {"description": "What the model answered", "content": {"*/*": {}}}}
    log = {"200": {"description": "What it has printed", "content": {"text/plain": {"schema": text()}}}}
    one, path = {"parameters": [job_parameter()]}, f"{base_path}/jobs/{{id}}"
    again = {"202": accepted("A new job with the same arguments and files")}
    return {
        f"{base_path}/jobs": {
            "get": _operation(
                "jobs", "Jobs, the youngest first", {"200": answer("A page", LIST)}, ("400", "401", "404")
            )
            | {"parameters": _filters()},
            "delete": _operation(
                "remove_jobs", "Remove what has ended", {"200": answer("How many", REMOVED)}, ("400", "401", "404")
            )
            | {"parameters": [DEPLOYMENT, query("status", "Only of these final states", text())]},
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
            "parameters": [*one["parameters"], part("number", "", {"type": "integer", "minimum": 0})],
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
            | {"parameters": [query("follow", "1: as it is printed, until the end", {"enum": ["1"]})]},
        },
        f"{path}/cancel": {
            **one,
            "post": _operation(
                "cancel_job",
                "Cancel a job; one that has ended stays as it is",
                {"200": answer("The job, which has ended now; its status says how", JOB)},
                ("401", "404"),
            ),
        },
        f"{path}/run-again": {
            **one,
            "post": _operation("run_job_again", "The same once more", again, ("401", "404", "409")),
        },
    }


def event_paths(base_path: str) -> dict[str, Schema]:
    stream = {"200": {"description": "Server-sent events", "content": {"text/event-stream": {"schema": text()}}}}
    codes = ("401", "404", "503")
    of_one = _operation("job_events", "What the job does, until its end", stream, codes)
    of_all = _operation("events", "What all jobs do", stream, codes)
    of_all["parameters"] = [query("deployment", "Only of this one", {"type": "string"})]
    return {
        f"{base_path}/jobs/{{id}}/events": {"parameters": [job_parameter()], "get": of_one},
        f"{base_path}/events": {"get": of_all},
    }


def _filters() -> list[Schema]:
    return [
        query("deployment", "Of this one", {"type": "string"}),
        query("status", "In one of these states, separated by commas", {"type": "string", "examples": STATUSES}),
        query("method", "", {"type": "string", "enum": ["predict", "train"]}),
        query("source", "That came by this door", {"type": "string"}),
        query("limit", "Most on a page", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50}),
        query("after", "`after` of the page before", {"type": "string"}),
    ]


def _operation(id: str, summary: str, answers: Schema, codes: Iterable[str]) -> Schema:
    return operation(id, summary, TAG, answers, codes, ERRORS)
