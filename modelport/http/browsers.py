"""What a browser says of who asks: the name it calls us by, the page that made the request, the session's cookie.

Any page can make the browser send requests here, with the session's cookie where other servers on this machine count
as the same site. So a request that only a cookie, or nothing at all, speaks for counts only if one of our own pages
made it, or the user by hand.
"""

from __future__ import annotations

import ipaddress
import socket
from functools import lru_cache
from urllib.parse import urlsplit

from aiohttp import web

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# Pages of other origins cannot set a header of their own choice without being asked who they are (CORS).
PAGE_HEADER = "X-Modelport-Page"


class Hosts:
    """The names by which browsers may call this server.

    Any page may give its own name our address, and is then of our origin to the browser (DNS rebinding). It cannot do
    so with an address, with this machine's name, or with one that the setting `hosts` lists.
    """

    def __init__(self, listen_ip: str, hosts: str) -> None:
        """hosts: separated by commas; *: any name is ours."""
        names = {name.strip().lower() for name in hosts.split(",") if name.strip()}
        self.any = "*" in names
        self._own = names | {listen_ip.lower(), "localhost", socket.gethostname().lower()}
        # Whether a request with this header Host is meant for us. The last few hundred are remembered.
        self.knows = lru_cache(maxsize=256)(self._knows)

    def _knows(self, authority: str) -> bool:
        name = host_name(authority)
        own = name in self._own or name.endswith(".localhost") or _is_address(name)
        return self.any or (bool(name) and own)


def host_name(authority: str) -> str:
    """`name:port` without its port; empty where it is none."""
    if any(character in authority for character in "/@?#\\"):
        return ""
    try:
        return (urlsplit(f"//{authority}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


# Who made the request


def of_own_page(request: web.BaseRequest, host: str, hosts: Hosts) -> bool | None:
    """Whether one of our own pages made the request, or the user by hand; None: the browser does not say.

    host: by which the browser has found us. Browsers send Sec-Fetch-Site to https and to this machine, and Origin with
    whatever may change something.
    """
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    other = origin is not None and origin.partition("://")[2].lower() != host.lower()
    # Where any name is ours, a proxy may have given us another Host than it got, and only the browser knows.
    if other and not (hosts.any and site == "same-origin"):
        return False
    if site is not None:
        return site in ("same-origin", "none")
    return None if origin is None else True


def counts_cookie(request: web.BaseRequest, host: str, hosts: Hosts, *, runs: bool) -> bool:
    """Whether the session's cookie counts in this request. runs: it runs a model, whatever its method.

    Where the browser does not say who made the request, SameSite of the cookie has to do: the request reads, and
    another page cannot see the answer. What does more needs the header that only our own scripts set.
    """
    if not hosts.knows(request.headers.get("Host", "")) or not hosts.knows(host):
        return False
    own = of_own_page(request, host, hosts)
    safe = request.method in SAFE_METHODS
    if own is None:
        return (safe and not runs) or PAGE_HEADER in request.headers
    return own and (safe or request.headers.get("Sec-Fetch-Site") != "none")


def follows_link(request: web.BaseRequest) -> bool:
    """Whether the user comes from a page of another origin: the browser keeps a SameSite cookie back then."""
    return request.method == "GET" and request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")


def shows_page(request: web.BaseRequest) -> bool:
    """Whether the browser will show the answer in a window of its own, where no other page can read it."""
    headers = request.headers
    frame = headers.get("Sec-Fetch-Dest") in ("iframe", "frame", "embed", "object")
    return request.method == "GET" and headers.get("Sec-Fetch-Mode") == "navigate" and not frame


# The cookie


def cookie_name(host: str) -> str:
    """With the port in it: cookies are shared by all servers of a host. host: by which the browser has found us."""
    port = host.rpartition(":")[2]
    return f"modelport_{port}" if port.isdigit() else "modelport"


def session_of(request: web.BaseRequest, host: str) -> str:
    """What the cookie holds; empty: there is none."""
    return request.cookies.get(cookie_name(host), "") if "Cookie" in request.headers else ""
