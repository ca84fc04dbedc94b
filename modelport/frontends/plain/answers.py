"""What the plain front end answers: the result in its envelope, or `{"detail": …}`; and to which methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from modelport.contract.prediction import Outcome
from modelport.errors import InvalidArguments, ModelportError, Unauthorized
from modelport.frontends.plain.arguments import Refused, row
from modelport.http.credentials import bearer
from modelport.http.gateway import Gateway, Handler, guarded
from modelport.http.json_answers import encoded
from modelport.http.names import JSON, answer_headers
from modelport.identity.links import LinkEnded

BEFORE, AFTER = b'{"result": ', b"}"


async def respond(
    gateway: Gateway, request: web.Request, outcome: Outcome, headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """JSON as `{"result": …}`, anything else as it is. headers: more of them; the answer may be sent from here."""
    headers = {**answer_headers(outcome.filename, outcome.media_type), **(headers or {})}
    if outcome.media_type.partition(";")[0].strip().lower() == JSON:
        return await gateway.respond(request, outcome, before=BEFORE, after=AFTER, headers=headers)
    return await gateway.respond(request, outcome, headers=headers)


def refusal(status: int, detail: Any, headers: dict[str, str] | None = None) -> web.Response:
    """detail: a sentence, or rows of `plain_arguments`."""
    # A header may hold what is no text, and is shown to who has sent it.
    return web.Response(status=status, body=encoded({"detail": detail}), content_type=JSON, headers=headers)


def add_routes(app: web.Application, path: str, handlers: Mapping[str, Handler]) -> None:
    """These methods; others are refused in the shape of this front end."""
    methods = ", ".join([*handlers, "OPTIONS"])

    async def refuse(request: web.Request) -> web.StreamResponse:
        return refusal(405, "Method Not Allowed", {"Allow": methods})

    resource = app.router.add_resource(path)
    for method, handler in handlers.items():
        resource.add_route(method, guarded(handler, error_answer))
    resource.add_route("*", refuse)


def unauthorized(request: web.Request, error: Unauthorized) -> Unauthorized:
    if isinstance(error, LinkEnded):
        return error
    return Unauthorized("Invalid or missing token" if bearer(request) else "Not authenticated")


def error_answer(error: ModelportError, status: int) -> web.Response:
    if isinstance(error, Refused):
        return refusal(status, error.rows)
    if isinstance(error, InvalidArguments):
        return refusal(status, [row("value_error", ["body"], error.message, None)])
    return refusal(status, error.message)
