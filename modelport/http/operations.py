"""Routes: which handler answers, and what the OpenAPI document says of it, in one row each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from aiohttp import web

from modelport.describe.documents import JSON, Schema, by_media, refusals, response
from modelport.describe.openapi import path_parameter
from modelport.http.frontend import GatewayFrontend
from modelport.http.gateway import Gateway, Handler, guarded
from modelport.http.json_answers import error_answer

TEXT: Schema = {"type": "string"}
ANY: Schema = {"type": "string", "format": "binary"}
YES: Schema = {"type": "string", "enum": ["1"]}

Check = Callable[[web.Request], None]


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    route: such as "GET /jobs/{id}", below the base path. answers: by status: the type or schema of JSON, a media type,
    or None where there is no body. errors: statuses of refusals. parameters: those that are not in the path.
    body: what is sent, as in `answers`. check: replaces the front end's own check; raises if
    the caller may not ask.
    """

    route: str
    handler: Handler
    id: str
    summary: str
    answers: Mapping[int, Any]
    errors: Sequence[int] = ()
    parameters: Sequence[Schema] = ()
    body: Any = None
    check: Check | None = None

    def described(self, tag: str) -> Schema:
        listed = [path_parameter(name) for name in re.findall(r"{(\w+)", self.route)] + [*self.parameters]
        answers = {str(status): response(status, _content(answer)) for status, answer in self.answers.items()}
        described: Schema = {"operationId": self.id, "summary": self.summary, "tags": [tag]}
        described["responses"] = {**answers, **refusals(self.errors)}
        if self.body is not None:
            described["requestBody"] = {"required": True, **by_media(_content(self.body))}
        return {**described, "parameters": listed} if listed else described


class DescribedFrontend(GatewayFrontend):
    """A front end whose routes are all described in /openapi.json, under its tag.

    for_owner: nobody else may ask for them, or is told of them.
    """

    tag: ClassVar[str]
    for_owner: ClassVar[bool] = False

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        gateway.describers.append(self.openapi_paths)

    def operations(self) -> Sequence[Operation]:
        """Those of one path follow each other."""
        raise NotImplementedError

    def add_routes(self, app: web.Application) -> None:
        """A path has the name of its first operation."""
        names: dict[str, str] = {}
        for operation in self.operations():
            method, path = self._route(operation)
            check = operation.check or (self.gateway.check_owner if self.for_owner else None)
            handler = guarded(operation.handler, error_answer, check=check)
            app.router.add_route(method, path, handler, name=names.setdefault(path, operation.id))

    async def openapi_paths(self, request: web.Request) -> dict[str, Schema]:
        paths: dict[str, Schema] = {}
        if self.for_owner and not self.gateway.is_owner(request):
            return paths
        for operation in self.operations():
            method, path = self._route(operation)
            path = re.sub(r"(?<=\w):[^{}]+(?=})", "", path)  # aiohttp's pattern of a part
            paths.setdefault(path, {})[method.lower()] = operation.described(self.tag)
        return paths

    def _route(self, operation: Operation) -> tuple[str, str]:
        method, _, path = operation.route.partition(" ")
        return method, self.gateway.settings.base_path + path


def _content(answer: Any) -> Schema | None:
    """Schemas by media type."""
    if isinstance(answer, str):
        return {answer: TEXT if answer.startswith("text/") else ANY}
    return None if answer is None else {JSON: answer}


def query(name: str, description: str, schema: Any = TEXT, *, required: bool = False) -> Schema:
    return {"name": name, "in": "query", "required": required, "description": description, "schema": schema}


def asks_for(request: web.Request, name: str) -> bool:
    """Whether the query has `name=1`, or another word for it."""
    return request.query.get(name, "").lower() in ("1", "true", "yes")
