"""rclone dies, the disk is full, objects are large, clients are slow: nothing is lost that was acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from modelport.objectstore import sigv4
from tests.disks import small_disk
from tests.house import PATIENCE_S, peak_memory_bytes, wait_until
from tests.s3.conftest import REGION, Buckets, OpenBuckets, in_thread, open_buckets
from tests.s3.raw import put, read_answer, request, send
from tests.s3.test_objects import Script, etag_of

GIB = 1 << 30
LARGE = hashlib.shake_256(b"large").digest(3_000_000)


def kill(buckets: Buckets) -> None:
    assert buckets.rclone.pid is not None
    os.kill(buckets.rclone.pid, signal.SIGKILL)


# The store's process dies


async def test_a_store_that_dies_during_an_upload_is_said_so_and_works_again(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    await put(open_, "/digits/inputs/a", b"old")
    reader, writer = await asyncio.open_connection("127.0.0.1", open_.port)
    asked = request(open_, "PUT", "/digits/inputs/a", {"content-length": str(len(LARGE))})
    writer.write(asked.head + LARGE[:2_000_000])
    await wait_until(lambda: list(open_.folder.rglob(".rclone_temp*")))
    kill(open_)
    writer.write(LARGE[2_000_000:])
    answer = await read_answer(reader)
    assert (answer.status, answer.code) == (503, "ServiceUnavailable")
    assert int(answer.headers["retry-after"]) >= 1
    writer.close()
    await writer.wait_closed()
    found = await send(open_, request(open_, "GET", "/digits/inputs/a").head)
    assert found.body == b"old"
    await wait_until(lambda: not list(open_.folder.rglob(".rclone_temp*")))
    assert len(open_.told.arrivals) == 1
    assert (await put(open_, "/digits/inputs/a", LARGE)).status == 200


@pytest.mark.slow
async def test_a_store_that_dies_during_a_download_breaks_it_off(buckets: OpenBuckets) -> None:
    """An answer that has begun cannot be an error any more; but it must not look whole."""
    open_ = await buckets()
    body = LARGE * 20
    await put(open_, "/digits/outputs/a", body)
    url = sigv4.presign("GET", f"{open_.url}/digits/outputs/a", "digits-key", "digits-secret", REGION, 60)
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as answer:
            assert (answer.status, answer.content_length) == (200, len(body))
            await answer.content.readexactly(1000)
            kill(open_)
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.content.read()
        async with session.get(url) as answer:
            assert hashlib.md5(await answer.read()).digest() == hashlib.md5(body).digest()


@pytest.mark.slow
async def test_a_multipart_upload_that_died_with_the_store_is_begun_anew(buckets: OpenBuckets, tmp_path: Path) -> None:
    open_ = await buckets()
    client = open_.client(config={"retries": {"max_attempts": 5, "mode": "standard"}})
    about = {"Bucket": "digits", "Key": "inputs/a"}
    upload = await in_thread(client.create_multipart_upload, **about)
    about["UploadId"] = upload["UploadId"]
    await in_thread(client.upload_part, **about, PartNumber=1, Body=LARGE)
    kill(open_)
    with pytest.raises(client.exceptions.NoSuchUpload):
        await in_thread(client.upload_part, **about, PartNumber=2, Body=LARGE)
    assert open_.files() == []
    source = tmp_path / "source"
    source.write_bytes(LARGE * 5)
    await in_thread(client.upload_file, str(source), "digits", "inputs/a")
    assert open_.told.arrivals[-1][3] == 5 * len(LARGE)


@pytest.mark.thorough
@pytest.mark.slow
async def test_of_many_uploads_none_that_was_acknowledged_is_lost_or_mixed_up(buckets: OpenBuckets) -> None:
    """boto3 with its own retries, while the store is killed again and again."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    open_ = await buckets()
    await open_.rclone.ready()
    client = open_.client(config={"retries": {"max_attempts": 10, "mode": "standard"}, "max_pool_connections": 8})
    bodies = {f"inputs/{number}": rng.randbytes(rng.choice([10, 5000, 400_000])) for number in range(150)}
    limit = asyncio.Semaphore(8)

    async def upload(key: str) -> None:
        async with limit:
            answer = await in_thread(client.put_object, Bucket="digits", Key=key, Body=bodies[key])
            assert answer["ETag"] == etag_of(bodies[key])

    async def kill_now_and_then() -> None:
        for number in range(10):
            await wait_until(lambda number=number: open_.rclone.answered > number)  # type: ignore[misc]
            await asyncio.sleep(rng.uniform(0, 0.5))
            kill(open_)

    killing = asyncio.create_task(kill_now_and_then())
    await asyncio.gather(*map(upload, bodies))
    await killing
    for key, body in bodies.items():
        assert (await send(open_, request(open_, "GET", f"/digits/{key}").head)).body == body
    assert {each[1] for each in open_.told.arrivals} == set(bodies)
    await wait_until(lambda: not list(open_.folder.rglob(".rclone_temp*")))


