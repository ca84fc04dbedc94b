"""Reports: at its end a job is told to the address that its client gave, signed, and again until it is taken.

Signed by the rules of Standard Webhooks (standardwebhooks.com), so that their libraries check it: the header
`webhook-signature` is `v1,` and the base64 of an HMAC-SHA256 over `<webhook-id>.<webhook-timestamp>.<body>`.

A server that sends requests to addresses that others choose can be used against its own network. So a report goes only
to hosts that the setting `webhook_hosts` names; where that says *, only to public addresses, which is checked on the
very address that is connected to; redirects are not followed, and nothing of the answer is shown to anybody.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
from yarl import URL

import modelport
from modelport.contract.job import Job
from modelport.errors import InvalidRequest
from modelport.jobs.deliveries import GiveUp, Later
from modelport.jobs.public import address_of, is_public, public_connector
from modelport.settings import BadSetting, Settings
from modelport.store import Store
from modelport.store.values import set_value_if_absent

KIND = "webhook"
SECRET = "webhooks/secret"  # noqa: S105 (a name)
SECRET_PREFIX = "whsec_"  # noqa: S105 (the standard's)
SECRET_BYTES = 32
URL_CHARS = 2000
PORTS = (80, 443)
ANY = "*"

Describe = Callable[[Job], Awaitable[bytes]]


class Webhooks:
    """Delivers reports, and says to whom they may go. `open` before the server listens, `close` at its end."""

    def __init__(self, settings: Settings) -> None:
        """Raises BadSetting."""
        self._settings = settings
        self._describe: Describe | None = None
        self._hosts = [_Host.parse(part) for part in settings.webhook_hosts.split(",") if part.strip()]
        self._key = _key(settings.webhook_secret)
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def open(self, store: Store, describe: Describe) -> None:
        """describe: a report's body, JSON. Raises what the store raises."""
        self._describe = describe
        if not self._key:
            made = base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
            self._key = base64.b64decode(await store.write(set_value_if_absent, SECRET, made))

    @property
    def secret(self) -> str:
        """As libraries of the standard take it."""
        return SECRET_PREFIX + base64.b64encode(self._key).decode()

    def check(self, url: str) -> str:
        """`url`, if a report may go there; empty for none. Raises InvalidRequest."""
        if url:
            self._target(url)
        return url

    async def deliver(self, job: Job) -> None:
        """Raises GiveUp (it may not go there, or is not wanted there any more), Later."""
        try:
            target, anywhere = self._target(job.webhook)
        except InvalidRequest as error:
            raise GiveUp(error.message) from error
        assert self._describe is not None
        body = await self._describe(job)
        session = self._session(public=anywhere)
        try:
            async with session.post(
                target, data=body, headers=self._headers(job.id, body), allow_redirects=False
            ) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Later(f"{target.host} could not be told: {error or 'it does not answer'}") from error
        if status == 410:
            raise GiveUp(f"{target.host} wants no more reports there (410)")
        if not 200 <= status < 300:
            raise Later(f"{target.host} answered {status}")

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()

    # Where to

    def _target(self, url: str) -> tuple[URL, bool]:
        """The address, and whether it was let in by * alone. Raises InvalidRequest."""
        target = _parsed(url)
        host, port = (target.raw_host or "").rstrip("."), target.port or 0
        if any(each.matches(host, port) for each in self._hosts if each.name != ANY):
            return target, False
        if not any(each.name == ANY for each in self._hosts):
            listed = ", ".join(each.text for each in self._hosts) or "none"
            raise InvalidRequest(
                f"X-Webhook-URL: {host}:{port} is not an allowed address; the setting webhook_hosts allows {listed}"
            )
        if (address := address_of(host)) is not None and not is_public(address):
            raise InvalidRequest(
                f"X-Webhook-URL: {host} is the address {address}, which is not public; webhook_hosts does not name it"
            )
        return target, True

    def _session(self, *, public: bool) -> aiohttp.ClientSession:
        if public not in self._sessions:
            everywhere = aiohttp.TCPConnector
            self._sessions[public] = aiohttp.ClientSession(
                connector=public_connector() if public else everywhere(use_dns_cache=False, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self._settings.webhook_timeout_s),
            )
        return self._sessions[public]

    def _headers(self, job_id: str, body: bytes) -> dict[str, str]:
        """The id is the job's: a report that comes twice can be known by it. The time is this attempt's."""
        now = str(int(time.time()))
        signed = hmac.new(self._key, f"{job_id}.{now}.".encode() + body, hashlib.sha256).digest()
        return {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": f"modelport/{modelport.__version__}",
            "webhook-id": job_id,
            "webhook-timestamp": now,
            "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
        }


@dataclass(frozen=True)
class _Host:
    """An item of webhook_hosts. port: None: those of http and https."""

    text: str
    name: str
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> _Host:
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
            raise BadSetting(f"webhook_hosts: {text!r} is not a valid host; give name, name:port, *.domain or *")
        return cls(text, name.rstrip("."), int(port) if port else None)

    def matches(self, host: str, port: int) -> bool:
        if port != self.port if self.port is not None else port not in PORTS:
            return False
        return host.endswith(self.name[1:]) if self.name.startswith("*.") else host == self.name


def _parsed(url: str) -> URL:
    """Raises InvalidRequest."""
    try:
        target = URL(url) if len(url) <= URL_CHARS and url.isprintable() else URL()
    except ValueError:
        target = URL()
    if target.scheme not in ("http", "https") or not target.raw_host:
        raise InvalidRequest(f"X-Webhook-URL: give an address of http or https, of at most {URL_CHARS} characters")
    if target.user is not None or target.password is not None or target.raw_fragment:
        raise InvalidRequest("X-Webhook-URL: an address without user, password and fragment")
    return target


def _key(setting: str) -> bytes:
    """The bytes that sign; empty: none are set. Raises BadSetting."""
    if not setting.startswith(SECRET_PREFIX):
        return setting.encode()
    try:
        return base64.b64decode(setting.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise BadSetting(f"webhook_secret: what follows {SECRET_PREFIX} is not base64") from error
