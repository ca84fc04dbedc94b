"""An S3 service of somebody else's for tests: `rclone serve s3`, which may be killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from modelport.bucketjobs import BucketJobs
from modelport.contract.job import Job
from modelport.errors import NotFound
from modelport.objectstore.keys import FOLDER_FILE
from tests.house import PATIENCE_S, House, stat, wait_until_now
from tests.rclone import find_rclone

ACCESS_KEY, SECRET_KEY = "testkey", "testsecret"


class Elsewhere:
    """An object store over a folder, at one address from its first start to its last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._program = find_rclone()
        self._log = folder.with_suffix(".log")
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.port = listening.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, Any]:
        """For a server of ours that uses it."""
        return {"bucket_endpoint": self.url, "bucket_access_key": ACCESS_KEY, "bucket_secret_key": SECRET_KEY}

    def start(self) -> None:
        command = [str(self._program), "serve", "s3", str(self.folder), "--addr", f"127.0.0.1:{self.port}"]
        options = ["--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", "--config", os.devnull, "--dir-cache-time", "1s"]
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                [*command, *options, "--poll-interval", "0"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until_now(self._answers)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self) -> None:
        """It is gone at once, as in an outage."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(PATIENCE_S)

    def pause(self) -> None:
        """It takes connections and answers none."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        # A thread of it that is at work goes on for a moment.
        wait_until_now(lambda: self._process is not None and stat(self._process.pid)[0] == "T")

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self, **keys: str) -> Any:
        return s3_client(self.url, keys.get("access_key", ACCESS_KEY), keys.get("secret_key", SECRET_KEY))


def s3_client(url: str, access_key: str, secret_key: str, region: str = "us-east-1") -> Any:
    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name=region,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}, max_pool_connections=32),
    )


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Elsewhere]:
    """An external S3 service that runs."""
    service = Elsewhere(tmp_path / "elsewhere")
    service.start()
    try:
        yield service
    finally:
        service.kill()


# A server of ours

PLUGIN = """
import os, sys, time
from pathlib import Path
from marshmallow import validate
from webargs import fields

TYPES = ["application/json", "image/png", "application/zip"]

def get_metadata():
    return {"name": "x"}

def get_predict_args():
    return {
        "mode": fields.Str(load_default="ok"),
        "number": fields.Int(load_default=1),
        "flag": fields.Bool(load_default=False),
        "words": fields.List(fields.Str(), load_default=[]),
        "table": fields.Dict(load_default={}),
        "file": fields.Field(load_default=None, metadata={"type": "file", "location": "form"}),
        "accept": fields.Str(load_default="application/json", validate=validate.OneOf(TYPES)),
    }

def wait(name):
    while not Path(name).exists():
        time.sleep(0.005)

def predict(mode, number, flag, words, table, file, accept):
    print("working on", number)
    if file is not None:
        with open(file.filename, "rb") as opened:
            data = opened.read()
        if data.startswith(b"wait:"):
            wait(data[5:].decode())
            data = b""
        ending = os.path.splitext(file.filename)[1]
        file = {"name": file.original_filename, "type": file.content_type, "size": len(data), "ending": ending}
    if mode == "raise":
        raise ValueError("it went wrong")
    if mode == "die":
        os._exit(3)
    if mode == "wait":
        wait(words[0])
    if mode == "bar":
        for each in range(0, 101, 10):
            sys.stderr.write(f"\\r{each:3d}%|{'#' * (each // 10):10s}| {each}/100 [00:00<00:00, 9.00it/s]")
            sys.stderr.flush()
        sys.stderr.write("\\n")
    if mode == "large":
        return {"text": "x" * number}
    if mode == "bytes":
        return b"x" * number
    if accept != "application/json":
        return b"binary" * number
    return {"number": number, "flag": flag, "words": words, "table": table, "file": file}
"""


class Bucket:
    """The bucket of a deployment of a running house, as the S3 door uses it."""

    def __init__(self, house: House, deployment: str = "x") -> None:
        gateway = house.server.gateway
        assert gateway is not None and gateway.bucket_jobs is not None
        self.bucket_jobs: BucketJobs = gateway.bucket_jobs
        self.jobs = gateway.jobs
        assert house.server.deliveries is not None
        self.deliveries = house.server.deliveries
        access = self.bucket_jobs.bucket_keys.access(deployment)
        assert access is not None
        self.name = access.bucket
        self.objects = self.bucket_jobs.objects

    async def put(self, key: str, data: bytes | str | dict[str, Any]) -> Job | None:
        """An object, as a client puts it: it is answered when this returns."""
        if isinstance(data, dict):
            data = json.dumps(data)
        data = data.encode() if isinstance(data, str) else data
        await self.bucket_jobs.begin_upload(self.name, key)
        await self.objects.put(self.name, key, data)
        return await self.bucket_jobs.arrived(self.name, key, hashlib.md5(data).hexdigest(), len(data))

    async def remove(self, key: str) -> None:
        await self.objects.delete(self.name, [key])
        await self.bucket_jobs.deleted(self.name, key)

    async def keys(self, prefix: str = "outputs/") -> list[str]:
        """Without what makes folders of file systems be seen."""
        found = [each.key async for page in self.objects.list(self.name, prefix) for each in page]
        return [each for each in found if not each.endswith(("/", FOLDER_FILE))]

    async def get(self, key: str) -> bytes:
        async with self.objects.read(self.name, key, limit_bytes=1 << 30) as (_, chunks):
            return b"".join([chunk async for chunk in chunks])

    async def text(self, key: str) -> str:
        return (await self.get(key)).decode()

    async def wait_log(self, stem: str, within_s: float = PATIENCE_S) -> str:
        """The log of an input, as soon as it is there."""
        await self.wait_for(lambda: self.has(f"outputs/{stem}.log"), within_s)
        return await self.text(f"outputs/{stem}.log")

    async def wait_done(self, job: Job) -> None:
        """Until its outputs are there, and noted."""

        async def done() -> bool:
            return (await self.jobs.get(job.id)).status.final and not await self.deliveries.pending(job.id)

        await self.wait_for(done)

    async def has(self, key: str) -> bool:
        try:
            await self.objects.head(self.name, key)
        except NotFound:
            return False
        return True

    async def wait_keys(self, number: int, ending: str = ".log", within_s: float = PATIENCE_S) -> list[str]:
        """Until there are so many outputs that end so."""

        async def enough() -> list[str]:
            keys = [key for key in await self.keys() if key.endswith(ending)]
            return keys if len(keys) >= number else []

        return list(await self.wait_for(enough, within_s))

    async def wait_for(self, condition: Callable[[], Awaitable[Any]], within_s: float = PATIENCE_S) -> Any:
        """The first true value of `condition`."""
        async with asyncio.timeout(within_s):
            while not (value := await condition()):
                await asyncio.sleep(0.02)
        return value
