"""The gateway: what our own front ends are given. It knows who may ask and how errors and answers look.

A front end turns a request into a `Call`, lets `Gateway.predict` do the work, and puts its envelope around the bytes
that come back. Front ends of other packages are given less: see `http/context`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE

from modelport.catalogue import Catalogue
from modelport.checks.apart import Checks
from modelport.contract.prediction import Call, Outcome
from modelport.deployments.deployments import Deployment, Deployments
from modelport.deployments.memory import ServerMemory
from modelport.deployments.predictions import Predictions
from modelport.deployments.services import Services
from modelport.describe.documents import STATUS
from modelport.errors import Disabled, ModelportError, NotFound, PaymentRequired, Unauthorized
from modelport.executors import Watcher
from modelport.http import paying, versions
from modelport.http.arguments import gather, read_body
from modelport.http.browsers import host_name, session_of
from modelport.http.credentials import basic, bearer
from modelport.http.forwarded import Proxies
from modelport.http.gate import Gate, PathRules
from modelport.http.json_answers import error_answer
from modelport.http.protocol import ANYWHERE, has_gone
from modelport.http.sharing import SharedLinks
from modelport.http.streams import Streams
from modelport.identity.guesses import Guesses
from modelport.identity.links import Links
from modelport.identity.oidc import Accounts, is_jwt
from modelport.identity.owner import Owner, same_secret
from modelport.identity.sessions import Sessions
from modelport.intake.calls import make_call
from modelport.intake.scratch import Scratch, open_answer
from modelport.jobs import Jobs
from modelport.jobs.trainings import Trainings
from modelport.jobs.webhooks import Webhooks
from modelport.observe.metrics import Metrics
from modelport.settings import Settings
from modelport.store import Store

if TYPE_CHECKING:
    from modelport.bucketjobs import BucketAccess, BucketJobs
    from modelport.payments import Payments

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

TOKEN_NEEDED = "a bearer token is needed: send the header Authorization: Bearer <token>"  # noqa: S105

SEND_BYTES = 1 << 20  # a file is sent in pieces of this size, each read in a thread


@dataclass(frozen=True)
class Gateway:
    """What a front end may use."""

    settings: Settings
    deployments: Deployments
    predictions: Predictions
    trainings: Trainings
    metrics: Metrics
    services: Services
    owner: Owner
    sessions: Sessions
    links: Links
    catalogue: Catalogue
    checks: Checks
    jobs: Jobs
    webhooks: Webhooks
    store: Store
    proxies: Proxies
    bucket_jobs: BucketJobs | None = None
    payments: Payments | None = None  # None: nothing is sold
    gauge: ServerMemory = field(default_factory=ServerMemory)
    # Paths of routes that answer GET and not HEAD, as what a front end stands in for does.
    get_only: set[str] = field(default_factory=set)
    # What front ends add to /openapi.json, each for the caller that asks: path items by whole path.
    describers: list[Callable[[web.Request], Awaitable[dict[str, Any]]]] = field(default_factory=list)
    frontends: dict[str, Any] = field(default_factory=dict)  # by name
    # The rows of the page at the root: path without base_path, what it is, whether a browser can follow it.
    greetings: list[tuple[str, str, bool]] = field(default_factory=list)

    # Who may come in. Every comparison takes constant time.

    @cached_property
    def streams(self) -> Streams:
        return Streams(self.settings.event_stream_limit)

    @cached_property
    def guesses(self) -> Guesses:
        return Guesses(self.settings)

    @cached_property
    def gate(self) -> Gate:
        """Of the main port."""
        json = PathRules(lambda request, error, status: error_answer(error, status))
        return Gate(self.settings, self.proxies, self.guesses, json, self.knows, self.deployments.reserved)

    @cached_property
    def accounts(self) -> Accounts:
        return Accounts(self.settings.oidc_issuers, self.settings.oidc_audience, self.settings.oidc_groups)

    @cached_property
    def sharing(self) -> SharedLinks:
        return SharedLinks(self.links, self.gate, self.proxies, self.settings.base_path, self.signed_in)

    async def knows(self, request: web.BaseRequest) -> bool:
        """Whether the header Authorization is somebody's here, whatever it opens."""
        token, (user, password) = bearer(request), basic(request)
        if self.owner.has_token(token) or self.owner.has_password(user, password) or self.links.find(token):
            return True
        if any(deployment.token and same_secret(token, deployment.token) for deployment in self.deployments):
            return True
        keys = self.bucket_jobs.bucket_keys.secret_of(user) if self.bucket_jobs is not None and user else None
        return (keys is not None and same_secret(password, keys[0])) or await self._knows_account(token)

    async def _knows_account(self, token: str) -> bool:
        if not self.accounts.enabled or not is_jwt(token):
            return False
        try:
            await self.accounts.check(token)
        except ModelportError:
            return False
        return True

    def check_room(self, deployment: Deployment, *, later: bool = False) -> None:
        """Refuse before a long upload what would be refused after it. later: a job, which needs no worker now.

        Raises Disabled, Overloaded, Cancelled.
        """
        if not self.settings.predict_endpoint:
            raise Disabled("the predict endpoint is switched off here")
        if later:
            self.jobs.check_room(deployment)
        else:
            self.predictions.check_room(deployment)

    def check_token(self, request: web.Request) -> None:
        """The server's own token, where there is one. Raises Unauthorized."""
        if self.settings.token and not self.owns(request):
            raise Unauthorized(TOKEN_NEEDED)

    def signed_in(self, request: web.Request) -> bool:
        """By the dashboard's cookie, in a request that came from no other page."""
        session = session_of(request, self.proxies.view(request).host)
        return bool(session) and self.sessions.holds(session) and self.gate.counts_cookie(request)

    def owns(self, request: web.Request) -> bool:
        """By the owner's token, or by a browser that has signed in."""
        if "Authorization" not in request.headers and "Cookie" not in request.headers:
            return False
        return self.owner.has_token(bearer(request)) or self.signed_in(request)

    def is_owner(self, request: web.Request) -> bool:
        """The same, or by user name and password."""
        return self.owns(request) or self.owner.has_password(*basic(request))

    def check_owner(self, request: web.Request) -> None:
        """Raises Unauthorized."""
        if not self.is_owner(request):
            raise Unauthorized("only the owner may do this: send the owner's token, or user name and password")

    def may_call(self, request: web.Request, deployment: Deployment) -> bool:
        """By the deployment's own token, a shared link, or the owner's token. What is named on the command line is as
        open as the server, but for what has a price. Raises LinkEnded, Forbidden."""
        if deployment.row is None and not self.settings.token and deployment.price is None:
            return True
        token = bearer(request)
        own = bool(deployment.token) and same_secret(token, deployment.token)
        return own or self.owns(request) or self.sharing.opens(request, deployment.name)

    def check_route(self, request: web.Request) -> None:
        """Whether the caller may ask for this route: for `{name}` in its path, or else for anything at all.

        Raises Unauthorized, NotFound.
        """
        name = request.match_info.get("name")
        if name is None:
            self.visible(request)
        else:
            self.find(request, name)

    def visible(self, request: web.Request) -> list[Deployment]:
        """The deployments that this caller may know of. Raises Unauthorized where everybody needs a token, and this
        one is nobody's."""
        deployments = [deployment for deployment in self.deployments if self.may_call(request, deployment)]
        if not deployments:
            self.check_token(request)
        return deployments

    def sells(self, deployment: Deployment) -> bool:
        """Whether strangers can buy its calls."""
        return self.payments is not None and self.payments.sells(deployment)

    def find(self, request: web.Request, name: str, *, sells: bool = False) -> Deployment:
        """A deployment by its name, if the caller may call it. sells: it is called, so that the request may come with a
        payment, and the version that answers is returned.

        Raises Unauthorized, the same for one that is not there and one that is not his; NotFound for who may know;
        PaymentRequired.
        """
        deployment = self.deployments.by_name.get(name)
        if deployment is not None:
            if self.may_call(request, deployment):
                if sells and deployment.price is not None:
                    request[paying.HEADERS] = paying.consumed(deployment.price)
                if sells and deployment.shift is not None and request.method != "HEAD":
                    return self.version(request, deployment)
                return deployment
            if deployment.price is not None and self.payments is not None:
                paying.enter(self.payments, request, deployment, sells=sells)
                return deployment
            raise Unauthorized(TOKEN_NEEDED)
        secret = self.settings.token or any(deployment.row is not None for deployment in self.deployments)
        if secret and not self.owns(request):
            raise Unauthorized(TOKEN_NEEDED)
        raise NotFound(f"there is no service called {name}")

    def version(self, request: web.Request, deployment: Deployment) -> Deployment:
        """The one that answers this call of a deployment that shifts calls; the request is marked so."""
        version = self.deployments.version(deployment)
        request[versions.CALLED], request[versions.ANSWERS] = deployment, version.name
        return version

    def models_ready(self) -> bool:
        """Whether all that is named on the command line is warm."""
        return all(deployment.is_ready for deployment in self.deployments if deployment.row is None)

    def root(self, request: web.BaseRequest) -> str:
        """The path at which the client that asks finds this server, without a final slash: links begin with it."""
        return f"{self.proxies.view(request).prefix}{self.settings.base_path}"

    def base_url(self, request: web.Request) -> str:
        """Where this server is for the client that asks."""
        return f"{self.proxies.view(request).origin}{self.root(request)}"

    def store_url(self, request: web.Request, endpoint: str) -> str:
        """Where the object store is for the client that asks. endpoint: as the server knows it.

        One that listens everywhere has no name of its own: it is given the one by which the client has found us.
        """
        settings, host = self.settings, host_name(self.proxies.view(request).host)
        if settings.s3_url or settings.bucket_endpoint or settings.listen_ip not in ANYWHERE or not host:
            return endpoint
        parts = urlsplit(endpoint)
        return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{parts.port}"

    def bucket_access(self, deployment: str) -> BucketAccess | None:
        """Where its bucket is, and its keys; None where it has no bucket."""
        return None if self.bucket_jobs is None else self.bucket_jobs.bucket_keys.access(deployment)

    async def read_call(
        self, request: web.Request, deployment: Deployment, scratch: Scratch, method: str = "predict", **more: Any
    ) -> Call:
        """The request's arguments as a call, files already on disk. Raises what is wrong with the request.

        more: fields of the call.
        """
        card = deployment.card or await deployment.wait_card()
        body = await read_body(request, self.settings, scratch)
        arguments = card.predict_args if method == "predict" else card.train_args
        values, files = gather(arguments, request, body)
        return make_call(card, method, values, files, scratch, **more)

    async def predict(self, deployment: Deployment, call: Call, watcher: Watcher | None = None) -> Outcome:
        """Run a call. Raises its error, so that only answers come back."""
        outcome = await self.predictions.run(deployment, call, watcher)
        if outcome.error is not None:
            raise outcome.error
        return outcome

    async def respond(
        self,
        request: web.Request,
        outcome: Outcome,
        *,
        before: bytes = b"",
        after: bytes = b"",
        media_type: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> web.StreamResponse:
        """The answer, with a front end's envelope around it. A large one is sent from its file: the end of the server
        waits for it, and when this returns, its scratch folder may go."""
        told = {"Content-Type": media_type or outcome.media_type, "Server-Timing": server_timing(outcome)}
        if headers:
            told.update(headers)
        if outcome.path is None:
            return WholeAnswer(body=before + outcome.body + after, headers=told)
        with self.predictions.answering():
            return await _send(request, outcome.path, before, after, told)


# Answers


class WholeAnswer(web.Response):
    """An answer in memory, written with its head at once.

    A third of what aiohttp takes for a small request are the steps in which it would find out whether to compress the
    body, to send it in chunks or to set a cookie. No answer of a model does.
    """

    _body: bytes

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        if self.prepared:
            return self._payload_writer
        self._req, self._payload_writer = request, request.writer
        if self._keep_alive is None:
            self._keep_alive = request.keep_alive
        headers = self.headers
        headers["Content-Length"] = str(len(self._body))
        headers["Date"] = rfc822_formatted_time()
        headers["Server"] = SERVER_SOFTWARE
        if request.version < HttpVersion11 and self._keep_alive:
            headers["Connection"] = "keep-alive"
        elif request.version >= HttpVersion11 and not self._keep_alive:
            headers["Connection"] = "close"
        await request._prepare_hook(self)
        return self._payload_writer

    async def write_eof(self, data: bytes = b"") -> None:
        request, writer = self._req, self._payload_writer
        if request is None or writer is None:
            return  # it has been written
        version = request.version
        await writer.write_headers(f"HTTP/{version[0]}.{version[1]} {self.status} {self.reason}", self.headers)
        await writer.write_eof(b"" if request.method == "HEAD" else self._body)
        self._eof_sent = True
        self._body_length = writer.output_size
        self._req = self._payload_writer = None


def server_timing(outcome: Outcome) -> str:
    text = f', batch;desc="{outcome.batch}"' if outcome.batch else ""
    for phase, seconds in outcome.timings.items():
        text += f", {phase};dur={seconds * 1000:.2f}"
    return text[2:]


async def _send(
    request: web.Request, path: str, before: bytes, after: bytes, headers: dict[str, str]
) -> web.StreamResponse:
    response = web.StreamResponse(headers=headers)
    with open_answer(path) as file:
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


ErrorShape = Callable[[ModelportError, int], web.Response]


def guarded(
    handler: Handler,
    shape: ErrorShape,
    statuses: dict[str, int] | None = None,
    check: Callable[[web.Request], object] | None = None,
) -> Handler:
    """`handler`, with every ModelportError in the front end's own shape, and anything else as a 500 that tells
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
        except Exception as error:
            if has_gone(request, error):
                raise
            logger.exception("%s %s", request.method, request.path)
            failure = ModelportError("the server failed; its log says why")
        status = failure.status or table.get(failure.kind, 500)
        response = paying.unpaid(failure) if isinstance(failure, PaymentRequired) else shape(failure, status)
        if failure.retry_after_s is not None:
            response.headers["Retry-After"] = str(max(1, round(failure.retry_after_s)))
        if status == 401:
            response.headers.setdefault("WWW-Authenticate", "Bearer")
        return response

    return guard
