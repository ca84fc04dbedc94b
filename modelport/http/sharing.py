"""Shared links in requests: whether one speaks for a request, and what it opens.

A link's token comes as any other, in the header Authorization; a browser that has opened the link sends it as a cookie.
It opens the routes of the table in `http/gate`, and there only its own deployment and the jobs that were made with it.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from modelport.http.browsers import cookie_name
from modelport.http.credentials import bearer
from modelport.http.forwarded import Proxies
from modelport.http.gate import LINK_ROUTES, Gate, route_of
from modelport.identity.links import Links, check_end, has_ended, owner_of_jobs
from modelport.store.links import LinkRow

SignedIn = Callable[[web.Request], bool]

# What a request holds: the link that was found for it, and whether it has been counted as a call.
LINK = web.RequestKey("link", LinkRow)
COUNTED = web.RequestKey("link_counted", bool)


class SharedLinks:
    """signed_in: whether a request comes from the browser of the owner."""

    def __init__(self, links: Links, gate: Gate, proxies: Proxies, base: str, signed_in: SignedIn) -> None:
        self._links = links
        self._gate = gate
        self._proxies = proxies
        self._base = base
        self._signed_in = signed_in

    def of(self, request: web.Request) -> LinkRow | None:
        """The link that speaks for this request; None also at routes that links do not open, and in the browser of the
        owner. Looked up each time: a stream of events asks again and again. Raises LinkEnded."""
        token = self.token(request)
        link = self._links.find(token) if token and self._route(request) in LINK_ROUTES else None
        if link is not None:
            check_end(link)
            request[LINK] = link
        return link

    def opens(self, request: web.Request, deployment: str) -> bool:
        """Whether the request has come with a link of this deployment. What is a call is counted as one.

        Raises LinkEnded; Forbidden where all calls have been made.
        """
        link = self.of(request)
        if link is None or link.deployment != deployment:
            return False
        if LINK_ROUTES[self._route(request)] and COUNTED not in request:
            self._links.take(link.id)
            request[COUNTED] = True
        return True

    def owner(self, request: web.Request, deployment: str) -> str:
        """Whose the jobs of this deployment are that the request makes; empty: not a link's.

        The link that has let the request in, which may have ended since: its call has been counted.
        """
        return owner_of_jobs(request.get(LINK), deployment)

    def token(self, request: web.Request) -> str:
        """What the request presents, be it a link's or not."""
        if "Authorization" in request.headers:
            return bearer(request)
        if "Cookie" not in request.headers:
            return ""
        token = request.cookies.get(cookie_of(self._proxies.view(request).host), "")
        counts = bool(token) and self._gate.counts_cookie(request) and not self._signed_in(request)
        return token if counts else ""

    async def lets_in(self, request: web.BaseRequest, link: LinkRow) -> bool:
        """Whether it makes up for where the request comes from: not when it has ended, nor at a route that it does not
        open."""
        return not has_ended(link) and await self._gate.route(request) in LINK_ROUTES

    def _route(self, request: web.Request) -> tuple[str, str]:
        return route_of(request, request.match_info, self._base)


def cookie_of(host: str) -> str:
    return f"{cookie_name(host)}_link"
