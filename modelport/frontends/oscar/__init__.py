"""The OSCAR door: /run/<name>, /job/<name> and /system/…, for the clients of that platform and of AI4OS.

docs/oscar.md lists the calls and where this differs on purpose.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from modelport.errors import ModelportError, NotFound, Unauthorized
from modelport.frontends.oscar.answers import STATUS_HEADER
from modelport.frontends.oscar.buckets import BucketCalls
from modelport.frontends.oscar.cluster import ClusterCalls
from modelport.frontends.oscar.job import JobCalls
from modelport.frontends.oscar.journal import Journal, now
from modelport.frontends.oscar.logs import LogCalls
from modelport.frontends.oscar.run import DURATION_HEADER, STATUSES, Runs
from modelport.frontends.oscar.services import WARNINGS_HEADER, Handler, ServiceCalls
from modelport.http import prefer
from modelport.http.access import Access, Forbidden
from modelport.http.http import STATUS, Hall, guarded

METHODS = "GET, POST, PUT, DELETE, OPTIONS"
# By the standard, * does not cover Authorization.
ASKED = "Authorization, Content-Type, Accept, *"
EXPOSED = ", ".join((STATUS_HEADER, WARNINGS_HEADER, DURATION_HEADER, "Retry-After", "Server-Timing", prefer.EXPOSED))
MAX_AGE_S = "600"

Bare = Callable[[web.Request], Awaitable[web.StreamResponse]]


class OscarFrontend:
    """See docs/oscar.md."""

    def __init__(self, hall: Hall) -> None:
        self._base = hall.settings.base_path
        self._origins = {each.strip().rstrip("/") for each in hall.settings.cors_origins.split(",") if each.strip()}
        self._journal = Journal()
        self._access = Access(hall)
        self._runs = Runs(hall, self._access, self._journal)
        self._jobs = JobCalls(hall, self._access, self._journal, self._runs.callers)
        self._calls = (
            *ServiceCalls(hall, self._access).routes(),
            *LogCalls(hall, self._access, self._journal).routes(),
            *BucketCalls(hall, self._access).routes(),
            *ClusterCalls(hall, self._access, self._journal).routes(),
        )
        hall.services.ended.append(self._forget)

    async def _forget(self, name: str) -> None:
        """The calls of a service go with it."""
        self._journal.forget(name)

    def add_routes(self, app: web.Application) -> None:
        statuses = {**STATUSES, Forbidden.kind: 403}
        for path, handler in (("/run", self._runs.run), ("/job", self._jobs.job)):
            self._add(app, "POST", f"{path}/{{name}}", self._noted(guarded(handler, _run_error, statuses)))
        self._add(app, "HEAD", "/job/{name}", self._jobs.listening)
        for method, path, known in self._calls:
            self._add(app, method, f"/system{path}", self._entered(known))
        for area in ("/system", "/run", "/job"):
            for path in (area, f"{area}/{{tail:.*}}"):
                app.router.add_route("OPTIONS", f"{self._base}{path}", self._preflight)
                app.router.add_route("*", f"{self._base}{path}", _no_page)
        app.on_response_prepare.append(self._add_cors)
        app.on_cleanup.append(self._close)

    def _add(self, app: web.Application, method: str, path: str, handler: Bare) -> None:
        """Clients differ in the final slash; a redirect would lose their credentials, or their body."""
        app.router.add_route(method, f"{self._base}{path}", handler)
        app.router.add_route(method, f"{self._base}{path}/", handler)

    def _entered(self, handler: Handler) -> Bare:
        """`handler`, told who asks."""

        async def enter(request: web.Request) -> web.StreamResponse:
            return await handler(request, await self._access.enter(request))

        return guarded(enter, _system_error, {**STATUS, Forbidden.kind: 403})

    def _noted(self, handler: Bare) -> Bare:
        """`handler`, its requests kept for /system/logs."""

        async def note(request: web.Request) -> web.StreamResponse:
            started, status = time.perf_counter(), "499"  # the client has left
            try:
                response = await handler(request)
                status = str(response.status)
                return response
            finally:
                self._note(request, status, time.perf_counter() - started)

        return note

    def _note(self, request: web.Request, status: str, seconds: float) -> None:
        entry = {
            "timestamp": now(),
            "status": status,
            "latency": f"{seconds:.6f}s",
            "client_ip": request.remote or "",
            "method": request.method,
            "path": request.path[:200],
            "user": self._runs.callers.pop(id(request), ""),
        }
        self._journal.note({**entry, "raw": " | ".join(entry.values())})

    # Pages of other origins

    async def _preflight(self, request: web.Request) -> web.StreamResponse:
        """It carries no token."""
        headers = {"Allow": METHODS}
        if self._allowed(request):
            headers |= {
                "Access-Control-Allow-Methods": METHODS,
                "Access-Control-Allow-Headers": ASKED,
                "Access-Control-Max-Age": MAX_AGE_S,
            }
        return web.Response(status=204, headers=headers)

    def _allowed(self, request: web.Request) -> str:
        """The origin that may read the answer; empty: none."""
        if "*" in self._origins:
            return "*"
        origin = request.headers.get("Origin", "")
        return origin if origin in self._origins else ""

    async def _add_cors(self, request: web.Request, response: web.StreamResponse) -> None:
        path = request.path.removeprefix(self._base)
        if path.partition("/")[2].partition("/")[0] not in ("system", "run", "job", "health") or not self._origins:
            return
        if allowed := self._allowed(request):
            response.headers["Access-Control-Allow-Origin"] = allowed
            response.headers["Access-Control-Expose-Headers"] = EXPOSED
        if allowed != "*":
            response.headers["Vary"] = "Origin"

    async def _close(self, app: web.Application) -> None:
        await self._access.accounts.close()


async def _no_page(request: web.Request) -> web.StreamResponse:
    return web.Response(status=404, text="404 page not found")


def _run_error(error: ModelportError, status: int) -> web.Response:
    """Before there is a call: who is refused learns nothing."""
    if isinstance(error, Unauthorized):
        return web.Response(status=401)
    return web.Response(status=status, text=f"{error.message}\n", headers={STATUS_HEADER: str(status)})


def _system_error(error: ModelportError, status: int) -> web.Response:
    """One line of text; none where OSCAR has none."""
    if isinstance(error, Unauthorized):
        headers = {"WWW-Authenticate": 'Basic realm="Authorization Required"'}
        return web.Response(status=401, text=error.message or None, headers=headers)
    if isinstance(error, NotFound):
        return web.Response(status=404)
    return web.Response(status=status, text=" ".join(error.message.split()))
