"""What a child may say, as types. A frame that fits none of them is not from a child of ours that is in order.

A model shares its process with what speaks for it, so it can say anything. What reaches a response or the name of a
file is limited here: no control characters, no status but those of errors, no file but one in the call's own folder.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from modelport.contract.card import Card
from modelport.errors import ModelportError, from_plain

# A line of a header: what HTTP allows in a value, but no control character and nothing beyond ASCII.
MediaType = Annotated[str, Meta(pattern=r"^[!-~]+/[ -~]+\Z", max_length=300)]
# As a model has named its file: one line.
FileName = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f-\x9f/]+\Z", max_length=255)]
# Of a metric; `child/reporter.py` cuts it.
MetricName = Annotated[str, Meta(max_length=100)]
# A file in the call's own folder.
Stored = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*\Z", max_length=255)]
Seconds = Annotated[float, Meta(ge=0)]
Length = Annotated[int, Meta(ge=0)]


class Failure(msgspec.Struct):
    """An error as `failures.plain` tells it."""

    kind: str
    message: str
    fields: dict[str, Any] = {}
    status: Annotated[int, Meta(ge=400, le=599)] | None = None
    retry_after_s: Seconds | None = None
    detail: str = ""
    raised: str = ""

    def error(self) -> ModelportError:
        return from_plain(msgspec.structs.asdict(self))


# Of a worker


class Ready(msgspec.Struct, tag_field="is", tag="ready"):
    """It is warm."""


class Failed(msgspec.Struct, tag_field="is", tag="failed"):
    """It cannot start, or the plugin cannot be loaded."""

    error: Failure


class Progress(msgspec.Struct, tag_field="is", tag="progress"):
    id: str
    fraction: Annotated[float, Meta(ge=0, le=1)] | None
    message: Annotated[str, Meta(max_length=1000)]
    metrics: Annotated[dict[MetricName, float], Meta(max_length=50)] = {}


class Artifact(msgspec.Struct, tag_field="is", tag="artifact"):
    """A file that the call `id` gave away. file: a copy of it, in the call's own folder."""

    id: str
    file: Stored
    name: FileName


class Value(msgspec.Struct, tag_field="is", tag="value"):
    """One value of the generator of the call `id`: the frame's blob, as JSON."""

    id: str


class Answer(msgspec.Struct, tag_field="is", tag="outcome"):
    """The end of the call `id`, told by the process `pid`: an answer, or an error.

    The frame's blobs, of the lengths `blobs` where there are two, are the body and the text of the value. file: holds
    the body instead. printed: there may be something in the pipe of its output.
    untouched, values: as of `Outcome`. stopped: it has read that nobody wants more values.
    """

    id: str
    pid: int
    timings: dict[Literal["validate", "predict", "encode"], Seconds]
    media_type: MediaType = "application/json"
    file: Stored | None = None
    filename: FileName | None = None
    blobs: Annotated[list[Length], Meta(min_length=1, max_length=2)] | None = None
    error: Failure | None = None
    printed: bool = True
    untouched: bool = False
    values: Length | None = None
    stopped: bool = False


class Item(Answer, tag_field="is", tag="item"):
    """The answer to one call of a batch. They come in the order of the calls; an `Answer` ends the batch."""


# Of a template


class Described(msgspec.Struct, tag_field="is", tag="card"):
    card: Card
    start_method: Literal["fork", "spawn"]
    reason: str


class Started(msgspec.Struct, tag_field="is", tag="started"):
    """The worker that was asked for by the number `id`."""

    id: int
    pid: int


class Refused(msgspec.Struct, tag_field="is", tag="refused"):
    id: int
    why: str


class Killed(msgspec.Struct, tag_field="is", tag="killed"):
    """It has been told to kill this worker, and has done so."""

    pid: int


class Exited(msgspec.Struct, tag_field="is", tag="exited"):
    """A worker has ended and is reaped. status: as of waitpid."""

    pid: int
    status: Annotated[int, Meta(ge=0, le=0xFFFF)]


of_worker = msgspec.json.Decoder(Answer | Item | Value | Progress | Artifact | Ready | Failed).decode
of_template = msgspec.json.Decoder(Described | Started | Refused | Killed | Exited | Failed).decode
