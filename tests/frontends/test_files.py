"""The door of files: a bucket's files over plain HTTP, for its owner and for who has its keys."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.client import Config
from botocore.exceptions import ClientError
from yarl import URL

from tests.house import Answer, House, open_house, wait_until

MODEL = """
from marshmallow import fields
def get_predict_args(): return {"file": fields.Raw(required=True, metadata={"type": "file", "location": "form"})}
def predict(file):
    with open(file.filename, "rb") as opened:
        return {"size": len(opened.read())}
"""


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, {"sizes": MODEL}, password="wonder") as house:
        yield house


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


OWNER = basic("oscar", "wonder")


async def ask(house: House, method: str, path: str, body: Any = None, *, who: dict[str, str] = OWNER) -> Answer:
    url = URL(house.url + path, encoded=True)
    async with house.session.request(method, url, data=body, headers=who) as response:
        return Answer(response.status, await response.read(), response.headers, response.reason or "")


async def listed(house: House, prefix: str) -> Any:
    return (await ask(house, "GET", f"/files/sizes?prefix={prefix}")).json()


async def test_what_is_put_under_inputs_is_predicted_and_its_result_is_among_the_outputs(opened: House) -> None:
    put = await ask(opened, "PUT", "/files/sizes/inputs/deep/%C3%A9%20a.bin", b"x" * 300_000)
    assert put.status == 201
    assert (put.json()["key"], put.json()["size_bytes"]) == ("inputs/deep/é a.bin", 300_000)
    job = put.json()["job"]
    assert (job["deployment"], job["source"]) == ("sizes", "bucket")
    top = await listed(opened, "inputs/")
    assert (top["folders"], top["files"], top["next"]) == (["inputs/deep/"], [], None)
    names = [file["key"] for file in (await listed(opened, "inputs/deep/"))["files"]]
    assert names == ["inputs/deep/é a.bin"]
    await opened.gateway.jobs.wait(job["id"], 20)
    found: list[str] = []
    while found != ["outputs/deep/é a.json", "outputs/deep/é a.log"]:
        found = [file["key"] for file in (await listed(opened, "outputs/deep/"))["files"]]
    got = await ask(opened, "GET", "/files/sizes/outputs/deep/%C3%A9%20a.json")
    assert json.loads(got.body) == {"size": 300_000}
    assert got.headers["Content-Disposition"].startswith("attachment;")
    assert (await ask(opened, "HEAD", "/files/sizes/inputs/deep/%C3%A9%20a.bin")).headers["Content-Length"] == "300000"


async def test_a_page_that_was_uploaded_is_never_one_of_ours(opened: House) -> None:
    await ask(opened, "PUT", "/files/sizes/outputs/page.html", b"<script>alert(1)</script>")
    got = await ask(opened, "GET", "/files/sizes/outputs/page.html")
    assert got.body == b"<script>alert(1)</script>"
    assert got.headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in got.headers["Content-Security-Policy"]
    assert got.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_file_that_the_client_has_is_not_sent_again(opened: House) -> None:
    """A proxy that compresses weakens the ETag, and a client may have several files."""
    await ask(opened, "PUT", "/files/sizes/other/a.txt", b"a")
    etag = (await ask(opened, "GET", "/files/sizes/other/a.txt")).headers["ETag"]
    for known, status in ((etag, 304), (f"W/{etag}", 304), (f'"x", {etag}', 304), ("*", 304), ('"x"', 200)):
        again = await ask(opened, "GET", "/files/sizes/other/a.txt", who={**OWNER, "If-None-Match": known})
        assert (again.status, again.headers["ETag"]) == (status, etag), known


async def test_a_file_is_deleted_and_need_not_be_there(opened: House) -> None:
    await ask(opened, "PUT", "/files/sizes/other/a.txt", b"a")
    assert (await ask(opened, "DELETE", "/files/sizes/other/a.txt")).status == 204
    assert (await ask(opened, "DELETE", "/files/sizes/other/a.txt")).status == 204
    assert (await ask(opened, "GET", "/files/sizes/other/a.txt")).status == 404


async def test_the_bucket_s_keys_open_it_and_nothing_else_does(opened: House) -> None:
    bucket_jobs = opened.gateway.bucket_jobs
    assert bucket_jobs is not None
    access = bucket_jobs.bucket_keys.access("sizes")
    assert access is not None
    keys = basic(access.access_key, access.secret_key)
    assert (await ask(opened, "GET", "/files/sizes", who=keys)).status == 200
    assert (await ask(opened, "GET", "/files/other", who=keys)).status == 401
    for wrong in ({}, basic(access.access_key, "wrong"), basic("oscar", "wrong")):
        for path in ("/files/sizes", "/files/other", "/files/sizes/inputs/a"):
            assert (await ask(opened, "GET", path, who=wrong)).status == 401
    await bucket_jobs.bucket_keys.rotate("sizes")
    assert (await ask(opened, "GET", "/files/sizes", who=keys)).status == 401


@pytest.mark.parametrize("key", ["inputs/", "inputs//a", "inputs/a%00b", "inputs/.modelport_temp_x", "a" * 256])
async def test_a_name_that_no_file_can_have_is_refused(opened: House, key: str) -> None:
    assert (await ask(opened, "PUT", f"/files/sizes/{key}", b"a")).status == 400


async def test_a_name_is_a_file_s_or_a_folder_s(opened: House) -> None:
    await ask(opened, "PUT", "/files/sizes/other/a", b"a")
    assert (await ask(opened, "PUT", "/files/sizes/other/a/b", b"a")).status == 409
    assert (await ask(opened, "PUT", "/files/sizes/other", b"a")).status == 409


async def test_a_file_beyond_the_limit_is_refused_and_not_kept(tmp_path: Path) -> None:
    async with open_house(tmp_path, {"sizes": MODEL}, password="wonder", bucket_object_bytes=1000) as house:
        assert (await ask(house, "PUT", "/files/sizes/inputs/a", b"x" * 1001)).status == 413

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 500

        assert (await ask(house, "PUT", "/files/sizes/inputs/b", endless())).status == 413
        assert (await listed(house, "inputs/"))["files"] == []


async def test_the_door_is_described(opened: House) -> None:
    paths = (await ask(opened, "GET", "/openapi.json")).json()["paths"]
    assert set(paths["/files/{deployment}/{key}"]) == {"get", "head", "put", "delete"}


# Beside the door of S3


def s3(house: House) -> Any:
    """A client with the keys of the model's bucket."""
    access = house.gateway.bucket_jobs and house.gateway.bucket_jobs.bucket_keys.access("sizes")
    assert access
    keys = {"aws_access_key_id": access.access_key, "aws_secret_access_key": access.secret_key}
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    return boto3.client("s3", endpoint_url=access.endpoint, region_name=access.region, config=config, **keys)


