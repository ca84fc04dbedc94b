"""The gate: every request at every port comes through here, before any front end sees it.

**Whose pages may ask.** Where a request needs no token to be answered, any web page that the user looks at could send
it. So without a token, a request that calls us by a name that is not ours, or that a page of another origin has made,
is refused: at every path and with every method. A right token, password or signature makes up for it, and so does the
setting `cors_origins` where it names the origin; `*` names none.

**Who guesses.** An answer that refuses a token, password or signature is counted, and held back (identity/guesses.py).

**What other origins may read.** Preflights are answered here, from the router's own methods, and one hook adds CORS
headers to every answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import cast

from aiohttp import web

from modelport.deployments.validation import RESERVED
from modelport.errors import Forbidden, ModelportError, NotFound, Overloaded
from modelport.http.browsers import Hosts, counts_cookie, of_own_page, shows_page
from modelport.http.cors import Origins, promises_token
from modelport.http.credentials import basic
from modelport.http.forwarded import Proxies
from modelport.http.routing import end_at_headers
from modelport.identity.guesses import Guesses
from modelport.identity.owner import USER
from modelport.settings import Settings

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Shape = Callable[[web.BaseRequest, ModelportError, int], web.Response]
Knows = Callable[[web.BaseRequest], Awaitable[bool]]
Resolve = Callable[[web.Request], Awaitable[web.UrlMappingMatchInfo]]
# A request that came in only because its token or password is right; it may call nothing that is open to all.
BY_TOKEN = web.RequestKey("by_token", bool)
# The version that answers a call, where the deployment that was called shifts calls.
ANSWERS, VERSION_HEADER = web.RequestKey("answers", str), "X-Modelport-Version"
Methods = Callable[[web.BaseRequest], Awaitable[Collection[str]]]

# The part of `rules` for all names that no front end has reserved.
NAMED = "{name}"
# What a page can send without asking first: https://fetch.spec.whatwg.org/#cors-safelisted-request-header
SIMPLE_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
SHOWN_CHARS = 100
# How a password's header may begin: a look at two letters spares every request with a token the rest.
BASIC = ("Ba", "ba", "BA", "bA")

# What the token of a shared link opens besides what is open to anybody: calls of its deployment (True: counted as one),
# the description, and the jobs that were made with it. All else stays shut, also what is added later. A path is as its
# route has it, without a final slash.
_LINKS = {
    "GET POST /{name}": True,
    "HEAD /{name}": False,
    "POST /{name}/async": True,
    "POST /run/{name}": True,
    "POST /job/{name}": True,
    "POST /v2/models/{name}/predict": True,
    "POST /v2/models/{name}/infer": True,
    "POST /v2/models/{name}/versions/{version}/infer": True,
    "POST /kserve/v2/models/{name}/infer": True,
    "POST /kserve/v2/models/{name}/versions/{version}/infer": True,
    "POST /v1/embeddings": True,
    "POST /v1/chat/completions": True,
    "GET HEAD /openapi.json": False,
    "GET HEAD /deployments/{name}/card": False,
    "GET HEAD /v1/models": False,
    "GET HEAD /v1/models/{name}": False,
    "GET HEAD /v2/models": False,
    "GET HEAD /v2/models/{name}": False,
    "GET HEAD /v2/models/{name}/ready": False,
    "GET HEAD /v2/models/{name}/versions/{version}": False,
    "GET HEAD /v2/models/{name}/versions/{version}/ready": False,
    "GET HEAD /kserve/v2/models/{name}": False,
    "GET HEAD /kserve/v2/models/{name}/ready": False,
    "GET HEAD /kserve/v2/models/{name}/versions/{version}": False,
    "GET HEAD /kserve/v2/models/{name}/versions/{version}/ready": False,
    "GET HEAD /jobs": False,
    "GET HEAD DELETE /jobs/{id}": False,
    "GET HEAD /jobs/{id}/result": False,
    "GET HEAD /jobs/{id}/files/{number}": False,
    "GET HEAD /jobs/{id}/log": False,
    "GET HEAD /jobs/{id}/metrics": False,
    "GET HEAD /jobs/{id}/artifacts/{name}": False,
    "GET HEAD /jobs/{id}/events": False,
    "POST /jobs/{id}/cancel": False,
    "GET HEAD /status/{id}": False,
    "GET HEAD /results/{id}": False,
    "GET HEAD /ui/shared/{name}": False,
    "GET HEAD /ui/shared/{name}/runs": False,
    "GET HEAD /ui/shared/{name}/examples/{file}": False,
}
LINK_ROUTES: Mapping[tuple[str, str], bool] = {
    (method, entry.rpartition(" ")[2]): counts for entry, counts in _LINKS.items() for method in entry.split()[:-1]
}


@dataclass(frozen=True)
class PathRules:
    """How the gate treats the paths of a front end.

    pages: its paths may be opened by a link on any page: what they show runs nothing and cannot be read there.
    for_browsers: nobody but browsers comes, so where the request comes from matters even if a token is needed.
    options: OPTIONS is answered to programs, too, not only to browsers.
    unknown: a path that no route has is answered in the same shape, too.
    """

    shape: Shape
    pages: bool = False
    for_browsers: bool = False
    options: bool = True
    unknown: bool = False


class Gate:
    """One for each port.

    rules: by the first part of the paths. exposed: headers that pages of other origins may read in answers.
    methods: which ones a path has.
    """

    def __init__(
        self,
        settings: Settings,
        proxies: Proxies,
        guesses: Guesses,
        other: PathRules,
        knows: Knows | None = None,
        reserved: Collection[str] = RESERVED,
        *,
        lets_in: Knows | None = None,
    ) -> None:
        """other: what holds for paths that are not in `rules`.

        knows: whether a request carries a token or password that is right; None: nothing is answered without, and the
        port tells by itself what was wrong. lets_in: whether that makes up for where the request comes from.
        """
        self.hosts = Hosts(settings.listen_ip, settings.hosts)
        self.origins = Origins(settings.cors_origins)
        self.rules: dict[str, PathRules] = {}
        self.exposed: set[str] = set()
        self.methods: Methods  # set by `watch`, or by the port itself
        self._resolve: Resolve  # by `watch`
        self._base = settings.base_path
        self._proxies = proxies
        self._proxied = bool(settings.trusted_proxies)
        self._guesses = guesses
        self._other = other
        self._knows = knows
        self._lets_in = lets_in
        self._reserved = reserved
        self._needs_token = knows is None or bool(settings.token)
        self._handle: Handler  # by `wrap`

    def watch(self, app: web.Application) -> None:
        """Answer preflights from the routes of `app`; add CORS headers to its answers, and end those to HEAD."""

        async def methods(request: web.BaseRequest) -> set[str]:
            resolved = [await resource.resolve(cast(web.Request, request)) for resource in app.router.resources()]
            return {method for _, allowed in resolved for method in allowed}

        self._resolve = app.router.resolve

        async def prepare(request: web.Request, response: web.StreamResponse) -> None:
            if request.method == "HEAD":
                end_at_headers(response)
            if ANSWERS in request:
                response.headers[VERSION_HEADER] = request[ANSWERS]
            headers = self.origins.headers(request, exposed) if "Origin" in request.headers else self.origins.vary
            for name, value in headers.items():
                response.headers.add(name, value)

        exposed = sorted({*self.exposed, VERSION_HEADER})
        self.methods = methods
        app.on_response_prepare.append(prepare)

    def wrap(self, handle: Handler) -> Handler:
        """`handle`, behind the gate. No coroutine of its own for a caller without a browser or a credential."""
        self._handle = handle
        return self._enter

    def _enter(self, request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        headers = request.headers
        host = headers.get("Host")
        known = (host is None or self.hosts.knows(host)) and not self._proxied
        if "Origin" in headers or "Sec-Fetch-Site" in headers or not known or request.method == "OPTIONS":
            return self._look(request)
        return self._counted(request) if "Authorization" in headers else self._handle(request)

    async def _look(self, request: web.BaseRequest) -> web.StreamResponse:
        """A browser, or who calls us by another name."""
        rules = self._rules_for(request)
        if not self._needs_token or rules.for_browsers:
            fault = self._fault(request, rules)
            if fault and not (_is_deliberate(request) and self._lets_in is not None and await self._lets_in(request)):
                refusal = self._refusal(request, rules, Forbidden(fault))
                presented = "Authorization" in request.headers
                is_guess = presented and (self._knows is None or not await self._knows(request))
                return await self.refuse(request, refusal) if is_guess else refusal
            if fault:
                request[BY_TOKEN] = True
        asks = request.method == "OPTIONS" and (rules.options or "Origin" in request.headers)
        if asks and (methods := await self.methods(request)):
            return self.origins.preflight(request, methods)
        return await self._counted(request)

    def _fault(self, request: web.BaseRequest, rules: PathRules) -> str:
        """Why it may not be answered without a token; empty: it may."""
        if promises_token(request):
            return ""
        # A page can send X-Forwarded-Host, too: our name must be right in both.
        host = self._proxies.view(request).host
        for name in (request.headers.get("Host", host), host):
            if "Host" in request.headers and not self.hosts.knows(name):
                return (
                    f"{_shown(name)} is not a name of this server. If it should be, add it to the setting "
                    "hosts (MODELPORT_HOSTS)."
                )
        from_page = of_own_page(request, host, self.hosts) is False
        if not from_page or self.origins.names(request) or (rules.pages and shows_page(request)):
            return ""
        origin = _shown(request.headers.get("Origin", "another origin"))
        if rules.for_browsers:
            return self._other_address(request, origin, host)
        return (
            f"Pages of {origin} may not call this server without a token. If they may, name their origin in the "
            "setting cors_origins (MODELPORT_CORS_ORIGINS)."
        )

    def _other_address(self, request: web.BaseRequest, origin: str, host: str) -> str:
        """For somebody at a page of ours by another address than the request has come with."""
        text = (
            f"Your browser is at {origin}, but the request came to {_shown(host)}. If a proxy in front of this server "
            "changes the address, make it pass on the browser's in the header Host or X-Forwarded-Host"
        )
        if self._proxies.believes(request):
            return f"{text}; it sends neither."
        client = self._proxies.client(request)
        return f"{text}; the latter counts only if trusted_proxies (MODELPORT_TRUSTED_PROXIES) contains {client}."

    async def _counted(self, request: web.BaseRequest) -> web.StreamResponse:
        """The front end's answer, held back if a wrong credential was presented."""
        response = await self._handle(request)
        presented = request.headers.get("Authorization")
        if presented is None or self._knows is None:
            return response
        # Whoever says that they are the owner and are not is told so by what they do not see, without a refusal.
        wrong = "WWW-Authenticate" in response.headers or (presented[:2] in BASIC and basic(request)[0] == USER)
        return await self.refuse(request, response) if wrong and not await self._knows(request) else response

    async def route(self, request: web.BaseRequest) -> tuple[str, str]:
        """Method and path as a table of routes has them, before the request has been resolved."""
        return route_of(request, await self._resolve(cast(web.Request, request)), self._base)

    async def refuse(self, request: web.BaseRequest, response: web.StreamResponse) -> web.StreamResponse:
        """`response`, which refuses a secret: counted, and held back."""
        try:
            await self._guesses.wrong(self._proxies.client(request))
        except Overloaded as error:
            return response if response.prepared else self._refusal(request, self._rules_for(request), error)
        return response

    def unknown(self, request: web.BaseRequest) -> web.Response | None:
        """The answer to a path that no route has; None: it is nothing of its own."""
        rules = self._rules_for(request)
        if not rules.unknown:
            return None
        return self._refusal(request, rules, NotFound(f"there is nothing at {_shown(request.path)}", status=404))

    def _refusal(self, request: web.BaseRequest, rules: PathRules, error: ModelportError) -> web.Response:
        response = rules.shape(request, error, error.status or 403)
        response.headers.update(self.origins.vary)
        if error.retry_after_s is not None:
            response.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
            response.force_close()
        return response

    def _rules_for(self, request: web.BaseRequest) -> PathRules:
        part = self._part(request)
        if part not in self.rules and part not in self._reserved:
            part = NAMED
        return self.rules.get(part, self._other)

    def _part(self, request: web.BaseRequest) -> str:
        """The first one of the path."""
        return request.path.removeprefix(self._base).partition("/")[2].partition("/")[0]

    def counts_cookie(self, request: web.BaseRequest) -> bool:
        """Whether the dashboard's cookie counts. GET of a name that is a deployment's runs its model."""
        part = self._part(request)
        runs = request.method == "GET" and bool(part) and part not in self._reserved
        return counts_cookie(request, self._proxies.view(request).host, self.hosts, runs=runs)


def route_of(request: web.BaseRequest, match: web.UrlMappingMatchInfo, base: str) -> tuple[str, str]:
    """Method and path of its route, the path without the server's base and a final slash."""
    resource = match.route.resource
    return request.method, "" if resource is None else resource.canonical.removeprefix(base).rstrip("/")


def _is_deliberate(request: web.BaseRequest) -> bool:
    """Whether who made the request had to know its credential. A browser adds a password that it has kept (Basic) to
    any form that any page sends."""
    if not basic(request)[0] or request.method != "POST":
        return True
    return "Content-Type" in request.headers and request.content_type not in SIMPLE_TYPES


def _shown(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:SHOWN_CHARS])
