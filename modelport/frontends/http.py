"""The hall that every HTTP door opens from: what a door is given, tokens, errors, answers.

A door is a class with `add_routes`, registered in the entry-point group `modelport.frontends`. It translates its
protocol to a `Call`, lets `Hall.predict` do the work, and puts its envelope around the bytes that come back.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import web

from modelport.card import Card
from modelport.catalogue import Catalogue
from modelport.deployments import Deployment, Deployments
from modelport.errors import InvalidArguments, ModelportError, NotFound, Unauthorized
from modelport.executors import Progress
from modelport.frontends.body import Reader, gather
from modelport.frontends.browsers import asks_for_itself, knows_host, session_of
from modelport.metrics import Metrics
from modelport.owner import Owner, same_secret
from modelport.prediction import Call, InputFile, Outcome
from modelport.predictions import Predictions
from modelport.scratch import Scratch
from modelport.services import Services
from modelport.sessions import Sessions
from modelport.settings import Settings
from modelport.trainings import Trainings

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# How errors look at most doors; a door whose contract says otherwise has a table of its own.
STATUS = {
    "invalid_request": 400,
    "invalid_json": 400,
    "unauthorized": 401,
    "disabled": 402,
    "not_found": 404,
    "not_acceptable": 406,
    "conflict": 409,
    "too_large": 413,
    "unsupported_media": 415,
    "invalid_arguments": 422,
    "cancelled": 503,
    "model_failed": 500,
    "worker_lost": 500,
    "load_failed": 500,
    "no_such_plugin": 500,
    "not_implemented": 501,
    "overloaded": 503,
    "starting": 503,
    "deadline_exceeded": 504,
    "storage_full": 507,
}

TOKEN_NEEDED = "a bearer token is needed: send the header Authorization: Bearer <token>"  # noqa: S105

# A file is sent in pieces of this size, each read in a thread.
SEND_BYTES = 1 << 20


@dataclass(frozen=True)
class Hall:
    """What a door may use."""

    settings: Settings
    deployments: Deployments
    predictions: Predictions
    trainings: Trainings
    metrics: Metrics
    services: Services
    owner: Owner
    sessions: Sessions
    catalogue: Catalogue
    # What doors add to /openapi.json, each for the caller that asks: path items by whole path.
    describers: list[Callable[[web.Request], Awaitable[dict[str, Any]]]] = field(default_factory=list)

    # Who may come in. Every comparison takes constant time.

    def check_token(self, request: web.Request) -> None:
        """The server's own token, where there is one. Raises Unauthorized."""
        if self.settings.token and not self.owns(request):
            raise Unauthorized(TOKEN_NEEDED)

    def signed_in(self, request: web.Request) -> bool:
        """By the dashboard's cookie, in a request that came from no other page."""
        settings, session = self.settings, session_of(request)
        return (
            bool(session)
            and self.sessions.holds(session)
            and asks_for_itself(request)
            and knows_host(request.host, settings.listen_ip, settings.hosts)
        )

    def owns(self, request: web.Request) -> bool:
        """By the owner's token, or by a browser that has signed in."""
        return self.owner.has_token(bearer(request)) or self.signed_in(request)

    def is_owner(self, request: web.Request) -> bool:
        """The same, or by user name and password."""
        return self.owns(request) or self.owner.has_password(*basic(request))

    def check_owner(self, request: web.Request) -> None:
        """Raises Unauthorized."""
        if not self.is_owner(request):
            raise Unauthorized("this is the owner's: send the owner's token, or user name and password")

    def may_call(self, request: web.Request, deployment: Deployment) -> bool:
        """By the deployment's own token, or the owner's. What is named on the command line is as open as the server."""
        if deployment.row is None and not self.settings.token:
            return True
        given = bearer(request)
        own = bool(deployment.token) and same_token(given, deployment.token)
        return own or self.owns(request)

    def check_caller(self, request: web.Request, deployment: Deployment) -> None:
        """Raises Unauthorized."""
        if not self.may_call(request, deployment):
            raise Unauthorized(TOKEN_NEEDED)

    def visible(self, request: web.Request) -> list[Deployment]:
        """The deployments that this caller may know of. Raises Unauthorized where everybody needs a token, and this
        one is nobody's."""
        found = [each for each in self.deployments if self.may_call(request, each)]
        if not found:
            self.check_token(request)
        return found

    def find(self, request: web.Request, name: str) -> Deployment:
        """A deployment by its name, if the caller may call it.

        Raises Unauthorized, the same for one that is not there and one that is not his; NotFound for who may know.
        """
        if name in self.deployments:
            deployment = self.deployments.get(name)
            self.check_caller(request, deployment)
            return deployment
        secret = self.settings.token or any(each.row is not None for each in self.deployments)
        if secret and not self.owns(request):
            raise Unauthorized(TOKEN_NEEDED)
        raise NotFound(f"there is no model called {name}")

    def base_url(self, request: web.Request) -> str:
        """Where this server is for the client that asks."""
        return f"{request.scheme}://{request.host}{self.settings.base_path}"

    async def read_call(
        self, request: web.Request, deployment: Deployment, scratch: Scratch, method: str = "predict"
    ) -> Call:
        """The request's arguments as a call, files already on disk. Raises what is wrong with the request."""
        card = await deployment.wait_card()
        body = await Reader(request, self.settings, scratch).read()
        values, files = gather(card.arguments(method), request, body)
        return make_call(card, method, values, files, scratch)

    async def predict(self, deployment: Deployment, call: Call, progress: Progress | None = None) -> Outcome:
        """Run a call. Raises its error, so that only answers come back."""
        outcome = await self.predictions.run(deployment, call, progress)
        if outcome.error is not None:
            raise outcome.error
        return outcome

    async def respond(self, request: web.Request, outcome: Outcome, **envelope: Any) -> web.StreamResponse:
        """See the function `respond`; the end of the server waits for it."""
        with self.predictions.answering():
            return await respond(request, outcome, **envelope)


