"""Bodies and headers that nobody should send, at every door: taken or refused, never our failure.

Each door gets the same cases, at least 250, whatever it reads of them: a header or body that is strange to one door is
what another was made for.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import boto3
import pytest
import pytest_asyncio
from botocore.config import Config

from tests.attacks.conftest import SOURCE, TOKEN, body_routes
from tests.house import House, open_house

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOORS = {
    "deepaas": ("POST", "/v2/models/x/predict/"),
    "train": ("POST", "/v2/models/x/train/"),
    "plain": ("POST", "/x"),
    "plain, by GET": ("GET", "/x"),
    "async": ("POST", "/x/async"),
    "run": ("POST", "/run/x"),
    "job": ("POST", "/job/x"),
    "kserve": ("POST", "/kserve/v2/models/x/infer"),
    "index": ("POST", "/kserve/v2/repository/index"),
    "embeddings": ("POST", "/v1/embeddings"),
    "chat": ("POST", "/v1/chat/completions"),
    "mcp": ("POST", "/mcp"),
    "a tool": ("POST", "/mcp/x"),
    "deploy": ("POST", "/deployments"),
    "change": ("PATCH", "/deployments/x"),
    "link": ("POST", "/deployments/x/links"),
    "shift": ("POST", "/deployments/x/shift"),
    "source": ("POST", "/modules/sources"),
    "service": ("POST", "/system/services"),
    "bucket": ("POST", "/system/buckets"),
    "presign": ("POST", "/system/buckets/x/presign"),
    "file": ("PUT", "/files/x/other/a.bin"),
    "files": ("GET", "/files/x"),
    "jobs": ("GET", "/jobs"),
    "cancel": ("POST", f"/jobs/{'0' * 32}/cancel"),
    "modules": ("GET", "/modules"),
    "login": ("POST", "/ui/login"),
    "shared": ("POST", "/ui/shared/x"),
    "dashboard": ("GET", "/ui/jobs"),
    "OpenAPI": ("GET", "/openapi.json"),
    "ready": ("GET", "/ready"),
    "metrics": ("GET", "/metrics"),
    # At the S3 port, by presigned addresses.
    "S3 put": ("PUT", "put_object"),
    "S3 parts": ("POST", "create_multipart_upload"),
    "S3 list": ("GET", "list_objects_v2"),
}
# Those that read a document which is for the server itself.
CONTROL = ("deploy", "change", "link", "shift", "source", "service", "bucket", "presign")
# Routes that are answered by the handler of a door at another path, or method.
TWINS = {
    *(("POST", f"{path}/infer") for path in ("/v2/models/x", "/v2/models/x/versions/other")),
    *(("POST", path) for path in ("/kserve/v2/models/x/versions/other/infer", "/v2/repository/index")),
    *(("PUT", f"/system/{kind}") for kind in ("services", "buckets")),
}
# Routes that read no body, whatever is sent.
BODILESS = {
    *(("POST", f"/deployments/x/{verb}") for verb in ("bucket", "load", "token")),
    *(("POST", f"/system/services/x/{verb}") for verb in ("restart", "start", "stop")),
    *(("POST", f"/{area}{rest}") for area in ("job", "run", "system") for rest in ("", "/other")),
    *(("POST", f"/{kind}/{'0' * 32}") for kind in ("results", "status")),
    ("POST", f"/jobs/{'0' * 32}/run-again"),
    ("POST", f"/modules/{'0' * 32}/check"),
    *(("POST", path) for path in ("/modules/refresh", "/ui/code", "/ui/logout")),
}
LEAST_CASES = 250

CHARSETS = [
    *("idna", "zlib", "rot13", "hex", "base64", "bz2", "unicode_escape", "raw_unicode_escape", "punycode", "undefined"),
    *("utf-7", "utf-16", "utf-32", "mbcs", "no-such", "", "\x01", "\xff", "a" * 5000, "utf-8; charset=zlib", '"idna"'),
]


ENCODINGS = [
    *(
        b"gzip",
        b"deflate",
        b"br",
        b"zstd",
        b"compress",
        b"identity, gzip",
        b"GZIP",
        b"\xff",
        b"*",
        b"a" * 5000,
        b"x-gzip",
    ),
]


TYPES = [
    *(b"", b"/", b"a", b"a/b/c", b"application/json;", b"application/json; charset", b"application/json;charset=;=;;"),
    *(b"application/", b"application/x+json", b"\xff/\xfe", b"text/plain", b"multipart/form-data", b"multipart/mixed"),
    *(b"multipart/form-data; boundary=", b'multipart/form-data; boundary="', b"multipart/form-data; boundary=\xff"),
    *(b"multipart/form-data; boundary=" + b"b" * 71, b"multipart/form-data; boundary=" + b"b" * 7000),
    *(b"multipart/form-data; boundary*=utf-8''%ff", b"multipart/form-data; boundary*=zlib''b", b"image/png"),
    *(b"application/json, text/plain", b"message/rfc822", b"application/x-www-form-urlencoded; charset=utf-16"),
]


DISPOSITIONS = [
    *(b'form-data; name="a\xff"', b'form-data; name="a\xed\xa0\x80"; filename="\xed\xa0\x80"'),
    *(b"", b"form-data", b"form-data; name", b'form-data; name="', b'form-data; name=""', b"x y z", b"\xff\xfe"),
    *(b'form-data; name="a"; filename="\x00"', b'form-data; name="a\x00b"', b'form-data; name="image"; filename=".."'),
    *(b'form-data; name="image"; filename="../../x.png"', b'form-data; name="image"; filename="a\xff\xfe.png"'),
    *(b"form-data; name=\"image\"; filename*=utf-8''%ff%00", b"form-data; name=\"image\"; filename*=zlib''%78%9c"),
    *(
        b"form-data; name=\"image\"; filename*=idna''%ff",
        b"form-data; name=\"image\"; filename*=''",
        b"form-data; name*=x",
    ),
    *(
        b'form-data; name="image"; filename="%0d%0aInjected: 1"',
        b'form-data; name="image"; filename="' + b"n" * 5000 + b'"',
    ),
    *(
        b'form-data; name="' + b"n" * 15_000 + b'"',
        b"form-data" + b'; a="b"' * 2000,
        b'form-data; name="a"; name="word"',
    ),
    *(b'form-data; name="image"; filename="\xf0\x9f\x98\x80.nii.gz"', b'form-data; name="image"; filename="a\\"b.png"'),
]


NAMED = b'--b\r\nContent-Disposition: form-data; name="word"\r\n'
FRAMES = [
    b"",
    b"--b",
    b"--b--",
    b"--b\r\n",
    b"--b\r\n\r\n",
    b"--b\r\n\r\nx",
    b"--b\r\n\r\n--b\r\n\r\n--b--",
    b"--bb\r\n\r\nx\r\n--b--\r\n",
    b'--b  \t\r\nContent-Disposition: form-data; name="word"\r\n\r\nx\r\n--b--\r\nepilogue',
    NAMED + b"\r\nx\r\n--b",
    b'--b\nContent-Disposition: form-data; name="word"\n\nx\n--b--\n',
    b"--b\r\nno colon\r\n\r\nx\r\n--b--\r\n",
    NAMED + b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n--b--\r\n",
    NAMED + b"Content-Transfer-Encoding: base64\r\n\r\n!!!\r\n--b--\r\n",
    NAMED + b"Content-Transfer-Encoding: zlib\r\n\r\nx\r\n--b--\r\n",
    NAMED + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n=\r\n--b--\r\n",
    b'--b\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\nzlib\r\n--b--\r\n',
    b'--b\r\nContent-Length: 99999\r\nContent-Disposition: form-data; name="word"\r\n\r\nx\r\n--b--\r\n',
    NAMED.replace(b"word", b'image"; filename="a') + b"Content-Encoding: gzip\r\n\r\nx\r\n--b--\r\n",
    b"\r\n" * 3000 + b"--b--\r\n",
]


FORMS = [
    *(b"a=%", b"a=%f", b"a=%ff%fe", b"%ff=1", b"a=\xff", b"&" * 1000, b"&" * 1001, b"=" * 5000, b"a", b"=", b"&=&"),
    *(b"a=1&" * 1500, b"a=%ed%a0%80", b"word=%00", b"help=1", b"oscar-files=1", b"+=+", b"a=" + b"%C3" * 1000),
]


LENGTHS = [
    *((b"Content-Length: -1",), (b"Content-Length: 99999999999999999999999",), (b"Content-Length: 1e3",)),
    *((b"Content-Length: 0x10",), (b"Content-Length: \xb2",), (b"Content-Length: +2",), (b"Content-Length: 2, 2",)),
    (b"Content-Length: 2", b"Content-Length: 3"),
    (b"Content-Length: 2", b"Transfer-Encoding: chunked"),
    (b"Transfer-Encoding: chunked", b"Content-Length: 2"),
    *((b"Transfer-Encoding: gzip, chunked",), (b"Transfer-Encoding: chunked, gzip",), (b"Transfer-Encoding: \xff",)),
]


ACCEPTS = [
    *(b"", b"*", b"*/*;q=nan", b"a/b;q=inf", b"a/b;q=-1", b"a/b;q=1e9", b"a/b;q=", b"\xff", b"a/b," * 1500, b";q=1"),
    *(b"text/html;q=0", b",,,", b"application/json;q=0.5;x=y", b"*/json", b"text/*;q=\xb2"),
]


DOCUMENTS = [
    *(
        b"",
        b" " * 1000,
        b"[]",
        b"1",
        b"null",
        b'"x"',
        b"{",
        b'{"name": "\\ud800"}',
        b'{"name": NaN}',
        b"\xff\xfe{\x00}\x00",
    ),
    *(b'\xef\xbb\xbf{"name": 1}', b'{"name": {"name": {}}}', b'{"secrets": {"a": 1e400}}', b'{"name": "a\\u0000b"}'),
    b'{"min_workers": ' + b"9" * 4301 + b"}",
    b'{"memory": "' + b"9" * 300 + b'"}',
    b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}",
    json.dumps({f"k{number}": 1 for number in range(10_001)}).encode(),
    b'{"bucket_name": "../..", "object_key": "../../etc/passwd"}',
    b'{"name": "' + b"n" * 200_000 + b'"}',
    b'{"' + b"n" * 200_000 + b'": 1}',
]

QUERIES = [
    "&".join(f"k{number}=1" for number in range(900)),
    *("a=%ff%fe%00", "%ff=%ff", "format=%ff%00", "a=%ud800&word=%ED%A0%80", "=" * 5000, "limit=-1&page=x&state=%0a"),
    *("prefix=..%2f..%2f&after=%ff", "status=x&status=y&since=1e400", "max-keys=x&encoding-type=%ff&marker=%00"),
]


@dataclass(frozen=True)
class Case:
    """lines: of the head, beside those that every request has."""

    body: bytes
    lines: tuple[bytes, ...]
    query: str = ""


def typed(kind: bytes, body: bytes, *lines: bytes) -> Case:
    return Case(body, (b"Content-Type: " + kind, *lines))


JSON, FORM, MULTIPART = b"application/json", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=b"


def charsets() -> Iterator[Case]:
    for charset in CHARSETS:
        name = charset.encode("latin-1")
        for kind in (JSON, FORM, MULTIPART):
            yield typed(kind + b"; charset=" + name, b'{"a": "x\x9c\xcbH\x04"}')
        head = b'--b\r\nContent-Disposition: form-data; name="word"\r\nContent-Type: text/plain; charset=' + name
        yield typed(MULTIPART, head + b"\r\n\r\nx\x9c\xcbH\r\n--b--\r\n")


def types() -> Iterator[Case]:
    form = b'--b\r\nContent-Disposition: form-data; name="word"\r\n\r\nx\r\n--b--\r\n'
    return (typed(kind, body) for kind in TYPES for body in (form, b"{}", b"a=1"))


def forms() -> Iterator[Case]:
    for disposition in DISPOSITIONS:
        yield typed(MULTIPART, b"--b\r\nContent-Disposition: " + disposition + b"\r\n\r\nx\r\n--b--\r\n")
    yield from (typed(MULTIPART, body) for body in FRAMES)
    yield from (typed(FORM, body) for body in FORMS)


def headers() -> Iterator[Case]:
    yield from (typed(JSON, b"2\r\n{}\r\n0\r\n\r\n", *lines) for lines in LENGTHS)
    for accept in ACCEPTS:
        yield from (typed(JSON, b"{}", name + accept) for name in (b"Accept: ", b"Tag: "))
    for encoding in ENCODINGS:
        yield typed(JSON, b"{}", b"Content-Encoding: " + encoding)
    for query in QUERIES:
        yield Case(b"{}", (b"Content-Type: " + JSON, b"Cookie: a=\xff; =; \x01=1; a"), query)


def documents() -> Iterator[Case]:
    return (typed(JSON, body) for body in DOCUMENTS)


GROUPS = {make.__name__: list(make()) for make in (charsets, types, forms, headers, documents)}


async def test_there_are_enough_cases_for_each_door() -> None:
    assert sum(map(len, GROUPS.values())) >= LEAST_CASES


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(
        tmp_path_factory.mktemp("attacks"), SOURCE, token=TOKEN, kept_trainings=5, job_limit=1_000_000
    ) as opened:
        yield opened


async def test_every_route_that_reads_a_body_is_a_door(house: House) -> None:
    routes = {(method, path.rstrip("/")) for method, path in body_routes(house) if method != "DELETE"}
    listed = [*{(method, path.rstrip("/")) for method, path in DOORS.values()}, *TWINS, *BODILESS]
    assert routes - set(listed) == set()
    assert (TWINS | BODILESS) - routes == set() and len(listed) == len(set(listed))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def presigned(house: House) -> dict[str, str]:
    """The S3 port's addresses of one operation each."""
    assert house.gateway.bucket_jobs is not None
    keys = house.gateway.bucket_jobs.bucket_keys.access("x")
    assert keys is not None
    client = boto3.client(
        "s3",
        endpoint_url=keys.endpoint,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        region_name="us-east-1",
        config=Config(signature_version="s3v4", request_checksum_calculation="when_required"),
    )
    operations = [path for door, (_, path) in DOORS.items() if door.startswith("S3")]
    of = {"Bucket": keys.bucket, "Key": "other/a"}
    return {
        operation: client.generate_presigned_url(
            operation, {name: of[name] for name in of if name == "Bucket" or "list" not in operation}
        )
        for operation in operations
    }


