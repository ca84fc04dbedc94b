"""Buckets: who gets which keys, /system/buckets, and events of stores (contract, sections 8, 13 and 14)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import boto3
import pytest
import pytest_asyncio
from botocore.config import Config
from botocore.exceptions import ClientError

from modelport.objectstore import tree
from tests.buckets.conftest import ACCESS_KEY, SECRET_KEY, Elsewhere, elsewhere  # noqa: F401 (a fixture)
from tests.house import Answer
from tests.oscar.conftest import DATA, OpenOscar, Oscar, definition
from tests.oscar.issuer import Issuer
from tests.oscar.test_events import minio
from tests.oscar.test_jobs import ended
from tests.oscar.test_oidc import bearer, open_for
from tests.oscar.test_system import TIME

pytestmark = pytest.mark.asyncio(loop_scope="package")

FIELDS = {"endpoint", "verify", "access_key", "secret_key", "region"}


class Keys:
    """A boto3 client by the keys of a `minio_provider`, used in threads."""

    def __init__(self, provider: dict[str, Any]) -> None:
        # As oscar-python makes it.
        self._client = boto3.client(
            "s3",
            endpoint_url=provider["endpoint"],
            region_name=provider["region"],
            verify=provider["verify"],
            aws_access_key_id=provider["access_key"],
            aws_secret_access_key=provider["secret_key"],
            config=Config(retries={"total_max_attempts": 1}),
        )

    async def ask(self, method: str, **options: Any) -> Any:
        return await asyncio.to_thread(getattr(self._client, method), **options)

    async def put(self, bucket: str, key: str, body: bytes) -> None:
        await self.ask("put_object", Bucket=bucket, Key=key, Body=body)

    async def get(self, bucket: str, key: str) -> bytes:
        answer = await self.ask("get_object", Bucket=bucket, Key=key)
        return await asyncio.to_thread(answer["Body"].read)

    async def refused(self, bucket: str) -> bool:
        try:
            await self.ask("list_objects_v2", Bucket=bucket)
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 403
            return True
        return False

    async def buckets(self) -> list[str]:
        return [bucket["Name"] for bucket in (await self.ask("list_buckets"))["Buckets"]]

    async def wait(self, bucket: str, key: str) -> bytes:
        """The object, once it is there."""
        while True:
            try:
                return await self.get(bucket, key)
            except ClientError as error:
                assert error.response["Error"]["Code"] in ("404", "NoSuchKey")
            await asyncio.sleep(0.02)


@pytest_asyncio.fixture(loop_scope="package")
async def issuer() -> AsyncIterator[Issuer]:
    async with Issuer() as opened:
        yield opened


async def provider(oscar: Oscar, **who: Any) -> dict[str, Any]:
    minio_provider: dict[str, Any] = (await oscar.system("GET", "/config", **who)).json()["minio_provider"]
    assert set(minio_provider) == FIELDS
    assert minio_provider["region"]
    return minio_provider


async def listed(oscar: Oscar, **who: Any) -> list[str]:
    return [each["bucket_name"] for each in (await oscar.system("GET", "/buckets", **who)).json()]


async def presign(oscar: Oscar, bucket: str, **body: Any) -> Answer:
    who = body.pop("who", {})
    return await oscar.system("POST", f"/buckets/{bucket}/presign", json=body, **who)


# Keys


async def test_the_administrators_keys_reach_all_buckets(oscar: Oscar) -> None:
    keys = Keys(await provider(oscar))
    assert {"svc", "digits", "demo", "plugin"} <= set(await keys.buckets())
    await keys.put("svc", "other/x", b"x")
    assert await keys.get("svc", "other/x") == b"x"


async def test_a_services_own_keys_reach_its_bucket_only(oscar: Oscar) -> None:
    bucket = (await oscar.house.get("/deployments/svc", headers={"Authorization": oscar.owner})).json()["bucket"]
    assert set(bucket) == {"bucket", "endpoint", "access_key", "secret_key", "region"}
    assert bucket["bucket"] == "svc"
    echoed = (await oscar.system("GET", "/services/svc")).json()["storage_providers"]["minio"]["default"]
    assert echoed == {**{key: bucket[key] for key in bucket if key != "bucket"}, "verify": True}
    keys = Keys(echoed)
    assert await keys.buckets() == ["svc"]
    assert await keys.refused("digits")
    assert not await keys.refused("svc")


async def test_the_owner_changes_a_buckets_keys(oscar: Oscar) -> None:
    await oscar.deployed("leaked")
    headers = {"Authorization": oscar.owner}
    old = (await oscar.house.get("/deployments/leaked", headers=headers)).json()["bucket"]
    assert (await oscar.house.post("/deployments/leaked/bucket")).status == 401
    new = (await oscar.house.post("/deployments/leaked/bucket", headers=headers)).json()
    assert new == (await oscar.house.get("/deployments/leaked", headers=headers)).json()["bucket"]
    assert {each for each in new if new[each] != old[each]} == {"access_key", "secret_key"}
    assert await Keys({**old, "verify": True}).refused("leaked")
    assert not await Keys({**new, "verify": True}).refused("leaked")
    await oscar.system("DELETE", "/services/leaked")


async def test_what_is_named_on_the_command_line_has_a_bucket_and_folders(oscar: Oscar) -> None:
    document = (await oscar.system("GET", "/services/plugin")).json()
    assert [each["path"] for each in document["input"] + document["output"]] == ["plugin/inputs", "plugin/outputs"]


async def test_an_account_has_keys_to_the_buckets_of_its_services(issuer: Issuer, oscar_with: OpenOscar) -> None:
    oscar = await open_for(issuer, oscar_with)
    me, other = (bearer(issuer.token(f"{each}@egi.eu")) for each in ("me", "other"))
    for name in ("mine-1", "mine-2"):
        body = definition(name, visibility="public")
        assert (await oscar.system("POST", "/services", json=body, **me)).status == 201
    await oscar.system("POST", "/services", json=definition("others"), **other)
    mine = await provider(oscar, **me)
    assert mine["access_key"] == "me@egi.eu"
    assert mine == await provider(oscar, **me)
    keys = Keys(mine)
    assert await keys.buckets() == ["mine-1", "mine-2"] == await listed(oscar, **me)
    for bucket in ("others", "plugin"):
        assert await keys.refused(bucket)
        assert (await oscar.system("GET", f"/buckets/{bucket}", **me)).status == 403
        assert (await presign(oscar, bucket, who=me, object_key="x", operation="download")).status == 403
    # A public service may be called by all; what is in its bucket is not for all.
    assert await listed(oscar, **other) == ["others"]
    assert (await oscar.system("GET", "/buckets/mine-1", **other)).status == 403
    hidden = (await oscar.system("GET", "/services/mine-1", **other)).json()["storage_providers"]["minio"]["default"]
    assert (hidden["access_key"], hidden["secret_key"]) == ("hidden", "hidden")
    assert (await oscar.job("mine-1", minio_of("mine-1", "inputs/x"), token=issuer.token("other@egi.eu"))).status == 403


async def test_the_address_is_one_that_the_client_can_reach(oscar_with: OpenOscar) -> None:
    everywhere = await oscar_with(listen_ip="0.0.0.0", token="t" * 32)
    port = urlsplit((await provider(everywhere))["endpoint"]).port
    for host, shown in (("gpu.example:5000", "gpu.example"), ("[::1]:5000", "[::1]")):
        who = {"headers": {"Host": host}}
        assert (await provider(everywhere, **who))["endpoint"] == f"http://{shown}:{port}"
        url = (await presign(everywhere, "plugin", object_key="x", operation="upload", who=who)).json()["url"]
        assert url.startswith(f"http://{shown}:{port}/plugin/x?")
    named = await oscar_with(s3_url="https://s3.example")
    assert (await provider(named, headers={"Host": "gpu.example"}))["endpoint"] == "https://s3.example"


async def test_without_buckets_there_are_no_keys(oscar_with: OpenOscar) -> None:
    oscar = await oscar_with(buckets=False)
    found = await provider(oscar)
    assert (found["endpoint"], found["access_key"], found["secret_key"]) == (oscar.house.url, "", "")
    assert await listed(oscar) == []
    assert (await oscar.system("GET", "/buckets/plugin")).status == 404
    papi = [{"storage_provider": "minio.default", "path": "svc/inputs"}]
    answer = await oscar.create("svc", input=papi)
    assert "this server has no buckets" in answer.headers["X-Modelport-Warnings"]
    answer = await oscar.house.get("/deployments/svc", headers={"Authorization": oscar.owner})
    assert answer.json()["bucket"] is None
    answer = await oscar.house.post("/deployments/svc/bucket", headers={"Authorization": oscar.owner})
    assert answer.status == 403


# A service, by its bucket


async def test_a_file_that_is_put_is_worked_on_and_listed_as_a_job(oscar: Oscar) -> None:
    papi = [{"storage_provider": "minio.default", "path": "by-bucket/inputs"}]
    results = [{"storage_provider": "minio.default", "path": "by-bucket/outputs"}]
    answer = await oscar.create("by-bucket", input=papi, output=results)
    assert answer.status == 201
    assert "X-Modelport-Warnings" not in answer.headers
    keys = Keys(await provider(oscar))
    await keys.put("by-bucket", "inputs/x.json", b'{"mode": "print", "number": 7}')
    log = (await keys.wait("by-bucket", "outputs/x.log")).decode()
    assert json.loads(await keys.get("by-bucket", "outputs/x.json"))["number"] == 7
    assert log.startswith("on stdout\non stderr\nreturn: {")
    (job,) = (await oscar.system("GET", "/logs/by-bucket")).json()["jobs"]
    state, shown = await ended(oscar, job, "by-bucket")
    assert state == "Succeeded"
    assert shown.startswith("on stdout\non stderr\nreturn: {")

    await oscar.system("DELETE", "/services/by-bucket")
    assert "by-bucket" in await listed(oscar)
    assert json.loads(await keys.get("by-bucket", "outputs/x.json"))["number"] == 7
    await oscar.deployed("by-bucket")
    document = (await oscar.system("GET", "/buckets/by-bucket")).json()
    assert {"inputs/x.json", "outputs/x.json", "outputs/x.log"} <= {each["object_name"] for each in document["objects"]}
    await oscar.system("DELETE", "/services/by-bucket")


async def test_a_new_services_bucket_is_there_at_once(oscar: Oscar) -> None:
    keys = Keys(await provider(oscar))
    await keys.buckets()
    for number in range(10):
        await oscar.create(f"at-once-{number}")
        await keys.put(f"at-once-{number}", "inputs/x.json", b"{}")
        await oscar.system("DELETE", f"/services/at-once-{number}")


# /system/buckets


async def test_a_bucket_is_described(oscar: Oscar) -> None:
    document = (await oscar.system("GET", "/buckets")).json()
    assert next(each for each in document if each["bucket_name"] == "svc") == {
        "bucket_name": "svc",
        "visibility": "private",
        "allowed_users": [],
        "owner": "cluster_admin",
        "metadata": {"owner": "cluster_admin", "owner_name": "cluster_admin", "from_service": "svc"},
    }


async def test_objects_come_in_pages(oscar: Oscar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "PAGE_KEYS", 4)
    await oscar.deployed("many-objects")
    keys = Keys(await provider(oscar))
    wanted = {"some/ä b+c", *(f"many/{number}" for number in range(10))}
    for each in wanted:
        await keys.put("many-objects", each, b"12345")
    found: dict[str, Any] = {}
    sizes = []
    page = ""
    while True:
        document = (await oscar.system("GET", f"/buckets/many-objects?page={page}")).json()
        sizes.append(document["returned_items"])
        assert document["is_truncated"] is ("next_page" in document)
        assert len(document["objects"]) == document["returned_items"]
        found |= {each["object_name"]: each for each in document["objects"]}
        if not document["is_truncated"]:
            break
        page = document["next_page"]
    assert (len(found), max(sizes)) == (sum(sizes), 4)
    assert set(found) == wanted | {"inputs/", "outputs/"}
    assert all(found[each]["size_bytes"] == 5 and TIME.fullmatch(found[each]["last_modified"]) for each in wanted)
    assert (await oscar.system("GET", "/buckets/many-objects?page=!")).status == 400
    await oscar.system("DELETE", "/services/many-objects")


async def test_an_account_makes_a_bucket_of_its_own(issuer: Issuer, oscar_with: OpenOscar) -> None:
    oscar = await open_for(issuer, oscar_with, account_buckets=2, account_bucket_bytes=10)
    me, other = bearer(issuer.token()), bearer(issuer.token(sub="another@egi.eu"))
    body = {"bucket_name": "mine", "visibility": "private", "allowed_users": []}
    assert (await oscar.system("POST", "/buckets", json=body, **me)).status == 201
    assert (await oscar.system("POST", "/buckets", json=body, **me)).status == 400
    assert await listed(oscar, **me) == ["mine"]
    assert await listed(oscar, **other) == []
    assert "mine" in await listed(oscar)
    keys = Keys(await provider(oscar, **me))
    assert await keys.buckets() == ["mine"]
    await keys.put("mine", "inputs/x.json", b"{}")
    answer = await presign(oscar, "mine", object_key="a/b", operation="upload", who=me)
    async with aiohttp.ClientSession() as session, session.put(answer.json()["url"], data=b"12345678") as put:
        assert put.status == 200
    shown = (await oscar.system("GET", "/buckets/mine", **me)).json()
    assert [each["object_name"] for each in shown["objects"]] == ["a/b", "inputs/x.json"]
    assert (shown["owner"], shown["visibility"]) == ("me@egi.eu", "private")
    with pytest.raises(ClientError, match="account_bucket_bytes"):
        await keys.put("mine", "c", b"x")
    await keys.ask("delete_object", Bucket="mine", Key="a/b")
    await keys.put("mine", "c", b"x")
    for method in ("GET", "DELETE"):
        assert (await oscar.system(method, "/buckets/mine", **other)).status == 403
    assert (await presign(oscar, "mine", object_key="c", operation="download", who=other)).status == 403
    assert await Keys(await provider(oscar, **other)).refused("mine")
    assert (await oscar.system("POST", "/buckets", json={"bucket_name": "second"}, **me)).status == 201
    answer = await oscar.system("POST", "/buckets", json={"bucket_name": "third"}, **me)
    assert (answer.status, "account_buckets" in answer.text) == (403, True)
    assert (await oscar.system("POST", "/buckets", json={"bucket_name": "third"}, **other)).status == 201
    assert (await oscar.system("PUT", "/buckets", json=body, **me)).status == 204
    assert (await oscar.system("POST", "/services", json=definition("mine"), **me)).status == 201
    assert sorted(await listed(oscar, **me)) == ["mine", "mine-2", "second"]
    assert (await oscar.system("DELETE", "/buckets/mine", **me)).status == 204
    assert not (oscar.house.home / "buckets/mine").exists()
    await oscar.system("DELETE", "/services/mine", **me)


async def test_an_event_of_an_object_elsewhere_in_the_bucket_is_taken(oscar: Oscar) -> None:
    token = await oscar.deployed("elsewhere")
    keys = Keys(await provider(oscar))
    body = {"mode": "ok"}
    for key in ("x.json", "there/deeper/y.json", "inputs/x.json"):
        await keys.put("elsewhere", key, json.dumps(body).encode())
    await keys.wait("elsewhere", "outputs/x.log")
    for key, stem in (("there/deeper/y.json", "there/deeper/y"), ("x.json", "x.json")):
        event = minio(key)
        event["Records"][0]["s3"]["bucket"]["name"] = "elsewhere"
        answer = await oscar.house.post("/job/elsewhere", json=event, headers={"Authorization": f"Bearer {token}"})
        assert answer.status == 201 and "Location" in answer.headers
        await keys.wait("elsewhere", f"outputs/{stem}.log")
    for key in ("outputs/x.log", ".modelport/x", "folder/"):
        event = minio(key)
        event["Records"][0]["s3"]["bucket"]["name"] = "elsewhere"
        answer = await oscar.house.post("/job/elsewhere", json=event, headers={"Authorization": f"Bearer {token}"})
        assert (answer.status, "Location" in answer.headers) == (201, False)
    await oscar.system("DELETE", "/services/elsewhere")


async def test_buckets_are_made_and_removed_with_their_services(oscar: Oscar) -> None:
    for body, status in (
        ({"bucket_name": "free", "visibility": "public"}, 400),
        ({"bucket_name": "free", "allowed_users": ["somebody@egi.eu"]}, 400),
        ({"bucket_name": "svc"}, 400),
        ({"bucket_name": "../x"}, 400),
        ({"bucket_name": ".modelport"}, 400),
        ({"bucket_name": "No"}, 400),
        ({}, 400),
        ({"bucket_name": 5}, 400),
        ([], 400),
    ):
        answer = await oscar.system("POST", "/buckets", json=body)
        assert answer.status == status
        assert answer.text
    assert (await oscar.system("PUT", "/buckets", json={"bucket_name": "svc"})).status == 403
    assert (await oscar.system("PUT", "/buckets", json={"bucket_name": "free"})).status == 404
    for bucket, status in (("svc", 403), ("free", 404)):
        assert (await oscar.system("DELETE", f"/buckets/{bucket}")).status == status

    await oscar.deployed("brief")
    keys = Keys(await provider(oscar))
    await keys.put("brief", "inputs/sub/x.json", b"{}")
    await keys.wait("brief", "outputs/sub/x.log")
    await oscar.system("DELETE", "/services/brief")
    assert (await oscar.system("PUT", "/buckets", json={"bucket_name": "brief"})).status == 403
    assert (await oscar.system("DELETE", "/buckets/brief")).status == 204
    assert "brief" not in await listed(oscar)
    assert (await oscar.system("DELETE", "/buckets/brief")).status == 404
    # A service of that name begins with nothing.
    await oscar.deployed("brief")
    document = (await oscar.system("GET", "/buckets/brief")).json()
    assert not [each for each in document["objects"] if not each["object_name"].endswith("/")]
    await oscar.system("DELETE", "/services/brief")


async def test_a_url_puts_an_input_and_another_gets_its_result(oscar: Oscar) -> None:
    up = (await presign(oscar, "svc", object_key="inputs/by url.json", operation="upload")).json()
    assert (up["object_key"], up["operation"], up["method"]) == ("inputs/by url.json", "upload", "PUT")
    assert set(up) == {"object_key", "operation", "method", "url", "expires_at"}
    assert urlsplit(up["url"]).path == "/svc/inputs/by%20url.json"
    answer = await oscar.house.ask("PUT", up["url"], data=b'{"number": 3}', skip_auto_headers=["Content-Type"])
    assert answer.status == 200
    await Keys(await provider(oscar)).wait("svc", "outputs/by url.log")
    down = (await presign(oscar, "svc", object_key="outputs/by url.json", operation="download", expires_in=60)).json()
    answer = await oscar.house.get(down["url"])
    assert (answer.status, answer.json()["number"]) == (200, 3)
    # It is good for this method and this object.
    assert (await oscar.house.ask("DELETE", down["url"])).status == 403
    assert (await oscar.house.get(down["url"].replace("by%20url.json", "by%20url.log"))).status == 403


async def test_headers_that_were_signed_have_to_be_sent(oscar: Oscar) -> None:
    document = (
        await presign(
            oscar,
            "svc",
            object_key="other/y",
            operation="upload",
            content_type="image/png",
            extra_headers={"x-amz-meta-who": "me"},
        )
    ).json()
    assert document["headers"] == {"Content-Type": "image/png", "x-amz-meta-who": "me"}
    assert (
        await oscar.house.ask("PUT", document["url"], data=b"y", headers={"Content-Type": "image/gif"})
    ).status == 403
    assert (await oscar.house.ask("PUT", document["url"], data=b"y", headers=document["headers"])).status == 200
    keys = Keys(await provider(oscar))
    assert (await keys.ask("head_object", Bucket="svc", Key="other/y"))["ContentType"] == "image/png"


@pytest.mark.parametrize(
    "body",
    [
        {"operation": "upload"},
        {"object_key": "", "operation": "upload"},
        {"object_key": "x" * 1025, "operation": "upload"},
        {"object_key": 5, "operation": "upload"},
        {"object_key": "x"},
        {"object_key": "x", "operation": "delete"},
        {"object_key": "x", "operation": "upload", "expires_in": -1},
        {"object_key": "x", "operation": "upload", "expires_in": 7 * 86400 + 1},
        {"object_key": "x", "operation": "upload", "expires_in": "900"},
        {"object_key": "x", "operation": "upload", "expires_in": True},
        {"object_key": "x", "operation": "upload", "extra_headers": ["x"]},
        {"object_key": "x", "operation": "upload", "extra_headers": {"Host": "evil.example"}},
        {"object_key": "x", "operation": "upload", "extra_headers": {"x-a": "1\r\nx-b: 2"}},
        {"object_key": "x", "operation": "upload", "extra_headers": {"x a": "1"}},
        {"object_key": "x", "operation": "upload", "content_type": 5},
    ],
)
async def test_what_cannot_be_signed(oscar: Oscar, body: dict[str, Any]) -> None:
    answer = await presign(oscar, "svc", **body)
    assert answer.status == 400
    assert answer.text


async def test_only_buckets_that_there_are(oscar: Oscar) -> None:
    assert (await presign(oscar, "nobodys", object_key="x", operation="upload")).status == 404
    for method, path in (("GET", "/buckets/nobodys"), ("GET", "/buckets/..%2fsvc"), ("DELETE", "/buckets/nobodys")):
        assert (await oscar.system(method, path)).status == 404


# Events


def minio_of(bucket: str, key: str, **more: Any) -> dict[str, Any]:
    event = minio(key, **more)
    event["Records"][0]["s3"]["bucket"]["name"] = bucket
    return event


async def test_an_event_starts_the_job_of_its_object(oscar: Oscar) -> None:
    key = "inputs/ein bißchen+mehr/x y.json"
    keys = Keys(await provider(oscar))
    await keys.put("svc", key, b'{"number": 4}')
    assert b"return:" in await keys.wait("svc", "outputs/ein bißchen+mehr/x y.log")
    before = set((await oscar.system("GET", "/logs/svc")).json()["jobs"])
    answer = await oscar.job("svc", minio_of("svc", key))
    assert (answer.status, answer.body) == (201, b"")
    assert answer.headers["Location"]
    (job,) = set((await oscar.system("GET", "/logs/svc")).json()["jobs"]) - before
    assert (await ended(oscar, job))[0] == "Succeeded"
    assert json.loads(await keys.wait("svc", "outputs/ein bißchen+mehr/x y.json"))["number"] == 4


async def test_events_that_start_nothing(oscar: Oscar) -> None:
    keys = Keys(await provider(oscar))
    await keys.put("svc", "inputs/there.json", b"{}")
    await keys.wait("svc", "outputs/there.log")
    before = set((await oscar.system("GET", "/logs/svc")).json()["jobs"])
    for key, name in (
        ("inputs/gone.json", "s3:ObjectCreated:Put"),
        ("inputs/", "s3:ObjectCreated:Put"),
        ("outputs/there.json", "s3:ObjectCreated:Put"),
        ("elsewhere/x", "s3:ObjectCreated:Put"),
        ("inputs/there.json", "s3:ObjectAccessed:Get"),
        ("inputs/there.json", "s3:ObjectRemoved:Delete"),  # it has come again since
        ("inputs/gone.json", "s3:ObjectRemoved:Delete"),
    ):
        answer = await oscar.job("svc", minio_of("svc", key, eventName=name))
        assert (answer.status, "Location" in answer.headers) == (201, False), key
    assert set((await oscar.system("GET", "/logs/svc")).json()["jobs"]) == before
    assert (await oscar.job("svc", minio_of("digits", "inputs/there.json"))).status == 403


async def test_a_picture_is_the_models_only_file(oscar: Oscar) -> None:
    keys = Keys(await provider(oscar))
    await keys.put("digits", "inputs/page.png", (DATA / "digits_page.png").read_bytes())
    await keys.wait("digits", "outputs/page.log")
    assert json.loads(await keys.get("digits", "outputs/page.json"))[0]["name"]


# Another S3 service


async def test_events_and_keys_of_another_s3_service(
    issuer: Issuer,
    oscar_with: OpenOscar,
    elsewhere: Elsewhere,  # noqa: F811
) -> None:
    oscar = await open_for(issuer, oscar_with, **elsewhere.settings, bucket_list_s=3600)
    await oscar.deployed("svc")
    found = await provider(oscar)
    assert (found["endpoint"], found["access_key"], found["secret_key"]) == (elsewhere.url, ACCESS_KEY, SECRET_KEY)
    service = (await oscar.house.get("/deployments/svc", headers={"Authorization": oscar.owner})).json()["bucket"]
    assert service == {**{field: found[field] for field in FIELDS - {"verify"}}, "bucket": "svc"}
    echoed = (await oscar.system("GET", "/services/svc")).json()["storage_providers"]["minio"]["default"]
    assert (echoed["access_key"], echoed["secret_key"]) == ("hidden", "hidden")
    account = await provider(oscar, **bearer(issuer.token()))
    assert (account["endpoint"], account["access_key"], account["secret_key"]) == (elsewhere.url, "", "")

    while (await oscar.system("GET", "/buckets/svc")).status == 503:
        await asyncio.sleep(0.01)  # it is being made
    up = (await presign(oscar, "svc", object_key="inputs/x.json", operation="upload")).json()["url"]
    answer = await oscar.house.ask("PUT", up, data=b'{"number": 6}', skip_auto_headers=["Content-Type"])
    assert (answer.status, up.startswith(elsewhere.url)) == (200, True)
    # It may have been listed already.
    assert (await oscar.job("svc", minio_of("svc", "inputs/x.json"))).status == 201
    keys = Keys(found)
    await keys.wait("svc", "outputs/x.log")
    assert json.loads(await keys.get("svc", "outputs/x.json"))["number"] == 6
    # Nobody lists the bucket again within the hour.
    await keys.put("svc", "inputs/y.json", b'{"number": 7}')
    answer = await oscar.job("svc", minio_of("svc", "inputs/y.json"))
    assert (answer.status, "Location" in answer.headers) == (201, True)
    await keys.wait("svc", "outputs/y.log")
    # The same object, told of once more.
    answer = await oscar.job("svc", minio_of("svc", "inputs/x.json"))
    assert (answer.status, "Location" in answer.headers) == (201, False)
    assert len((await oscar.system("GET", "/logs/svc")).json()["jobs"]) == 2
    objects = (await oscar.system("GET", "/buckets/svc")).json()["objects"]
    assert {"inputs/x.json", "outputs/x.json", "outputs/x.log"} <= {each["object_name"] for each in objects}
    assert not [each for each in objects if each["object_name"].startswith(".modelport")]

    elsewhere.kill()
    assert (await oscar.job("svc", minio_of("svc", "inputs/x.json"))).status == 503
    assert (await oscar.system("GET", "/buckets/svc")).status == 503