class Frontend(Protocol):
    """A door. Made once a server, before it listens."""

    def __init__(self, hall: Hall) -> None: ...

    def add_routes(self, app: web.Application) -> None: ...


def make_call(
    card: Card, method: str, values: dict[str, Any], files: list[InputFile], scratch: Scratch, **more: Any
) -> Call:
    """A call whose `accept`, where the plugin has one, is settled: the plugin never sees a wildcard."""
    accept = None
    if method == "predict" and card.accept is not None:
        accept = choose_answer_type(card, values.get("accept"))
        if accept is not None and ("accept" in values or not card.accept.required):
            values["accept"] = accept
    return Call(
        id=scratch.id, method=method, arguments=values, files=files, accept=accept, scratch=scratch.folder, **more
    )


# Media types


def choose_answer_type(card: Card, wanted: Any) -> str | None:
    """The media type to answer with: the best of the plugin's own for what the client wrote, else its default.

    wanted: the text of an Accept header or argument, with lists, q-values and wildcards; None: not given.
    Raises InvalidArguments where the plugin answers in none of them.
    """
    if not isinstance(wanted, str) or not wanted.strip():
        return card.default_answer_type
    if not card.answer_types:
        return card.default_answer_type if "*" in wanted or "," in wanted else wanted
    for _, pattern in sorted(_ranges(wanted), key=lambda each: -each[0]):
        if pattern in ("*/*", "*"):
            return card.default_answer_type
        for each in _default_first(card):
            if _matches(each, pattern):
                return each
    choices = ", ".join(card.answer_types)
    raise InvalidArguments(
        f"accept: {wanted[:200]!r} is none of {choices}", fields={"accept": [f"Must be one of: {choices}."]}
    )


def _default_first(card: Card) -> list[str]:
    return sorted(card.answer_types, key=lambda each: each != card.default_answer_type)


def _ranges(header: str) -> Iterable[tuple[float, str]]:
    """(q, media range) for each item that is wanted at all."""
    for item in header.split(","):
        pattern, *parameters = (each.strip().lower() for each in item.split(";"))
        q = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        try:
            weight = float(q)
        except ValueError:
            weight = 1.0
        if pattern and weight > 0:
            yield weight, pattern


