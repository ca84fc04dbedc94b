"""A full disk is an answer, and everything goes on when there is room again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.buckets.conftest import PLUGIN, Bucket
from tests.buckets.test_whole import of
from tests.conftest import OpenHouse
from tests.disks import fill, small_disk
from tests.house import wait_until

SIZE_BYTES = 16 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", SIZE_BYTES) as folder:
        yield folder


async def test_an_upload_to_a_full_disk_is_refused_and_later_not(house: OpenHouse, disk: Path) -> None:
    bucket = Bucket(await house(PLUGIN, s3_port=0, bucket_folder=str(disk)))
    client = of(bucket)

    async def put(key: str, size: int = 0) -> int:
        """The status."""
        try:
            await asyncio.to_thread(client.put_object, Bucket=bucket.name, Key=f"inputs/{key}", Body=b"x" * size)
        except ClientError as error:
            return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return 200

    assert await put("first") == 200
    filler = fill(disk)
    assert await put("second") == 507
    filler.unlink()
    assert await put("too large", SIZE_BYTES + 1) == 507
    assert await put("third") == 200
    await bucket.wait_log("first")
    await bucket.wait_log("third")
    assert await bucket.keys("inputs/") == ["inputs/first", "inputs/third"]


async def test_outputs_wait_for_room(house: OpenHouse, disk: Path, tmp_path: Path) -> None:
    bucket = Bucket(await house(PLUGIN, s3_port=0, bucket_folder=str(disk)))
    gate = tmp_path / "gate"
    job = await bucket.put("inputs/x.json", {"mode": "wait", "words": [str(gate)]})
    assert job is not None
    filler = fill(disk)
    gate.touch()
    assert (await bucket.jobs.wait(job.id, 30)).status.final
    await wait_until(lambda: not bucket.bucket_jobs.health()["ready"])
    assert await bucket.deliveries.pending(job.id) == ["bucket"]
    filler.unlink()
    assert "working on" in await bucket.wait_log("x")
    assert bucket.bucket_jobs.health()["ready"]
