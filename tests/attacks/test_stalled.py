"""A client that asks for much and takes nothing of it is let go, and with it all that its answer holds."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import boto3
import pytest
import pytest_asyncio
from botocore.config import Config

from tests.attacks.conftest import TOKEN
from tests.house import PATIENCE_S, House, descriptors, open_house, wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIZE_BYTES = 24 << 20  # more than the kernel takes for us
SOURCE = f"""
from marshmallow import fields, validate
def get_predict_args():
    types = validate.OneOf(["application/json", "application/octet-stream"])
    return {{"accept": fields.Str(load_default="application/json", validate=types, metadata={{"location": "headers"}})}}
def predict(accept): return bytes({SIZE_BYTES}) if accept != "application/json" else "x" * {SIZE_BYTES}
"""
KEY = "other/large.bin"
OWNER = {"Authorization": f"Bearer {TOKEN}"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(tmp_path_factory.mktemp("stalled"), SOURCE, token=TOKEN, stall_timeout_s=0.2) as opened:
        answer = await opened.ask("PUT", f"/files/x/{KEY}", data=io.BytesIO(bytes(SIZE_BYTES)), headers=OWNER)
        assert answer.status == 201, answer.text
        yield opened


async def request_of(house: House, answer: str) -> tuple[int, str, str]:
    """(port, method, path) of one that gives a large answer."""
    if answer == "job":
        begun = await house.post("/x/async", json={}, headers=OWNER)
        job = begun.json()["job_id"]
        await wait_until_ended(house, job)
        return house.server.port, "GET", f"/jobs/{job}/result"
    if answer == "S3":
        return presigned(house)
    method, path = {
        "deepaas": ("POST", "/v2/models/x/predict/"),
        "plain": ("POST", "/x"),
        "run": ("POST", "/run/x"),
        "file": ("GET", f"/files/x/{KEY}"),
    }[answer]
    return house.server.port, method, path


async def wait_until_ended(house: House, job: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await house.get(f"/jobs/{job}", headers=OWNER)).json()["status"] != "succeeded":
            await asyncio.sleep(0.01)


def presigned(house: House) -> tuple[int, str, str]:
    assert house.gateway.bucket_jobs is not None
    keys = house.gateway.bucket_jobs.bucket_keys
    access = keys.owner_access()
    bucket = next(iter(keys.bucket_names()))
    client = boto3.client(
        "s3",
        endpoint_url=access.endpoint,
        aws_access_key_id=access.access_key,
        aws_secret_access_key=access.secret_key,
        region_name="us-east-1",
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    url = urlsplit(client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": KEY}))
    assert url.port is not None
    return url.port, "GET", f"{url.path}?{url.query}"


def asked(port: int, method: str, path: str) -> socket.socket:
    """The connection of a client that has asked for much."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", port))
    body = "{}" if method == "POST" else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(body)}\r\n"
    head += "" if "X-Amz-Signature" in path else f"Authorization: Bearer {TOKEN}\r\n"
    connection.sendall(
        f"{head}Content-Type: application/json\r\nAccept: application/octet-stream\r\n\r\n{body}".encode()
    )
    return connection


@pytest.mark.parametrize("answer", ["deepaas", "plain", "run", "job", "file", "S3"])
async def test_a_client_that_takes_nothing_of_its_answer_is_let_go(house: House, answer: str) -> None:
    port, method, path = await request_of(house, answer)
    before = descriptors()
    with await asyncio.to_thread(asked, port, method, path) as connection:
        status = await asyncio.to_thread(connection.recv, 12)
        assert status == b"HTTP/1.1 200"
        await wait_until(lambda: not house.scratch() and descriptors() <= before + 1)  # the client's own
    assert house.server.predictions.in_flight == 0
