"""The plain endpoints in the OpenAPI document: for each deployment what the model is, takes and gives."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Annotated, Any
from urllib.parse import quote

from msgspec import Meta, Struct

from modelport.contract.card import Argument, Card
from modelport.contract.prediction import Status
from modelport.describe.documents import JSON, Schema, refusals, response
from modelport.describe.openapi import answer_content, asking, path_parameter
from modelport.describe.schemas import value_schema
from modelport.describe.statuses import CALL_REFUSALS
from modelport.http.job_documents import JobDocument
from modelport.http.prefer import JOB_HEADERS, PREFERENCES
from modelport.store.deployments import DeploymentRow

TAG = "plain"

Path = Annotated[str, Meta(description="A path of this server")]


class BegunJob(Struct):
    """It will be predicted, whatever happens; ask at status_url"""

    job_id: str
    status: Status
    status_url: Path
    result_url: Path


class JobProgressReport(BegunJob):
    """How a job stands"""

    progress: Annotated[float, Meta(ge=0, le=1)] | None
    message: Annotated[str, Meta(description="What the model says of its progress")]
    error: str | None


class Refusal(Struct):
    """In one sentence, why there is no answer"""

    detail: str


class ArgumentFault(Struct):
    """What is wrong with an argument"""

    type: Annotated[str, Meta(description="For programs: missing, int_parsing, value_error …")]
    loc: Annotated[
        list[str | int],
        Meta(
            description="Where: query, body or header, the argument, and the way inside it",
            examples=[["body", "boxes", 0, "x"]],
        ),
    ]
    msg: str
    input: Annotated[Any, Meta(description="What was sent")]


class ArgumentFaults(Struct):
    """What is wrong with the arguments"""

    detail: list[ArgumentFault]


def title(card: Card, name: str = "") -> str:
    """name: by whoever deployed it."""
    return name or _text(card, "title") or _text(card, "name") or card.name


def plain_paths(
    base_path: str, row: DeploymentRow, card: Card, *, token: bool = False, sold: bool = False
) -> dict[str, Schema]:
    """The path items of one deployment; what whoever deployed it says of it comes before what the model says.
    token: a bearer token is needed. sold: or a payment."""
    arguments = [_anywhere(argument) for argument in card.predict_args]
    identity = re.sub(r"[^A-Za-z0-9_]", "_", row.name)
    described = _described(row, card, token, sold)
    later = described | {"responses": {**described["responses"], "202": response(202, {JSON: BegunJob})}}
    del later["responses"]["200"]
    item = {"post": asking({"operationId": f"call_{identity}", **described}, arguments, PREFERENCES)}
    if not any(argument.is_file and argument.required for argument in arguments):
        by_query = {"operationId": f"ask_{identity}", **described}
        item["get"] = asking(by_query, arguments, PREFERENCES, body=False)
    begin = asking({"operationId": f"begin_{identity}", **later}, arguments, JOB_HEADERS)
    path = f"{base_path}/{quote(row.name, safe='')}"
    return {path: item, f"{path}/async": {"post": begin}}


def status_paths(base_path: str) -> dict[str, Schema]:
    """What jobs that began at `/<name>/async` are asked for by."""
    status = {
        "operationId": "job_status",
        "summary": "How a job stands",
        "responses": {"200": response(200, {JSON: JobProgressReport}), **refusals((401, 404), _refusal)},
    }
    refused = refusals((401, 404, 409, 410, 422, 500, 504), _refusal)
    result = {
        "operationId": "job_answer",
        "summary": "What the model has answered, as the call itself gives it",
        "responses": {"200": response(200, {"*/*": {}}), **refused},
    }
    return {
        f"{base_path}/{name}/{{id}}": {"get": {"tags": [TAG], "parameters": [path_parameter("id")], **operation}}
        for name, operation in (("status", status), ("results", result))
    }


def _anywhere(argument: Argument) -> Argument:
    """Query, form or JSON: this front end takes an argument by each of them."""
    named = argument.location if argument.location in ("headers", "cookies") else None
    return dataclasses.replace(argument, location=named)


def _described(row: DeploymentRow, card: Card, token: bool, sold: bool) -> Schema:
    result = {"type": "object", "properties": {"result": value_schema(card)}, "required": ["result"]}
    answers = {"200": response(200, answer_content(card, result)), "202": response(202, {JSON: JobDocument})}
    described: Schema = {
        "summary": _summary(card, row.title),
        "description": _description(card, row.description),
        "tags": [TAG],
        "responses": {**answers, **refusals((*CALL_REFUSALS, 409, 415), _refusal), **refusals((402,) if sold else ())},
    }
    return {**described, "security": [{"bearer": []}]} if token else described


def _refusal(status: int) -> Schema:
    return {JSON: ArgumentFaults if status == 422 else Refusal}


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
