"""Deployments and modules in the OpenAPI document: /deployments…, /modules…; for the owner."""

from __future__ import annotations

from collections.abc import Iterable

from modelport.catalogue.search import FIELDS, SORTS
from modelport.describe.schemas import Schema
from modelport.http.operations import answer, array, body, maybe, operation, part, query, record, text

TAGS = DEPLOYMENTS, MODULES = "deployments", "modules"
ERRORS = {
    "400": "The body is no JSON",
    "401": "This is the owner's",
    "402": "It has no bucket with keys of its own",
    "404": "There is none of this name",
    "409": "The name is taken",
    "422": "Values that cannot be; each is named in `fields`",
    "500": "The module does not load, or its metadata cannot be had",
    "503": "It is still loading",
}
WHOLE: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
TRUTH: Schema = {"type": "boolean"}
VARIABLES: Schema = {"type": "object", "additionalProperties": text()}
YES: Schema = {"type": "string", "enum": ["1"]}
PLAIN_TEXT: Schema = {"text/plain": {"schema": text()}}

# What may be said of one; null takes the server's setting.
OPTIONS: dict[str, Schema] = {
    "title": text(),
    "description": text(),
    "python": maybe("string", "Interpreter of the environment that the module lives in"),
    "min_workers": maybe("integer", "Kept warm, also when nobody calls", minimum=0),
    "max_workers": maybe("integer", minimum=1),
    "idle_s": maybe("number", "Memory is given back when nobody has called for so long"),
    "timeout_s": maybe("number", "A call may take so long"),
    "cpu": maybe("number", "CPUs of each worker: its libraries start no more threads"),
    "environment": {**VARIABLES, "description": "Variables for the model"},
}
MEMORY: Schema = {
    "type": ["string", "integer", "null"],
    "description": "Of each worker",
    "examples": ["2Gi", 2147483648],
}
SECRETS: Schema = {**VARIABLES, "description": "As `environment`, but never told again"}
CHANGES: Schema = {
    "type": "object",
    "properties": {"module": text(), **OPTIONS, "memory": MEMORY, "secrets": SECRETS},
}
NEW: Schema = {
    "type": "object",
    "properties": {
        "name": text("Made from the module's, where it is left out"),
        **CHANGES["properties"],
        "module": text("A module's name or path, as `module` of GET /modules; with its `python`, where that says one"),
        "temporary": {**TRUTH, "default": False, "description": "To try it: not kept, and gone when nobody calls it"},
    },
    "required": ["module"],
}
BUCKET = record(
    {"bucket": text(), "endpoint": text(), "access_key": text(), "secret_key": text(), "region": text()}
) | {"type": ["object", "null"]}
DEPLOYMENT = record(
    {
        "name": text(),
        "module": text("What a deployment is given, with `python`"),
        "status": text(enum=["cold", "loading", "ready", "busy", "failed"]),
        "endpoint": text("Of synchronous calls, the OSCAR way"),
        "token": text("Of its callers"),
        "bucket": BUCKET,
        **OPTIONS,
        "memory_bytes": maybe("integer", "Of each worker"),
        "secrets": {**array(text()), "description": "Their names"},
        "created": maybe("string", format="date-time"),
        "updated": maybe("string", format="date-time"),
        "kept": {**TRUTH, "description": "False: named on the command line of the server"},
        "temporary": TRUTH,
        "calls": {**WHOLE, "description": "Since the server began"},
        "p50_s": maybe("number", "Half of the last 200 calls were answered within so long; null: no calls yet"),
        "workers": WHOLE,
        "busy": WHOLE,
        "starting": WHOLE,
        "queued": WHOLE,
        "loaded": TRUTH,
        "restarts": WHOLE,
        "failure": {
            **record({"error": text(), "message": text(), "log": text()}),
            "type": ["object", "null"],
            "description": "Why it does not load",
        },
        "used_bytes": {**WHOLE, "description": "Memory of its processes; only with ?usage=1"},
    },
    *(option for option in OPTIONS if option not in ("title", "description")),
    *("memory_bytes", "secrets", "used_bytes"),
)
MODULE = record(
    {
        "id": text("For the paths here"),
        "name": text(),
        "module": text("What a deployment is given, with `python`"),
        "python": maybe("string"),
        "place": text("Where it was found"),
        "distribution": text(),
        "title": text(),
        **{each: text() for each in ("summary", "description", "license", "version", "author", "doi")},
        **{field: array(text()) for field in FIELDS.values()},
        "links": array(record({"label": text(), "url": text()})),
        "created": maybe("string"),
        "updated": maybe("string"),
        "resources": {"type": "object", "description": "What it asks for, by use: inference, training"},
        "source": text("Where what is said here comes from"),
        "problems": {**array(text()), "description": "What is wrong with its metadata"},
        "failure": maybe("string", "Why it does not load"),
        "capabilities": {**array(text()), "type": ["array", "null"], "description": "null: not known yet"},
    }
)
FOUND = record({"modules": array(MODULE), "problems": array(text("Of a folder or an environment"))})
# modelport/contract/card.py says what is in it.
CARD: Schema = {"type": "object", "description": "Arguments, answer types and metadata"}


