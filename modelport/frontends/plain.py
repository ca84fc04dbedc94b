"""The plain door: `GET /<name>?a=1` and `POST /<name>`, JSON out; for marketplaces that register a URL and a token.

Its errors have the shape that clients of FastAPI know: `{"detail": "<sentence>"}`, and for arguments a list that says
of each where it is and what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from modelport.card import Card
from modelport.deployments import Deployment
from modelport.errors import Disabled, InvalidArguments, ModelportError, NotFound, Unauthorized
from modelport.frontends.http import Hall, bearer, guarded, harmless, make_call
from modelport.frontends.plain_arguments import Given, Refused, read, row, rows_of
from modelport.frontends.plain_cors import cors_headers, preflight
from modelport.frontends.plain_names import answer_name, disposition
from modelport.frontends.plain_paths import path_of, plain_path
from modelport.prediction import Outcome
from modelport.rows import RESERVED
from modelport.schemas import Schema

JSON = "application/json"
BEFORE, AFTER = b'{"result": ', b"}"
METHODS = "GET, HEAD, POST, OPTIONS"


class PlainFrontend:
    """`/<name>` of every deployment."""

    def __init__(self, hall: Hall) -> None:
        self.hall = hall
        self.settings = hall.settings
        hall.describers.append(self.openapi_paths)

    def add_routes(self, app: web.Application) -> None:
        """What has a fixed path is found first (aiohttp looks from the longest prefix up). Other doors' names are left
        alone, so that a wrong method there stays a 405 of theirs."""
        others = "|".join(re.escape(each) for each in sorted(RESERVED))
        name = f"{{name:(?!(?:{others})/?$)[^/]+}}"
        for path in (f"{self.settings.base_path}/{name}", f"{self.settings.base_path}/{name}/"):
            app.router.add_route("*", path, self.answer)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.method == "OPTIONS":
            return preflight(self._origins(request), request, METHODS)
        response = await self._handler(request.method)(request)
        if not response.prepared:
            response.headers.update(cors_headers(self._origins(request), request))
        return response

    def _origins(self, request: web.Request) -> str:
        """Where no token is asked for, * does not hold: it would be whatever page the user happens to look at."""
        name = request.match_info["name"]
        served = any(each.name == name and each.row is None for each in self.hall.deployments)
        anyone = "*" in self.settings.cors_origins
        return "" if anyone and served and not self.settings.token else self.settings.cors_origins

    def _handler(self, method: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        return guarded(
            {"GET": self.predict, "POST": self.predict, "HEAD": self.look}.get(method, _refuse_method), _error
        )

    async def look(self, request: web.Request) -> web.StreamResponse:
        """HEAD: whether the endpoint is there and the token right. It makes no prediction."""
        self._deployment(request)
        return web.Response(content_type=JSON)

    async def predict(self, request: web.Request) -> web.StreamResponse:
        deployment = self._deployment(request)
        if not self.settings.predict_endpoint:
            raise Disabled("the predict endpoint is switched off here")
        self.hall.predictions.check_room(deployment)
        async with self.hall.predictions.scratch() as scratch:
            card = await deployment.wait_card()
            given = await read(request, self.settings, scratch, card.predict_args)
            try:
                call = make_call(card, "predict", given.values, given.files, scratch)
                outcome = await self.hall.predict(deployment, call)
            except InvalidArguments as error:
                raise _refused(error, given, card) from error
            return await self._respond(request, outcome)

    async def _respond(self, request: web.Request, outcome: Outcome) -> web.StreamResponse:
        # Sent while it is read, perhaps: so here, not afterwards.
        headers = {**harmless(outcome.media_type), **cors_headers(self._origins(request), request)}
        kind = outcome.media_type.partition(";")[0].strip().lower()
        if kind == JSON:
            return await self.hall.respond(request, outcome, before=BEFORE, after=AFTER, headers=headers)
        headers["Content-Disposition"] = disposition(answer_name(outcome.filename, kind))
        return await self.hall.respond(request, outcome, headers=headers)

    # Who may

    def _deployment(self, request: web.Request) -> Deployment:
        """Raises Unauthorized; NotFound only to who may know that there is none."""
        try:
            return self.hall.find(request, request.match_info["name"])
        except Unauthorized as error:
            raise Unauthorized("Invalid or missing token" if bearer(request) else "Not authenticated") from error
        except NotFound as error:
            raise NotFound("Not Found") from error

    # The document

    async def openapi_paths(self, request: web.Request) -> dict[str, Schema]:
        """Of what the caller may know. A service is not woken for it, and one that does not load hides no other."""
        if not self.settings.predict_endpoint:
            return {}
        paths = {}
        for each in self.hall.visible(request):
            if each.name not in RESERVED and each.card is not None:
                heading, about = (each.row.title, each.row.description) if each.row is not None else ("", "")
                needs_token = each.row is not None or bool(self.settings.token)
                paths[path_of(self.settings.base_path, each.name)] = plain_path(
                    each.name, each.card, heading=heading, about=about, token=needs_token
                )
        return paths


def _refused(error: InvalidArguments, given: Given, card: Card) -> ModelportError:
    return Refused(rows_of(error, given, card.predict_args))


async def _refuse_method(request: web.Request) -> web.StreamResponse:
    return _json(405, "Method Not Allowed", {"Allow": METHODS})


def _error(error: ModelportError, status: int) -> web.Response:
    if isinstance(error, Refused):
        return _json(status, error.rows)
    if isinstance(error, InvalidArguments):
        return _json(status, [row("value_error", ["body"], error.message, None)])
    return _json(status, error.message)


def _json(status: int, detail: Any, headers: dict[str, str] | None = None) -> web.Response:
    body = msgspec.json.encode({"detail": detail})
    return web.Response(status=status, body=body, content_type=JSON, headers=headers)