def _matches(offered: str, pattern: str) -> bool:
    """Either side may be a range: modules offer `image/*`."""
    offered = offered.lower()
    if pattern == offered:
        return True
    for wild, other in ((pattern, offered), (offered, pattern)):
        if wild.endswith("/*") and other.startswith(wild[:-1]):
            return True
    return False


# Tokens


def bearer(request: web.Request) -> str:
    """The token of `Authorization: Bearer …`; empty where there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def basic(request: web.Request) -> tuple[str, str]:
    """User name and password of `Authorization: Basic …`; empty where there are none."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return user, password


same_token = same_secret


# Answers


def server_timing(timings: dict[str, float]) -> str:
    return ", ".join([f"{phase};dur={seconds * 1000:.2f}" for phase, seconds in timings.items()])


async def respond(
    request: web.Request,
    outcome: Outcome,
    *,
    before: bytes = b"",
    after: bytes = b"",
    media_type: str = "",
    headers: dict[str, str] | None = None,
) -> web.StreamResponse:
    """The answer, with a door's envelope around it; a large one is sent from its file.

    When this returns, a file has been sent: its scratch folder may go.
    """
    all_headers = {"Content-Type": media_type or outcome.media_type, "Server-Timing": server_timing(outcome.timings)}
    all_headers.update(headers or {})
    if outcome.path is None:
        return web.Response(body=before + outcome.body + after, headers=all_headers)
    response = web.StreamResponse(headers=all_headers)
    with open(outcome.path, "rb") as file:  # noqa: ASYNC230 (opened here, read in a thread)
        size = await asyncio.to_thread(lambda: file.seek(0, 2))
        response.content_length = len(before) + size + len(after)
        await response.prepare(request)
        if before:
            await response.write(before)
        file.seek(0)
        while chunk := await asyncio.to_thread(file.read, SEND_BYTES):
            await response.write(chunk)
        if after:
            await response.write(after)
    await response.write_eof()
    return response


# Types that a browser would run scripts in, at our own origin; `sandbox` takes their origin from them.
ACTIVE = ("text/html", "application/xhtml+xml", "image/svg+xml", "text/xml", "application/xml")


def harmless(media_type: str) -> dict[str, str]:
    """Headers for what a model answers: a page of its own making must not act as whoever is signed in here."""
    kind = media_type.partition(";")[0].strip().lower()
    sandbox = {"Content-Security-Policy": "sandbox"} if kind in ACTIVE or kind.endswith("+xml") else {}
    return {"X-Content-Type-Options": "nosniff", **sandbox}


ErrorShape = Callable[[ModelportError, int], web.Response]


def guarded(
    handler: Handler,
    shape: ErrorShape,
    statuses: dict[str, int] | None = None,
    check: Callable[[web.Request], None] | None = None,
) -> Handler:
    """`handler`, with every ModelportError turned into the door's own shape, and anything else into a 500 that tells
    the client nothing and the log everything.

    check: called first; raises who may not come in.
    """
    table = {**STATUS, **(statuses or {})}

    async def guard(request: web.Request) -> web.StreamResponse:
        try:
            if check is not None:
                check(request)
            return await handler(request)
        except ModelportError as error:
            failure = error
        except web.HTTPException:
            raise
        except Exception:
            logger.exception("%s %s", request.method, request.path)
            failure = ModelportError("the server failed; its log says why")
        status = failure.status or table.get(failure.kind, 500)
        response = shape(failure, status)
        if failure.retry_after_s is not None:
            response.headers["Retry-After"] = str(max(1, round(failure.retry_after_s)))
        if status == 401:
            response.headers.setdefault("WWW-Authenticate", "Bearer")
        return response

    return guard


def reason_phrase(text: str) -> str:
    """`text` as a status line may carry it: one line, Latin-1 without control characters, not endless."""
    line = " ".join(text.encode("latin-1", "replace").decode("latin-1").split())
    return "".join(each if each.isprintable() else "?" for each in line)[:300]