def deployment_paths(base_path: str) -> dict[str, Schema]:
    one, path = {"parameters": [part("name", "Its name")]}, f"{base_path}/deployments/{{name}}"
    shown = {"200": answer("The deployment", DEPLOYMENT)}
    listed = _deployments("deployments", "Everything that is deployed", {"200": answer("All", array(DEPLOYMENT))})
    listed["parameters"] = [
        query("all", "1: also what is named on the server's command line", YES),
        query("usage", "1: with the memory that each takes, which is measured then", YES),
    ]
    made = _deployments(
        "deploy", "Deploy a module", {"201": answer("It loads", DEPLOYMENT)}, ("400", "401", "409", "422")
    )
    codes = ("400", "401", "404", "422")
    changed = _deployments("change_deployment", "Change it; calls that run end as they began", shown, codes)
    log = _deployments("deployment_log", "What its processes have printed", {"200": _text("From its end")}, NAMED)
    log["parameters"] = [query("follow", "1: also what they will print", YES)]
    gone: Schema = {"204": {"description": "It has gone, with its jobs; its calls were ended"}}
    token = {"200": answer("The new one; the old one is nobody's", record({"token": text()}))}
    keys = {"200": answer("The new ones; the old ones are nobody's", BUCKET)}
    return {
        f"{base_path}/deployments": {"get": listed, "post": made | {"requestBody": body(NEW)}},
        path: {
            **one,
            "get": _deployments("deployment", "One of them", shown, NAMED),
            "patch": changed | {"requestBody": body(CHANGES)},
            "delete": _deployments("undeploy", "Undeploy it", gone, NAMED),
        },
        f"{path}/token": {**one, "post": _deployments("rotate_token", "A new token for it", token, NAMED)},
        f"{path}/bucket": {
            **one,
            "post": _deployments("rotate_keys", "New keys of its bucket", keys, ("401", "402", "404")),
        },
        f"{path}/log": {**one, "get": log},
        f"{path}/card": {**one, "get": _card("deployment_card", "Its arguments; wakes it", DEPLOYMENTS)},
    }


def module_paths(base_path: str) -> dict[str, Schema]:
    one, path = {"parameters": [part("id")]}, f"{base_path}/modules/{{id}}"
    found, module = {"200": answer("Those that fit", FOUND)}, {"200": answer("The module", MODULE)}
    listed = operation("modules", "What could be deployed", MODULES, found, ("401",), ERRORS)
    listed["parameters"] = _filters()
    again = operation("refresh_modules", "Look everywhere again", MODULES, found, ("401",), ERRORS)
    return {
        f"{base_path}/modules": {"get": listed},
        f"{base_path}/modules/refresh": {"post": again},
        path: {**one, "get": operation("module", "One of them", MODULES, module, NAMED, ERRORS)},
        f"{path}/card": {**one, "get": _card("module_card", "Its arguments; imports it, in a process apart", MODULES)},
    }


def _filters() -> list[Schema]:
    several = "As often as need be; one of the values must be there"
    return [
        query("q", "Words; each must be found", text()),
        *(query(field, several, array(text())) for field in FIELDS),
        query("sort", "", text(enum=list(SORTS), default=SORTS[0])),
    ]


NAMED = ("401", "404")


def _deployments(id: str, summary: str, answers: Schema, codes: Iterable[str] = ("401",)) -> Schema:
    return operation(id, summary, DEPLOYMENTS, answers, codes, ERRORS)


def _card(id: str, summary: str, tag: str) -> Schema:
    return operation(id, summary, tag, {"200": answer("The card", CARD)}, (*NAMED, "500", "503"), ERRORS)


def _text(description: str) -> Schema:
    return {"description": description, "content": PLAIN_TEXT}