async def test_without_a_store_the_answer_is_to_come_again(
    buckets: OpenBuckets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelport.frontends.s3.upstream.READY_S", 0.3)
    open_ = await buckets()
    program = open_.rclone._program
    open_.rclone._program = tmp_path / "none"
    for method, target in (("GET", "/digits/inputs/a"), ("GET", "/digits"), ("PUT", "/digits/inputs/a")):
        asked = request(open_, method, target, {"content-length": "0"})
        answer = await send(open_, asked.head)
        assert (answer.status, answer.code) == (503, "ServiceUnavailable")
        assert int(answer.headers["retry-after"]) >= 1
    open_.rclone._program = program

    async def works() -> bool:
        return (await put(open_, "/digits/inputs/a", b"x")).status == 200

    async with asyncio.timeout(PATIENCE_S):
        while not await works():
            await asyncio.sleep(0.05)


# The disk is full


async def test_a_full_disk_is_an_answer(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8 << 20) as disk:
        async with open_buckets(disk) as open_:
            assert (await put(open_, "/digits/inputs/a", LARGE)).status == 200
            for _ in range(2):
                answer = await put(open_, "/digits/inputs/b", LARGE * 3)
                assert (answer.status, answer.code) == (507, "StorageFull")
                assert int(answer.headers["retry-after"]) >= 1
            assert open_.files() == ["inputs/a"]
            assert list(open_.folder.rglob(".rclone_temp*")) == []
            client = open_.client()
            upload = await in_thread(client.create_multipart_upload, Bucket="digits", Key="inputs/c")
            about = {"Bucket": "digits", "Key": "inputs/c", "UploadId": upload["UploadId"]}
            with pytest.raises(client.exceptions.ClientError, match="StorageFull"):
                await in_thread(client.upload_part, **about, PartNumber=1, Body=LARGE * 3)
            await in_thread(client.abort_multipart_upload, **about)
            await in_thread(client.delete_object, Bucket="digits", Key="inputs/a")
            assert (await put(open_, "/digits/inputs/b", LARGE * 2)).status == 200
            assert open_.files() == ["inputs/b"]
            assert [each[1] for each in open_.told.arrivals] == ["inputs/a", "inputs/b"]


# Large objects


SERVE = """
import asyncio, sys
from pathlib import Path
import uvloop
from tests.s3.conftest import open_buckets
async def main():
    async with open_buckets(Path(sys.argv[1])) as buckets:
        await buckets.rclone.ready()
        print(buckets.port, buckets.rclone.pid, flush=True)
        await asyncio.sleep(600)
uvloop.run(main())
"""


@dataclass(frozen=True)
class Served:
    """A door as a process of its own. store: the process id of rclone."""

    pid: int
    store: int
    port: int

    def url(self, method: str, key: str) -> str:
        url = f"http://127.0.0.1:{self.port}/digits/{key}"
        return sigv4.presign(method, url, "digits-key", "digits-secret", REGION, 600)


@contextlib.asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Served]:
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(folder)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        port, store = map(int, (await in_thread(process.stdout.readline)).split())
        yield Served(process.pid, store, port)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.thorough
@pytest.mark.slow
async def test_a_gibibyte_is_no_load_on_memory(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with open(source, "wb") as file:
        file.truncate(GIB)
    async with served(tmp_path) as door, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(250)) as session:
        before = peak_memory_bytes(door.pid)
        with open(source, "rb") as file:
            async with session.put(door.url("PUT", "inputs/large"), data=file) as answer:
                assert answer.status == 200, await answer.text()
        async with session.get(door.url("GET", "inputs/large")) as answer:
            count = 0
            async for chunk in answer.content.iter_any():
                count += len(chunk)
            assert count == GIB
        assert peak_memory_bytes(door.pid) - before < 16 << 20
        assert peak_memory_bytes(door.store) < 256 << 20


@pytest.mark.thorough
@pytest.mark.slow
async def test_clients_that_read_slowly_are_no_load_on_memory(tmp_path: Path) -> None:
    async with served(tmp_path) as door, aiohttp.ClientSession() as session:
        async with session.put(door.url("PUT", "inputs/a"), data=io.BytesIO(LARGE * 30)) as answer:
            assert answer.status == 200
        before = peak_memory_bytes(door.pid)
        answers: list[Any] = [await session.get(door.url("GET", "inputs/a")) for _ in range(30)]
        for each in answers:
            assert each.status == 200
            await each.content.readexactly(100_000)
        async with session.get(door.url("GET", "inputs/a")) as answer:
            assert len(await answer.read()) == len(LARGE) * 30
        for each in answers:
            each.close()
        assert peak_memory_bytes(door.pid) - before < 64 << 20


async def test_what_is_read_while_it_is_replaced_is_one_of_the_two(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    script = Script(open_)
    one, two = b"1" * 5_000_000, b"2" * 5_000_000
    await script.put("outputs/a", one)
    url = sigv4.presign("GET", f"{open_.url}/digits/outputs/a", "digits-key", "digits-secret", REGION, 60)
    async with aiohttp.ClientSession(read_bufsize=1 << 12) as session, session.get(url) as answer:
        await answer.content.readexactly(1000)
        await script.put("outputs/a", two)
        assert await answer.content.read() == one[1000:]
    assert (await script.get("outputs/a"))["Body"] == two
