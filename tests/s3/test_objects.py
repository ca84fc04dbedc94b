"""Objects, by boto3: put, get, ranges and conditions, copy, delete."""

from __future__ import annotations

import asyncio
import hashlib
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from modelport.errors import Overloaded, StorageFull
from tests.s3.conftest import Buckets, OpenBuckets, in_thread
from tests.s3.test_keys import KEPT, NOT_KEPT


def etag_of(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


async def refused(client: Any, method: str, **arguments: Any) -> tuple[int, str]:
    """Status and code."""
    with pytest.raises(ClientError) as caught:
        await in_thread(getattr(client, method), Bucket=arguments.pop("Bucket", "digits"), **arguments)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


class Script:
    """One bucket, as a script uses it."""

    def __init__(self, buckets: Buckets, **options: Any) -> None:
        self.client = buckets.client(**options)

    async def put(self, key: str, body: bytes = b"x", **more: Any) -> Any:
        return await in_thread(self.client.put_object, Bucket="digits", Key=key, Body=body, **more)

    async def get(self, key: str, **more: Any) -> Any:
        """The answer, its body read."""

        def read() -> Any:
            answer = self.client.get_object(Bucket="digits", Key=key, **more)
            return {**answer, "Body": answer["Body"].read()}

        return await in_thread(read)

    async def head(self, key: str, **more: Any) -> Any:
        return await in_thread(self.client.head_object, Bucket="digits", Key=key, **more)

    async def delete(self, key: str) -> Any:
        return await in_thread(self.client.delete_object, Bucket="digits", Key=key)

    async def keys(self, **more: Any) -> list[str]:
        answer = await in_thread(self.client.list_objects_v2, Bucket="digits", **more)
        return [each["Key"] for each in answer.get("Contents", [])]

    async def refused(self, method: str, **arguments: Any) -> tuple[int, str]:
        return await refused(self.client, method, **arguments)


async def test_an_object_comes_back_as_it_was_put(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    script = Script(open_)
    body = bytes(range(256)) * 40
    more = {
        "ContentType": "application/x-test",
        "ContentDisposition": 'attachment; filename="a b.bin"',
        "CacheControl": "no-store",
        "ContentLanguage": "ca",
        "Metadata": {"note": "two  words", "mtime": "1700000000.5"},
    }
    answer = await script.put("outputs/some file.bin", body, **more)
    assert answer["ETag"] == etag_of(body)
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-request-id"]
    for found in (await script.get("outputs/some file.bin"), await script.head("outputs/some file.bin")):
        assert (found["ETag"], found["ContentLength"]) == (etag_of(body), len(body))
        assert found["ContentType"] == "application/x-test"
        assert found["ContentDisposition"] == 'attachment; filename="a b.bin"'
        assert (found["CacheControl"], found["ContentLanguage"]) == ("no-store", "ca")
        assert found["Metadata"] == {"note": "two  words", "mtime": "1700000000.5"}
        assert found["AcceptRanges"] == "bytes"
    assert (await script.get("outputs/some file.bin"))["Body"] == body
    assert open_.files() == ["outputs/some file.bin"]
    assert open_.told.bucket_jobs == [("digits", "outputs/some file.bin", etag_of(body).strip('"'), len(body))]
    assert open_.told.begun == [("digits", "outputs/some file.bin")]
    assert open_.told.principals == [("digits-key", "127.0.0.1")]


@pytest.mark.parametrize("size", [0, 1, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 3_000_001])
async def test_any_size(buckets: OpenBuckets, size: int) -> None:
    script = Script(await buckets())
    body = hashlib.shake_256(b"body").digest(size)
    assert (await script.put("inputs/a", body))["ETag"] == etag_of(body)
    assert (await script.get("inputs/a"))["Body"] == body


@pytest.mark.thorough
@pytest.mark.slow
async def test_all_keys_that_can_be_kept(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    script = Script(open_)
    # Each in a folder of its own, or "a" would have to be a file and a folder.
    keys = [f"{number}/{key}" if len(key) < 1000 else key for number, key in enumerate(KEPT)]
    keys.append("1,024 bytes/" + "x/" * 400 + "y" * 212)
    for each in keys:
        await script.put(each, each.encode())
    for each in keys:
        assert (await script.get(each))["Body"] == each.encode()
    assert await script.keys() == sorted(["inputs/", "outputs/", *keys], key=str.encode)


async def test_keys_that_cannot_be_kept_are_refused_and_never_found(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    script = Script(open_)
    for key in NOT_KEPT:
        if key and key != "\ud800":  # which boto3 does not send
            status, code = await script.refused("put_object", Key=key, Body=b"x")
            assert (status, code) in {(400, "InvalidArgument"), (400, "KeyTooLongError")}, key
            assert await script.refused("get_object", Key=key) == (404, "NoSuchKey"), key
            assert await script.refused("head_object", Key=key) == (404, "404"), key
            await script.delete(key)
    assert await script.keys() == ["inputs/", "outputs/"]
    assert open_.files() == []
    assert (open_.told.bucket_jobs, open_.told.gone) == ([], [])


async def test_a_missing_object_is_404_with_an_empty_body_for_head(buckets: OpenBuckets) -> None:
    """The tutorial's script tells a missing result by the code "404", and raises on anything else."""
    script = Script(await buckets())
    with pytest.raises(ClientError) as caught:
        await script.head("outputs/none.json")
    assert caught.value.response["Error"]["Code"] == "404"
    assert await script.refused("get_object", Key="outputs/none.json") == (404, "NoSuchKey")


RANGES = {
    "bytes=2-4": (206, "bytes 2-4/10", b"234"),
    "bytes=2-": (206, "bytes 2-9/10", b"23456789"),
    "bytes=-3": (206, "bytes 7-9/10", b"789"),
    "bytes=-100": (206, "bytes 0-9/10", b"0123456789"),
    "bytes=5-100": (206, "bytes 5-9/10", b"56789"),
    "bytes=9-9": (206, "bytes 9-9/10", b"9"),
    # No range, or several: all of it.
    "bytes=4-2": (200, None, b"0123456789"),
    "bytes=0-0,2-3": (200, None, b"0123456789"),
    "bytes=-": (200, None, b"0123456789"),
    "lines=1-2": (200, None, b"0123456789"),
}


@pytest.mark.parametrize("wanted", RANGES)
async def test_ranges(buckets: OpenBuckets, wanted: str) -> None:
    script = Script(await buckets())
    await script.put("inputs/digits", b"0123456789")
    found = await script.get("inputs/digits", Range=wanted)
    status, span, body = RANGES[wanted]
    assert (found["ResponseMetadata"]["HTTPStatusCode"], found.get("ContentRange"), found["Body"]) == (
        status,
        span,
        body,
    )
    found = await script.head("inputs/digits", Range=wanted)
    assert (found["ResponseMetadata"]["HTTPStatusCode"], found["ContentLength"]) == (status, len(body))


async def test_ranges_that_there_are_not(buckets: OpenBuckets) -> None:
    script = Script(await buckets())
    await script.put("inputs/digits", b"0123456789")
    await script.put("inputs/empty", b"")
    for key, wanted in (
        ("digits", "bytes=10-"),
        ("digits", "bytes=20-30"),
        ("digits", "bytes=-0"),
        ("empty", "bytes=0-"),
    ):
        assert await script.refused("get_object", Key=f"inputs/{key}", Range=wanted) == (416, "InvalidRange")
    assert (await script.get("inputs/digits", PartNumber=1))["Body"] == b"0123456789"
    assert await script.refused("get_object", Key="inputs/digits", PartNumber=2) == (416, "InvalidPartNumber")


async def test_conditions_of_reading(buckets: OpenBuckets) -> None:
    script = Script(await buckets())
    etag = (await script.put("inputs/a", b"one"))["ETag"]
    earlier, later = (datetime.now(UTC) + timedelta(hours=each) for each in (-1, 1))
    for method in ("get_object", "head_object"):
        wrong = 412, "PreconditionFailed" if method == "get_object" else "412"
        same = 304, "304"
        asked = {
            ("IfMatch", '"other"'): wrong,
            ("IfUnmodifiedSince", earlier): wrong,
            ("IfNoneMatch", etag): same,
            ("IfNoneMatch", "*"): same,
            ("IfModifiedSince", later): same,
        }
        for (name, value), expected in asked.items():
            assert await script.refused(method, Key="inputs/a", **{name: value}) == expected, name
    for name, value in (("IfMatch", etag), ("IfNoneMatch", '"other"'), ("IfModifiedSince", earlier), ("IfMatch", "*")):
        assert (await script.get("inputs/a", **{name: value}))["Body"] == b"one"


async def test_conditions_of_putting(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    script = Script(open_)
    one = {"Key": "inputs/a", "Body": b"changed"}
    assert await script.refused("put_object", **one, IfMatch='"x"') == (404, "NoSuchKey")
    etag = (await script.put("inputs/a", b"one", IfNoneMatch="*"))["ETag"]
    assert await script.refused("put_object", **one, IfNoneMatch="*") == (412, "PreconditionFailed")
    assert await script.refused("put_object", **one, IfMatch='"x"') == (412, "PreconditionFailed")
    assert await script.refused("put_object", **one, IfNoneMatch=etag) == (501, "NotImplemented")
    assert (await script.get("inputs/a"))["Body"] == b"one"
    await script.put("inputs/a", b"two", IfMatch=etag)
    assert (await script.get("inputs/a"))["Body"] == b"two"
    assert len(open_.told.bucket_jobs) == 2


async def test_of_many_that_put_it_first_one_does(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    script = Script(open_, config={"max_pool_connections": 10})
    large = b"x" * 400_000

    async def put(number: int) -> bool:
        try:
            await script.put("inputs/a", large + f"{number}".encode(), IfNoneMatch="*")
        except ClientError as error:
            assert error.response["Error"]["Code"] == "PreconditionFailed"
            return False
        return True

    done = await asyncio.gather(*map(put, range(8)))
    assert sum(done) == 1
    assert (await script.get("inputs/a"))["Body"] == large + f"{done.index(True)}".encode()
    assert len(open_.told.bucket_jobs) == 1


async def test_the_last_content_is_the_last_that_is_told_of(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    script = Script(open_, config={"max_pool_connections": 20})
    await asyncio.gather(*(script.put("inputs/a", f"{number}".encode() * 100) for number in range(20)))
    etag = (await script.head("inputs/a"))["ETag"].strip('"')
    assert len(open_.told.bucket_jobs) == 20
    assert open_.told.bucket_jobs[-1][2] == etag


async def test_objects_that_cannot_lie_side_by_side(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    script = Script(open_)
    await script.put("inputs/a/b", b"below")
    assert await script.refused("put_object", Key="inputs/a", Body=b"x") == (409, "KeyConflict")
    assert await script.refused("get_object", Key="inputs/a") == (404, "NoSuchKey")
    await script.delete("inputs/a")
    assert (await script.get("inputs/a/b"))["Body"] == b"below"
    assert await script.refused("put_object", Key="inputs/a/b/c", Body=b"x") == (409, "KeyConflict")
    assert await script.refused("copy_object", Key="inputs/a", CopySource="digits/inputs/a/b") == (409, "KeyConflict")
    assert await script.refused("create_multipart_upload", Key="inputs/a") == (409, "KeyConflict")
    await script.delete("inputs/a/b")
    await script.put("inputs/a", b"now")
    assert await script.keys(Prefix="inputs/a") == ["inputs/a"]
    await script.delete("inputs/a")
    await script.put("inputs/a/b", b"again")
    assert await script.keys(Prefix="inputs/a") == ["inputs/a/b"]


async def test_folder_markers(buckets: OpenBuckets) -> None:
    """What a dashboard's "new folder" makes."""
    open_ = await buckets()
    script = Script(open_)
    await script.put("inputs/new/", b"")
    await script.put("inputs/new/a", b"x")
    assert await script.keys() == ["inputs/", "inputs/new/", "inputs/new/a", "outputs/"]
    assert (await script.head("inputs/new/"))["ContentLength"] == 0
    assert await script.refused("head_object", Key="inputs/new") == (404, "404")
    await script.delete("inputs/new/a")
    assert await script.keys() == ["inputs/", "inputs/new/", "outputs/"]
    await script.delete("inputs/new/")
    assert await script.keys() == ["inputs/", "outputs/"]


async def test_a_bucket_is_never_empty(buckets: OpenBuckets) -> None:
    """The tutorial's loop dies with KeyError on an empty one."""
    script = Script(await buckets())
    await script.delete("inputs/")
    answer = await in_thread(
        script.client.delete_objects,
        Bucket="digits",
        Delete={"Objects": [{"Key": each} for each in ("inputs/", "outputs/")]},
    )
    assert len(answer["Deleted"]) == 2
    assert await script.keys() == ["inputs/", "outputs/"]


async def test_deleting(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    script = Script(open_)
    await script.put("inputs/a", b"x")
    for _ in range(2):
        assert (await script.delete("inputs/a"))["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert await script.refused("get_object", Key="inputs/a") == (404, "NoSuchKey")
    assert open_.told.gone == [("digits", "inputs/a")] * 2


async def test_deleting_many(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    script = Script(open_)
    names = ["inputs/a", "inputs/b c", "inputs/ü&<>", "inputs/d/e"]
    for name in names:
        await script.put(name)

    async def delete(*keys: str, quiet: bool = False) -> Any:
        objects = {"Objects": [{"Key": key} for key in keys], "Quiet": quiet}
        return await in_thread(script.client.delete_objects, Bucket="digits", Delete=objects)

    answer = await delete(*names[:3], "inputs/none", "../faces/inputs/x", "inputs/d")
    assert sorted(each["Key"] for each in answer["Deleted"]) == sorted(
        [*names[:3], "inputs/none", "../faces/inputs/x", "inputs/d"]
    )
    assert "Errors" not in answer
    assert await script.keys() == ["inputs/", "inputs/d/e", "outputs/"]
    answer = await delete("inputs/d/e", quiet=True)
    assert "Deleted" not in answer
    assert await script.keys() == ["inputs/", "outputs/"]
    assert ("digits", "inputs/ü&<>") in open_.told.gone
    await delete(*(f"inputs/{number}" for number in range(1000)))
    with pytest.raises(ClientError, match="MalformedXML"):
        await delete(*(f"inputs/{number}" for number in range(1001)))


async def test_copying(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    script = Script(open_)
    await script.put("inputs/a b+%ü", b"content", ContentType="a/b", Metadata={"note": "x"})

    async def copy(key: str, **more: Any) -> Any:
        source = {"Bucket": "digits", "Key": more.pop("source", "inputs/a b+%ü")}
        return await in_thread(script.client.copy_object, Bucket="digits", Key=key, CopySource=source, **more)

    answer = await copy("inputs/copy")
    assert answer["CopyObjectResult"]["ETag"] == etag_of(b"content")
    found = await script.get("inputs/copy")
    assert (found["Body"], found["ContentType"], found["Metadata"]["note"]) == (b"content", "a/b", "x")
    assert open_.told.bucket_jobs[-1] == ("digits", "inputs/copy", etag_of(b"content").strip('"'), 7)
    await copy("inputs/other", MetadataDirective="REPLACE", ContentType="c/d", Metadata={"new": "y"})
    found = await script.head("inputs/other")
    assert (found["ContentType"], found["Metadata"]["new"]) == ("c/d", "y")
    source = {"Bucket": "digits", "Key": "inputs/a b+%ü"}
    assert await script.refused("copy_object", Key=source["Key"], CopySource=source) == (400, "InvalidRequest")
    await copy(source["Key"], MetadataDirective="REPLACE", Metadata={"touched": "1"})
    assert (await script.head(source["Key"]))["Metadata"]["touched"] == "1"
    source["Key"] = "inputs/none"
    assert await script.refused("copy_object", Key="inputs/x", CopySource=source) == (404, "NoSuchKey")
    for name in ("CopySourceIfMatch", "CopySourceIfUnmodifiedSince"):
        more = {name: '"x"' if name == "CopySourceIfMatch" else datetime.now(UTC) - timedelta(days=1)}
        answer = await script.refused("copy_object", Key="inputs/x", CopySource="digits/inputs/copy", **more)
        assert answer == (412, "PreconditionFailed")


async def test_what_follows_an_upload_may_refuse_it(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    script = Script(open_)
    open_.told.refuse = Overloaded("too many jobs wait", retry_after_s=5)
    assert await script.refused("put_object", Key="inputs/a", Body=b"x") == (503, "SlowDown")
    assert await script.refused("create_multipart_upload", Key="inputs/a") == (503, "SlowDown")
    open_.told.refuse = StorageFull("there is no room")
    assert await script.refused("put_object", Key="inputs/a", Body=b"x") == (507, "StorageFull")
    assert open_.files() == []
    open_.told.refuse = None
    open_.told.fail = StorageFull("there is no room for the job")
    assert await script.refused("put_object", Key="inputs/a", Body=b"x") == (507, "StorageFull")
    open_.told.fail = None
    await script.put("inputs/a", b"x")
    assert len(open_.told.bucket_jobs) == 1


async def test_an_object_may_not_be_too_large(buckets: OpenBuckets) -> None:
    open_ = await buckets(bucket_object_bytes=1_000_000)
    script = Script(open_)
    await script.put("inputs/a", bytes(1_000_000))
    assert await script.refused("put_object", Key="inputs/b", Body=bytes(1_000_001)) == (400, "EntityTooLarge")
    assert open_.files() == ["inputs/a"]


async def test_metadata_may_not_be_too_large(buckets: OpenBuckets) -> None:
    script = Script(await buckets())
    await script.put("inputs/a", Metadata={"note": "x" * 1800})
    assert (await script.head("inputs/a"))["Metadata"] == {"note": "x" * 1800}
    assert await script.refused("put_object", Key="inputs/a", Body=b"", Metadata={"note": "x" * 2048}) == (
        400,
        "MetadataTooLarge",
    )


async def test_an_answer_may_be_given_other_headers(buckets: OpenBuckets) -> None:
    script = Script(await buckets())
    await script.put("outputs/a", b"x", ContentType="a/b")
    found = await script.get(
        "outputs/a", ResponseContentType="text/plain", ResponseContentDisposition='attachment; filename="a.txt"'
    )
    assert (found["ContentType"], found["ContentDisposition"]) == ("text/plain", 'attachment; filename="a.txt"')
    assert await script.refused("get_object", Key="outputs/a", ResponseContentType="a/b\r\nX-Evil: 1") == (
        400,
        "InvalidArgument",
    )


async def test_an_etag_is_that_of_the_content_also_after_a_restart_of_the_store(buckets: OpenBuckets) -> None:
    """The same size and the same time of change: only the content differs."""
    open_ = await buckets()
    script = Script(open_)
    when = {"Metadata": {"mtime": "1700000000"}}
    for body in (b"one", b"two"):
        await script.put("inputs/a", body, **when)
        assert (await script.head("inputs/a"))["ETag"] == etag_of(body)
    script = Script(await open_.restart())
    assert (await script.head("inputs/a"))["ETag"] == etag_of(b"two")
    listed = await in_thread(script.client.list_objects_v2, Bucket="digits", Prefix="inputs/a")
    assert listed["Contents"][0]["ETag"] == etag_of(b"two")
    assert time.time() - listed["Contents"][0]["LastModified"].timestamp() > 1e6
