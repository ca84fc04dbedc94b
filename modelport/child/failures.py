"""What a plugin raised, as an error of ours, and as much of it as may be told.

An exception is the plugin's own object: its text, its attributes and even its class may fail when they are looked at.
"""

from __future__ import annotations

import json
import math
import sys
import traceback
from typing import Any

from modelport.child import httperrors, refusals
from modelport.errors import DISK_FULL, InvalidArguments, ModelFailed, ModelportError, StorageFull

HTTP_ERRORS = range(400, 600)
# Of the name of a class.
RAISED_LIMIT_BYTES = 200

# Made before any plugin code runs, which may replace what json has.
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def told(error: BaseException, limit_bytes: int) -> dict[str, Any]:
    """What a plugin raised, or an error of ours, as plain data that takes at most `limit_bytes` as JSON."""
    try:
        return plain(error_of(error), limit_bytes)
    except BaseException as second:
        return ModelFailed(_not_shown(error, second)).to_plain()


def error_of(error: BaseException) -> ModelportError:
    """What a plugin raised, as an error of ours; one of ours as it is. Raises nothing.

    A marshmallow ValidationError speaks of arguments. An HTTP exception keeps its status. A full disk is nobody's
    mistake, whoever wrote to it.
    """
    try:
        if isinstance(error, ModelportError):
            return error
        log()
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            return StorageFull(describe(error), detail=traceback.format_exc())
        said = getattr(error, "messages", None) if type(error).__name__ == "ValidationError" else None
        if isinstance(said, (dict, list)):
            return InvalidArguments(
                refusals.sentence(said), fields=said if isinstance(said, dict) else {"_schema": said}
            )
        status, reason = httperrors.status_and_reason(error)
        raised = "" if reason or isinstance(error, SystemExit) else _class_name(error)
        return ModelFailed(reason or describe(error), status=status, detail=traceback.format_exc(), raised=raised)
    except BaseException as second:
        return ModelFailed(_not_shown(error, second))


def log(text: str | None = None) -> None:
    """Print `text`, or the traceback of what was raised; nothing where the plugin has closed or replaced stderr."""
    try:
        if text is None:
            traceback.print_exc()
        else:
            print(f"modelport: {text}", file=sys.stderr)
    except BaseException:
        pass


def describe(error: BaseException) -> str:
    """One line: the class and what it says."""
    try:
        if isinstance(error, SystemExit):
            return f"the model called sys.exit({error.code!r})"
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return " ".join(text.split())
    except BaseException as second:
        return _not_shown(error, second)


def _not_shown(error: BaseException, second: BaseException) -> str:
    return f"{_class_name(error)}, which cannot be shown: {_class_name(second)}"


def _class_name(error: BaseException) -> str:
    try:
        return str(type(error).__name__)
    except BaseException:
        return "an exception"


# As plain data


def plain(error: ModelportError, limit_bytes: int) -> dict[str, Any]:
    """As `to_plain`, but of limited length: half of it for the message, a quarter each for its fields and the end of
    the traceback. A plugin may have made the error and put anything in it."""
    document: dict[str, Any] = {"kind": str(error.kind), "message": cut(str(error.message), limit_bytes // 2)}
    fields = _fields(error.fields, limit_bytes // 4)
    if fields:
        document["fields"] = fields
    if error.status in HTTP_ERRORS:
        document["status"] = error.status
    if isinstance(error.retry_after_s, (int, float)) and math.isfinite(error.retry_after_s):
        document["retry_after_s"] = max(0.0, float(error.retry_after_s))
    if error.raised:
        document["raised"] = cut(str(error.raised), RAISED_LIMIT_BYTES)
    if error.detail:
        document["detail"] = cut(str(error.detail), limit_bytes // 4, keep_end=True)
    return document


def cut(text: str, limit_bytes: int, *, keep_end: bool = False) -> str:
    """So much of `text` as JSON says in `limit_bytes`, with a mark where it is cut."""
    whole = text
    if len(text) > limit_bytes:  # a character takes a byte at least
        text = text[len(text) - limit_bytes :] if keep_end else text[:limit_bytes]
    while (size := _size(text)) > limit_bytes:
        # Characters take one to six bytes there, so the first cut may be too generous.
        kept = min(len(text) - 1, len(text) * limit_bytes // size)
        text = text[len(text) - kept :] if keep_end else text[:kept]
    if text is whole:
        return text
    return "…" + text[4:] if keep_end else text[:-4] + "…"


def _size(value: Any) -> int:
    return len(_encode(value).encode("utf-8", "replace"))


def _fields(fields: Any, limit_bytes: int) -> dict[str, Any]:
    """The messages by argument that fit, the first ones."""
    kept: dict[str, Any] = {}
    for name, messages in dict(fields).items():
        try:
            size = _size({str(name): messages})
        except (TypeError, ValueError, RecursionError):
            continue
        limit_bytes -= size
        if limit_bytes < 0:
            break
        kept[str(name)] = messages
    return kept
