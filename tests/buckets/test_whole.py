"""Buckets as their users have them: boto3 and rclone on the S3 port of a server, and a model behind it."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from modelport.bucketjobs import BucketAccess
from modelport.deployments.deployments import DeploymentRow
from modelport.server import Server
from modelport.settings import Settings
from tests.buckets.conftest import PLUGIN, Bucket, s3_client
from tests.conftest import OpenHouse
from tests.house import PATIENCE_S, open_house, peak_memory_bytes, spawned_house, wait_until
from tests.rclone import find_rclone

ROOT = Path(__file__).parents[2]
PASSWORD = "secret"

# As the platform's tutorial has it, written anew: five variables on top are the reader's own.
TUTORIAL = """
MINIO_BUCKET = {bucket!r}
MINIO_URL = {url!r}
MINIO_ACCESS_KEY = {access_key!r}
MINIO_SECRET_KEY = {secret_key!r}
prediction_ID = {name!r}

import time
import boto3
from botocore.exceptions import ClientError

client = boto3.client(
    "s3",
    endpoint_url=MINIO_URL,
    region_name="",
    aws_access_key_id=MINIO_ACCESS_KEY,
    aws_secret_access_key=MINIO_SECRET_KEY,
)
key = f"inputs/{{prediction_ID}}.json"
try:
    client.head_object(Bucket=MINIO_BUCKET, Key=key)
    client.delete_object(Bucket=MINIO_BUCKET, Key=key)
except ClientError as error:
    if error.response["Error"]["Code"] != "404":
        raise
with open(f"{{prediction_ID}}.json", "rb") as file:
    client.put_object(Bucket=MINIO_BUCKET, Key=key, Body=file)
while True:
    names = [each["Key"] for each in client.list_objects_v2(Bucket=MINIO_BUCKET)["Contents"]]
    if f"outputs/{{prediction_ID}}.log" in names:
        break
    time.sleep(0.5)
for ending in ("log", "json"):
    name = f"outputs/{{prediction_ID}}.{{ending}}"
    if name in names:
        client.download_file(MINIO_BUCKET, name, f"{{prediction_ID}}.out.{{ending}}")
    else:
        print("The prediction failed")
"""


def run_tutorial(folder: Path, access: BucketAccess, body: dict[str, Any], name: str = "test-prediction") -> str:
    """What the script prints. What it downloads is in the folder."""
    for path in folder.glob("*.out.*"):
        path.unlink()
    (folder / f"{name}.json").write_text(json.dumps(body))
    script = TUTORIAL.format(
        bucket=access.bucket,
        url=access.endpoint,
        access_key=access.access_key,
        secret_key=access.secret_key,
        name=name,
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.asynccontextmanager
async def reference_model(folder: Path) -> AsyncIterator[BucketAccess]:
    """The bucket of my_model."""
    settings = Settings(home=str(folder / "home"), listen_port=0, s3_port=0)
    server = Server(settings, [DeploymentRow("my_model", "my_model")])
    try:
        await server.start()
        assert server.gateway is not None and server.gateway.bucket_jobs is not None
        access = server.gateway.bucket_jobs.bucket_keys.access("my_model")
        assert access is not None
        yield access
    finally:
        await server.stop(0)


def picture() -> dict[str, str]:
    data = (ROOT / "data" / "digit.png").read_bytes()
    return {"key": "files", "file_format": "png", "data": base64.b64encode(data).decode()}


async def test_the_tutorial_s_script_runs_twice_in_a_row(tmp_path: Path) -> None:
    async with reference_model(tmp_path) as access:
        result = tmp_path / "test-prediction.out.json"
        assert await asyncio.to_thread(run_tutorial, tmp_path, access, {"oscar-files": [picture()]}) == ""
        assert [load["name"] for load in json.loads(result.read_bytes())] == ["seven"]
        # Nothing of the first run is taken for the second's.
        body = {"oscar-files": [picture()], "classes": "[1, 2]"}
        assert await asyncio.to_thread(run_tutorial, tmp_path, access, body) == ""
        assert json.loads(result.read_bytes()) == []
        failed = await asyncio.to_thread(run_tutorial, tmp_path, access, {"oscar-files": [picture()], "confidence": 3})
        assert failed == "The prediction failed\n"
        assert (tmp_path / "test-prediction.out.log").read_text().startswith("failed (invalid_arguments): confidence")


def of(bucket: Bucket) -> Any:
    """A boto3 client with the bucket's own keys."""
    access = bucket.bucket_jobs.bucket_keys.access("x")
    assert access is not None
    return s3_client(access.endpoint, access.access_key, access.secret_key)


