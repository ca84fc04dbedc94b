"""Bodies: pieces, signatures, checksums; and that nothing is stored that is not right."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import io
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from urllib3 import HTTPResponse

from modelport.objectstore.checksums import ALGORITHMS
from modelport.objectstore.keys import TEMPORARY
from tests.house import wait_until
from tests.s3.conftest import Buckets, OpenBuckets, in_thread
from tests.s3.raw import (
    SIGNED_PIECES,
    SIGNED_TRAILING,
    UNSIGNED_TRAILING,
    Answer,
    Request,
    put,
    read_answer,
    request,
    send,
)
from tests.s3.test_objects import Script

SMALL = hashlib.shake_256(b"small").digest(70_000)
# Too large to be read before anything is written.
LARGE = hashlib.shake_256(b"large").digest(1_500_000)
BODIES = pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])


def checksum(algorithm: str, body: bytes) -> str:
    found = ALGORITHMS[algorithm]()
    found.update(body)
    return base64.b64encode(found.digest()).decode()


def split(body: bytes, size: int = 65536) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


def in_pieces(buckets: Buckets, kind: str, size: int, **headers: str) -> Request:
    """A put of inputs/a whose body comes in pieces."""
    about = {"x-amz-decoded-content-length": str(size), "content-encoding": "aws-chunked", **headers}
    return request(
        buckets, "PUT", "/digits/inputs/a", about, payload_hash=kind, unsigned={"transfer-encoding": "chunked"}
    )


def as_http(body: bytes) -> bytes:
    """In a chunk of HTTP's own."""
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"


async def nothing_is_stored(buckets: Buckets) -> None:
    await wait_until(lambda: not buckets.files())  # it may just be removing what there was of it
    assert buckets.told.bucket_jobs == []
    assert (await send(buckets, request(buckets, "GET", "/digits/inputs/a").head)).status == 404


async def stored(buckets: Buckets) -> bytes:
    return (await send(buckets, request(buckets, "GET", "/digits/inputs/a").head)).body


@BODIES
@pytest.mark.parametrize("kind", [SIGNED_PIECES, SIGNED_TRAILING, UNSIGNED_TRAILING])
@pytest.mark.parametrize("size", [8192, 65536, 1 << 20])
async def test_a_body_in_pieces(buckets: OpenBuckets, body: bytes, kind: str, size: int) -> None:
    open_ = await buckets()
    trailing = kind != SIGNED_PIECES
    more = {"x-amz-trailer": "x-amz-checksum-crc32c"} if trailing else {}
    asked = in_pieces(open_, kind, len(body), **more)
    trailers = {"x-amz-checksum-crc32c": checksum("crc32c", body)} if trailing else None
    data = asked.chunked(split(body, size), trailers, signed=kind != UNSIGNED_TRAILING)
    answer = await send(open_, asked.head + as_http(data))
    assert (answer.status, answer.headers.get("etag")) == (200, f'"{hashlib.md5(body).hexdigest()}"')
    assert await stored(open_) == body
    found = await send(open_, request(open_, "HEAD", "/digits/inputs/a").head)
    assert "content-encoding" not in found.headers  # that of its way is not that of the object


@BODIES
async def test_pieces_may_come_without_http_s_own(buckets: OpenBuckets, body: bytes) -> None:
    """With a Content-Length of all that is sent, as most clients do over HTTP."""
    open_ = await buckets()
    asked = in_pieces(open_, SIGNED_PIECES, len(body))
    data = asked.chunked(split(body))
    head = asked.head.replace(b"transfer-encoding: chunked", b"content-length: %d" % len(data))
    assert (await send(open_, head + data)).status == 200
    assert await stored(open_) == body


@BODIES
@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
async def test_checksums(buckets: OpenBuckets, body: bytes, algorithm: str) -> None:
    open_ = await buckets()
    name = f"x-amz-checksum-{algorithm}"
    for wrong in (checksum(algorithm, body + b"x"), checksum(algorithm, body[:-1] + b"?")):
        assert (await put(open_, "/digits/inputs/a", body, {name: wrong})).code == "BadDigest"
    await nothing_is_stored(open_)
    for value in ("", "?", "AAAA", checksum(algorithm, body) + "AAAA"):
        assert (await put(open_, "/digits/inputs/a", body, {name: value})).code == "InvalidRequest"
    answer = await put(open_, "/digits/inputs/a", body, {name: checksum(algorithm, body)})
    assert (answer.status, answer.headers[name]) == (200, checksum(algorithm, body))
    assert await stored(open_) == body


