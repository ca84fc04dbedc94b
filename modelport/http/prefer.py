"""Whether a client waits for its prediction: the header Prefer (RFC 7240), and what goes with it.

    Prefer: respond-async           202 at once, and a job
    Prefer: respond-async, wait=20  the answer if it is there within 20 s, else 202 and the job
    Prefer: wait=20                 the same

A call without the header is answered when it has ended, by the request itself; Idempotency-Key and X-Webhook-URL mean
nothing there. A call that is paid for is a job, whether its client waits or not.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from modelport.contract.job import Job
from modelport.contract.prediction import Call, Outcome
from modelport.deployments.deployments import Deployment
from modelport.describe.documents import Schema
from modelport.errors import InvalidRequest
from modelport.http import paying
from modelport.http.gateway import CALLED, Gateway
from modelport.http.job_documents import JobDocuments, without_passwords
from modelport.http.json_answers import json_answer
from modelport.jobs import webhooks

PREFER, KEY, WEBHOOK = "Prefer", "Idempotency-Key", "X-Webhook-URL"
RESPOND_ASYNC, WAIT = "respond-async", "wait"
# What a page of another origin may send for a job, and read of its answer.
EXPOSED = ("Location", "Preference-Applied")

KEY_CHARS = 255


def _header(name: str, description: str, **schema: Any) -> Schema:
    """As the OpenAPI document describes it."""
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string", **schema}}


_EXAMPLES = {"at once": {"value": "respond-async"}, "in time": {"value": "respond-async, wait=20"}}
JOB_HEADERS = [
    _header(KEY, "Of a job: the same key with the same call is the same job", minLength=1, maxLength=KEY_CHARS),
    _header(
        WEBHOOK, "Of a job: its end is reported there; the server's settings say which hosts may be told", format="uri"
    ),
]
PREFERENCES = [
    _header(PREFER, "`respond-async`: answer 202 at once, and predict later; `wait=20`: only if it takes longer (s)")
    | {"examples": _EXAMPLES},
    *JOB_HEADERS,
]
# The name that the route of one job has; where it is missing, this server has no front end to ask for jobs.
ROUTE = "job"

# One preference: a token, perhaps a value, and parameters that nobody has defined for ours.
_ITEM = re.compile(r"""\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(?:=\s*("(?:[^"\\]|\\.)*"|[^\s,;"]*))?[^,]*(?:,|$)""")
_SECONDS = re.compile(r"\d{1,9}", re.ASCII)


@dataclass(frozen=True)
class Preference:
    """wait_s: how long the client waits for the answer; 0: not at all; None: to its end. applied: as it is told."""

    wait_s: float | None
    applied: str
    key: str = ""
    webhook: str = ""


@dataclass(frozen=True)
class Ready:
    """The job ended while its client waited. headers: to be sent with the answer."""

    outcome: Outcome
    headers: dict[str, str]

    def answer(self) -> Outcome:
        """Raises the error that the job has ended with."""
        if self.outcome.error is not None:
            raise self.outcome.error
        return self.outcome


def preference_of(request: web.Request, gateway: Gateway) -> Preference | None:
    """None: the request waits for its answer, and is no job. Raises InvalidRequest."""
    header = request.headers.get(PREFER)
    if gateway.payments is not None and paying.PAYMENT in request:
        return _preferred(request, gateway) or as_job(request, gateway, None)
    if header is None or ROUTE not in request.app.router:
        return None
    return _preferred(request, gateway)


def _preferred(request: web.Request, gateway: Gateway) -> Preference | None:
    named = _preferences(", ".join(request.headers.getall(PREFER, ())))
    seconds = named.get(WAIT, "")
    waits = _SECONDS.fullmatch(seconds) is not None
    if RESPOND_ASYNC not in named and not waits:
        return None  # what is not understood is passed over, by the standard
    wait_s = min(float(seconds), gateway.settings.job_wait_limit_s) if waits else 0.0
    applied = [RESPOND_ASYNC] if RESPOND_ASYNC in named else []
    return as_job(request, gateway, wait_s, ", ".join([*applied, *([f"{WAIT}={wait_s:g}"] if waits else [])]))


def as_job(request: web.Request, gateway: Gateway, wait_s: float | None = 0.0, applied: str = "") -> Preference:
    """For a request that asks for a job by other means than the header. Raises InvalidRequest."""
    return Preference(wait_s, applied, _key(request), gateway.webhooks.check(request.headers.get(WEBHOOK, "")))


async def submit(
    gateway: Gateway,
    request: web.Request,
    version: Deployment,
    call: Call,
    preference: Preference,
    *,
    source: str,
    owner: str = "",
) -> Job:
    """Accepted, and kept whatever happens. version: the deployment that runs it.

    Raises Conflict (the key stands for another call), Overloaded, Cancelled, StorageFull, StoreFailed, LinkEnded.
    """
    deployment = request.get(CALLED, version)
    options: dict[str, Any] = {
        "source": source,
        "owner": owner or gateway.sharing.owner(request, deployment.name),
        "version": version,
        "webhook": preference.webhook,
        "deliver": (webhooks.KIND,) if preference.webhook else (),
        "shown": without_passwords(version.card, call.method, call.arguments),
    }
    if (payment := request.get(paying.PAYMENT)) is not None and gateway.payments is not None:
        return await gateway.payments.submit(deployment, call, payment, waits=preference.wait_s is None, **options)
    return (await gateway.jobs.submit(deployment, call, key=preference.key, **options))[0]


async def predict(
    gateway: Gateway,
    request: web.Request,
    deployment: Deployment,
    call: Call,
    preference: Preference,
    *,
    source: str,
    owner: str = "",
) -> Ready | web.Response:
    """A job, and its answer if it is there in time; else 202. A client that leaves while it waits ends nothing.

    Raises what `submit` raises.
    """
    job = await submit(gateway, request, deployment, call, preference, source=source, owner=owner)
    if preference.wait_s != 0 and not job.status.final:
        job = await _waited(gateway, job, preference)
    headers = _headers(gateway, request, job, preference)
    if not (preference.wait_s != 0 and job.status.final):
        return accepted(gateway, request, job, headers)
    if paying.PAYMENT in request and gateway.payments is not None:
        request[paying.HEADERS] = await gateway.payments.receipt(job)
    return Ready(await gateway.jobs.outcome(job), headers)


async def _waited(gateway: Gateway, job: Job, preference: Preference) -> Job:
    try:
        return await gateway.jobs.wait(job.id, preference.wait_s)
    except asyncio.CancelledError:
        if preference.wait_s is None and gateway.payments is not None:
            gateway.payments.leave(job)
        raise


def accepted(gateway: Gateway, request: web.Request, job: Job, headers: dict[str, str]) -> web.Response:
    """202: the job's document, and where it is."""
    # Of one that was sent before there may be a log; who wants it asks for the job.
    document = JobDocuments.of(gateway, request).with_log(job, b"")
    return json_answer(document, 202, {"Retry-After": "1", **headers})


def location(gateway: Gateway, request: web.Request, job: Job) -> str:
    return JobDocuments.of(gateway, request).path(job.id)


def _headers(gateway: Gateway, request: web.Request, job: Job, preference: Preference) -> dict[str, str]:
    applied = {"Preference-Applied": preference.applied} if preference.applied else {}
    return {"Location": location(gateway, request, job), **applied, "Vary": PREFER}


def _preferences(header: str) -> dict[str, str]:
    """By name, in small letters; of two with one name the first counts."""
    preferences: dict[str, str] = {}
    for name, value in _ITEM.findall(header):
        preferences.setdefault(name.lower(), value.strip('"'))
    return preferences


def _key(request: web.Request) -> str:
    """As a text in quotes, by the draft standard, or bare, as most clients send it."""
    header = request.headers.get(KEY)
    if header is None:
        return ""
    key = header.strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not (0 < len(key) <= KEY_CHARS and key.isascii() and key.isprintable()):
        raise InvalidRequest(f"{KEY}: give 1 to {KEY_CHARS} printable ASCII characters, such as a UUID")
    return key
