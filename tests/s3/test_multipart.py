"""Multipart uploads, by boto3."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from modelport.errors import StorageFull
from tests.s3.conftest import Buckets, OpenBuckets, in_thread
from tests.s3.test_objects import etag_of, refused

MIB = 1 << 20


def random_bytes(size: int, seed: str = "") -> bytes:
    return hashlib.shake_256(seed.encode()).digest(size)


class Upload:
    """One multipart upload, step by step."""

    def __init__(self, buckets: Buckets, key: str = "inputs/large") -> None:
        self.client = buckets.client(config={"max_pool_connections": 20})
        self.key = key
        self.parts: dict[int, str] = {}
        self.about: dict[str, Any] = {"Bucket": "digits", "Key": key}

    async def begin(self, **more: Any) -> Upload:
        answer = await in_thread(self.client.create_multipart_upload, **self.about, **more)
        self.about["UploadId"] = answer["UploadId"]
        return self

    async def put(self, number: int, body: bytes, **more: Any) -> str:
        answer = await in_thread(self.client.upload_part, **self.about, PartNumber=number, Body=body, **more)
        self.parts[number] = answer["ETag"]
        return str(answer["ETag"])

    async def complete(self, numbers: Sequence[int] = (), etags: dict[int, str] | None = None, **more: Any) -> Any:
        etags = {**self.parts, **(etags or {})}
        parts = [{"PartNumber": number, "ETag": etags[number]} for number in numbers or sorted(self.parts)]
        return await in_thread(
            self.client.complete_multipart_upload, **self.about, MultipartUpload={"Parts": parts}, **more
        )

    async def abort(self) -> None:
        await in_thread(self.client.abort_multipart_upload, **self.about)

    async def body(self) -> bytes:
        answer = await in_thread(self.client.get_object, Bucket="digits", Key=self.key)
        return bytes(await in_thread(answer["Body"].read))


async def code_of(work: Any) -> str:
    with pytest.raises(ClientError) as caught:
        await work
    return str(caught.value.response["Error"]["Code"])


@pytest.mark.slow
async def test_a_large_file_there_and_back(buckets: OpenBuckets, tmp_path: Path) -> None:
    """As boto3 does it by itself: 20 MB up in parts of 8 MiB, several at once, and down by ranges."""
    open_ = await buckets()
    client = open_.client(config={"max_pool_connections": 20})
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(random_bytes(20_000_001))
    await in_thread(client.upload_file, str(source), "digits", "inputs/large.bin", {"ContentType": "a/b"})
    await in_thread(client.download_file, "digits", "inputs/large.bin", str(target))
    assert target.read_bytes() == source.read_bytes()
    found = await in_thread(client.head_object, Bucket="digits", Key="inputs/large.bin")
    assert (found["ContentType"], found["ContentLength"]) == ("a/b", 20_000_001)
    etag = etag_of(source.read_bytes())
    assert found["ETag"] == etag
    assert open_.told.bucket_jobs == [("digits", "inputs/large.bin", etag.strip('"'), 20_000_001)]
    assert open_.files() == ["inputs/large.bin"]


@pytest.mark.thorough
@pytest.mark.slow
async def test_many_large_parts_at_once(buckets: OpenBuckets, tmp_path: Path) -> None:
    open_ = await buckets()
    client = open_.client(config={"max_pool_connections": 20})
    source = tmp_path / "source"
    source.write_bytes(random_bytes(10 * MIB) * 16)
    config = TransferConfig(multipart_chunksize=10 * MIB, max_concurrency=16)
    await in_thread(client.upload_file, str(source), "digits", "inputs/large.bin", Config=config)
    found = await in_thread(client.head_object, Bucket="digits", Key="inputs/large.bin")
    assert found["ETag"] == etag_of(source.read_bytes())


async def test_parts_come_in_any_order(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    upload = await Upload(open_).begin(Metadata={"note": "x"})
    bodies = {number: random_bytes(700_000, f"{number}") for number in range(1, 9)}
    await asyncio.gather(*(upload.put(number, bodies[number]) for number in (5, 2, 8, 1, 7, 3, 6, 4)))
    answer = await upload.complete()
    whole = b"".join(bodies[body] for body in sorted(bodies))
    assert answer["ETag"] == etag_of(whole)
    assert await upload.body() == whole
    # A client whose connection broke while it completed asks again, and is answered as before.
    assert (await upload.complete())["ETag"] == answer["ETag"]
    assert len(open_.told.bucket_jobs) == 1
    found = await in_thread(upload.client.head_object, Bucket="digits", Key=upload.key)
    assert found["Metadata"] == {"note": "x"}


async def test_nothing_is_seen_before_it_is_complete(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    client = open_.client()
    await in_thread(client.put_object, Bucket="digits", Key="inputs/large", Body=b"old")
    upload = await Upload(open_).begin()
    await upload.put(1, random_bytes(MIB))
    listed = await in_thread(client.list_objects_v2, Bucket="digits", Prefix="inputs/l")
    assert [(each["Key"], each["Size"]) for each in listed["Contents"]] == [("inputs/large", 3)]
    assert await upload.body() == b"old"
    assert len(open_.told.bucket_jobs) == 1
    await upload.abort()
    assert await upload.body() == b"old"
    assert open_.files() == ["inputs/large"]


async def test_what_is_listed_of_an_upload(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    upload = await Upload(open_, "inputs/ü b").begin()
    other = await Upload(open_, "outputs/x").begin()
    etags = [await upload.put(number, b"x" * number) for number in (1, 2, 3)]
    found = await in_thread(upload.client.list_parts, **upload.about)
    assert [(part["PartNumber"], part["Size"], part["ETag"]) for part in found["Parts"]] == [
        (number, number, etags[number - 1]) for number in (1, 2, 3)
    ]
    found = await in_thread(upload.client.list_parts, **upload.about, MaxParts=1, PartNumberMarker=1)
    assert ([part["PartNumber"] for part in found["Parts"]], found["IsTruncated"]) == ([2], True)
    assert found["NextPartNumberMarker"] == 2
    found = await in_thread(upload.client.list_multipart_uploads, Bucket="digits", Prefix="inputs/")
    assert [(each["Key"], each["UploadId"]) for each in found["Uploads"]] == [("inputs/ü b", upload.about["UploadId"])]
    await other.abort()
    await upload.abort()
    found = await in_thread(upload.client.list_multipart_uploads, Bucket="digits")
    assert "Uploads" not in found
    assert await code_of(upload.abort()) == "NoSuchUpload"
    assert await code_of(upload.put(1, b"x")) == "NoSuchUpload"
    assert open_.files() == []


async def test_an_upload_survives_a_wrong_list_of_parts(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    upload = await Upload(open_).begin()
    for number in (1, 2):
        await upload.put(number, f"{number}".encode() * 100)
    assert await code_of(upload.complete(etags={1: '"wrong"'})) == "InvalidPart"
    assert await code_of(upload.complete([1, 2, 3], {3: '"none"'})) == "InvalidPart"
    assert await code_of(upload.complete([2, 1])) == "InvalidPartOrder"
    assert await code_of(upload.complete([1, 1, 2])) == "InvalidPartOrder"
    assert open_.files() == []
    await upload.complete()
    assert await upload.body() == b"1" * 100 + b"2" * 100


async def test_parts_may_have_any_numbers_and_be_left_out(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    upload = await Upload(open_).begin()
    for number in (7, 1, 3, 10_000):
        await upload.put(number, f"{number}".encode())
    for number in (0, 10_001):
        assert await code_of(upload.put(number, b"")) in ("InvalidArgument", "NoSuchUpload")
    answer = await upload.complete([1, 7, 10_000])
    assert await upload.body() == b"1710000"
    assert answer["ETag"] == etag_of(b"1710000")
    assert open_.files(".modelport/uploads") == []


async def test_a_part_may_be_sent_again_with_another_content(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    upload = await Upload(open_).begin()
    first = await upload.put(1, b"one")
    await upload.put(1, b"one")
    await upload.put(1, b"two")
    assert len(open_.files(".modelport/uploads")) == 2  # the part, and what the upload is about
    assert await code_of(upload.complete(etags={1: first})) == "InvalidPart"
    await upload.complete()
    assert await upload.body() == b"two"


async def test_an_upload_goes_on_after_a_restart_of_the_store(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    upload = await Upload(open_).begin(Metadata={"note": "x"}, ContentType="a/b")
    await upload.put(1, b"one")
    await upload.put(2, b"wrong")
    await upload.put(2, b"two")
    upload.client = (await open_.restart()).client()
    found = await in_thread(upload.client.list_parts, **upload.about)
    assert [(part["PartNumber"], part["ETag"]) for part in found["Parts"]] == sorted(upload.parts.items())
    await upload.put(3, b"three")
    await upload.complete()
    assert await upload.body() == b"onetwothree"
    found = await in_thread(upload.client.head_object, Bucket="digits", Key=upload.key)
    assert (found["ContentType"], found["Metadata"]) == ("a/b", {"note": "x"})


async def test_uploads_are_their_own_key_and_bucket_s(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    upload = await Upload(open_).begin()
    await upload.put(1, b"one")
    about = {**upload.about, "PartNumber": 2, "Body": b"x"}
    assert await refused(upload.client, "upload_part", **{**about, "Key": "inputs/other"}) == (404, "NoSuchUpload")
    owner = open_.client("oscar", "owner-secret")
    assert await refused(owner, "upload_part", **{**about, "Bucket": "faces"}) == (404, "NoSuchUpload")
    assert await refused(upload.client, "upload_part", **{**about, "Bucket": "faces"}) == (403, "AccessDenied")
    await upload.complete()


async def test_parts_together_may_not_be_too_large(buckets: OpenBuckets) -> None:
    open_ = await buckets(bucket_object_bytes=1000)
    upload = await Upload(open_).begin()
    await upload.put(1, bytes(600))
    assert await code_of(upload.put(2, bytes(401))) == "EntityTooLarge"
    await upload.put(2, bytes(400))
    await upload.complete()
    assert await upload.body() == bytes(1000)


async def test_one_bucket_cannot_have_all_uploads(buckets: OpenBuckets) -> None:
    open_ = await buckets(bucket_uploads=2)
    first = await Upload(open_, "inputs/1").begin()
    await Upload(open_, "inputs/2").begin()
    assert await code_of(Upload(open_, "inputs/3").begin()) == "SlowDown"
    await first.abort()
    await Upload(open_, "inputs/3").begin()


async def test_conditions_hold_when_an_upload_is_complete(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    client = open_.client()
    upload = await Upload(open_).begin()
    await upload.put(1, b"new")
    await in_thread(client.put_object, Bucket="digits", Key="inputs/large", Body=b"old")
    assert await code_of(upload.complete(IfNoneMatch="*")) == "PreconditionFailed"
    assert await upload.body() == b"old"
    await upload.complete()
    assert await upload.body() == b"new"


@pytest.mark.thorough
@pytest.mark.slow
async def test_copying_a_large_object(buckets: OpenBuckets) -> None:
    """As boto3 does it by itself, from 8 MiB on."""
    open_ = await buckets()
    client = open_.client(config={"max_pool_connections": 20})
    body = random_bytes(20_000_001)
    await in_thread(client.put_object, Bucket="digits", Key="inputs/ü +", Body=body)
    await in_thread(client.copy, {"Bucket": "digits", "Key": "inputs/ü +"}, "digits", "inputs/copy")
    found = await in_thread(client.head_object, Bucket="digits", Key="inputs/copy")
    assert found["ETag"] == etag_of(body)
    assert [job[1] for job in open_.told.bucket_jobs] == ["inputs/ü +", "inputs/copy"]


async def test_spans_that_cannot_be_copied(buckets: OpenBuckets) -> None:
    open_ = await buckets(bucket_object_bytes=10)
    upload = await Upload(open_).begin()
    await in_thread(upload.client.put_object, Bucket="digits", Key="inputs/a", Body=b"0123456789")
    about = {**upload.about, "PartNumber": 1, "CopySource": "digits/inputs/a"}
    for span in ("bytes=0-10", "bytes=3-2", "bytes=5-", "0-1"):
        answer = await refused(upload.client, "upload_part_copy", **about, CopySourceRange=span)
        assert answer == (400, "InvalidArgument")
    await in_thread(upload.client.upload_part_copy, **about, CopySourceRange="bytes=2-4")
    about["PartNumber"] = 2
    assert await refused(upload.client, "upload_part_copy", **about) == (400, "EntityTooLarge")
    about["CopySource"] = "faces/inputs/a"
    assert await refused(upload.client, "upload_part_copy", **about) == (403, "AccessDenied")
    about["CopySource"] = "digits/inputs/none"
    assert await refused(upload.client, "upload_part_copy", **about) == (404, "NoSuchKey")


async def test_what_could_not_follow_an_upload_follows_when_the_client_asks_again(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    upload = await Upload(open_).begin()
    await upload.put(1, b"one")
    open_.told.fail = StorageFull("there is no room for the job")
    assert await code_of(upload.complete()) == "StorageFull"
    open_.told.fail = None
    assert (await upload.complete())["ETag"] == etag_of(b"one")
    assert len(open_.told.bucket_jobs) == 1