@BODIES
@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
async def test_checksums_behind_a_body(buckets: OpenBuckets, body: bytes, algorithm: str) -> None:
    open_ = await buckets()
    name = f"x-amz-checksum-{algorithm}"

    async def send_with(trailers: dict[str, str]) -> Answer:
        asked = in_pieces(open_, UNSIGNED_TRAILING, len(body), **{"x-amz-trailer": name})
        return await send(open_, asked.head + as_http(asked.chunked(split(body), trailers, signed=False)))

    assert (await send_with({name: checksum(algorithm, body + b"x")})).code == "BadDigest"
    for trailers in ({}, {"x-amz-checksum-other": "AAAA"}, {name: checksum(algorithm, body), "more": "x"}):
        assert (await send_with(trailers)).code == "MalformedTrailerError"
    await nothing_is_stored(open_)
    assert (await send_with({name: checksum(algorithm, body)})).status == 200
    assert await stored(open_) == body


@BODIES
async def test_md5_and_sha256(buckets: OpenBuckets, body: bytes) -> None:
    open_ = await buckets()
    right = base64.b64encode(hashlib.md5(body).digest()).decode()
    wrong = base64.b64encode(hashlib.md5(body + b"x").digest()).decode()
    assert (await put(open_, "/digits/inputs/a", body, {"content-md5": wrong})).code == "BadDigest"
    assert (await put(open_, "/digits/inputs/a", body, {"content-md5": "x"})).code == "InvalidDigest"
    other = hashlib.sha256(body + b"x").hexdigest()
    assert (await put(open_, "/digits/inputs/a", body, payload_hash=other)).code == "XAmzContentSHA256Mismatch"
    await nothing_is_stored(open_)
    hash_ = hashlib.sha256(body).hexdigest()
    assert (await put(open_, "/digits/inputs/a", body, {"content-md5": right}, payload_hash=hash_)).status == 200


async def test_boto3_s_own_choice_of_checksums(buckets: OpenBuckets) -> None:
    script = Script(await buckets())
    for algorithm in ("CRC32", "SHA1", "SHA256"):
        answer = await script.put("inputs/a", LARGE, ChecksumAlgorithm=algorithm)
        assert answer[f"Checksum{algorithm}"] == checksum(algorithm.lower(), LARGE)
        found = await script.get("inputs/a", ChecksumMode="ENABLED")
        assert (found["Body"], found.get(f"Checksum{algorithm}")) == (LARGE, answer[f"Checksum{algorithm}"])


# Attacks


@BODIES
async def test_a_changed_piece_is_not_stored(buckets: OpenBuckets, body: bytes) -> None:
    open_ = await buckets()
    asked = in_pieces(open_, SIGNED_PIECES, len(body))
    data = asked.chunked(split(body))
    place = data.rindex(body[-100:])  # in the last piece: all before it is written already
    changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    assert (await send(open_, asked.head + as_http(changed))).code == "SignatureDoesNotMatch"
    await nothing_is_stored(open_)


@BODIES
async def test_pieces_of_another_body_are_not_stored(buckets: OpenBuckets, body: bytes) -> None:
    """A replay: the head of one request, signed well, and the pieces of another."""
    open_ = await buckets()
    asked, other = (in_pieces(open_, SIGNED_PIECES, len(body), **{"x-amz-meta-number": each}) for each in "12")
    assert (await send(open_, asked.head + as_http(other.chunked(split(body))))).code == "SignatureDoesNotMatch"
    pieces = split(body)
    swapped = asked.chunked(pieces).replace(pieces[0], pieces[0][::-1])
    assert (await send(open_, asked.head + as_http(swapped))).code == "SignatureDoesNotMatch"
    await nothing_is_stored(open_)


