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

import aiohttp

import modelport
from modelport.contract.job import Job
from modelport.errors import InvalidRequest
from modelport.intake.public import AllowedHosts, open_session
from modelport.jobs.deliveries import GiveUp, Later
from modelport.settings import BadSetting, Settings
from modelport.store import Store
from modelport.store.values import set_value_if_absent

KIND = "webhook"
HEADER = "X-Webhook-URL"
SECRET = "webhooks/secret"  # noqa: S105 (a name)
SECRET_PREFIX = "whsec_"  # noqa: S105 (the standard's)
SECRET_BYTES = 32

Describe = Callable[[Job], Awaitable[bytes]]


class Webhooks:
    """Delivers reports, and says to whom they may go. `open` before the server listens."""

    def __init__(self, settings: Settings) -> None:
        """Raises BadSetting."""
        self._settings = settings
        self._describe: Describe | None = None
        self._hosts = AllowedHosts("webhook_hosts", settings.webhook_hosts)
        self._key = _key(settings.webhook_secret)

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
            self._hosts.target(url, HEADER)
        return url

    async def deliver(self, job: Job) -> None:
        """Raises GiveUp (it may not go there, or is not wanted there any more), Later."""
        try:
            target, anywhere = self._hosts.target(job.webhook, HEADER)
        except InvalidRequest as error:
            raise GiveUp(error.message) from error
        assert self._describe is not None
        body = await self._describe(job)
        headers = self._headers(job.id, body)
        try:
            async with (
                open_session(anywhere, self._settings.webhook_timeout_s) as session,
                session.post(target, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                status = answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Later(f"{target.host} could not be told: {error or 'it does not answer'}") from error
        if status == 410:
            raise GiveUp(f"{target.host} wants no more reports there (410)")
        if not 200 <= status < 300:
            raise Later(f"{target.host} answered {status}")

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


def _key(setting: str) -> bytes:
    """The bytes that sign; empty: none are set. Raises BadSetting."""
    if not setting.startswith(SECRET_PREFIX):
        return setting.encode()
    try:
        return base64.b64decode(setting.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise BadSetting(f"webhook_secret: what follows {SECRET_PREFIX} is not base64") from error
