"""The server dies, the disk is full, objects are large, clients are slow: nothing is lost that was acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import random
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from modelport.objectstore import sigv4
from modelport.objectstore.keys import TEMPORARY
from tests.buckets.conftest import s3_client
from tests.disks import small_disk
from tests.house import peak_memory_bytes, wait_until
from tests.s3.conftest import REGION, OpenBuckets, in_thread, open_buckets
from tests.s3.raw import put
from tests.s3.test_objects import Script, etag_of

GIB = 1 << 30
LARGE = hashlib.shake_256(b"large").digest(3_000_000)


# The server dies


@pytest.mark.thorough
@pytest.mark.slow
async def test_of_many_uploads_none_that_was_acknowledged_is_lost_or_mixed_up(tmp_path: Path) -> None:
    """boto3 with its own retries, while the server is killed again and again."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    client = s3_client(f"http://127.0.0.1:{port}", "digits-key", "digits-secret")
    sizes = [10, 5000, 400_000, 9_000_000]
    bodies = {f"inputs/{number % 7}/{number}": rng.randbytes(rng.choice(sizes)) for number in range(120)}
    config = TransferConfig(multipart_threshold=8_000_000, multipart_chunksize=5_000_000, max_concurrency=2)
    limit = asyncio.Semaphore(6)

    async def upload(key: str) -> None:
        async with limit:
            while True:
                try:
                    await in_thread(client.upload_fileobj, io.BytesIO(bodies[key]), "digits", key, Config=config)
                    return
                except (BotoCoreError, ClientError, S3UploadFailedError):
                    await asyncio.sleep(0.05)  # it is not there, as a client sees it

    uploading = asyncio.gather(*map(upload, bodies))
    for _ in range(10):
        async with served(tmp_path, port):
            await asyncio.sleep(rng.uniform(0, 0.7))  # to be killed anywhere
    async with served(tmp_path, port):
        await uploading
        for key, body in bodies.items():
            answer = await in_thread(client.get_object, Bucket="digits", Key=key)
            assert await in_thread(answer["Body"].read) == body
            assert answer["ETag"] == etag_of(body)
        await wait_until(lambda: not list((tmp_path / "buckets").rglob(f"{TEMPORARY}*")))


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
            assert list(open_.folder.rglob(f"{TEMPORARY}*")) == []
            client = open_.client()
            upload = await in_thread(client.create_multipart_upload, Bucket="digits", Key="inputs/c")
            about = {"Bucket": "digits", "Key": "inputs/c", "UploadId": upload["UploadId"]}
            with pytest.raises(client.exceptions.ClientError, match="StorageFull"):
                await in_thread(client.upload_part, **about, PartNumber=1, Body=LARGE * 3)
            await in_thread(client.abort_multipart_upload, **about)
            await in_thread(client.delete_object, Bucket="digits", Key="inputs/a")
            assert (await put(open_, "/digits/inputs/b", LARGE * 2)).status == 200
            assert open_.files() == ["inputs/b"]
            assert [job[1] for job in open_.told.bucket_jobs] == ["inputs/a", "inputs/b"]


# Large objects


SERVE = """
import asyncio, sys
from pathlib import Path
import uvloop
from tests.s3.conftest import open_buckets
async def main():
    async with open_buckets(Path(sys.argv[1]), s3_port=int(sys.argv[2])) as buckets:
        print(buckets.port, flush=True)
        await asyncio.sleep(600)
uvloop.run(main())
"""


@dataclass(frozen=True)
class Served:
    """A door as a process of its own."""

    pid: int
    port: int

    def url(self, method: str, key: str) -> str:
        url = f"http://127.0.0.1:{self.port}/digits/{key}"
        return sigv4.presign(method, url, "digits-key", "digits-secret", REGION, 600)


@contextlib.asynccontextmanager
async def served(folder: Path, port: int = 0) -> AsyncIterator[Served]:
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(folder), str(port)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield Served(process.pid, int(await in_thread(process.stdout.readline)))
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
