"""What travels on the road of a prediction: the call, its files, its outcome, its status."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Mapping

from modelport.errors import ModelportError

# What a call wants of a generator beside its list (`Call.stream`).
VALUES, BOTH = "values", "both"


class Status(str, Enum):
    """The states of a prediction or training, wherever one is shown."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return not TRANSITIONS[self]


# running → queued: a worker was lost and another attempt is allowed.
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING, Status.FAILED, Status.CANCELLED}),
    Status.RUNNING: frozenset({Status.QUEUED, Status.SUCCEEDED, Status.FAILED, Status.CANCELLED}),
    Status.SUCCEEDED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
}
UNFINISHED = tuple(status for status in Status if not status.final)


@dataclass(frozen=True)
class InputFile:
    """A file that came with a call; it lies in the call's scratch folder and goes with it.

    value: the file is no file to the plugin: its content is JSON, which nobody has read yet, of a value too large for
        the gateway. `json`: that is the argument's value; `list`: its only element; `text`: a number that is text to
        the argument. Of no argument (""): it must be valid, and is not used.
    """

    argument: str  # the argument's name (not its wire name)
    path: str  # absolute
    name: str  # the form part's name
    content_type: str | None = "application/octet-stream"  # None where a command line cannot guess it
    filename: str | None = None  # as the client called it: without folders, but never to be used as a path
    value: str = ""


@dataclass
class Call:
    """What an executor is given.

    arguments: raw values by argument name, as JSON can say them; text where they came as text. The worker
        validates them with the plugin's own fields.
    accept: the media type wanted; None where the plugin has no `accept` argument.
    scratch: absolute path of the call's own folder. The worker makes it if need be; whoever made the call removes it.
    text: also wanted: `str()` of the value that predict returned, as command-line users of DEEPaaS see it.
    text_only: the answer is that text and nothing else; the value need not be one that can be sent.
    only_validate: do not run the function: the answer is the JSON object of the arguments as they were understood.
    timeout_s: the worker is stopped after so many seconds of work; None: never.
    attempt: of a job, counted from 1; 0: somebody waits for the answer.
    stream: each value of a generator is told to the call's watcher as it comes; `values`: and the answer is left out;
        `both`: and the answer is their list, as without it; one larger than `inline_limit_bytes` is told as b"".
        "": they are not told. A model that returns no generator answers as ever.
    """

    id: str
    method: str = "predict"
    arguments: dict[str, Any] = field(default_factory=dict)
    files: list[InputFile] = field(default_factory=list)
    accept: str | None = None
    scratch: str = ""
    text: bool = False
    only_validate: bool = False
    timeout_s: float | None = None
    text_only: bool = False
    attempt: int = 0
    stream: str = ""

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Call:
        values = dict(plain, files=[InputFile(**file) for file in plain["files"]])
        return cls(**values)


@dataclass
class Batch:
    """Calls that a worker runs together, with the plugin's `predict_batch`. On its way there, it is like one call.

    outcomes: of its calls, in their order, as far as they have come; they do not travel with it.
    """

    id: str
    calls: list[Call]

    method: ClassVar[str] = "predict"
    only_validate: ClassVar[bool] = False
    scratch: ClassVar[str] = ""
    stream: ClassVar[str] = ""
    timeout_s: ClassVar[float | None] = None  # whoever forms it knows the time limits of its calls

    def __post_init__(self) -> None:
        self.outcomes: list[Outcome] = []

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Batch:
        return cls(plain["id"], [Call.from_plain(call) for call in plain["calls"]])


@dataclass
class Outcome:
    """What an executor gives back.

    Either `error` is set, or the answer is: `body` (bytes, small answers) or `path` (a file in the call's scratch
    folder, large ones), with its `media_type`. JSON is UTF-8 and complete: a front end puts its envelope around it,
    unread.
    log: the last bytes that this call wrote to stdout and stderr, at most the setting `log_tail_bytes`.
    timings: seconds by phase: queue (until a worker was free), validate, predict, encode (in the worker).
    untouched: nobody has made the call's scratch folder for it.
    batch: so many calls ran together; 0: it ran by itself, with `predict`.
    values: so many were told to the watcher; None: the model returned no generator, or `Call.stream` is "".
    """

    media_type: str = "application/json"
    body: bytes = b""
    path: str | None = None
    filename: str | None = None  # the name that the plugin gave its file, last part only
    text: str | None = None
    error: ModelportError | None = None
    log: bytes = b""
    timings: dict[str, float] = field(default_factory=dict)
    worker: int = 0  # process id, for the log
    untouched: bool = False
    batch: int = 0
    values: int | None = None

    @property
    def is_json(self) -> bool:
        return self.media_type == "application/json" or self.media_type.endswith("+json")
