"""The object store's client, against a real S3 service."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelport.errors import BucketUnavailable, InvalidRequest, NotFound, TooLarge
from modelport.objectstore import ObjectInfo, remote
from modelport.objectstore.remote import Connection, RemoteStore
from tests.buckets.conftest import ACCESS_KEY, SECRET_KEY, Elsewhere
from tests.house import SOON_S

BUCKET = "bucket"


def client(url: str, secret_key: str = SECRET_KEY, timeout_s: float = 10) -> RemoteStore:
    return RemoteStore(Connection(url, ACCESS_KEY, secret_key), timeout_s)


@pytest.fixture
async def objects(elsewhere: Elsewhere) -> AsyncIterator[RemoteStore]:
    found = client(elsewhere.url)
    await found.make_bucket(BUCKET)
    yield found
    await found.close()


async def content(objects: RemoteStore, key: str, limit_bytes: int = 1 << 30) -> tuple[ObjectInfo, bytes]:
    async with objects.read(BUCKET, key, limit_bytes=limit_bytes) as (found, chunks):
        return found, b"".join([chunk async for chunk in chunks])


async def keys(objects: RemoteStore, prefix: str) -> list[str]:
    return [each.key async for page in objects.list(BUCKET, prefix) for each in page]


@pytest.mark.parametrize(
    "key",
    ["a", "a b/ü+%20#?&=.json", "日本/e\u0301", "'\"<>~*{}[]|^`\\;:@,$!()", "n" * 255, "d" * 200 + "/" + "e" * 200],
)
async def test_what_is_put_is_got(objects: RemoteStore, key: str) -> None:
    await objects.put(BUCKET, key, b"content", "image/png", {"modelport-source-etag": "abc"})
    found, data = await content(objects, key)
    assert data == b"content"
    assert (found.key, found.size_bytes, found.content_type) == (key, 7, "image/png")
    assert found.metadata == {"modelport-source-etag": "abc"}
    assert found.etag == "9a0364b9e99bb480dd25e1f0284c8555"
    assert abs(found.modified - time.time()) < 60
    assert await objects.head(BUCKET, key) == found
    assert await keys(objects, "") == [key]
    await objects.delete(BUCKET, [key, "never there"])
    assert await keys(objects, "") == []


async def test_a_large_file_goes_through_in_parts(objects: RemoteStore, tmp_path: Path) -> None:
    data = os.urandom((20 << 20) + 1)
    (tmp_path / "file").write_bytes(data)
    await objects.put(BUCKET, "large", tmp_path / "file", "application/zip", {"modelport-source-etag": "abc"})
    found, got = await content(objects, "large")
    assert got == data
    assert (found.content_type, found.metadata) == ("application/zip", {"modelport-source-etag": "abc"})


async def test_a_list_comes_in_pages_and_in_order(objects: RemoteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PAGE_KEYS", 3)
    names = sorted(f"inputs/{each}" for each in ("a", "a b", "b/c", "a.json", "z", "é", "日", "%41", "+"))
    for name in names:
        await objects.put(BUCKET, name, b"")
    pages = [page async for page in objects.list(BUCKET, "inputs/")]
    assert [len(each) for each in pages] == [3, 3, 3]
    assert [each.key for page in pages for each in page] == names
    page, token = await objects.page(BUCKET, "inputs/")
    assert [each.key for each in page] == names[:3] and token


async def test_one_key_that_is_no_path_does_not_end_the_list(elsewhere: Elsewhere, objects: RemoteStore) -> None:
    elsewhere.client().put_object(Bucket=BUCKET, Key="inputs/\x7f", Body=b"1")
    await objects.put(BUCKET, "inputs/z", b"1")
    assert await keys(objects, "inputs/") == ["inputs/z", "inputs/\x7f"]
    with pytest.raises(InvalidRequest, match="control character"):
        await objects.head(BUCKET, "inputs/\x7f")


@pytest.mark.parametrize("key", ["a//b", "/a", "a/", "./a", "a/../b", "a\nb", ""])
async def test_a_key_that_would_become_another_is_refused(objects: RemoteStore, key: str) -> None:
    for work in (objects.put(BUCKET, key, b""), objects.head(BUCKET, key), objects.delete(BUCKET, [key])):
        with pytest.raises(InvalidRequest):
            await work


async def test_what_is_not_there_or_too_large_is_said(objects: RemoteStore) -> None:
    with pytest.raises(NotFound, match="no object nothing in the bucket"):
        await objects.head(BUCKET, "nothing")
    await objects.put(BUCKET, "large", b"12345")
    with pytest.raises(TooLarge, match="at most 4"):
        await content(objects, "large", limit_bytes=4)
    with pytest.raises(BucketUnavailable, match="does not have the bucket"):
        await objects.put("other", "a", b"")
    assert "other" in objects.failures


async def test_a_bucket_is_made_once_and_removed_with_all(objects: RemoteStore) -> None:
    await objects.make_bucket(BUCKET)
    await objects.put(BUCKET, "a", b"")
    await objects.remove_bucket(BUCKET)
    with pytest.raises(BucketUnavailable, match="not have the bucket"):
        await keys(objects, "")


async def test_wrong_keys_are_told_without_the_keys(elsewhere: Elsewhere, objects: RemoteStore) -> None:
    wrong = client(elsewhere.url, secret_key="wrong-secret")
    for work in (wrong.put(BUCKET, "a", b""), wrong.make_bucket(BUCKET), wrong.page(BUCKET, "")):
        with pytest.raises(BucketUnavailable, match="rejects the server's keys") as caught:
            await work
        assert "wrong-secret" not in caught.value.message and ACCESS_KEY not in caught.value.message
    assert "rejects" in wrong.failures[BUCKET].message
    await wrong.close()


async def test_an_outage_is_told_and_over_when_it_is_over(elsewhere: Elsewhere, objects: RemoteStore) -> None:
    elsewhere.kill()
    for work in (objects.put(BUCKET, "a", b""), objects.page(BUCKET, "")):
        with pytest.raises(BucketUnavailable, match="cannot be reached"):
            await work
    elsewhere.start()
    await objects.put(BUCKET, "a", b"1")
    assert await keys(objects, "") == ["a"]
    assert not objects.failures


async def test_an_answer_that_does_not_come_is_not_waited_for(elsewhere: Elsewhere) -> None:
    slow = client(elsewhere.url, timeout_s=0.3)
    await slow.make_bucket(BUCKET)
    elsewhere.pause()
    try:
        for work in (slow.head(BUCKET, "a"), slow.page(BUCKET, "")):
            begun = time.monotonic()
            with pytest.raises(BucketUnavailable, match=r"did not answer within 0\.3 s"):
                await work
            assert time.monotonic() - begun < SOON_S
    finally:
        elsewhere.go_on()
        await slow.close()


async def test_the_environment_s_tokens_are_not_ours(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "somebody else's")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    objects = client(elsewhere.url)
    await objects.make_bucket(BUCKET)
    await objects.put(BUCKET, "a", b"1")
    assert await keys(objects, "") == ["a"]
    await objects.close()


async def test_many_requests_at_once_are_fine(objects: RemoteStore) -> None:
    await asyncio.gather(*(objects.put(BUCKET, f"inputs/{number}", b"1") for number in range(200)))
    assert len(await keys(objects, "inputs/")) == 200