@BODIES
async def test_pieces_that_are_left_out_are_missed(buckets: OpenBuckets, body: bytes) -> None:
    """An end that is signed, but for fewer pieces."""
    open_ = await buckets()
    pieces = split(body, len(body) // 3 + 1)
    for given, size in ((pieces[:2], len(body)), (pieces, len(body) - 1), (pieces, len(body) + 1)):
        asked = in_pieces(open_, SIGNED_PIECES, size)
        assert (await send(open_, asked.head + as_http(asked.chunked(given)))).code == "IncompleteBody"
    await nothing_is_stored(open_)


@BODIES
@pytest.mark.parametrize("kind", [SIGNED_PIECES, UNSIGNED_TRAILING])
async def test_a_body_in_pieces_that_is_cut_off_is_not_stored(buckets: OpenBuckets, body: bytes, kind: str) -> None:
    open_ = await buckets()
    asked = in_pieces(open_, kind, len(body))
    data = asked.chunked(split(body), signed=kind == SIGNED_PIECES)
    for length in (0, 10, len(data) // 2, len(data) - 1):
        # Of these, the end of HTTP's own is there: only ours is not.
        answer = await send(open_, asked.head + as_http(data[:length])[: None if length else -5], cut=not length)
        assert answer.code in ("IncompleteBody", "SignatureDoesNotMatch", "MalformedTrailerError", ""), length
        assert answer.status in (0, 400, 403)
    await nothing_is_stored(open_)


@BODIES
async def test_an_unsigned_piece_among_signed_ones_is_not_taken(buckets: OpenBuckets, body: bytes) -> None:
    open_ = await buckets()
    asked = in_pieces(open_, SIGNED_PIECES, len(body))
    data = asked.chunked(split(body), signed=False)
    assert (await send(open_, asked.head + as_http(data))).code == "IncompleteBody"
    unsigned = in_pieces(open_, UNSIGNED_TRAILING, len(body))
    assert (await send(open_, unsigned.head + as_http(asked.chunked(split(body))))).code == "IncompleteBody"
    await nothing_is_stored(open_)


FIVE = b"5\r\nhello\r\n"
END = b"0\r\n\r\n"
BROKEN = (
    *(b"", b"\r\n", b"zz\r\n", b"-1\r\n", b"5\r\nhello", b"5\r\nhello" + END, b"f" * 17 + b"\r\n", b"x" * 100_000),
    *(b"5 \r\nhello\r\n" + END, b"5;chunk-signature=x\r\nhello\r\n" + END, FIVE + b"0\r\n", FIVE + END + b"more"),
    *(FIVE + b"0\r\n" + b"a:b\r\n" * 10_000 + b"\r\n", FIVE + b"0\r\n" + b"a" * 100_000),
)


@pytest.mark.parametrize("data", BROKEN)
async def test_broken_pieces_are_refused(buckets: OpenBuckets, data: bytes) -> None:
    open_ = await buckets()
    asked = in_pieces(open_, UNSIGNED_TRAILING, 5)
    answer = await send(open_, asked.head + as_http(data))
    assert (answer.status, answer.code) in {(400, "IncompleteBody"), (400, "MalformedTrailerError")}
    await nothing_is_stored(open_)


async def test_wrong_signed_trailers_are_not_taken(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    name = "x-amz-checksum-sha256"
    asked = in_pieces(open_, SIGNED_TRAILING, len(SMALL), **{"x-amz-trailer": name})
    data = asked.chunked([SMALL], {name: checksum("sha256", SMALL)})
    for changed in (
        data[:-10] + b"0" + data[-9:] if data[-10:-9] != b"0" else data[:-10] + b"1" + data[-9:],
        data[: data.rindex(b"x-amz-trailer-signature")] + b"\r\n",
        data[:-10] + b"\xff" + data[-9:],
    ):
        assert (await send(open_, asked.head + as_http(changed))).code == "SignatureDoesNotMatch"
    await nothing_is_stored(open_)


async def test_lengths_must_be_told(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    asked = request(open_, "PUT", "/digits/inputs/a", unsigned={"transfer-encoding": "chunked"})
    assert (await send(open_, asked.head + as_http(SMALL))).code == "MissingContentLength"
    for length in ("", "-1", "x", "٣", "9" * 30):
        headers = {"x-amz-decoded-content-length": length}
        asked = request(
            open_,
            "PUT",
            "/digits/inputs/a",
            headers,
            payload_hash=SIGNED_PIECES,
            unsigned={"transfer-encoding": "chunked"},
        )
        assert (await send(open_, asked.head + as_http(asked.chunked([SMALL])))).code in (
            "MissingContentLength",
            "EntityTooLarge",
            "SignatureDoesNotMatch",
        )
    asked = request(open_, "PUT", "/digits/inputs/a", {"content-length": str(6 << 30)})
    assert (await send(open_, asked.head)).code == "EntityTooLarge"
    await nothing_is_stored(open_)


@pytest.mark.parametrize("kind", ["STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "x", "", "A" * 64])
async def test_unknown_kinds_of_bodies_are_refused(buckets: OpenBuckets, kind: str) -> None:
    open_ = await buckets()
    assert (await put(open_, "/digits/inputs/a", SMALL, payload_hash=kind)).code == "NotImplemented"
    await nothing_is_stored(open_)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
async def test_a_client_that_leaves_leaves_nothing(buckets: OpenBuckets, share: float) -> None:
    open_ = await buckets()
    asked = request(open_, "PUT", "/digits/inputs/deep/down/a", {"content-length": str(len(LARGE))})
    _, writer = await asyncio.open_connection("127.0.0.1", open_.port)
    writer.write(asked.head + LARGE[: int(share * (len(LARGE) - 1))])
    await writer.drain()
    if share:
        await wait_until(lambda: list(open_.folder.rglob(f"{TEMPORARY}*")))
    writer.transport.abort()
    await wait_until(lambda: not list(open_.folder.rglob(f"{TEMPORARY}*")))
    await nothing_is_stored(open_)
    while (await put(open_, "/digits/inputs/deep", SMALL)).status != 200:
        pass  # it may just have begun, and be about to end


async def test_an_old_object_stays_when_a_new_one_is_broken(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    await put(open_, "/digits/inputs/a", b"old")
    answer = await put(open_, "/digits/inputs/a", LARGE, {"x-amz-checksum-crc32": "AAAAAA=="})
    assert answer.code == "BadDigest"
    assert await stored(open_) == b"old"
    assert len(open_.told.bucket_jobs) == 1


async def test_a_client_that_waits_to_go_on_is_told_to_or_refused_at_once(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    headers = {"content-length": str(len(LARGE)), "expect": "100-continue"}
    reader, writer = await asyncio.open_connection("127.0.0.1", open_.port)
    writer.write(request(open_, "PUT", "/digits/inputs/a", headers).head)
    assert (await read_answer(reader)).status == 100
    writer.write(LARGE)
    assert (await read_answer(reader)).status == 200
    writer.write(request(open_, "PUT", "/digits/inputs/../a", headers).head)
    answer = await read_answer(reader)
    assert (answer.code, answer.headers["connection"]) == ("InvalidArgument", "close")
    writer.close()
    await writer.wait_closed()
    wrong = request(open_, "PUT", "/digits/inputs/a", headers, secret="wrong")
    assert (await send(open_, wrong.head)).code == "SignatureDoesNotMatch"


async def test_a_body_that_comes_too_slowly_is_cut_off(buckets: OpenBuckets) -> None:
    open_ = await buckets(body_window_s=0.3)
    asked = request(open_, "PUT", "/digits/inputs/a", {"content-length": str(len(LARGE))})
    reader, writer = await asyncio.open_connection("127.0.0.1", open_.port)
    writer.write(asked.head + LARGE[:1000])
    assert (await read_answer(reader)).code == "RequestTimeout"
    writer.close()
    await nothing_is_stored(open_)


async def test_a_compressed_object_stays_compressed(buckets: OpenBuckets) -> None:
    script = Script(await buckets())
    body = gzip.compress(SMALL)
    await script.put("inputs/a.gz", body, ContentEncoding="gzip")
    found = await script.get("inputs/a.gz")
    assert (found["Body"], found["ContentEncoding"]) == (body, "gzip")


async def test_what_boto3_sends_over_https(buckets: OpenBuckets) -> None:
    """As behind a proxy that ends TLS: the checksum comes behind the body, whose pieces are not signed."""
    open_ = await buckets(s3_url="https://buckets.example")
    client: Any = boto3.client(
        "s3",
        endpoint_url="https://buckets.example",
        aws_access_key_id="digits-key",
        aws_secret_access_key="digits-secret",
        region_name="",
        config=Config(s3={"addressing_style": "path"}),
    )
    caught: dict[str, Any] = {}

    def catch(request: Any, **_: Any) -> Any:
        caught.update(headers=dict(request.headers), body=request.body.read(), url=request.url)
        return AWSResponse(request.url, 200, {"ETag": '"x"'}, HTTPResponse(io.BytesIO(), preload_content=False))

    client.meta.events.register("before-send.s3.PutObject", catch)
    await in_thread(client.put_object, Bucket="digits", Key="inputs/a", Body=SMALL)
    headers = {name: value.decode() if isinstance(value, bytes) else value for name, value in caught["headers"].items()}
    assert headers["X-Amz-Content-SHA256"] == UNSIGNED_TRAILING
    lines = [f"{name}: {value}" for name, value in headers.items() if name.lower() != "expect"]
    head = "\r\n".join(["PUT /digits/inputs/a HTTP/1.1", f"Host: 127.0.0.1:{open_.port}", *lines, "", ""]).encode()
    data = caught["body"]
    answer = await send(open_, head + (as_http(data) if "Transfer-Encoding" in headers else data))
    assert answer.status == 200, answer.body
    assert await stored(open_) == SMALL