async def test_of_two_doors_that_put_a_file_at_once_one_wins_whole(opened: House) -> None:
    client, key = s3(opened), "outputs/both.bin"
    for number in range(8):
        mine, other = bytes([number]) * 200_000, bytes([255 - number]) * 300_000
        put = asyncio.to_thread(client.put_object, Bucket="sizes", Key=key, Body=other)
        answer, _ = await asyncio.gather(ask(opened, "PUT", f"/files/sizes/{key}", mine), put)
        assert answer.status == 201
        assert answer.json()["size_bytes"] in (len(mine), len(other))
        assert (await ask(opened, "GET", f"/files/sizes/{key}")).body in (mine, other)


async def test_of_two_that_cannot_lie_side_by_side_the_first_that_is_whole_stays(opened: House) -> None:
    client, begun, go_on = s3(opened), asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"the first"
        begun.set()
        await go_on.wait()
        yield b" and the rest"

    putting = asyncio.create_task(ask(opened, "PUT", "/files/sizes/outputs/name", slowly()))
    await begun.wait()
    await wait_until(lambda: opened.scratch())
    assert (await ask(opened, "PUT", "/files/sizes/outputs/name/below", b"x")).status == 201
    assert (await ask(opened, "PUT", "/files/sizes/outputs/name/below/deeper", b"x")).status == 409
    for path in ("outputs/name", "outputs/name/below/deeper"):
        with pytest.raises(ClientError, match="KeyConflict"):
            await asyncio.to_thread(client.put_object, Bucket="sizes", Key=path, Body=b"x")
    go_on.set()
    assert (await putting).status == 409
    assert (await ask(opened, "GET", "/files/sizes/outputs/name/below")).body == b"x"
    assert (await ask(opened, "DELETE", "/files/sizes/outputs/name/below")).status == 204
    assert (await ask(opened, "PUT", "/files/sizes/outputs/name", b"now")).status == 201


async def test_deleting_the_name_of_a_folder_leaves_what_lies_in_it(opened: House) -> None:
    assert (await ask(opened, "PUT", "/files/sizes/outputs/folder/file", b"x")).status == 201
    assert (await ask(opened, "DELETE", "/files/sizes/outputs/folder")).status == 204
    assert (await ask(opened, "GET", "/files/sizes/outputs/folder/file")).body == b"x"