async def ask(house: House, caplog: pytest.LogCaptureFixture, door: str, case: Case, url: str = "") -> bytes:
    """The whole answer; not a 5xx of ours, and nothing in the log that tells of a fault. url: of the S3 port."""
    method, path = DOORS[door]
    target = urlsplit(url) if url else urlsplit(path)
    query = "&".join(filter(None, (target.query, case.query)))
    lines = [b"Authorization: Bearer " + TOKEN.encode()] if not url else []
    lines += [b"Sec-Fetch-Site: same-origin"] if door in ("login", "shared") else []
    lines += case.lines
    if not any(line.lower().startswith((b"content-length", b"transfer-encoding")) for line in lines):
        lines.append(b"Content-Length: %d" % len(case.body))
    host = target.netloc or "127.0.0.1"
    head = f"{method} {target.path}{'?' if query else ''}{query} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
    sent = head.encode() + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + case.body
    answer = await house.raw(sent, port=target.port)
    assert answer.startswith(b"HTTP/1."), answer
    status = status_of(answer)
    assert status < 500 or status == 501, answer[:500]
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert b"Injected: 1" not in answer.partition(b"\r\n\r\n")[0]
    return answer


def status_of(answer: bytes) -> int:
    return int(answer.split()[1])


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("door", DOORS)
async def test_whatever_comes_is_taken_or_refused(
    house: House, presigned: dict[str, str], caplog: pytest.LogCaptureFixture, door: str, group: str
) -> None:
    for case in GROUPS[group]:
        await ask(house, caplog, door, case, presigned.get(DOORS[door][1], ""))


