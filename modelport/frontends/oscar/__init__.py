"""The OSCAR front end: /run/<name>, /job/<name> and /system/…, for the clients of that platform and of AI4OS.

docs/oscar.md lists the calls and where this differs on purpose.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from modelport.errors import ModelportError, NotFound, Unauthorized
from modelport.frontends.oscar.answers import STATUS_HEADER
from modelport.frontends.oscar.buckets import BucketCalls
from modelport.frontends.oscar.cluster import ClusterCalls
from modelport.frontends.oscar.job import JobCalls
from modelport.frontends.oscar.journal import Journal, Request
from modelport.frontends.oscar.logs import LogCalls
from modelport.frontends.oscar.run import DURATION_HEADER, STATUSES, Runs
from modelport.frontends.oscar.services import WARNINGS_HEADER, Handler, ServiceCalls
from modelport.http import prefer
from modelport.http.access import CALLER, Access
from modelport.http.frontend import GatewayFrontend, GreetingRow
from modelport.http.gate import PathRules
from modelport.http.gateway import Gateway, guarded
from modelport.identity.links import LinkEnded

EXPOSED = (STATUS_HEADER, WARNINGS_HEADER, DURATION_HEADER, "Retry-After", "Server-Timing", *prefer.EXPOSED)

Bare = Callable[[web.Request], Awaitable[web.StreamResponse]]


class OscarFrontend(GatewayFrontend):
    """See docs/oscar.md.

    Of the gateway it needs nearly all: OSCAR's API deploys services, makes buckets and follows jobs.
    """

    segments = ("run", "job", "system")

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self._base = gateway.settings.base_path
        self._proxies = gateway.proxies
        self._journal = Journal()
        self._access = Access(gateway)
        self._runs = Runs(gateway, self._access, self._journal)
        self._jobs = JobCalls(gateway, self._access, self._journal)
        kinds = (ServiceCalls, LogCalls, BucketCalls, ClusterCalls)
        self._calls = [route for calls in kinds for route in calls(gateway, self._access, self._journal).routes()]
        gateway.services.on_undeployed.append(self._forget)
        gateway.gate.exposed.update(EXPOSED)
        rules = PathRules(lambda request, error, status: web.Response(status=status, text=error.message))
        gateway.gate.rules |= dict.fromkeys(self.segments, rules)

    async def _forget(self, name: str) -> None:
        """The calls of a service go with it."""
        self._journal.forget(name)

    def greeting(self) -> Iterable[GreetingRow]:
        return [GreetingRow("/run/{name}", "POST, as with OSCAR: JSON with files inside")]

    def add_routes(self, app: web.Application) -> None:
        for path, handler in (("/run", self._runs.run), ("/job", self._jobs.job)):
            self._add(app, "POST", f"{path}/{{name}}", self._noted(guarded(handler, _run_error, STATUSES)))
        self._add(app, "HEAD", "/job/{name}", self._jobs.listening)
        for method, path, known in self._calls:
            self._add(app, method, f"/system{path}", self._entered(known))
        for area in ("/system", "/run", "/job"):
            for path in (area, f"{area}/{{tail:.*}}"):
                app.router.add_route("*", f"{self._base}{path}", _no_page)

    def _add(self, app: web.Application, method: str, path: str, handler: Bare) -> None:
        """Clients differ in the final slash; a redirect would lose their credentials, or their body."""
        app.router.add_route(method, f"{self._base}{path}", handler)
        app.router.add_route(method, f"{self._base}{path}/", handler)

    def _entered(self, handler: Handler) -> Bare:
        """`handler`, told who asks."""

        async def enter(request: web.Request) -> web.StreamResponse:
            return await handler(request, await self._access.enter(request))

        return guarded(enter, _system_error)

    def _noted(self, handler: Bare) -> Bare:
        """`handler`, its requests kept for /system/logs."""

        async def note(request: web.Request) -> web.StreamResponse:
            started, status = time.perf_counter(), "499"  # the client has left
            try:
                response = await handler(request)
                status = str(response.status)
                return response
            finally:
                seconds, client = time.perf_counter() - started, self._proxies.client(request)
                user, what = request.get(CALLER, ""), (request.method, request.path[:200])
                self._journal.requests.append(Request(time.time(), status, seconds, client, *what, user))

        return note


async def _no_page(request: web.Request) -> web.StreamResponse:
    if "//" in request.path:
        raise web.HTTPNotFound  # there may be one with fewer slashes: see http/routing
    return web.Response(status=404, text="404 page not found")


def _run_error(error: ModelportError, status: int) -> web.Response:
    """Before there is a call: who is refused learns nothing."""
    if isinstance(error, Unauthorized):
        return web.Response(status=401, text=f"{error.message}\n" if isinstance(error, LinkEnded) else None)
    return web.Response(status=status, text=f"{error.message}\n", headers={STATUS_HEADER: str(status)})


def _system_error(error: ModelportError, status: int) -> web.Response:
    """One line of text; none where OSCAR has none."""
    if isinstance(error, Unauthorized):
        headers = {"WWW-Authenticate": 'Basic realm="Authorization Required"'}
        return web.Response(status=status, text=error.message or None, headers=headers)
    if isinstance(error, NotFound):
        return web.Response(status=404)
    return web.Response(status=status, text=" ".join(error.message.split()))
