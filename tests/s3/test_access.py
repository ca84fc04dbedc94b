"""Who may do what, and what is done at all."""

from __future__ import annotations

import io
import logging
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from botocore.exceptions import ClientError
from yarl import URL

from modelport.objectstore import sigv4
from tests.s3.conftest import REGION, Buckets, OpenBuckets, in_thread
from tests.s3.raw import Answer, put, request, send
from tests.s3.test_objects import Script, refused


async def ask(buckets: Buckets, method: str, target: str, **more: Any) -> Answer:
    return await send(buckets, request(buckets, method, target, **more).head)


# Keys


@pytest.mark.parametrize("region", ["us-east-1", "", "eu-west-3"])
@pytest.mark.parametrize(
    ("key", "secret", "bucket"),
    [
        ("digits-key", "digits-secret", "digits"),
        ("faces/of@people.eu", "faces-secret", "faces"),
        ("oscar", "owner-secret", "faces"),
    ],
)
async def test_keys_of_any_form_in_any_region(
    buckets: OpenBuckets, key: str, secret: str, bucket: str, region: str
) -> None:
    """The tutorial's script signs with an empty region."""
    client = (await buckets()).client(key, secret, region_name=region)
    await in_thread(client.put_object, Bucket=bucket, Key="inputs/a", Body=b"x")
    found = await in_thread(client.get_object, Bucket=bucket, Key="inputs/a")
    assert await in_thread(found["Body"].read) == b"x"


