"""A disk that hangs under the buckets ends calls with the reason, and everything goes on when it answers again."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from modelport.objectstore.keys import TEMPORARY
from tests.disks import small_disk
from tests.house import PATIENCE_S, Spawned, spawned_house, wait_until

SOURCE = "def get_predict_args(): return {}\ndef predict(): return 1\n"
LIMIT_S = 1.0
SIZE_BYTES = 64 << 20


@contextmanager
def frozen(disk: Path) -> Iterator[None]:
    """Meanwhile whoever writes there waits, and cannot even be killed."""
    subprocess.run(["fsfreeze", "--freeze", disk], check=True)
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", disk], check=True)


class Client:
    """Of one server, as its owner. `s3` and `http` return the status of an answer."""

    def __init__(self, server: Spawned, session: aiohttp.ClientSession) -> None:
        self._server = server
        self._session = session

    async def open(self) -> None:
        _, (first, *_) = await self.http("GET", "/deployments?all=1")
        self._bucket = first["bucket"]
        self._s3 = boto3.client(
            "s3",
            endpoint_url=self._bucket["endpoint"],
            aws_access_key_id=self._bucket["access_key"],
            aws_secret_access_key=self._bucket["secret_key"],
            region_name="us-east-1",
            config=Config(read_timeout=PATIENCE_S, retries={"total_max_attempts": 1}),
        )

    async def s3(self, operation: str, key: str, **options: Any) -> int:
        ask = getattr(self._s3, operation)
        try:
            answer = await asyncio.to_thread(ask, Bucket=self._bucket["bucket"], Key=key, **options)
        except ClientError as error:
            return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return int(answer["ResponseMetadata"]["HTTPStatusCode"])

    async def http(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        token = json.loads((self._server.home / "server.json").read_text())["token"]
        headers = {"Authorization": f"Bearer {token}"}
        async with self._session.request(method, self._server.url + path, headers=headers, **options) as response:
            text = await response.text()
            return response.status, json.loads(text) if text.startswith(("{", "[")) else text


@pytest.mark.slow
async def test_calls_to_buckets_on_a_disk_that_hangs_end_with_the_reason(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", SIZE_BYTES, "ext4") as disk:
        settings = {"bucket_folder": str(disk / "buckets"), "bucket_timeout_s": LIMIT_S, "ready_timeout_s": 0.5}
        with spawned_house(tmp_path, SOURCE, **settings) as server:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE_S)) as session:
                client = Client(server, session)
                await client.open()
                assert await client.s3("put_object", "other/kept", Body=b"x" * 2_000_000) == 200
                with frozen(disk):
                    # Several that have begun before anybody knows, and some that come later.
                    begun = time.monotonic()
                    puts = [client.s3("put_object", f"other/{n}", Body=b"x" * 3_000_000) for n in range(20)]
                    assert await asyncio.gather(*puts) == [503] * 20
                    assert time.monotonic() - begun < PATIENCE_S
                    status, document = await client.http("GET", "/ready")
                    assert (status, "the object store" in document["reason"]) == (503, True)
                    assert await client.s3("copy_object", "other/b", CopySource=f"{client._bucket['bucket']}/a") == 503
                    assert await client.s3("delete_object", "other/kept") == 503
                    status, document = await client.http("PUT", "/files/x/inputs/a", data=b"{}")
                    assert (status, "bucket_timeout_s" in document["message"]) == (503, True)
                    assert await client.http("POST", "/v2/models/x/predict/") == (
                        200,
                        {"status": "OK", "predictions": 1},
                    )
                    assert (await client.http("GET", "/health"))[0] == 200
                await wait_until(lambda: not list(disk.rglob(f"{TEMPORARY}*")))
                async with asyncio.timeout(PATIENCE_S):
                    while (await client.http("GET", "/ready"))[0] != 200:
                        await asyncio.sleep(0.05)
                assert await client.s3("put_object", "other/b", Body=b"x") == 200
                assert await client.s3("get_object", "other/kept") == 200
                assert (await client.http("PUT", "/files/x/inputs/a", data=b"{}"))[0] == 201
        assert "Traceback" not in server.log.read_text()
