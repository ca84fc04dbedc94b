"""Lists, by boto3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.s3.conftest import Buckets, OpenBuckets, in_thread

KEYS = [
    *("a", "b.txt", "d1-x", "d1.y", "ü/ö", "e e/+%&<>\"'", "zz/1/2", "zz/1/3", "zz/2"),
    *(f"d{folder}/f{number}" for folder in range(4) for number in range(3)),
]
ALL = sorted(["inputs/", "outputs/", *KEYS], key=str.encode)


def fill(buckets: Buckets, keys: list[str], bucket: str = "digits") -> None:
    """As somebody may lay files there by hand."""
    for key in keys:
        path = buckets.folder / bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(key.encode())


def expected(prefix: str, delimiter: str, after: str = "") -> list[str]:
    found: list[str] = []
    for key in ALL:
        if key.startswith(prefix):
            folder, slash, _ = key[len(prefix) :].partition("/")
            item = f"{prefix}{folder}/" if delimiter and slash else key
            if item not in found and item > after:
                found.append(item)
    return found


def items(page: Any) -> list[str]:
    keys = [each["Key"] for each in page.get("Contents", [])]
    return sorted([*keys, *(prefix["Prefix"] for prefix in page.get("CommonPrefixes", []))], key=str.encode)


async def lists(pages: Any) -> list[list[str]]:
    found: list[Any] = await in_thread(list, pages)
    return [items(each) for each in found]


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.parametrize("delimiter", ["", "/"])
async def test_pages_of_any_length_show_each_key_once(buckets: OpenBuckets, delimiter: str) -> None:
    open_ = await buckets()
    fill(open_, KEYS)
    client = open_.client()
    for prefix in ("", "d1", "d1/", "zz/", "inputs/", "nothing"):
        for length in (1, 2, 5, 1000):
            more = {"Bucket": "digits", "Prefix": prefix, "Delimiter": delimiter}
            pages = client.get_paginator("list_objects_v2").paginate(**more, PaginationConfig={"PageSize": length})
            found = await lists(pages)
            assert [each for page in found for each in page] == expected(prefix, delimiter)
            assert all(len(page) <= length for page in found)
            pages = client.get_paginator("list_objects").paginate(**more, PaginationConfig={"PageSize": length})
            found = await lists(pages)
            assert [each for page in found for each in page] == expected(prefix, delimiter)


async def test_what_is_told_of_an_object(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    client = open_.client()
    put = await in_thread(client.put_object, Bucket="digits", Key="inputs/ü +%", Body=b"content")
    head = await in_thread(client.head_object, Bucket="digits", Key="inputs/ü +%")
    for method in (client.list_objects_v2, client.list_objects):
        contents = (await in_thread(method, Bucket="digits", Prefix="inputs/ü"))["Contents"]
        assert [each["Key"] for each in contents] == ["inputs/ü +%"]
        assert (contents[0]["ETag"], contents[0]["Size"], contents[0]["StorageClass"]) == (put["ETag"], 7, "STANDARD")
        assert contents[0]["LastModified"].replace(microsecond=0) == head["LastModified"]


async def test_an_empty_bucket_shows_its_folders(buckets: OpenBuckets) -> None:
    """The tutorial's script asks for ["Contents"] as it is."""
    client = (await buckets()).client()
    for method in (client.list_objects_v2, client.list_objects):
        found = (await in_thread(method, Bucket="digits"))["Contents"]
        assert [(each["Key"], each["Size"]) for each in found] == [("inputs/", 0), ("outputs/", 0)]
    found = await in_thread(client.list_objects_v2, Bucket="digits", Delimiter="/")
    assert [prefix["Prefix"] for prefix in found["CommonPrefixes"]] == ["inputs/", "outputs/"]
    assert found["KeyCount"] == 2
    found = await in_thread(client.list_objects_v2, Bucket="digits", Prefix="nothing")
    assert ("Contents" in found, found["KeyCount"], found["IsTruncated"]) == (False, 0, False)


async def test_the_file_of_a_marker_is_never_seen(buckets: OpenBuckets) -> None:
    client = (await buckets()).client()
    for prefix in ("inputs/.", "inputs/.modelport_folder"):
        assert "Contents" not in await in_thread(client.list_objects_v2, Bucket="digits", Prefix=prefix)
    objects_v2 = await in_thread(client.list_objects_v2, Bucket="digits", StartAfter="inputs/")
    assert [each["Key"] for each in objects_v2["Contents"]] == ["outputs/"]


@pytest.mark.slow
async def test_more_than_a_thousand_keys(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    keys = [f"inputs/{number:04}.json" for number in range(2300)]
    fill(open_, keys)
    client = open_.client()
    page = await in_thread(client.list_objects_v2, Bucket="digits", MaxKeys=5000)
    assert (page["KeyCount"], page["IsTruncated"], page["MaxKeys"]) == (1000, True, 1000)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="digits")
    found = await in_thread(lambda: [each["Key"] for page in pages for each in page["Contents"]])
    assert found == ["inputs/", *keys, "outputs/"]


async def test_what_lists_cannot_be_asked_for(buckets: OpenBuckets) -> None:
    client = (await buckets()).client()
    asked: list[tuple[dict[str, Any], str]] = [
        ({"Delimiter": "-"}, "NotImplemented"),
        ({"ContinuationToken": "!!"}, "InvalidArgument"),
        ({"MaxKeys": -1}, "InvalidArgument"),
        ({"EncodingType": "base64"}, "InvalidArgument"),
    ]
    for arguments, code in asked:
        with pytest.raises(ClientError, match=code):
            await in_thread(client.list_objects_v2, Bucket="digits", **arguments)
    assert (await in_thread(client.list_objects_v2, Bucket="digits", MaxKeys=0))["KeyCount"] == 0


async def test_buckets(buckets: OpenBuckets) -> None:
    open_ = await buckets(bucket_region="eu-south-2")
    for key, secret, names in (
        ("digits-key", "digits-secret", ["digits"]),
        ("oscar", "owner-secret", ["digits", "faces"]),
    ):
        client = open_.client(key, secret)
        found = (await in_thread(client.list_buckets))["Buckets"]
        assert [each["Name"] for each in found] == names
        assert all(each["CreationDate"].year > 2000 for each in found)
        found = await in_thread(client.get_bucket_location, Bucket="digits")
        assert found["LocationConstraint"] == "eu-south-2"
        found = await in_thread(client.head_bucket, Bucket="digits")
        assert found["BucketRegion"] == "eu-south-2"
        # Clients that make sure that their bucket is there go on.
        await in_thread(client.create_bucket, Bucket="digits")
        with pytest.raises(ClientError, match="AccessDenied"):
            await in_thread(client.create_bucket, Bucket="another")
        with pytest.raises(ClientError, match="NotImplemented"):
            await in_thread(client.delete_bucket, Bucket="digits")


async def test_a_new_bucket_is_there_at_once(buckets: OpenBuckets, tmp_path: Path) -> None:
    open_ = await buckets()
    client = open_.client("oscar", "owner-secret")
    await in_thread(client.list_objects_v2, Bucket="digits")
    await open_.tree.make_bucket("voices")
    open_.told.buckets.append("voices")
    await in_thread(client.put_object, Bucket="voices", Key="inputs/a", Body=b"x")
    objects_v2 = await in_thread(client.list_objects_v2, Bucket="voices")
    assert [each["Key"] for each in objects_v2["Contents"]] == ["inputs/", "inputs/a", "outputs/"]