READERS = ("deepaas", "train", "plain", "async", "run", "job", *CONTROL, "login")


@pytest.mark.parametrize("door", READERS)
async def test_compressed_bodies_are_415_with_what_is_taken(
    house: House, caplog: pytest.LogCaptureFixture, door: str
) -> None:
    kind = FORM if door == "login" else JSON
    for encoding in ENCODINGS:
        answer = await ask(house, caplog, door, typed(kind, b"{}", b"Content-Encoding: " + encoding))
        assert status_of(answer) in (400, 404, 415)  # there is no such service or bucket
        if status_of(answer) == 415:
            assert b"takes only identity" in answer


async def test_a_file_keeps_the_bytes_that_were_sent(house: House, caplog: pytest.LogCaptureFixture) -> None:
    body = b"\x1f\x8bnot gzip at all"
    sent = Case(body, (b"Content-Encoding: gzip",))
    assert status_of(await ask(house, caplog, "file", sent)) in (200, 201)
    answer = await house.get(DOORS["file"][1], headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.body == body


@pytest.mark.parametrize("door", CONTROL)
async def test_strange_documents_are_refused(house: House, caplog: pytest.LogCaptureFixture, door: str) -> None:
    for case in documents():
        answer = await ask(house, caplog, door, case)
        assert 400 <= status_of(answer) < 500
        assert b"n" * 10_000 not in answer


def long(size: int) -> tuple[Case, Case]:
    """A body that is too long, sent whole and in a chunk."""
    chunked = b"%x\r\n" % size + b"x" * size + b"\r\n0\r\n\r\n"
    return Case(b"x" * size, ()), Case(chunked, (b"Transfer-Encoding: chunked",))


@pytest.mark.parametrize("door", CONTROL)
async def test_a_document_has_a_limit_that_is_named(house: House, caplog: pytest.LogCaptureFixture, door: str) -> None:
    for case in long(300_000):
        answer = await ask(house, caplog, door, typed(JSON, case.body, *case.lines))
        assert (status_of(answer), b"document_limit_bytes" in answer) in ((413, True), (404, False))


async def test_the_sign_in_form_has_a_limit_that_is_named(house: House, caplog: pytest.LogCaptureFixture) -> None:
    for case in long(100_000):
        answer = await ask(house, caplog, "login", typed(FORM, case.body, *case.lines))
        assert (status_of(answer), b"sign_in_limit_bytes" in answer) == (413, True)
