"""Buckets: from many small objects to their results, and from an upload's acknowledgement to its prediction's start.

    python benchmarks/buckets.py [--folder .] [--objects 500] [--rounds 3]

The server keeps its buckets under --folder, which should be a real disk. boto3, as the users' scripts, in 8 threads.
Beside it `rclone serve s3` alone, on the same disk: what only storing the same objects, and two more for each, takes.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import boto3
from botocore.config import Config
from jobs import ask, line
from load import BIN, BODY, Served, free_port

THREADS = 8
# To list a thousand objects takes the server some 20 ms: who looks more often measures himself.
POLL_S = 0.2
DELAYS = 50
BUCKET = "noop"


def client(endpoint: str, access_key: str, secret_key: str):
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
        config=Config(max_pool_connections=THREADS, s3={"addressing_style": "path"}),
    )


def put_many(s3, keys: list[str]) -> None:
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(lambda key: s3.put_object(Bucket=BUCKET, Key=key, Body=BODY.encode()), keys))


def listed(s3, prefix: str) -> set[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return {each["Key"] for page in pages for each in page.get("Contents", [])}


def until_logged(s3, prefix: str, count: int) -> int:
    """How many results there are when all logs are there."""
    while True:
        found = listed(s3, f"outputs/{prefix}")
        if sum(each.endswith(".log") for each in found) >= count:
            return sum(each.endswith(".json") for each in found)
        time.sleep(POLL_S)


def through_modelport(s3, objects: int, round_: int) -> tuple[float, int]:
    """Objects per second from the first upload to the last result, and how many results there were."""
    keys = [f"inputs/round-{round_}/{number}.json" for number in range(objects)]
    start = time.perf_counter()
    put_many(s3, keys)
    results = until_logged(s3, f"round-{round_}/", objects)
    return objects / (time.perf_counter() - start), results


def through_rclone(s3, objects: int, round_: int) -> float:
    keys = [f"inputs/round-{round_}/{number}.json" for number in range(objects)]
    results = [f"outputs/round-{round_}/{number}.{kind}" for number in range(objects) for kind in ("json", "log")]
    start = time.perf_counter()
    put_many(s3, keys + results)
    return objects / (time.perf_counter() - start)


def delays(s3, base: str, headers: dict[str, str]) -> list[float]:
    """Milliseconds from an upload's acknowledgement to the start of its prediction; below 0: it began earlier."""
    acknowledged = []
    for number in range(DELAYS):
        s3.put_object(Bucket=BUCKET, Key=f"inputs/delay/{number}.json", Body=BODY.encode())
        acknowledged.append(time.time())
        until_logged(s3, f"delay/{number}.", 1)
    rows = ask(f"{base}/jobs?deployment=noop&limit={DELAYS}", headers=headers)["jobs"]
    started = sorted(_seconds(row["started"]) for row in rows)
    return [(start - end) * 1000 for start, end in zip(started, acknowledged, strict=True)]


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


@contextlib.contextmanager
def bare_rclone(folder: Path) -> Iterator[str]:
    (folder / BUCKET).mkdir(parents=True)
    port = free_port()
    command = [
        str(BIN / "rclone"),
        "serve",
        "s3",
        str(folder),
        "--addr",
        f"127.0.0.1:{port}",
        "--auth-key",
        "key,secret",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default=".")
    parser.add_argument("--objects", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name, contextlib.ExitStack() as stack:
        folder, port = Path(name), free_port()
        home = folder / "home"
        command = [str(BIN / "modelport"), "serve", "noop", "--listen-port", str(port), "--home", str(home)]
        served = Served("modelport", [*command, "--s3-port", "0", "--workers", "2"], port)
        stack.callback(served.stop)
        served.wait()
        bare = client(stack.enter_context(bare_rclone(folder / "bare")), "key", "secret")
        base = f"http://127.0.0.1:{port}"
        token = json.loads((home / "server.json").read_text())["token"]
        headers = {"Authorization": f"Bearer {token}"}
        keys = ask(f"{base}/deployments/noop", headers=headers)["bucket"]
        s3 = client(keys["endpoint"], keys["access_key"], keys["secret_key"])
        ours, limit = [], []
        for number in range(options.rounds):
            rate, results = through_modelport(s3, options.objects, number)
            assert results == options.objects, f"{results} results of {options.objects} objects"
            ours.append(rate)
            limit.append(through_rclone(bare, options.objects, number))
        print(f"{options.objects} small objects, {THREADS} threads, 2 workers, {options.rounds} rounds")
        ratio = statistics.median(a / b for a, b in zip(ours, limit, strict=True))
        line("from the first upload to the last result", ours, "/s", f"{ratio:.2f} × rclone")
        line("rclone alone: the same three objects each", limit, "/s")
        line("acknowledged upload to start, one at a time", delays(s3, base, headers), "ms")


if __name__ == "__main__":
    main()