async def test_wrong_and_unknown_keys(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    for key, secret, code in (
        ("digits-key", "wrong", "SignatureDoesNotMatch"),
        ("nobody", "digits-secret", "InvalidAccessKeyId"),
        ("digits-key", "owner-secret", "SignatureDoesNotMatch"),
    ):
        client = open_.client(key, secret)
        for method, more in (
            ("get_object", {"Key": "inputs/a"}),
            ("put_object", {"Key": "inputs/a", "Body": b"x"}),
            ("list_objects_v2", {}),
        ):
            assert await refused(client, method, **more) == (403, code)
        assert await refused(client, "head_object", Key="inputs/a") == (403, "403")
    assert open_.files() == []


async def test_a_clock_that_is_wrong(buckets: OpenBuckets, monkeypatch: pytest.MonkeyPatch) -> None:
    open_ = await buckets()
    now = datetime.now(UTC) - timedelta(minutes=16)
    signed = sigv4.sign("GET", f"{open_.url}/digits", {}, "digits-key", "digits-secret", REGION, now=now)
    async with aiohttp.ClientSession() as session, session.get(f"{open_.url}/digits", headers=signed) as answer:
        assert answer.status == 403
        assert "<Code>RequestTimeTooSkewed</Code>" in await answer.text()


async def test_nobody_comes_in_without_a_signature(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    await put(open_, "/digits/inputs/a", b"x")
    async with aiohttp.ClientSession() as session:
        asked = "GET /", "GET /digits", "GET /digits/inputs/a", "PUT /digits/inputs/b", "DELETE /digits/inputs/a"
        for method, path in map(str.split, (*asked, "POST /digits?delete", "PUT /digits/inputs/b?acl")):
            async with session.request(method, f"{open_.url}{path}", data=b"x" if method == "PUT" else None) as answer:
                assert answer.status == 403
                assert "<Code>AccessDenied</Code>" in await answer.text()
    assert open_.files() == ["inputs/a"]


async def test_a_key_reaches_its_own_bucket_only(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    owner = open_.client("oscar", "owner-secret")
    await in_thread(owner.put_object, Bucket="faces", Key="inputs/secret", Body=b"secret")
    client = open_.client()
    await in_thread(client.put_object, Bucket="digits", Key="inputs/a", Body=b"x")
    for bucket in ("faces", "nobody-s", "digits2", ".rclone", "DIGITS"):
        for method, more in (
            ("get_object", {"Key": "inputs/secret"}),
            ("put_object", {"Key": "inputs/new", "Body": b"x"}),
            ("delete_object", {"Key": "inputs/secret"}),
            ("list_objects_v2", {}),
            ("list_objects", {}),
            ("get_bucket_location", {}),
            ("create_bucket", {}),
            ("create_multipart_upload", {"Key": "inputs/x"}),
            ("list_multipart_uploads", {}),
            ("delete_objects", {"Delete": {"Objects": [{"Key": "inputs/secret"}]}}),
        ):
            assert await refused(client, method, Bucket=bucket, **more) == (403, "AccessDenied"), (bucket, method)
        assert (await refused(client, "head_bucket", Bucket=bucket))[0] == 403
    assert open_.files("faces") == ["inputs/secret"]


SOURCES = (
    *("faces/inputs/secret", "/faces/inputs/secret", "faces%2Finputs%2Fsecret", "%66aces/inputs/secret"),
    *("//faces/inputs/secret", "digits/../faces/inputs/secret", "/digits/inputs/../../faces/inputs/secret"),
    *(
        "digits/%2e%2e/faces/inputs/secret",
        "faces/inputs/secret?versionId=1",
        "faces",
        "",
        "%ff/x",
    ),
)


@pytest.mark.parametrize("source", SOURCES)
async def test_nothing_is_copied_from_another_bucket(buckets: OpenBuckets, source: str) -> None:
    open_ = await buckets()
    owner = open_.client("oscar", "owner-secret")
    await in_thread(owner.put_object, Bucket="faces", Key="inputs/secret", Body=b"secret")
    answer = await put(open_, "/digits/inputs/a", b"", {"x-amz-copy-source": source})
    assert answer.code in ("AccessDenied", "NoSuchKey", "InvalidArgument")
    assert open_.files() == []


TARGETS = (
    *("/digits/../faces/inputs/secret", "/digits/inputs/../../faces/inputs/secret"),
    *("/digits/%2e%2e/faces/inputs/secret", "/digits/..%2ffaces/inputs/secret"),
    *("/digits%2f..%2ffaces/inputs/secret", "//faces/inputs/secret", "/digits//inputs/secret"),
    *("/digits/./inputs/secret", "/digits/inputs/%00secret", "/digits/inputs/%ff"),
    *("/digits\\..\\faces/inputs/secret", "/./faces/inputs/secret", "/../faces/inputs/secret"),
    *(
        "/faces/inputs/secret",
        "///faces/inputs/secret",
        "/%2ffaces/inputs/secret",
    ),
)


@pytest.mark.parametrize("target", TARGETS)
async def test_no_path_leads_to_another_bucket(buckets: OpenBuckets, target: str) -> None:
    open_ = await buckets()
    owner = open_.client("oscar", "owner-secret")
    await in_thread(owner.put_object, Bucket="faces", Key="inputs/secret", Body=b"secret")
    found = await ask(open_, "GET", target)
    assert (found.status, found.code) in {(403, "AccessDenied"), (404, "NoSuchKey"), (400, "InvalidURI")}
    answer = await put(open_, target, b"changed")
    assert answer.status in (400, 403)
    found = await ask(open_, "DELETE", target)
    assert found.status in (204, 400, 403)
    assert (
        await send(open_, request(open_, "GET", "/faces/inputs/secret", key="oscar", secret="owner-secret").head)
    ).body == b"secret"
    assert open_.files() == []


# Presigned URLs


async def test_presigned_urls(buckets: OpenBuckets) -> None:
    """As pages use them: without any key of their own."""
    open_ = await buckets()
    client = open_.client(config={"signature_version": "s3v4"})
    about = {"Bucket": "digits", "Key": "inputs/ü b+.json"}

    def theirs(method: str) -> URL:
        return URL(client.generate_presigned_url(f"{method.lower()}_object", about, ExpiresIn=60), encoded=True)

    def ours(method: str) -> URL:
        url = f"{open_.url}/digits/{quote('inputs/ü b+.json')}"
        return URL(sigv4.presign(method, url, "digits-key", "digits-secret", "us-east-1", 60), encoded=True)

    async with aiohttp.ClientSession() as session:
        for number, signed in enumerate((theirs, ours)):
            body = f"body {number}".encode()
            async with session.put(signed("PUT"), data=body) as answer:
                assert answer.status == 200
            async with session.get(signed("GET")) as answer:
                assert (answer.status, await answer.read()) == (200, body)
            async with session.get(signed("PUT")) as answer:
                assert answer.status == 403
            other = URL(str(signed("PUT")).replace("inputs", "outputs"), encoded=True)
            async with session.put(other, data=b"x") as answer:
                assert answer.status == 403
    assert [job[1] for job in open_.told.bucket_jobs] == ["inputs/ü b+.json"] * 2
    assert open_.told.principals[0][0] == "digits-key"


async def test_whose_an_upload_is_is_told_behind_a_proxy_that_is_trusted(buckets: OpenBuckets) -> None:
    open_ = await buckets(trusted_proxies="127.0.0.1")
    sent = {"x-forwarded-for": "203.0.113.9", "content-length": "1"}
    asked = request(open_, "PUT", "/digits/inputs/a", unsigned=sent)
    assert (await send(open_, asked.head + b"x")).status == 200
    assert open_.told.principals == [("digits-key", "203.0.113.9")]


async def test_a_presigned_url_means_only_what_was_signed(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    await put(open_, "/digits/inputs/a", b"x")
    url = sigv4.presign("PUT", f"{open_.url}/digits/inputs/b", "digits-key", "digits-secret", "us-east-1", 60)
    async with aiohttp.ClientSession() as session:
        headers = {"x-amz-copy-source": "/digits/inputs/a"}
        async with session.put(url, headers=headers) as answer:
            assert answer.status == 403
        for more in ("&uploads", "&acl", "&X-Amz-Extra=1"):
            async with session.put(f"{url}{more}", data=b"x") as answer:
                assert answer.status == 403
        late = datetime.now(UTC) - timedelta(seconds=61)
        old = sigv4.presign("GET", f"{open_.url}/digits/inputs/a", "digits-key", "digits-secret", "", 60, now=late)
        async with session.get(old) as answer:
            assert (answer.status, "Request has expired" in await answer.text()) == (403, True)
    assert open_.files() == ["inputs/a"]


async def test_behind_a_proxy_that_does_not_pass_the_host_on(buckets: OpenBuckets) -> None:
    open_ = await buckets(s3_url="https://buckets.example")
    signed = sigv4.sign("GET", "https://buckets.example/digits", {}, "digits-key", "digits-secret", REGION)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{open_.url}/digits", headers={**signed, "host": "10.0.0.1:9000"}) as answer:
            assert answer.status == 200
        async with session.get(f"{open_.url}/digits?list-type=2", headers=signed) as answer:
            assert answer.status == 403


# What is not done

NOT_DONE = (
    *("put_object_tagging", "put_object_acl", "delete_object_tagging"),
    *("get_object_attributes", "restore_object", "get_object_torrent", "put_object_retention", "put_object_legal_hold"),
    *("get_bucket_policy", "put_bucket_policy", "list_object_versions"),
    *("put_bucket_versioning", "get_bucket_tagging", "get_bucket_cors", "put_bucket_cors", "get_bucket_lifecycle"),
    *("get_bucket_notification_configuration", "put_bucket_notification_configuration", "delete_bucket"),
    *("get_bucket_encryption", "get_bucket_website", "get_bucket_logging", "get_object_lock_configuration"),
)
MORE: dict[str, dict[str, Any]] = {
    "put_object_tagging": {"Tagging": {"TagSet": [{"Key": "a", "Value": "b"}]}},
    "put_object_acl": {"ACL": "public-read"},
    "get_object_attributes": {"ObjectAttributes": ["ETag"]},
    "restore_object": {"RestoreRequest": {"Days": 1}},
    "put_object_retention": {"Retention": {"Mode": "GOVERNANCE"}},
    "put_object_legal_hold": {"LegalHold": {"Status": "ON"}},
    "put_bucket_policy": {"Policy": "{}"},
    "put_bucket_versioning": {"VersioningConfiguration": {"Status": "Enabled"}},
    "put_bucket_cors": {"CORSConfiguration": {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]}},
    "put_bucket_notification_configuration": {"NotificationConfiguration": {}},
}


async def test_what_is_not_done_is_refused_and_changes_nothing(buckets: OpenBuckets) -> None:
    """A server that takes some of it for a put would store the tags, or nothing, as the object."""
    open_ = await buckets()
    script = Script(open_, key="oscar", secret="owner-secret")
    await script.put("inputs/a", b"content")
    for method in NOT_DONE:
        more = {"Key": "inputs/a"} if "_object" in method and "bucket" not in method else {}
        if method in ("list_object_versions", "get_object_lock_configuration"):
            more = {}
        assert await script.refused(method, **more, **MORE.get(method, {})) == (501, "NotImplemented"), method
    assert (await script.get("inputs/a"))["Body"] == b"content"
    assert open_.files() == ["inputs/a"]
    assert len(open_.told.bucket_jobs) == 1


@pytest.mark.parametrize(
    "more",
    [
        {"ACL": "public-read"},
        {"Tagging": "a=b"},
        {"ServerSideEncryption": "AES256"},
        {"GrantRead": "id=x"},
        {"WebsiteRedirectLocation": "/x"},
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": datetime(2030, 1, 1, tzinfo=UTC)},
    ],
    ids=lambda more: next(iter(more)),
)
async def test_headers_that_would_silently_do_nothing_are_refused(buckets: OpenBuckets, more: dict[str, Any]) -> None:
    script = Script(await buckets())
    assert await script.refused("put_object", Key="inputs/a", Body=b"x", **more) == (501, "NotImplemented")


OTHERS = (
    *("PATCH /digits/inputs/a", "POST /", "POST /digits/inputs/a", "PUT /", "DELETE /", "POST /digits"),
    *("GET /digits?versions", "PUT /digits/inputs/a?append", "TRACE /digits"),
    *(
        "PUT /digits/inputs/a?partNumber=1",
        "GET /digits?list-type=3",
        "PUT /digits/inputs/a?uploads",
    ),
)


async def test_what_is_asked_of_tags_versions_and_access_is_answered(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    script = Script(open_)
    await script.put("inputs/a", b"content")
    about = {"Bucket": "digits", "Key": "inputs/a"}
    client = script.client
    for more in ({}, {"VersionId": "null"}):
        assert (await in_thread(client.get_object_tagging, **about, **more))["TagSet"] == []
        grants = (await in_thread(client.get_object_acl, **about, **more))["Grants"]
        assert [grant["Permission"] for grant in grants] == ["FULL_CONTROL"]
        assert (await script.get("inputs/a", **more))["Body"] == b"content"
        assert (await script.head("inputs/a", **more))["ContentLength"] == 7
    assert (await in_thread(client.get_bucket_acl, Bucket="digits"))["Owner"]["ID"] == "modelport"
    assert "Status" not in await in_thread(client.get_bucket_versioning, Bucket="digits")
    for method in ("get_object", "get_object_tagging", "get_object_acl", "delete_object"):
        assert await script.refused(method, Key="inputs/a", VersionId="1") == (404, "NoSuchVersion")
    for method in ("get_object_tagging", "get_object_acl"):
        assert await script.refused(method, Key="inputs/none") == (404, "NoSuchKey")
    for directive in ("COPY", "REPLACE"):
        await in_thread(
            client.copy_object,
            Bucket="digits",
            Key="inputs/b",
            CopySource={**about, "VersionId": "null"},
            TaggingDirective=directive,
        )
    await in_thread(client.delete_object, **about, VersionId="null")
    assert open_.files() == ["inputs/b"]


async def test_a_form_is_refused_with_what_to_do_instead(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    form = await in_thread(open_.client().generate_presigned_post, "digits", "inputs/a")
    async with aiohttp.ClientSession() as session:
        data = aiohttp.FormData({**form["fields"], "file": io.BytesIO(b"x")})
        async with session.post(form["url"], data=data) as answer:
            assert (answer.status, "sign a URL for PutObject" in await answer.text()) == (501, True)
    assert open_.files() == []


@pytest.mark.parametrize("asked", OTHERS)
async def test_other_requests_are_refused(buckets: OpenBuckets, asked: str) -> None:
    open_ = await buckets()
    method, target = asked.split()
    answer = await ask(open_, method, target, key="oscar", secret="owner-secret", headers={"content-length": "0"})
    assert (answer.status, answer.code) in {(501, "NotImplemented"), (400, "InvalidArgument")}
    assert answer.headers["x-amz-request-id"]


async def test_documents_that_are_none_or_expand(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    laughs = b'<!DOCTYPE x [<!ENTITY a "lol">' + b"".join(
        b'<!ENTITY %c "%s">' % (98 + number, b"&%c;" % (97 + number) * 10) for number in range(9)
    )
    laughs += b"]><Delete><Object><Key>&i;</Key></Object></Delete>"
    other = '<?xml version="1.0" encoding="utf-16"?><Delete/>'.encode("utf-16")
    for body in (b"", b"<Delete>", b"{}", b"<Other/>", b"<Delete/>", b"\xff", laughs, other):
        asked = request(open_, "POST", "/digits?delete", {"content-length": str(len(body))})
        assert (await send(open_, asked.head + body)).code == "MalformedXML"


async def test_headers_without_end(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    for junk in (b"x-junk: " + b"x" * (10 << 20) + b"\r\n", b"x-junk: x\r\n" * 500_000, b"x" * (10 << 20)):
        answer = await send(open_, b"GET /digits HTTP/1.1\r\nhost: a\r\n" + junk + b"\r\n")
        assert answer.status in (0, 400, 431)
    assert (await ask(open_, "GET", "/digits")).status == 200


async def test_errors_say_nothing_of_the_machine(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    seen = []
    for target in (
        "/digits/inputs/none",
        "/faces/x",
        "/digits/inputs/%01",
        "/digits?list-type=2&continuation-token=x",
        "/digits?policy",
    ):
        answer = await ask(open_, "GET", target)
        assert answer.status >= 400
        seen.append(answer.body.decode())
    for text in seen:
        assert "rclone" not in text.lower()
        assert str(open_.folder) not in text
        assert "<RequestId>" in text


async def test_no_secret_is_logged(buckets: OpenBuckets, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    open_ = await buckets()
    url = sigv4.presign("GET", f"{open_.url}/digits/inputs/a", "digits-key", "digits-secret", "", 60)
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 404
    await put(open_, "/digits/inputs/a", b"x")
    await put(open_, "/digits/inputs/a", b"x", secret="wrong")
    for secret in ("digits-secret", "owner-secret", "X-Amz-Signature", "Signature="):
        assert secret not in caplog.text


# Browsers


async def test_a_browser_is_told_what_it_may_do(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    names = "amz-sdk-invocation-id,amz-sdk-request,authorization,x-amz-content-sha256,x-amz-date,x-amz-user-agent"
    asked = {
        "Origin": "https://dashboard.example",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": names,
        "Access-Control-Request-Private-Network": "true",
    }
    async with aiohttp.ClientSession() as session:
        async with session.options(f"{open_.url}/digits/inputs/a", headers=asked) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert set(answer.headers["Access-Control-Allow-Methods"].split(", ")) == {
                "GET",
                "HEAD",
                "PUT",
                "POST",
                "DELETE",
                "OPTIONS",
            }
            assert answer.headers["Access-Control-Allow-Headers"] == names
            assert answer.headers["Access-Control-Allow-Private-Network"] == "true"
        for target, status in (("/digits", 200), ("/digits/inputs/none", 404), ("/digits?policy", 501)):
            signed = sigv4.sign("GET", f"{open_.url}{target}", {}, "digits-key", "digits-secret", REGION)
            async with session.get(f"{open_.url}{target}", headers={**signed, "Origin": "https://a.example"}) as answer:
                assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (status, "*")
                assert "ETag" in answer.headers["Access-Control-Expose-Headers"].split(", ")
        await put(open_, "/digits/outputs/a", b"x")
        url = sigv4.presign("GET", f"{open_.url}/digits/outputs/a", "digits-key", "digits-secret", REGION, 60)
        async with session.get(url, headers={"Origin": "https://a.example"}) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize(
    ("origins", "allowed"),
    [
        ("", None),
        ("https://a.example", "https://a.example"),
        ("https://b.example", None),
        ("https://b.example, https://a.example/", "https://a.example"),
    ],
)
async def test_pages_of_other_origins_by_the_setting(buckets: OpenBuckets, origins: str, allowed: str | None) -> None:
    open_ = await buckets(cors_origins=origins)
    async with aiohttp.ClientSession() as session:
        for method in ("OPTIONS", "GET"):
            async with session.request(method, open_.url, headers={"Origin": "https://a.example"}) as answer:
                assert answer.headers.get("Access-Control-Allow-Origin") == allowed


async def test_boto3_s_own_presigned_urls_of_version_2_are_refused_with_advice(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    url = open_.client().generate_presigned_url("get_object", {"Bucket": "digits", "Key": "inputs/a"})
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 400
        assert "s3v4" in await answer.text()


async def test_head_of_a_bucket_that_is_not_there(buckets: OpenBuckets) -> None:
    client = (await buckets()).client("oscar", "owner-secret")
    with pytest.raises(ClientError, match="404"):
        await in_thread(client.head_bucket, Bucket="none")
