"""The header Accept, and what is written like one: which media types a client takes, and how gladly (RFC 9110)."""

from __future__ import annotations

import re
from functools import lru_cache

ANY = ("*/*", "*")
EVENTS, LINES = "text/event-stream", "application/x-ndjson"
# By which a client wishes for a model's values one by one, and the type that it gets.
STREAMS = {EVENTS: EVENTS, LINES: LINES, "application/jsonl": "application/jsonl"}
_WEIGHT = re.compile(r"[01]?(?:\.\d*)?", re.ASCII)


def names_nothing(header: str) -> bool:
    """Whether it is as if it had not been sent: an empty list. `*/*;q=0` names all, and takes none of it."""
    return not header.strip(", \t")


@lru_cache(maxsize=256)
def ranges(header: str, first: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The media ranges that are taken at all, the best first; of equal weight those in `first`, then in the order sent,
    and what is not named goes last.

    A weight that cannot be read counts as 1, as if it had not been sent.
    """
    weighted = []
    for item in header.lower().split(","):
        pattern, *parameters = (part.strip() for part in item.split(";"))
        weight = next((_weight(text[2:]) for text in parameters if text.startswith("q=")), 1.0)
        if pattern and weight > 0:
            weighted.append((weight, pattern))
    weighted.sort(key=lambda item: (-item[0], item[1] not in first, item[1] in ANY))
    return tuple(pattern for _, pattern in weighted)


@lru_cache(maxsize=256)
def stream_type(header: str | None) -> str:
    """The media type of a stream, where the client names one before anything else; "": it wishes for no stream.

    A wish that is kept costs a call of no stream nothing.
    """
    return STREAMS.get(next(iter(ranges(header)), ""), "") if header else ""


def _weight(text: str) -> float:
    return min(float(text), 1.0) if _WEIGHT.fullmatch(text) and text.strip(".") else 1.0


def matches(media_type: str, pattern: str) -> bool:
    """Whether one is, or lies within, the other, without parameters; either may be a range: modules offer `image/*`."""
    one, other = (text.partition(";")[0].strip().lower() for text in (media_type, pattern))
    return one == other or other in ANY or _within(one, other) or _within(other, one)


def _within(media_type: str, pattern: str) -> bool:
    return pattern.endswith("/*") and media_type.startswith(pattern[:-1])
