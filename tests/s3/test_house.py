"""The door in the house: when it opens, where, and that an upload is a prediction."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
from typing import Any

import boto3
import pytest
from botocore.config import Config

from modelport.settings import BadSetting
from tests.conftest import OpenHouse
from tests.house import House
from tests.s3.conftest import in_thread

PLUGIN = """
from webargs import fields
def get_metadata(): return {"name": "x"}
def get_predict_args(): return {"number": fields.Int(load_default=1)}
def predict(number): return {"double": 2 * number}
"""


def access(house: House) -> Any:
    assert house.gateway.bucket_jobs is not None
    return house.gateway.bucket_jobs.bucket_keys.access("x")


def client(house: House) -> Any:
    keys = access(house)
    return boto3.client(
        "s3",
        endpoint_url=keys.endpoint,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        region_name="",
        config=Config(retries={"max_attempts": 0}),
    )


@pytest.mark.slow
async def test_an_upload_is_a_prediction(house: OpenHouse) -> None:
    house_ = await house(PLUGIN, buckets=True, s3_port=0)
    s3, bucket = client(house_), access(house_).bucket
    assert access(house_).endpoint.startswith("http://127.0.0.1:")
    listed = await in_thread(s3.list_objects_v2, Bucket=bucket)
    assert [each["Key"] for each in listed["Contents"]] == ["inputs/", "outputs/"]
    await in_thread(s3.put_object, Bucket=bucket, Key="inputs/a.json", Body=json.dumps({"number": 21}))
    waiter = s3.get_waiter("object_exists")
    await in_thread(waiter.wait, Bucket=bucket, Key="outputs/a.log", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    found = await in_thread(s3.get_object, Bucket=bucket, Key="outputs/a.json")
    assert json.loads(await in_thread(found["Body"].read)) == {"double": 42}
    await in_thread(s3.delete_object, Bucket=bucket, Key="inputs/a.json")


async def test_the_default_port_gives_way_and_any_other_does_not(
    house: OpenHouse, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr("modelport.frontends.s3.server.DEFAULT_PORT", port)
        first = await house(PLUGIN, buckets=True, s3_port=port)
        assert str(port) not in access(first).endpoint
        assert f"port {port} is taken" in caplog.text
        monkeypatch.undo()
        with pytest.raises(BadSetting, match=f"{port}.*s3_port"):
            await house(PLUGIN, buckets=True, s3_port=port)


async def test_without_buckets_there_is_no_port(house: OpenHouse) -> None:
    def listening() -> set[str]:
        """This process's own: other tests' servers come and go."""
        own = set()
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):  # the listing's own
                own.add(os.readlink(f"/proc/self/fd/{name}"))
        with open("/proc/self/net/tcp") as table:
            rows = [line.split() for line in table.readlines()[1:]]
        return {row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own}

    before = listening()
    house_ = await house(PLUGIN, buckets=False)
    assert house_.gateway.bucket_jobs is None
    added = {each.partition(":")[2] for each in listening() - before}
    assert f"{house_.server.port:04X}" in added
    assert "2328" not in added  # 9000


async def test_another_address_is_shown_where_the_settings_say_so(house: OpenHouse) -> None:
    house_ = await house(PLUGIN, buckets=True, s3_port=0, s3_url="https://buckets.example")
    assert access(house_).endpoint == "https://buckets.example"
