"""Events of object stores, read (contract, section 8)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport.errors import InvalidRequest
from modelport.frontends.oscar.events import CREATED, REMOVED, StorageEvent, is_event, parse

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


def minio(key: str, **more: Any) -> dict[str, Any]:
    """As MinIO posts it, with the key encoded as a form does."""
    record = {
        "eventVersion": "2.0",
        "eventSource": "minio:s3",
        "awsRegion": "",
        "eventTime": "2026-06-11T10:50:46.123Z",
        "eventName": "s3:ObjectCreated:Put",
        "userIdentity": {"principalId": "minioadmin"},
        "requestParameters": {"principalId": "minioadmin", "region": "", "sourceIPAddress": "10.0.0.7"},
        "responseElements": {"x-amz-request-id": "17A", "content-length": "0"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "Config",
            "bucket": {"name": "svc", "ownerIdentity": {"principalId": "minioadmin"}, "arn": "arn:aws:s3:::svc"},
            "object": {
                "key": quote_plus(key),
                "size": 15,
                "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                "contentType": "application/json",
                "userMetadata": {"content-type": "application/json"},
                "sequencer": "17A0",
            },
        },
        "source": {"host": "10.0.0.7", "port": "", "userAgent": "MinIO"},
        **more,
    }
    return {"EventName": "s3:ObjectCreated:Put", "Key": f"svc/{key}", "Records": [record]}


def test_an_event_of_minio() -> None:
    assert parse(minio("inputs/my file.json")) == StorageEvent(
        bucket="svc",
        key="inputs/my file.json",
        kind=CREATED,
        principal="minioadmin",
        address="10.0.0.7",
        time="2026-06-11T10:50:46.123Z",
    )


@given(KEYS)
def test_every_key_survives_as_minio_aws_and_ceph_write_it(key: str) -> None:
    assert parse(minio(key)).key == key
    aws = minio(key, eventSource="aws:s3")
    aws["Records"][0]["s3"]["object"]["key"] = quote_plus(key, safe="/")
    assert parse(json.loads(json.dumps(aws))).key == key
    ceph = minio(key, eventSource="ceph:s3", eventName="ObjectCreated:Put")
    ceph["Records"][0]["s3"]["object"] = {"key": key, "etag": '"x"'}
    assert parse(ceph) == StorageEvent("svc", key, CREATED, "minioadmin", "10.0.0.7", "2026-06-11T10:50:46.123Z")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("s3:ObjectCreated:CompleteMultipartUpload", CREATED),
        ("ObjectCreated:Copy", CREATED),
        ("ObjectCreated", CREATED),
        ("s3:ObjectRemoved:Delete", REMOVED),
        ("s3:ObjectAccessed:Get", "ObjectAccessed"),
    ],
)
def test_what_happened(name: str, kind: str) -> None:
    assert parse(minio("inputs/x", eventName=name)).kind == kind


def test_the_least_that_is_needed_is_bucket_and_key() -> None:
    record: dict[str, Any] = {"s3": {"bucket": {"name": "svc"}, "object": {"key": "inputs%2Fx"}}}
    assert parse({"Records": [record, {"s3": 1}]}) == StorageEvent("svc", "inputs/x")
    for part in ("bucket", "object"):
        with pytest.raises(InvalidRequest, match=part):
            parse({"Records": [{"s3": {**record["s3"], part: {}}}]})


@given(JSON)
def test_nothing_else_is_an_event_and_nothing_raises_what_we_do_not_know(value: Any) -> None:
    assert not is_event(value)
    for document in ({"Records": [{"s3": value}]}, {"Records": [{"s3": {"bucket": value, "object": value}}]}):
        assert is_event(document)
        with pytest.raises(InvalidRequest):
            parse(document)
    event = minio("inputs/x", eventName=value, requestParameters=value, userIdentity=value, eventTime=value)
    event["Records"][0]["s3"]["object"].update(size=value, eTag=value)
    assert parse(event).key == "inputs/x"


@pytest.mark.parametrize(
    "document", [{"Records": []}, {"Records": [[]]}, {"Records": {"s3": {}}}, {"Records": [{"eventName": "x"}]}]
)
def test_arguments_that_look_a_little_like_events(document: Any) -> None:
    assert not is_event(document)
