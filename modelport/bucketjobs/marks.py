"""What an output says of itself in its metadata: of which content of which object it is."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from modelport.objectstore import ObjectInfo
from modelport.store.objects import ArrivalRow

KEY = "modelport-source-key"
ETAG = "modelport-source-etag"
MODIFIED = "modelport-source-modified"
RESULT = "modelport-result"
# S3 allows 2 KB for all of it; a longer key is left out.
KEY_CHARACTERS = 1500
# The very same content put again within this time is not noticed by listing; nor would its results be others.
SAME_TIME_S = 2


def about(source: ObjectInfo) -> dict[str, str]:
    """The marks of outputs of this content."""
    marks = {ETAG: source.etag, MODIFIED: str(int(source.modified))}
    key = quote(source.key)
    if len(key) <= KEY_CHARACTERS:
        marks[KEY] = key
    return marks


def is_of(log: ObjectInfo, source: ObjectInfo) -> bool:
    """Whether this log tells of this very content. Where the service keeps no metadata, a log that is younger does."""
    if ETAG not in log.metadata:
        return log.modified >= source.modified
    modified = log.metadata.get(MODIFIED, "")
    return log.metadata[ETAG] == source.etag and is_same_time(int(modified) if modified.isdecimal() else 0, source)


def is_same_time(modified: int, source: ObjectInfo) -> bool:
    """modified: 0: not known. A list and an answer may differ by what was rounded, or by how long an upload took."""
    return not modified or abs(modified - int(source.modified)) <= SAME_TIME_S


def is_known(row: ArrivalRow | None, info: ObjectInfo) -> bool:
    """Whether a job has, or had, this content."""
    if row is None or not row.etag:
        return False
    if not info.etag:  # seen as a file
        return (row.size_bytes, row.modified) == (info.size_bytes, int(info.modified))
    if row.etag == info.etag:
        return is_same_time(row.modified, info)
    # The ETag of an upload in parts may be told otherwise than it is seen later, by the job or by us.
    return "-" in row.etag and not row.modified and info.size_bytes == row.size_bytes


def is_other(log: ObjectInfo, source: ObjectInfo) -> bool:
    """Whether this log is of another object."""
    return KEY in log.metadata and log.metadata[KEY] != quote(source.key)


def content(bucket: str, source: ObjectInfo, **more: Any) -> ArrivalRow:
    """The content as it is kept."""
    return ArrivalRow(bucket, source.key, source.etag, source.size_bytes, int(source.modified), **more)