async def test_a_file_in_parts_is_an_input(house: OpenHouse, tmp_path: Path) -> None:
    bucket = Bucket(await house(PLUGIN, s3_port=0))
    client = of(bucket)
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom((20 << 20) + 5))
    for _ in range(2):
        await asyncio.to_thread(client.upload_file, str(path), bucket.name, "inputs/large.bin")
        await bucket.wait_log("large")
        assert json.loads(await bucket.get("outputs/large.json"))["file"]["size"] == (20 << 20) + 5
    assert await bucket.jobs.count(["x"]) == 2


async def test_a_large_result_comes_down_in_parts(house: OpenHouse, tmp_path: Path) -> None:
    bucket = Bucket(await house(PLUGIN, s3_port=0))
    await bucket.put("inputs/x.json", {"mode": "large", "number": 20 << 20})
    await bucket.wait_log("x")
    await asyncio.to_thread(of(bucket).download_file, bucket.name, "outputs/x.json", str(tmp_path / "x.json"))
    assert json.loads((tmp_path / "x.json").read_bytes()) == {"text": "x" * (20 << 20)}


async def test_a_copy_under_inputs_is_an_input(house: OpenHouse) -> None:
    bucket = Bucket(await house(PLUGIN, s3_port=0))
    client = of(bucket)

    def copy() -> None:
        client.put_object(Bucket=bucket.name, Key="templates/x.json", Body=b'{"number": 5}')
        source = {"Bucket": bucket.name, "Key": "templates/x.json"}
        client.copy_object(Bucket=bucket.name, Key="inputs/a/x.json", CopySource=source)

    await asyncio.to_thread(copy)
    assert "working on 5" in await bucket.wait_log("a/x")
    assert await bucket.jobs.count(["x"]) == 1


