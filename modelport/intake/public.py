"""Addresses that others choose: which hosts they may lead to, and connections that stay in the public internet."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from modelport.errors import InvalidRequest, TooLarge
from modelport.settings import BadSetting, Settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Addresses that hold an IPv4 address of their own, which is where they lead: RFC 6052 and RFC 8215 (NAT64), and the
# "IPv4-compatible" ones of old.
WRAPPING = tuple(ipaddress.IPv6Network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/96", "::/96"))
# Of all others, nothing but these is routed between networks.
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")

URL_CHARS = 2000
PORTS = (80, 443)
ANY = "*"
REDIRECTS = (301, 302, 303, 307, 308)
PIECE_BYTES = 256 << 10


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
    return all(_is_global(inner) for inner in _unwrapped(address))


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


def open_session(public: bool, timeout_s: float, *, proxies: bool = False) -> aiohttp.ClientSession:
    """public: to public addresses only: what is checked is the address of each socket, not what a name led to.

    proxies: through those that the environment names. Of a name's addresses those that are not public are passed over,
    as those that do not answer.
    """
    only = _public_socket if public else None
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(use_dns_cache=False, force_close=True, socket_factory=only),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=timeout_s),
        trust_env=proxies,
    )


def _public_socket(info: Any) -> socket.socket:
    """Raises OSError. info: as getaddrinfo has it; its address is the one that is connected to."""
    family, kind, protocol, _, address = info
    if not is_public(_parsed(address[0])):
        raise OSError(f"{address[0]} is not a public address")
    return socket.socket(family, kind, protocol)


def _parsed(text: Any) -> Address:
    return ipaddress.ip_address(str(text).partition("%")[0])


class AllowedHosts:
    """The value of a setting that lists hosts: name, name:port or *.domain; *: any on the public internet."""

    def __init__(self, setting: str, text: str) -> None:
        """Raises BadSetting."""
        self._setting = setting
        self._hosts = [_Host.parse(setting, part) for part in text.split(",") if part.strip()]

    def __bool__(self) -> bool:
        return bool(self._hosts)

    def target(self, url: str, where: str) -> tuple[URL, bool]:
        """The address, and whether it was let in by * alone: then only a public connection may go there.

        where: names in errors what has the address. Raises InvalidRequest.
        """
        target = _url(url, where)
        host, port = (target.raw_host or "").rstrip("."), target.port or 0
        if any(allowed.matches(host, port) for allowed in self._hosts if allowed.name != ANY):
            return target, False
        if not any(allowed.name == ANY for allowed in self._hosts):
            listed = ", ".join(allowed.text for allowed in self._hosts) or "none"
            raise InvalidRequest(
                f"{where}: {host}:{port} is not an allowed address; the setting {self._setting} allows {listed}"
            )
        if (address := address_of(host)) is not None and not is_public(address):
            raise InvalidRequest(
                f"{where}: {host} is the address {address}, which is not public; {self._setting} does not name it"
            )
        return target, True


@dataclass(frozen=True)
class _Host:
    """An item of such a setting. port: None: those of http and https."""

    text: str
    name: str
    port: int | None = None

    @classmethod
    def parse(cls, setting: str, text: str) -> _Host:
        """Raises BadSetting."""
        text = text.strip().lower()
        name, port = text, ""
        if text.startswith("["):
            name, end, port = text[1:].partition("]")
            name = name if end and not port.strip(":0123456789") else ""
            port = port.removeprefix(":")
        elif text.count(":") == 1:
            name, _, port = text.partition(":")
        if not name or {*name} & {*"/[]"} or (port and not port.isdecimal()) or (text.endswith(":")):
            raise BadSetting(f"{setting}: {text!r} is not a valid host; give name, name:port, *.domain or *")
        return cls(text, name.rstrip("."), int(port) if port else None)

    def matches(self, host: str, port: int) -> bool:
        if port != self.port if self.port is not None else port not in PORTS:
            return False
        return host.endswith(self.name[1:]) if self.name.startswith("*.") else host == self.name


def _url(url: str, where: str) -> URL:
    """Raises InvalidRequest."""
    try:
        target = URL(url) if len(url) <= URL_CHARS and url.isprintable() else URL()
    except ValueError:
        target = URL()
    if target.scheme not in ("http", "https") or not target.raw_host:
        raise InvalidRequest(f"{where}: give an address of http or https, of at most {URL_CHARS} characters")
    if target.user is not None or target.password is not None or target.raw_fragment:
        raise InvalidRequest(f"{where}: an address without user, password and fragment")
    return target


@dataclass(frozen=True)
class Fetcher:
    """Fetches files from addresses that callers choose, by the rules of webhooks. Each redirect is checked, too."""

    hosts: AllowedHosts
    timeout_s: float
    limit_bytes: int
    redirect_limit: int = Settings.redirect_limit

    @asynccontextmanager
    async def fetch(self, url: str, where: str) -> AsyncIterator[tuple[str, AsyncIterator[bytes]]]:
        """(media type, the content piece by piece). where: names in errors what has the address.

        Raises InvalidRequest, TooLarge, here and while the content is read.
        """
        try:
            async with asyncio.timeout(self.timeout_s):
                for _ in range(self.redirect_limit + 1):
                    target, public = self.hosts.target(url, where)
                    session = open_session(public, self.timeout_s)
                    async with session, session.get(target, allow_redirects=False) as answer:
                        if answer.status in REDIRECTS and "Location" in answer.headers:
                            url = redirected(target, answer.headers["Location"])
                            continue
                        if answer.status != 200:
                            raise InvalidRequest(f"{where}: {target.host} answered {answer.status}")
                        yield answer.content_type, self._pieces(answer, where)
                        return
        except TimeoutError as error:
            raise InvalidRequest(f"{where}: the file was not there within {self.timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise InvalidRequest(f"{where}: the file could not be fetched from {URL(url).host}") from error
        raise InvalidRequest(f"{where}: more than {self.redirect_limit} redirects (redirect_limit)")

    async def _pieces(self, answer: aiohttp.ClientResponse, where: str) -> AsyncIterator[bytes]:
        size = 0
        async for piece in answer.content.iter_chunked(PIECE_BYTES):
            size += len(piece)
            if size > self.limit_bytes:
                raise TooLarge(f"{where}: the file has more than {self.limit_bytes} bytes")
            yield piece


def redirected(target: URL, location: str) -> str:
    """Not a valid address: empty."""
    try:
        return str(target.join(URL(location)).with_fragment(None))
    except ValueError:
        return ""
