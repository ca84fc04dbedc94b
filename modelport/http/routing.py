"""What the router answers beyond front ends' routes: HEAD wherever GET is, and paths that differ in slashes only."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection
from contextvars import ContextVar
from typing import cast

from aiohttp import web
from aiohttp.web_urldispatcher import Resource, SystemRoute
from yarl import URL

from modelport.http.forwarded import Proxies

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Unknown = Callable[[web.BaseRequest], web.Response | None]


# So many paths are remembered. Clients can ask for any number of others, some of them long.
KNOWN_LIMIT = 1024
PATH_CHARS = 200


class Routes:
    """The routes of `app`. The router's answer for a method and a path is always the same, so it is asked once."""

    def __init__(self, app: web.Application, handle: Handle) -> None:
        """handle: aiohttp's own, which asks the router."""
        if app.middlewares:
            raise TypeError("handlers are called without the middlewares of the application")
        self._handle = handle
        self.known: dict[tuple[str, str], web.UrlMappingMatchInfo] = {}

    def handle(self, base: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        request = cast(web.Request, base)
        match = self.known.get((request.method, request.rel_url.raw_path))
        if match is None or "Expect" in request.headers:
            return self._ask(request)
        request._match_info = match
        return match.handler(request)

    async def _ask(self, request: web.Request) -> web.StreamResponse:
        response = await self._handle(request)
        path = request.rel_url.raw_path
        if len(path) <= PATH_CHARS:
            if len(self.known) >= KNOWN_LIMIT:
                self.known.clear()
            self.known[request.method, path] = request.match_info
        return response


# HEAD


# Whether HEAD is being answered by a handler of GET, which has not returned.
_in_handler: ContextVar[bool] = ContextVar("in_handler", default=False)


class _HeadersOnly(web.HTTPOk):
    """The headers of an answer that would have been sent piece by piece: to HEAD there is nothing more to say."""

    empty_body = True


def answer_heads(app: web.Application, get_only: Collection[str]) -> None:
    """Answer HEAD at every route that answers GET and has no HEAD of its own.

    get_only: paths, as their routes have them, at which HEAD stays 405.
    """
    for resource in app.router.resources():
        handlers = {route.method: route.handler for route in resource}
        lacks = "GET" in handlers and "HEAD" not in handlers and resource.canonical not in get_only
        if lacks and isinstance(resource, Resource):
            resource.add_route("HEAD", headed(handlers["GET"]))


def headed(handler: Handler) -> Handler:
    """`handler` of GET, for HEAD: ended before it sends a body in pieces."""

    async def answer(request: web.Request) -> web.StreamResponse:
        token = _in_handler.set(True)
        try:
            return await handler(request)
        finally:
            _in_handler.reset(token)

    return answer


def end_at_headers(response: web.StreamResponse) -> None:
    """For the answer to HEAD: aiohttp sends no body of a whole one, but it would send the pieces of others."""
    if _in_handler.get() and not isinstance(response, web.Response):
        headers = response.headers.copy()
        if response.content_length is not None:
            headers["Content-Length"] = str(response.content_length)
        raise _HeadersOnly(headers=headers)


# Slashes


class Slashes:
    """Paths that no route has, and that one would have with another number of slashes.

    One that lacks its final slash, or has one twice, is redirected, as DEEPaaS does. One that has a final slash too
    many is answered: a redirect would make clients send a body twice, or drop it.
    """

    def __init__(self, app: web.Application, handle: Handle, proxies: Proxies, unknown: Unknown) -> None:
        """unknown: answers a path that no route has, whatever its slashes; None: as aiohttp does."""
        self._app = app
        self._handle = handle
        self._proxies = proxies
        self._unknown = unknown

    async def answer(self, request: web.BaseRequest, missing: web.HTTPException) -> web.StreamResponse:
        """Raises `missing` where there is no such path either."""
        path = request.rel_url.raw_path
        merged = re.sub("//+", "/", path)
        for other in (merged, merged.rstrip("/") + "/"):
            if other != path and await self._status(request, other) == 200:
                raise web.HTTPPermanentRedirect(f"{self._proxies.view(request).prefix}{_url(request, other)}")
        shorter = merged.rstrip("/")
        if shorter != path and await self._status(request, shorter) != 404:
            return await self._handle(_at(request, shorter))
        if (response := self._unknown(request)) is not None:
            return response
        raise missing

    async def _status(self, request: web.BaseRequest, path: str) -> int:
        """200 where there is such a route, 404 where there is no such path, 405 where it has no such method."""
        route = (await self._app.router.resolve(_at(request, path))).route
        return route.status if isinstance(route, SystemRoute) else 200


def _url(request: web.BaseRequest, path: str) -> URL:
    return URL.build(path=path, query_string=request.rel_url.raw_query_string, encoded=True)


def _at(request: web.BaseRequest, path: str) -> web.Request:
    return cast(web.Request, request).clone(rel_url=_url(request, path))
