"""What an object store posts to /job/<name> when an object has come or gone, in the shape that S3 gave it.

MinIO, AWS and RustFS write the key as a form does (`inputs%2Fa+b.json`), Ceph as it is. Of several records only the
first counts: stores send one a request. Whatever is missing but bucket and key is no error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from modelport.errors import InvalidRequest

RECORDS = "Records"
CREATED, REMOVED = "ObjectCreated", "ObjectRemoved"
# Stores whose keys are not encoded.
PLAIN_SOURCES = ("ceph:s3",)


@dataclass(frozen=True)
class StorageEvent:
    """kind: ObjectCreated, ObjectRemoved or any other text; one that says nothing is taken for the first.

    principal, address, time: for the log.
    """

    bucket: str
    key: str
    kind: str = CREATED
    principal: str = ""
    address: str = ""
    time: str = ""


def is_event(document: Any) -> bool:
    """Whether this is a store's event, not some model's arguments: its first record has an `s3`."""
    if not isinstance(document, Mapping):
        return False
    records = document.get(RECORDS)
    return isinstance(records, list) and bool(records) and isinstance(records[0], Mapping) and "s3" in records[0]


def parse(document: Mapping[str, Any]) -> StorageEvent:
    """The first record's. Raises InvalidRequest where bucket or key is missing."""
    record = document[RECORDS][0]
    bucket, key = _text(record, "s3", "bucket", "name"), _text(record, "s3", "object", "key")
    if _text(record, "eventSource") not in PLAIN_SOURCES:
        key = unquote_plus(key, errors="replace")
    if not bucket or not key:
        raise InvalidRequest(f"the event does not say which {'object' if bucket else 'bucket'} it tells of")
    name = _text(record, "eventName") or _text(document, "EventName")
    return StorageEvent(
        bucket=bucket,
        key=key,
        # s3:ObjectCreated:Put; Ceph leaves the first or the last part out.
        kind=name.removeprefix("s3:").partition(":")[0] or CREATED,
        principal=_text(record, "requestParameters", "principalId") or _text(record, "userIdentity", "principalId"),
        address=_text(record, "requestParameters", "sourceIPAddress"),
        time=_text(record, "eventTime"),
    )


def _text(value: Any, *keys: str) -> str:
    """What is below these keys; empty where that is no text."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""
