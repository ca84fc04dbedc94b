"""The public internet: which addresses belong to it, and connections that go nowhere else."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Addresses that hold an IPv4 address of their own, which is where they lead: RFC 6052 and RFC 8215 (NAT64), and the
# "IPv4-compatible" ones of old.
WRAPPING = tuple(ipaddress.IPv6Network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/96", "::/96"))
# Of all others, nothing but these is routed between networks.
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")


def address_of(host: str) -> Address | None:
    """The address that a host of a URL is, as the C library reads it; None where it is a name.

    That reads 2130706433, 127.1, 0x7f.1, 0177.0.0.1 and 0 as addresses of this machine, and so does whoever connects.
    """
    host = host.rstrip(".")
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeEncodeError):
        pass
    try:
        addresses = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return _parsed(addresses[0][4][0])


def is_public(address: Address) -> bool:
    """Whether it leads to the public internet, whatever it is wrapped in."""
    return all(_is_global(each) for each in _unwrapped(address))


def _is_global(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast


def _unwrapped(address: Address) -> Iterator[Address]:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and any(address in network for network in WRAPPING):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            yield inner
            return
    yield address


def public_connector() -> aiohttp.TCPConnector:
    """Connects to public addresses only: what is checked is the address of each socket, not what a name led to."""
    return aiohttp.TCPConnector(
        resolver=_PublicResolver(), socket_factory=_public_socket, use_dns_cache=False, force_close=True
    )


def _public_socket(info: Any) -> socket.socket:
    """Raises OSError. info: as getaddrinfo has it; its address is the one that is connected to."""
    family, kind, protocol, _, address = info
    if not is_public(_parsed(address[0])):
        raise OSError(f"{address[0]} is not a public address")
    return socket.socket(family, kind, protocol)


class _PublicResolver(AbstractResolver):
    """Knows public addresses only, so that of a name's addresses another one is tried."""

    def __init__(self) -> None:
        self._all = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._all.resolve(host, port, family)
        public = [each for each in found if is_public(_parsed(each["host"]))]
        if not public:
            raise OSError(f"{host} has no public address")
        return public

    async def close(self) -> None:
        await self._all.close()


def _parsed(text: Any) -> Address:
    return ipaddress.ip_address(str(text).partition("%")[0])
