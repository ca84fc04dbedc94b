"""A connection to a server: a session, and every failure as an error of ours."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import ssl
import urllib.request
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp

from modelport import errors
from modelport.client.where import Unreachable, Where, bearer
from modelport.describe.statuses import STATUS
from modelport.errors import DeadlineExceeded, ModelportError

# A server on this machine answers at once; a deployment is described within the server's start_wait_s.
CONNECT_S = 10.0
ERROR_LIMIT_BYTES = 64 << 10

# What a status means where the server does not say more. OSCAR's 502: the model is loading.
KINDS = {status: kind for kind, status in reversed(STATUS.items())} | {403: "unauthorized", 502: "starting"}

# How /run begins the text of an error, and how deepaas and our DEEPaaS front end do.
_RUN_ERROR = re.compile(r"error \d+ \((?P<kind>\w+)\): (?P<message>.*)")
_LINE = re.compile(r"\d{3}: (?P<message>.*)", re.DOTALL)
# What something between us and the server says when it does not reach it, or does not know the path.
_FOREIGN = (404, 405, 502, 503, 504)
_MESSAGES = {401: "the server did not accept the token: give the right one with --token, or set BEARER_TOKEN"}


class Connection:
    """Open as a context manager. where: may be changed meanwhile; the next request goes there."""

    def __init__(self, where: Where, timeout_s: float | None = None) -> None:
        self.where = where
        self.timeout_s = timeout_s

    async def __aenter__(self) -> Self:
        # The limit on connections is the caller's affair: what follows an event stream holds one.
        # Certificates are read now: aiohttp reads them at its import, and what a program sets later comes too late.
        trusted = ssl.create_default_context() if self.where.url.startswith("https:") else True
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=trusted))
        return self

    async def __aexit__(self, *reason: object) -> None:
        await self._session.close()

    async def json_of(self, method: str, path: str, **options: Any) -> Any:
        """What the server answers; None where that is nothing."""
        async with self.request(method, path, **options) as response:
            return await self.decoded(response)

    async def decoded(self, response: aiohttp.ClientResponse) -> Any:
        try:
            return json.loads(await response.read()) if response.status != 204 else None
        except ValueError as error:
            raise Unreachable(f"{self.where.url} is not a modelport server: its answer is not JSON") from error

    @contextlib.asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        **options: Any,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A successful response. path: below the base path. Raises ModelportError for all else."""
        url = self.where.url + path
        options |= {"headers": {**bearer(self.where.token), **(headers or {})}, "proxy": proxy_of(url)}
        options["timeout"] = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_S)
        try:
            async with self._session.request(method, url, **options) as response:
                if response.status >= 400:
                    raise refusal(self.where, response, await response.content.read(ERROR_LIMIT_BYTES))
                yield response
        except TimeoutError as error:
            if timeout_s is not None:
                raise DeadlineExceeded(f"no answer within {timeout_s:g} s") from error
            raise self.where.refused(f"no connection within {CONNECT_S:g} s") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise self.where.refused(reason(error)) from error


def refusal(where: Where, response: aiohttp.ClientResponse, body: bytes) -> ModelportError:
    """The server's own words, as its own error. Unreachable for what no server of a model would say."""
    status, text = response.status, body.decode(errors="replace").strip()
    kind, message, fields = KINDS.get(status, "model_failed"), "", None
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if isinstance(document, dict) and isinstance(document.get("message"), str):
        kind, message, fields = str(document.get("error", kind)), document["message"], document.get("fields")
    elif isinstance(document, dict) and status == 422:
        fields = document
        message = "; ".join(f"{name}: {said}" for name, said in errors.messages(document))
    elif told := _RUN_ERROR.match(text):
        kind, message = told["kind"], told["message"]
    elif (told := _LINE.fullmatch(text)) and told["message"] not in ("Not Found", "Method Not Allowed"):
        message = told["message"]
    elif status in _FOREIGN:
        path = response.url.path.removeprefix(where.path)
        what = "it is not a modelport server, an older one, or not reachable"
        return Unreachable(f"{where.url} answers {status} to {path}: {what}")
    retry_after = response.headers.get("Retry-After", "")
    retry_after_s = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None
    cls = errors.KINDS.get(kind, ModelportError)
    message = message or _MESSAGES.get(status, f"the server answered {status} {response.reason or ''}".strip())
    return cls(message, fields=fields if isinstance(fields, dict) else None, retry_after_s=retry_after_s)


def reason(error: Exception) -> str:
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError)):
        return _distrusted(error)
    number = getattr(getattr(error, "os_error", None), "errno", None)
    if isinstance(number, int) and number > 0:
        return os.strerror(number)
    return str(error) or type(error).__name__


def _distrusted(error: Any) -> str:
    cause = getattr(error, "certificate_error", None) or error.os_error
    why = getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or str(cause)
    if not getattr(cause, "verify_message", ""):
        return f"TLS fails: {why}"
    return (
        f"its certificate is not trusted: {why}. If it was signed by an authority of your own, set SSL_CERT_FILE to "
        "the file with that authority's certificate"
    )


def proxy_of(url: str) -> str | None:
    """What http_proxy, https_proxy and no_proxy say. This machine is always reached directly."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    with contextlib.suppress(ValueError):
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return None
    proxies = urllib.request.getproxies()
    if urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy
