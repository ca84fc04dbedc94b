"""Jobs as JSON: what is said of one at /jobs, in events and in reports. docs/jobs.md describes every member."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web

from modelport.contract.card import Card
from modelport.contract.job import Job, JobResult
from modelport.deployments.deployments import Deployments
from modelport.errors import ModelportError
from modelport.http.gateway import Gateway
from modelport.jobs import Jobs
from modelport.settings import Settings

JSON = "application/json; charset=utf-8"

# Of a text so much is shown, of any other value so much JSON: enough to know a job by.
SHOWN_CHARS = 200
SHOWN_JSON_CHARS = 2000
# The end of the log that a document shows.
TAIL_BYTES = 4000
HIDDEN = "…"

Document = dict[str, Any]


class JobDocuments:
    """Describes jobs. Addresses are paths: what a client calls this server is its own matter."""

    def __init__(self, settings: Settings, deployments: Deployments, jobs: Jobs, root: str | None = None) -> None:
        """root: see `Gateway.root`; None: for readers who have not asked."""
        self._root = f"{settings.root_path}{settings.base_path}" if root is None else root
        self._attempts = settings.job_attempts
        self._deployments = deployments
        self._jobs = jobs

    @classmethod
    def of(cls, gateway: Gateway, request: web.BaseRequest) -> JobDocuments:
        """For who asks with this request."""
        return cls(gateway.settings, gateway.deployments, gateway.jobs, gateway.root(request))

    def path(self, job_id: str) -> str:
        return f"{self._root}/jobs/{job_id}"

    def row(self, job: Job) -> Document:
        """As it stands in lists."""
        path = self.path(job.id)
        return {
            "id": job.id,
            "deployment": job.deployment,
            "method": job.method,
            "status": job.status.value,
            "source": job.source,
            "created": moment(job.created),
            "started": moment(job.started),
            "finished": moment(job.finished),
            "duration_s": _duration_s(job),
            "attempt": job.attempt,
            "losses": job.losses,
            "attempts": 1 if job.method == "train" else self._attempts,
            "position": job.position,
            "progress": _progress(job),
            "arguments": arguments(job, self._card(job.deployment)),
            "result": _result(job.result, path),
            "error": _error(job.error),
            "links": {"self": path, "result": f"{path}/result", "log": f"{path}/log", "events": f"{path}/events"},
        }

    async def full(self, job: Job) -> Document:
        """The row, and the end of the log."""
        return self.with_log(job, await self._jobs.log(job.id))

    def with_log(self, job: Job, log: bytes) -> Document:
        return {**self.row(job), "log": {"url": f"{self.path(job.id)}/log", "tail": tail(log)}}

    async def report(self, job: Job) -> bytes:
        """What a webhook is told: the same document."""
        return encoded(await self.full(job))

    def _card(self, deployment: str) -> Card | None:
        return self._deployments.get(deployment).card if deployment in self._deployments else None


def without_passwords(card: Card | None, method: str, given: Mapping[str, Any]) -> Document:
    """Arguments as people may see them; none where nobody knows which are passwords."""
    names = (
        set(given)
        if card is None
        else {argument.name for argument in card.arguments(method) if argument.format == "password"}
    )
    return {name: HIDDEN if name in names else value for name, value in given.items()}


def arguments(job: Job, card: Card | None) -> Document:
    """What the job was given: files by their names, long values cut. Passwords of predictions are not even kept as
    something to show; those of trainings are hidden here."""
    given = without_passwords(card, job.method, job.arguments) if job.method == "train" else job.arguments
    found: Document = {name: shown(value) for name, value in given.items()}
    names: dict[str, list[str]] = {}
    for file in job.files:
        if not file.argument:
            continue  # a large value that no argument took
        names.setdefault(file.argument, []).append(shown(file.filename or file.name))
    return {**found, **{name: each[0] if len(each) == 1 else each for name, each in names.items()}}


def shown(value: Any) -> Any:
    """A value as people need to see it; of long text the beginning, of what is large in other ways its size."""
    if isinstance(value, str):
        return value if len(value) <= SHOWN_CHARS else value[:SHOWN_CHARS] + "…"
    if isinstance(value, (list, dict)) and len(encoded(value)) > SHOWN_JSON_CHARS:
        return f"… {len(value)} {'values' if isinstance(value, list) else 'members'}"
    return value


def moment(seconds: float | None) -> str | None:
    """RFC 3339, UTC, milliseconds."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def tail(log: bytes) -> str:
    """The last whole lines that fit."""
    if len(log) <= TAIL_BYTES:
        return log.decode(errors="replace")
    end = log[-TAIL_BYTES:]
    return end[end.find(b"\n") + 1 :].decode(errors="replace")


def encoded(document: Any) -> bytes:
    """JSON in UTF-8, whatever a client has sent: a lone surrogate becomes a question mark."""
    try:
        return msgspec.json.encode(document)
    except UnicodeEncodeError:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _duration_s(job: Job) -> float | None:
    """Of the last attempt. The clock may have been set meanwhile."""
    if job.started is None or job.finished is None:
        return None
    return round(max(0.0, job.finished - job.started), 3)


def _progress(job: Job) -> Document | None:
    if job.fraction is None and not job.message:
        return None
    return {"fraction": job.fraction, "message": job.message}


def _result(result: JobResult | None, path: str) -> Document | None:
    if result is None:
        return None
    return {
        "url": f"{path}/result",
        "media_type": result.media_type,
        "size_bytes": result.size_bytes,
        "filename": result.filename,
    }


def _error(error: ModelportError | None) -> Document | None:
    """Without its detail, which is for the server's log."""
    return None if error is None else {"kind": error.kind, "message": error.message, "fields": error.fields}
