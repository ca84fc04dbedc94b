"""What a browser says of who asks: the session's cookie, and the page that made the request.

A cookie goes along with whatever any page makes the browser ask, and other servers on this machine count as the same
site. So it counts only in requests that our own pages make, or that the user makes with the address bar.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from aiohttp import web

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def host_name(authority: str) -> str:
    """`name:port`, as in a Host header, without its port; empty where it is none."""
    try:
        return (urlsplit(f"//{authority}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def knows_host(authority: str, listen_ip: str, hosts: str) -> bool:
    """Whether a browser that calls us so is really meant for us.

    Any page may give its own name our address, and is then of our origin to the browser (DNS rebinding). It cannot do
    so with an address, with this machine's name, or with one that the settings list. hosts: separated by commas.
    """
    name = host_name(authority)
    own = {listen_ip.lower(), "localhost", socket.gethostname().lower()}
    own |= {each.strip().lower() for each in hosts.split(",") if each.strip()}
    return bool(name) and (name in own or name.endswith(".localhost") or _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def scheme(request: web.Request) -> str:
    """http or https, by which the client calls us: a proxy that ends https before us says so."""
    return "https" if request.secure or request.headers.get("X-Forwarded-Proto") == "https" else "http"


def cookie_name(request: web.Request) -> str:
    """With the port in it: cookies are shared by all servers of a host."""
    port = request.host.rpartition(":")[2]
    return f"modelport_{port}" if port.isdigit() else "modelport"


def session_of(request: web.Request) -> str:
    """What the cookie holds; empty: there is none."""
    return request.cookies.get(cookie_name(request), "") if "Cookie" in request.headers else ""


def asks_for_itself(request: web.Request) -> bool:
    """Whether one of our own pages made this request, or the user, by hand.

    Browsers send Sec-Fetch-Site to https and to this machine, and Origin with whatever may change something. Where
    neither comes, SameSite of the cookie has to do: the request reads, and another page cannot see the answer.
    """
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
        return False
    site = request.headers.get("Sec-Fetch-Site")
    safe = request.method in SAFE_METHODS
    if site is not None:
        return site == "same-origin" or (site == "none" and safe)
    return safe or origin is not None
