"""The S3 port gets the same hostile bodies, by presigned addresses, while somebody asks whether the server is well."""

from __future__ import annotations

import asyncio
import json
import signal
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from hashlib import md5
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
import requests
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config

from tests.attacks.bodies import JSON, MIB, Hostile, hostile_bodies
from tests.attacks.conftest import SOURCE, TOKEN, probing
from tests.attacks.test_every_route import GROWTH_BYTES, WORST_S, check_log, send, settled
from tests.house import PATIENCE_S, peak_memory_bytes, spawned_house

pytestmark = pytest.mark.slow


def connected(url: str) -> Any:
    """A client with the keys of the first service's bucket."""
    request = urllib.request.Request(f"{url}/deployments?all=1", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=30) as response:
        bucket = json.load(response)[0]["bucket"]
    return boto3.client(
        "s3",
        endpoint_url=bucket["endpoint"],
        aws_access_key_id=bucket["access_key"],
        aws_secret_access_key=bucket["secret_key"],
        region_name="us-east-1",
        config=Config(signature_version="s3v4", request_checksum_calculation="when_required"),
    )


def presigned(url: str) -> tuple[int, list[tuple[str, str]]]:
    """(port, [(method, path)]) of every operation that takes a body."""
    client = connected(url)
    name = client.list_buckets()["Buckets"][0]["Name"]
    upload = client.create_multipart_upload(Bucket=name, Key="other/parts")["UploadId"]
    of = {"Bucket": name, "Key": "other/parts"}
    found = [
        ("PUT", "put_object", {"Bucket": name, "Key": "other/a"}),
        ("PUT", "upload_part", {**of, "UploadId": upload, "PartNumber": 1}),
        ("POST", "complete_multipart_upload", {**of, "UploadId": upload}),
        ("POST", "create_multipart_upload", of),
        ("DELETE", "delete_object", {"Bucket": name, "Key": "other/a"}),
    ]
    addresses = [
        (method, urlsplit(client.generate_presigned_url(operation, options))) for method, operation, options in found
    ]
    port = addresses[0][1].port
    assert port is not None
    return port, [(method, f"{parts.path}?{parts.query}") for method, parts in addresses]


async def test_the_s3_port_takes_or_refuses_every_hostile_body(tmp_path: Path) -> None:
    with spawned_house(tmp_path, SOURCE, token=TOKEN, bucket_object_bytes=8 * MIB) as house:
        port, routes = presigned(house.url)
        for method, path in routes:
            await send(port, method, path, Hostile("", lambda: [b"x"], length=1), token="")
        before = peak_memory_bytes(house.pid)
        answered = 0
        with probing(house.port, house.pid) as probe:
            for method, path in routes:
                for body in hostile_bodies(4 * MIB):
                    status, answer = await send(port, method, path, body, token="")
                    assert status < 500 or status == 501, f"{method} {path}, {body.name}: {answer[:500]!r}"
                    answered += answer.startswith(b"HTTP/1.1 4")
        assert answered
        assert probe.worst_s < WORST_S
        assert peak_memory_bytes(house.pid) - before < GROWTH_BYTES
        await settled(house)
        check_log(house)


async def test_a_client_that_leaves_is_no_fault_at_either_port(tmp_path: Path, routes: list[tuple[str, str]]) -> None:
    """With the head sent, when it is told to go on, and in the midst of its body."""
    with spawned_house(tmp_path, SOURCE, token=TOKEN) as house:
        port, operations = presigned(house.url)
        s3 = [(port, method, path, "") for method, path in operations]
        main = [(house.port, method, path, f"Authorization: Bearer {TOKEN}\r\n") for method, path in routes]
        large = Hostile("", lambda: [b"x" * 10 * MIB], length=10 * MIB)
        assert (await send(house.port, "PUT", "/files/x/other/large", large))[0] == 201
        for number, method, path, credential in (*s3, *main):
            head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{number}\r\n{credential}Content-Type: {JSON}\r\n"
            for expects, body in (("", b""), ("Expect: 100-continue\r\n", b""), ("", b'{"a": ')):
                reader, writer = await asyncio.open_connection("127.0.0.1", number)
                writer.write(f"{head}Sec-Fetch-Site: none\r\n{expects}Content-Length: 300000\r\n\r\n".encode() + body)
                if expects:
                    await asyncio.wait_for(reader.readline(), PATIENCE_S)
                writer.transport.abort()
        for _ in range(100):  # and in the midst of an answer
            reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
            writer.write(f"GET /files/x/other/large HTTP/1.1\r\nHost: 127.0.0.1\r\n{main[0][3]}\r\n".encode())
            await asyncio.wait_for(reader.read(1000), PATIENCE_S)
            writer.transport.abort()
        # An answer: what was sent before has been looked at.
        assert (await send(port, "GET", "/", Hostile("", list), token=""))[0] == 403
        assert (await send(house.port, "POST", "/x", Hostile("", lambda: [b"{}"])))[0] == 200
        house.signal(signal.SIGTERM)
        await house.wait()
        check_log(house)


XML: dict[str, Callable[[int], bytes]] = {
    "many elements": lambda size: b"<Delete>" + b"<a/>" * (size // 4) + b"</Delete>",
    "deep": lambda size: b"<a>" * (size // 7) + b"</a>" * (size // 7),
    "many attributes": lambda size: b"<Delete " + b"".join(b'a%d="" ' % n for n in range(size // 12)) + b"/>",
    "one long text": lambda size: b"<Delete>" + b"x" * size + b"</Delete>",
    "many keys": lambda size: b"<Delete>" + b"<Object><Key>k</Key></Object>" * (size // 29) + b"</Delete>",
    "many parts": lambda size: b"<CompleteMultipartUpload>" + b"<Part><PartNumber>1</PartNumber></Part>" * (size // 39),
}


@pytest.mark.parametrize("shape", XML)
async def test_xml_stops_and_fills_nothing(tmp_path: Path, shape: str) -> None:
    with spawned_house(tmp_path, SOURCE, token=TOKEN) as house:
        client = connected(house.url)
        name = client.list_buckets()["Buckets"][0]["Name"]
        upload = client.create_multipart_upload(Bucket=name, Key="other/a")["UploadId"]
        before = peak_memory_bytes(house.pid)
        with probing(house.port, house.pid) as probe:
            for path, size in ((f"{name}?delete=", 8 * MIB), (f"{name}/other/a?uploadId={upload}", 4 * MIB)):
                for _ in range(3):
                    status, answer = await asyncio.to_thread(post_signed, client, path, XML[shape](size - 100))
                    assert (status, b"MalformedXML" in answer) == (400, True)
        assert probe.worst_s < WORST_S
        assert peak_memory_bytes(house.pid) - before < GROWTH_BYTES
        check_log(house)


def post_signed(client: Any, path: str, body: bytes) -> tuple[int, bytes]:
    """As an SDK would send it, but for what is in it."""
    url = f"{client.meta.endpoint_url}/{path}"
    request = AWSRequest("POST", url, data=body, headers={"Content-MD5": b64encode(md5(body).digest()).decode()})
    sign: Any = S3SigV4Auth  # has no types
    sign(client._request_signer._credentials, "s3", "us-east-1").add_auth(request)
    answer = requests.post(url, data=body, headers=dict(request.headers), timeout=60)
    return answer.status_code, answer.content
