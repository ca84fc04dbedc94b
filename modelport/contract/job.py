"""What is kept of a job: a prediction or training that outlives the request that asked for it, and the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelport.contract.prediction import Status
from modelport.errors import ModelportError


@dataclass(frozen=True)
class JobFile:
    """A file that came with a job. stored: its name in the job's folder; the others as in `InputFile`."""

    argument: str
    stored: str
    name: str
    content_type: str | None = None
    filename: str | None = None
    value: str = ""


@dataclass(frozen=True)
class JobResult:
    """The answer of a job that succeeded; its bytes are asked for apart.

    size_bytes: of the answer. stored: its name in the job's folder; None: it lies in the store.
    text: also kept where `Call.text` was wanted.
    """

    media_type: str
    size_bytes: int
    filename: str | None = None
    stored: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class JobArtifact:
    """A file that the model gave away with `modelport.artifact`. stored: its name in the job's folder."""

    name: str
    stored: str
    media_type: str
    size_bytes: int


@dataclass(frozen=True)
class Job:
    """One job as it was when it was read.

    id: 32 hexadecimal digits, not to be guessed, and in the order in which jobs were accepted.
    deployment: that was called. version: the one that runs it, where that is another; see `Deployments.version`.
    method: predict or train.
    source: the front end by which it came (deepaas, plain, oscar, bucket, …). origin: what it wants to know later,
        such as bucket, key and ETag.
    owner: the account that sent it; empty: whoever has the deployment's token.
    arguments: raw values, as the call had them; for a training, as the plugin's fields understood them.
    created, started, finished: seconds since 1970, by the wall clock, for people. started: of the last attempt.
    attempt: how often it was given to a worker. losses: how many of these ended with a lost worker or server.
    position: how many jobs of its deployment are ahead of it; only of one that is queued, and only where asked for.
    fraction (0..1), message: how far it says to be.
    log_bytes: how much log is kept.
    metrics: the last value of each number that the model has reported; those that a training gave back among them.
    artifacts: files that the model has given away, in the order in which their names came.
    use: of a training that says so, arguments of `predict` that use what it has made.
    """

    id: str
    deployment: str
    method: str
    status: Status
    source: str
    created: float
    owner: str = ""
    origin: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[JobFile, ...] = ()
    accept: str | None = None
    timeout_s: float | None = None
    started: float | None = None
    finished: float | None = None
    attempt: int = 0
    losses: int = 0
    position: int | None = None
    fraction: float | None = None
    message: str = ""
    result: JobResult | None = None
    error: ModelportError | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    log_bytes: int = 0
    webhook: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    artifacts: tuple[JobArtifact, ...] = ()
    use: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""

    @property
    def runs_on(self) -> str:
        """The name of the deployment that runs it."""
        return self.version or self.deployment


@dataclass(frozen=True)
class Event:
    """News of a job. kind, and its data: state (the Job), progress ((fraction, message)), metrics (numbers by name),
    artifact (the JobArtifact), log (bytes), value (None; there are more of them in `Jobs.values`)."""

    kind: str
    job_id: str
    deployment: str
    owner: str
    data: Any
