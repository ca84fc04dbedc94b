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

    etag: without quotation marks; empty: not told. size_bytes: None: not told. principal, address, time: for the log.
    """

    bucket: str
    key: str
    kind: str = CREATED
    etag: str = ""
    size_bytes: int | None = None
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
    object_ = _part(record, "s3", "object")
    bucket, key = _text(_part(record, "s3", "bucket"), "name"), _text(object_, "key")
    if _text(record, "eventSource") not in PLAIN_SOURCES:
        key = unquote_plus(key, errors="replace")
    if not bucket or not key:
        raise InvalidRequest(f"the event does not say which {'object' if bucket else 'bucket'} it tells of")
    asked = _part(record, "requestParameters")
    return StorageEvent(
        bucket=bucket,
        key=key,
        kind=_kind(_text(record, "eventName") or _text(document, "EventName")),
        etag=(_text(object_, "eTag") or _text(object_, "etag")).strip('"'),
        size_bytes=_size(object_.get("size")),
        principal=_text(asked, "principalId") or _text(_part(record, "userIdentity"), "principalId"),
        address=_text(asked, "sourceIPAddress"),
        time=_text(record, "eventTime"),
    )


def _part(document: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """The object below these keys; empty where there is none."""
    for key in keys:
        value = document.get(key)
        document = value if isinstance(value, Mapping) else {}
    return document


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""


def _kind(name: str) -> str:
    """s3:ObjectCreated:Put → ObjectCreated; Ceph leaves the first or the last part out."""
    return name.removeprefix("s3:").partition(":")[0] or CREATED


def _size(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
