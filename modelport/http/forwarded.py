"""Who asks, and by which address they have found us, where proxies stand in front.

Anybody can send `X-Forwarded-For`. These headers count only from the addresses in the setting `trusted_proxies`; from
all others they are ignored. Everything that needs the client's address, the scheme, the host or the path in front of
ours asks here and nowhere else.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile

from aiohttp import web

from modelport.settings import BadSetting, Settings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
# No segment is empty: a link that began with // would lead to another server. None is `.` or `..`.
PREFIX = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+")


@dataclass(frozen=True)
class View:
    """How the client sees us.

    client: its address; empty: unknown, as behind a Unix socket. scheme: http or https. host: as in a Host header.
    prefix: path that something in front has removed, without a final slash; `base_path` comes after it.
    """

    client: str
    scheme: str
    host: str
    prefix: str

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.host}"


class Proxies:
    """The proxies in front of us, by the settings `trusted_proxies` and `root_path`."""

    def __init__(self, settings: Settings) -> None:
        """Raises BadSetting."""
        self._root = settings.root_path
        self._trusted = [_network(text) for text in map(str.strip, settings.trusted_proxies.split(",")) if text]

    def client(self, request: web.BaseRequest) -> str:
        """Its address, which is asked for more often than the rest; empty: unknown."""
        return self.view(request).client if self._trusted else _peer(request.remote or "")

    def view(self, request: web.BaseRequest) -> View:
        peer = _peer(request.remote or "")
        direct = View(peer, "https" if request.secure else "http", request.host, self._root)
        return self._believed(request, direct) if self._trusted and self._trusts(peer) else direct

    def believes(self, request: web.BaseRequest) -> bool:
        """Whether the request comes from a proxy that is named."""
        return self._trusts(_peer(request.remote or ""))

    def _believed(self, request: web.BaseRequest, direct: View) -> View:
        listed = {name: _listed(request, f"X-Forwarded-{name}") for name in ("for", "proto", "host")}
        standard = request.forwarded
        clients = listed["for"] or [element.get("for", "") for element in standard]
        hops = [direct.client, *takewhile(self._trusts, map(_plain, reversed(clients)))]
        told = {name: _of_hop(values, len(hops)) for name, values in listed.items()}
        if standard:
            said = standard[-min(len(hops), len(standard))]
            if not any(told.values()):
                told = {name: said.get(name, "") for name in told}
            elif not all(_same(value, said.get(name, "")) for name, value in told.items()):
                # A proxy that writes one kind passes on the other, which anybody may have written.
                return direct
        return View(
            (_plain(told["for"]) if len(clients) >= len(hops) else "") or hops[-1],
            told["proto"].lower() if told["proto"].lower() in ("http", "https") else direct.scheme,
            told["host"] if HOST.fullmatch(told["host"]) else direct.host,
            _prefix(request) or direct.prefix,
        )

    def _trusts(self, address: str) -> bool:
        if not address:
            return False
        parsed = ipaddress.ip_address(address)
        return any(parsed in network for network in self._trusted)


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise BadSetting(
            f"trusted_proxies: {text!r} is not an address or network ({error}); give for instance 127.0.0.1 or "
            "10.0.0.0/8, separated by commas"
        ) from error


def _plain(text: str) -> str:
    """An address as this module compares and tells it: without port and brackets; empty where it is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed: Address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


@lru_cache(maxsize=256)
def _peer(remote: str) -> str:
    """The other end of a connection, which asks again and again."""
    return _plain(remote)


def _listed(request: web.BaseRequest, header: str) -> list[str]:
    return [value.strip() for line in request.headers.getall(header, ()) for value in line.split(",")]


def _of_hop(values: Sequence[str], hops: int) -> str:
    """What the farthest trusted proxy has told. Not every proxy adds to a list: one may be shorter than the chain."""
    return values[-min(hops, len(values))] if values else ""


def _same(one: str, other: str) -> bool:
    return one.lower() == other.lower() or (bool(_plain(one)) and _plain(one) == _plain(other))


def _prefix(request: web.BaseRequest) -> str:
    """Each proxy that removes a part of the path adds it to the list, the first one in front."""
    prefix = "".join(part.rstrip("/") for part in _listed(request, "X-Forwarded-Prefix"))
    return prefix if PREFIX.fullmatch(prefix) else ""
