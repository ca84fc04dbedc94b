"""The gateway: what our own front ends are given. It knows who may ask and how errors and answers look.

A front end turns a request into a `Call`, lets `Gateway.predict` do the work, and puts its envelope around the bytes
that come back. Front ends of other packages are given less: see `http/context`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import web

from modelport.catalogue import Catalogue
from modelport.checks.apart import Checks
from modelport.contract.prediction import Call, Outcome
from modelport.deployments.deployments import Deployment, Deployments
from modelport.deployments.memory import ServerMemory
from modelport.deployments.predictions import Predictions
from modelport.deployments.services import Services
from modelport.describe.statuses import STATUS
from modelport.errors import Disabled, ModelportError, NotFound, PaymentRequired, Unauthorized
from modelport.executors import Watcher
from modelport.http import paying
from modelport.http.arguments import gather, read_body
from modelport.http.browsers import host_name, session_of
from modelport.http.credentials import TOKEN_NEEDED, basic, bearer
from modelport.http.forwarded import Proxies
from modelport.http.gate import ANSWERS, BY_TOKEN, Gate, PathRules
from modelport.http.json_answers import error_answer
from modelport.http.outcome_answers import WholeAnswer, send_file, server_timing
from modelport.http.protocol import ANYWHERE, has_gone
from modelport.http.sharing import SharedLinks
from modelport.http.streams import Streams
from modelport.identity.guesses import Guesses
from modelport.identity.links import Links
from modelport.identity.oidc import Accounts, is_jwt
from modelport.identity.owner import Owner, same_secret
from modelport.identity.sessions import Sessions
from modelport.intake.calls import make_call
from modelport.intake.scratch import Scratch
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
# What a request holds, if the deployment that it calls shifts calls to a version.
CALLED = web.RequestKey("called", Deployment)


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
        return Streams(self.settings)

    @cached_property
    def guesses(self) -> Guesses:
        return Guesses(self.settings)

    @cached_property
    def gate(self) -> Gate:
        """Of the main port."""
        json = PathRules(lambda request, error, status: error_answer(error, status))
        reserved = self.deployments.reserved
        return Gate(self.settings, self.proxies, self.guesses, json, self.knows, reserved, lets_in=self.lets_in)

    @cached_property
    def accounts(self) -> Accounts:
        return Accounts(self.settings)

    @cached_property
    def sharing(self) -> SharedLinks:
        return SharedLinks(self.links, self.gate, self.proxies, self.settings.base_path, self.signed_in)

    async def knows(self, request: web.BaseRequest) -> bool:
        """Whether the header Authorization is somebody's here, whatever it opens."""
        token, (user, password) = bearer(request), basic(request)
        if self.owner.has_token(token) or self.owner.has_password(user, password) or self.links.find(token):
            return True
        if self.knows_token(token):
            return True
        keys = self.bucket_jobs.bucket_keys.secret_of(user) if self.bucket_jobs is not None and user else None
        return (keys is not None and same_secret(password, keys[0])) or await self._knows_account(token)

    def knows_token(self, token: str) -> bool:
        """Whether it is a deployment's own."""
        return any(deployment.token and same_secret(token, deployment.token) for deployment in self.deployments)

    @property
    def has_secrets(self) -> bool:
        """Whether there is anything here that only a token opens."""
        return bool(self.settings.token) or any(deployment.row is not None for deployment in self.deployments)

    async def lets_in(self, request: web.BaseRequest) -> bool:
        """Whether the same makes up for where the request comes from: a page of another origin, or another name."""
        link = self.links.find(bearer(request))
        return await self.knows(request) if link is None else await self.sharing.lets_in(request, link)

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
            self.jobs.check_room()
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
        open as the server, but for what has a price, and for pages of elsewhere: they need its own, too.

        Raises LinkEnded, Forbidden.
        """
        is_open = deployment.row is None and not self.settings.token and deployment.price is None
        if is_open and not request.get(BY_TOKEN):
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
        if deployment is None:
            if self.has_secrets and not self.owns(request):
                raise Unauthorized(TOKEN_NEEDED)
            raise NotFound(f"there is no service called {name}")
        if self.may_call(request, deployment):
            if sells and deployment.price is not None:
                request[paying.HEADERS] = paying.consumed(deployment.price)
        elif deployment.price is not None and self.payments is not None:
            paying.enter(self.payments, request, deployment, sells=sells)
        else:
            raise Unauthorized(TOKEN_NEEDED)
        shifts = sells and deployment.shift is not None and request.method != "HEAD"
        return self.version(request, deployment) if shifts else deployment

    def version(self, request: web.Request, deployment: Deployment) -> Deployment:
        """The one that answers this call of a deployment that shifts calls; the request is marked so."""
        version = self.deployments.version(deployment)
        request[CALLED], request[ANSWERS] = deployment, version.name
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
            return await send_file(request, outcome.path, before, after, told)


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
