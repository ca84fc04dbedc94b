"""Jobs as JSON: what is said of one at /jobs, in events and in reports. docs/jobs.md describes every member."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType

from modelport.contract.card import Card
from modelport.contract.job import Job, JobArtifact, JobResult
from modelport.contract.prediction import Status
from modelport.deployments.deployments import Deployments
from modelport.describe.documents import one_of
from modelport.http.gateway import Gateway
from modelport.http.json_answers import encoded
from modelport.jobs import Jobs
from modelport.settings import Settings

# Of a text so much is shown, of any other value so much JSON: enough to know a job by.
SHOWN_CHARS = 200
SHOWN_JSON_CHARS = 2000
# The end of the log that a document shows.
TAIL_BYTES = 4000
HIDDEN = "…"

Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class JobProgress(Struct):
    fraction: Annotated[float, Meta(ge=0, le=1)] | None
    message: str


class ResultLink(Struct):
    url: str
    media_type: str
    size_bytes: int
    filename: str | None


class ArtifactLink(Struct):
    name: str
    url: str
    media_type: str
    size_bytes: int


class JobFailure(Struct):
    kind: str
    message: str
    fields: dict[str, Any]


class LogEnd(Struct):
    url: str
    tail: Annotated[str, Meta(description="The end of what it has printed")]


class JobDocument(Struct, kw_only=True):
    """A job as it stood when it was asked for"""

    id: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    deployment: str
    version: Annotated[str, Meta(description="The service that runs it: `deployment`, or a version of it")]
    method: Annotated[str, one_of("predict", "train")]
    status: Status
    source: Annotated[str, Meta(description="The front end that accepted it")]
    created: Annotated[Moment, Meta(description="UTC, as 2026-01-31T12:00:00.123Z")]
    started: Annotated[Moment | None, Meta(description="The last attempt's start")]
    finished: Moment | None
    duration_s: Annotated[float | None, Meta(description="Of the last attempt")]
    attempt: Annotated[int, Meta(description="How often it was given to a worker")]
    losses: Annotated[int, Meta(description="How often worker or server was lost meanwhile")]
    attempts: Annotated[int, Meta(description="With so many losses it fails")]
    position: Annotated[int | None, Meta(description="While it is queued: how many are before it")]
    progress: JobProgress | None
    arguments: Annotated[dict[str, Any], Meta(description="For people: files by name, long values cut")]
    metrics: Annotated[dict[str, float], Meta(description="The last value of each")]
    artifacts: Annotated[list[ArtifactLink], Meta(description="Files that the model has kept with it")]
    use: Annotated[dict[str, Any], Meta(description="Arguments of `predict` that use what a training made")]
    result: ResultLink | None
    error: JobFailure | None
    links: dict[str, str]
    log: LogEnd | UnsetType = UNSET


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

    def row(self, job: Job) -> JobDocument:
        """As it stands in lists."""
        path, result, error = self.path(job.id), job.result, job.error
        progresses = job.fraction is not None or job.message
        return JobDocument(
            id=job.id,
            deployment=job.deployment,
            version=job.runs_on,
            method=job.method,
            status=job.status,
            source=job.source,
            created=moment(job.created) or "",
            started=moment(job.started),
            finished=moment(job.finished),
            duration_s=_duration_s(job),
            attempt=job.attempt,
            losses=job.losses,
            attempts=1 if job.method == "train" else self._attempts,
            position=job.position,
            progress=JobProgress(job.fraction, job.message) if progresses else None,
            arguments=arguments(job, self._card(job.runs_on)),
            metrics=dict(job.metrics),
            artifacts=[self.artifact(job.id, artifact) for artifact in job.artifacts],
            use=dict(job.use),
            result=None if result is None else _link(result, path),
            error=None if error is None else JobFailure(error.kind, error.message, error.fields),
            links={"self": path, **{name: f"{path}/{name}" for name in ("result", "log", "events", "metrics")}},
        )

    def artifact(self, job_id: str, artifact: JobArtifact) -> ArtifactLink:
        url = f"{self.path(job_id)}/artifacts/{quote(artifact.name, safe='')}"
        return ArtifactLink(artifact.name, url, artifact.media_type, artifact.size_bytes)

    async def full(self, job: Job) -> JobDocument:
        """The row, and the end of the log."""
        return self.with_log(job, await self._jobs.log(job.id))

    def with_log(self, job: Job, log: bytes) -> JobDocument:
        document = self.row(job)
        document.log = LogEnd(f"{self.path(job.id)}/log", tail(log))
        return document

    async def report(self, job: Job) -> bytes:
        """What a webhook is told: the same document."""
        return encoded(await self.full(job))

    def _card(self, deployment: str) -> Card | None:
        return self._deployments.get(deployment).card if deployment in self._deployments else None


def without_passwords(card: Card | None, method: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as people may see them; none where nobody knows which are passwords."""
    names = (
        set(arguments)
        if card is None
        else {argument.name for argument in card.arguments(method) if argument.format == "password"}
    )
    return {name: HIDDEN if name in names else value for name, value in arguments.items()}


def arguments(job: Job, card: Card | None) -> dict[str, Any]:
    """What the job was given: files by their names, long values cut. Passwords of predictions are not even kept as
    something to show; those of trainings are hidden here."""
    arguments = without_passwords(card, job.method, job.arguments) if job.method == "train" else job.arguments
    values: dict[str, Any] = {name: shown(value) for name, value in arguments.items()}
    names: dict[str, list[str]] = {}
    for file in job.files:
        if not file.argument:
            continue  # a large value that no argument took
        names.setdefault(file.argument, []).append(shown(file.filename or file.name))
    return {**values, **{name: files[0] if len(files) == 1 else files for name, files in names.items()}}


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
    """The last whole lines that fit, or the end of the last one."""
    if len(log) <= TAIL_BYTES:
        return log.decode(errors="replace")
    end = log[-TAIL_BYTES:]
    return (end[end.find(b"\n") + 1 :] or end).decode(errors="replace")


def _link(result: JobResult, path: str) -> ResultLink:
    return ResultLink(f"{path}/result", result.media_type, result.size_bytes, result.filename)


def _duration_s(job: Job) -> float | None:
    """Of the last attempt. The clock may have been set meanwhile."""
    if job.started is None or job.finished is None:
        return None
    return round(max(0.0, job.finished - job.started), 3)
