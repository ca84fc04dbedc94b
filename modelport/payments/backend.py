"""Nevermined's backend: which one a key is for, and requests to it.

It is the facilitator of payments, too: it says whether a token is good, and takes what that is worth.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from modelport.client.connection import proxy_of
from modelport.errors import InvalidRequest, ModelportError
from modelport.settings import BadSetting

VARIABLE = "NVM_API_KEY"
SHOWN = f"<{VARIABLE}>"
# What a key begins with says where it is good.
BACKENDS = {
    "sandbox": "https://api.sandbox.nevermined.app",
    "live": "https://api.live.nevermined.app",
    "sandbox-staging": "https://api.sandbox.nevermined.dev",
    "live-staging": "https://api.live.nevermined.dev",
}
VERSION = "1.1"
CONNECT_S, READ_S = 10.0, 30.0
ERROR_CHARS = 200
LOOPBACK = ("127.0.0.1", "::1", "localhost")

VERIFY, SETTLE = "/api/v1/x402/verify", "/api/v1/x402/settle"
# A single-use token has been settled already.
SPENT = "BCK.X402.0059"
# These are about us or about now, and not about the payment.
NOT_OF_THE_PAYMENT = (401, 408, 429)
LIVE, SANDBOX = "eip155:8453", "eip155:84532"


class BackendFailed(ModelportError):
    """Nevermined refused a request, or did not answer it. sent: it may have taken effect.

    answered: the status of its answer; 0: there was none. code: the backend's own; empty: it was not the backend that
    said no. reason: for people, without the request.
    """

    kind = "nevermined_failed"

    def __init__(self, message: str, *, sent: bool, answered: int = 0, code: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.sent, self.answered, self.code, self.reason = sent, answered, code, reason


class Refused(ModelportError):
    """A payment is not good, for good. code: the backend's own, such as SPENT."""

    kind = "payment_refused"

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


def read_key(file: str | None) -> str:
    """From the file, or else from the environment; "" where neither has one. Raises BadSetting."""
    if file is None:
        return os.environ.get(VARIABLE, "").strip()
    try:
        return Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"the file of the key, {file}, cannot be read: {error}") from None


def choose(key: str, named: str | None) -> str:
    """The backend's address: the named one, or else the key's; without a key the sandbox. Raises BadSetting."""
    if named is not None:
        url = named.rstrip("/")
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
            raise BadSetting(f"the backend is {named!r}; give an https address, since the key is sent there")
        return url
    if not key:
        return BACKENDS["sandbox"]
    backend = BACKENDS.get(key.partition(":")[0].lower()) if ":" in key else None
    if backend is None:
        raise BadSetting(f"the key does not begin with one of {', '.join(BACKENDS)} and a colon; name its backend")
    return backend


def headers(key: str) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {key}",
        "Accept": "application/json",
        "Content-Type": "application/json",
        "Nevermined-Version": VERSION,
    }


class Backend:
    """The backend at `url`. What it says is shown without the key."""

    def __init__(self, url: str, key: str, read_s: float = READ_S) -> None:
        """read_s: so long an answer may take. Raises InvalidRequest."""
        if not key:
            raise InvalidRequest(f"no key was given; set {VARIABLE}, or name a file with --key-file")
        if not key.isascii() or not key.isprintable():
            raise InvalidRequest("the key has characters that no key has; copy it again, on one line")
        self.url = url
        self._key = key
        self._read_s = read_s
        self._session: aiohttp.ClientSession | None = None

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            total_s = CONNECT_S + self._read_s
            timeout = aiohttp.ClientTimeout(total=total_s, sock_connect=CONNECT_S, sock_read=self._read_s)
            self._session = aiohttp.ClientSession(headers=headers(self._key), timeout=timeout)
        return self._session

    async def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer's object. Raises BackendFailed."""
        url = self.url + path
        asking = self._opened().request(method, url, json=body, allow_redirects=False, proxy=proxy_of(url))
        try:
            # The key must not follow a redirect.
            async with asking as response:
                status, text = response.status, (await response.read()).decode(errors="replace")
        except (aiohttp.ClientError, TimeoutError) as error:
            refused = isinstance(error, aiohttp.ClientConnectorError)
            raise self._failed(f"{self.url} cannot be reached: {error or 'it is too slow'}", not refused) from None
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            answer = None
        if not 200 <= status < 300 or (text and not isinstance(answer, dict)):
            # A 5xx may come from something in front, after the backend has done it.
            reason = _reason(answer, text)
            code = str(answer.get("code") or "") if isinstance(answer, dict) else ""
            sent = not 400 <= status < 500
            raise self._failed(f"{method} {path}: {status}: {reason}", sent, answered=status, code=code, reason=reason)
        return answer or {}

    def _failed(self, message: str, sent: bool, *, reason: str = "", **facts: Any) -> BackendFailed:
        message, reason = (text.replace(self._key, SHOWN) for text in (message, reason))
        return BackendFailed(message, sent=sent, reason=reason, **facts)


class Nevermined(Backend):
    """The facilitator, by the wire format of payments-py 1.18. `verify` and `settle` raise Refused and BackendFailed.

    demand: what a token answers, the same at both. amount: in credits. network: of plans whose price names none.
    """

    def __init__(self, url: str, key: str, timeout_s: float) -> None:
        super().__init__(url, key, timeout_s)
        live = url == BACKENDS["live"] or (url not in BACKENDS.values() and key.lower().startswith("live"))
        self.network = LIVE if live else SANDBOX

    async def verify(self, demand: dict[str, Any], token: str, amount: int) -> str:
        """Whether it is good, which takes nothing. Returns what `settle` is told of it."""
        answer = await self._ask(VERIFY, demand, token, amount)
        if answer.get("isValid") is False:
            raise Refused(str(answer.get("invalidReason") or "the payment is not valid"))
        if answer.get("isValid") is not True:
            raise BackendFailed("the answer of a verification does not say whether it is valid", sent=True)
        return str(answer.get("agentRequestId") or "")

    async def settle(self, demand: dict[str, Any], token: str, amount: int, request_id: str) -> dict[str, Any]:
        """The receipt. Asked again with the same request_id, it takes nothing more."""
        answer = await self._ask(SETTLE, demand, token, amount, agentRequestId=request_id)
        if answer.get("success") is False:
            reason = answer.get("errorReason") or answer.get("message") or "the payment was not settled"
            raise Refused(str(reason), str(answer.get("code") or ""))
        if answer.get("success") is not True:
            raise BackendFailed("the answer of a settlement does not say whether it is done", sent=True)
        return answer

    async def _ask(self, path: str, demand: dict[str, Any], token: str, amount: int, **more: str) -> dict[str, Any]:
        body = {"paymentRequired": demand, "x402AccessToken": token, "maxAmount": str(amount), **more}
        try:
            return await self.send("POST", path, body)
        except BackendFailed as error:
            # Its errors have codes, with whatever status; those of something in front of it have none. One with a 5xx
            # leaves it open whether a settlement has taken effect.
            final = path == VERIFY or not error.sent or error.code == SPENT
            if error.code and final and error.answered not in NOT_OF_THE_PAYMENT:
                raise Refused(error.reason, error.code) from error
            raise


def _reason(answer: Any, text: str) -> str:
    if not isinstance(answer, dict) or "message" not in answer:
        return " ".join(text.split())[:ERROR_CHARS] or "no reason was given"
    hint = f" — {answer['hint']}" if answer.get("hint") else ""
    details = f" ({answer['details']})" if answer.get("details") else ""
    code = f" [{answer['code']}]" if answer.get("code") else ""
    return f"{answer['message']}{hint}{details}{code}"