async def test_rclone_takes_a_folder_there_and_the_results_back(house: OpenHouse, tmp_path: Path) -> None:
    bucket = Bucket(await house(PLUGIN, workers=2, s3_port=0))
    access = bucket.bucket_jobs.bucket_keys.access("x")
    assert access is not None
    there, back = tmp_path / "there", tmp_path / "back"
    names = ["a.json", "deep/er/b c.json", "ü.json"]
    for number, name in enumerate(names):
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_text(json.dumps({"number": number}))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_CONFIG_MINE_TYPE": "s3",
        "RCLONE_CONFIG_MINE_PROVIDER": "Other",
        "RCLONE_CONFIG_MINE_ENDPOINT": access.endpoint,
        "RCLONE_CONFIG_MINE_ACCESS_KEY_ID": access.access_key,
        "RCLONE_CONFIG_MINE_SECRET_ACCESS_KEY": access.secret_key,
    }

    async def rclone(*arguments: str | Path) -> None:
        command = [str(find_rclone()), *map(str, arguments)]
        done = await asyncio.to_thread(
            subprocess.run, command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr

    await rclone("copy", there, f"mine:{bucket.name}/inputs")
    await bucket.wait_keys(3)
    await rclone("copy", f"mine:{bucket.name}/outputs", back)
    found = {str(path.relative_to(back)) for path in back.rglob("*") if path.is_file()}
    assert found == {f"{name[:-5]}{ending}" for name in names for ending in (".json", ".log")}
    assert json.loads((back / "deep/er/b c.json").read_text())["number"] == 1
    await rclone("copy", there, f"mine:{bucket.name}/inputs")  # there is nothing new
    assert await bucket.jobs.count(["x"]) == 3


@pytest.mark.slow
@pytest.mark.parametrize("number", [80, pytest.param(500, marks=pytest.mark.thorough)])
async def test_many_objects_at_once_give_as_many_logs_and_results(house: OpenHouse, number: int) -> None:
    bucket = Bucket(await house(PLUGIN, workers=2, s3_port=0))
    client = of(bucket)

    def put(number: int) -> None:
        client.put_object(Bucket=bucket.name, Key=f"inputs/{number}.json", Body=b'{"number": %d}' % number)

    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(32) as threads:
        await asyncio.gather(*(asyncio.wrap_future(threads.submit(put, each)) for each in range(number)))
    print(f"{number} objects were put in {time.monotonic() - begun:.1f} s")
    logs = await bucket.wait_keys(number, within_s=120)
    print(f"{number} logs were there after {time.monotonic() - begun:.1f} s")
    results = [key for key in await bucket.keys() if key.endswith(".json")]
    assert sorted(logs) == sorted(f"outputs/{each}.log" for each in range(number))
    assert sorted(results) == sorted(f"outputs/{each}.json" for each in range(number))
    for each in range(0, number, 7):
        assert json.loads(await bucket.get(f"outputs/{each}.json"))["number"] == each
    assert await bucket.jobs.count(["x"]) == number


# Faults


def owner_keys(url: str) -> tuple[str, str, str]:
    """Endpoint, access key and secret as the platform's clients ask for them."""
    request = urllib.request.Request(f"{url}/system/config")
    request.add_header("Authorization", "Basic " + base64.b64encode(f"oscar:{PASSWORD}".encode()).decode())
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        minio_provider = json.load(answer)["minio_provider"]
    return minio_provider["endpoint"], minio_provider["access_key"], minio_provider["secret_key"]


@pytest.mark.slow
async def test_an_object_that_was_acknowledged_outlives_a_killed_server(tmp_path: Path) -> None:
    settings = {"s3_port": 0, "home": str(tmp_path / "home"), "workers": 2, "password": PASSWORD}
    kept: list[str] = []
    for number, delay_s in enumerate((0.3, 0.7, 1.1)):
        with spawned_house(tmp_path, PLUGIN, **settings) as server:
            client = s3_client(*await asyncio.to_thread(owner_keys, server.url))
            stop = threading.Event()

            def put(client: Any = client, stop: threading.Event = stop, number: int = number) -> None:
                for each in range(40 * number, 40 * number + 40):
                    if stop.is_set():
                        return
                    with contextlib.suppress(ClientError, BotoCoreError):
                        client.put_object(Bucket="x-bucket", Key=f"inputs/{each}.json", Body=b'{"number": %d}' % each)
                        kept.append(str(each))

            putting = asyncio.create_task(asyncio.to_thread(put))
            await asyncio.sleep(delay_s)
            server.signal(signal.SIGKILL)
            stop.set()
            await putting
    print(f"{len(kept)} objects were acknowledged")
    assert kept
    async with open_house(tmp_path, PLUGIN, **settings) as house:
        bucket = Bucket(house)
        for each in kept:
            await bucket.wait_log(each)
            assert json.loads(await bucket.get(f"outputs/{each}.json"))["number"] == int(each)


@pytest.mark.thorough
@pytest.mark.slow
async def test_a_hundred_thousand_files_are_no_load_on_memory(tmp_path: Path) -> None:
    folder = tmp_path / "buckets" / "x-bucket" / "inputs"
    folder.mkdir(parents=True)
    for number in range(100_000):
        (folder / f"{number:06}.json").touch()
    settings = {"s3_port": 0, "job_limit": 20, "bucket_folder": str(tmp_path / "buckets")}
    with spawned_house(tmp_path, PLUGIN, **settings) as server:
        before = peak_memory_bytes(server.pid)
        outputs = tmp_path / "buckets" / "x-bucket" / "outputs"
        await wait_until(lambda: outputs.exists() and len(list(outputs.glob("*.log"))) > 100, 120)
        grown = peak_memory_bytes(server.pid) - before
        print(f"the server grew by {grown >> 20} MiB")
        assert grown < 64 << 20


async def test_more_files_than_jobs_may_wait_are_all_run(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "buckets" / "x-bucket" / "inputs"
    folder.mkdir(parents=True)
    for number in range(40):
        (folder / f"{number}.json").write_text(f'{{"number": {number}}}')
    async with open_house(tmp_path, PLUGIN, s3_port=0, job_limit=5, workers=2) as house:
        bucket = Bucket(house)
        assert len(await bucket.wait_keys(40)) == 40
        assert json.loads(await bucket.get("outputs/7.json"))["number"] == 7
