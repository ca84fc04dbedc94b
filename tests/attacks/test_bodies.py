"""Bodies and headers that nobody should send, at every door that reads one: taken or refused, never our failure."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.attacks.conftest import SOURCE, TOKEN
from tests.house import House, open_house

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOORS = {
    "deepaas": ("POST", "/v2/models/x/predict/"),
    "train": ("POST", "/v2/models/x/train/"),
    "plain": ("POST", "/x"),
    "async": ("POST", "/x/async"),
    "run": ("POST", "/run/x"),
    "job": ("POST", "/job/x"),
    "deploy": ("POST", "/deployments"),
    "change": ("PATCH", "/deployments/x"),
    "service": ("POST", "/system/services"),
    "bucket": ("POST", "/system/buckets"),
    "presign": ("POST", "/system/buckets/x/presign"),
    "file": ("PUT", "/files/x/other/a.bin"),
    "login": ("POST", "/ui/login"),
}
PREDICT = ("deepaas", "plain", "run")

CHARSETS = [
    *("idna", "zlib", "rot13", "hex", "base64", "bz2", "unicode_escape", "raw_unicode_escape", "punycode", "undefined"),
    *("utf-7", "utf-16", "utf-32", "mbcs", "no-such", "", "\x01", "\xff", "a" * 5000, "utf-8; charset=zlib", '"idna"'),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(
        tmp_path_factory.mktemp("attacks"), SOURCE, token=TOKEN, kept_trainings=5, job_limit=1_000_000
    ) as opened:
        yield opened


async def ask(house: House, caplog: pytest.LogCaptureFixture, door: str, body: bytes, *lines: bytes) -> bytes:
    """The whole answer; not a 5xx of ours, and nothing in the log that tells of a fault or of a secret."""
    method, path = DOORS[door]
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n"
    if door == "login":
        lines = (*lines, b"Sec-Fetch-Site: same-origin")
    if not any(line.lower().startswith((b"content-length", b"transfer-encoding")) for line in lines):
        lines = (*lines, b"Content-Length: %d" % len(body))
    answer = await house.raw(head.encode() + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body)
    assert answer.startswith(b"HTTP/1."), answer
    status = int(answer.split()[1])
    assert status < 500 or status == 501, answer[:500]
    assert not [record.getMessage() for record in caplog.records if is_our_fault(record)]
    assert b"Injected: 1" not in answer.partition(b"\r\n\r\n")[0]
    return answer


def is_our_fault(record: logging.LogRecord) -> bool:
    """Of what is logged at all, that a process could not be ended is the machine's."""
    return record.levelno >= logging.ERROR and "does not end" not in record.getMessage()


def status_of(answer: bytes) -> int:
    return int(answer.split()[1])


@pytest.mark.parametrize("charset", CHARSETS, ids=range(len(CHARSETS)))
@pytest.mark.parametrize("door", ["deepaas", "plain", "run", "job", "deploy", "service", "login"])
async def test_no_charset_is_taken_for_more_than_a_name(
    house: House, caplog: pytest.LogCaptureFixture, door: str, charset: str
) -> None:
    for kind in ("application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"):
        line = f"Content-Type: {kind}; charset={charset}".encode("latin-1")
        await ask(house, caplog, door, b'{"a": "x\x9c\xcbH\x04"}', line)


@pytest.mark.parametrize("charset", CHARSETS, ids=range(len(CHARSETS)))
@pytest.mark.parametrize("door", PREDICT)
async def test_no_charset_of_a_part_either(
    house: House, caplog: pytest.LogCaptureFixture, door: str, charset: str
) -> None:
    head = f'--b\r\nContent-Disposition: form-data; name="word"\r\nContent-Type: text/plain; charset={charset}\r\n\r\n'
    body = head.encode("latin-1") + b"x\x9c\xcbH\r\n--b--\r\n"
    await ask(house, caplog, door, body, b"Content-Type: multipart/form-data; boundary=b")


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


@pytest.mark.parametrize("encoding", ENCODINGS, ids=range(len(ENCODINGS)))
@pytest.mark.parametrize("door", [each for each in DOORS if each != "file"])
async def test_compressed_bodies_are_415_with_what_is_taken(
    house: House, caplog: pytest.LogCaptureFixture, door: str, encoding: bytes
) -> None:
    kind = b"application/x-www-form-urlencoded" if door == "login" else b"application/json"
    answer = await ask(house, caplog, door, b"{}", b"Content-Type: " + kind, b"Content-Encoding: " + encoding)
    assert status_of(answer) in (400, 404, 415)  # there is no such service or bucket
    if status_of(answer) == 415:
        assert b"takes only identity" in answer


async def test_a_file_keeps_the_bytes_that_were_sent(house: House, caplog: pytest.LogCaptureFixture) -> None:
    body = b"\x1f\x8bnot gzip at all"
    assert status_of(await ask(house, caplog, "file", body, b"Content-Encoding: gzip")) in (200, 201)
    answer = await house.get(DOORS["file"][1], headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.body == body


TYPES = [
    *(b"", b"/", b"a", b"a/b/c", b"application/json;", b"application/json; charset", b"application/json;charset=;=;;"),
    *(b"application/", b"application/x+json", b"\xff/\xfe", b"text/plain", b"multipart/form-data", b"multipart/mixed"),
    *(b"multipart/form-data; boundary=", b'multipart/form-data; boundary="', b"multipart/form-data; boundary=\xff"),
    *(b"multipart/form-data; boundary=" + b"b" * 71, b"multipart/form-data; boundary=" + b"b" * 7000),
    *(b"multipart/form-data; boundary*=utf-8''%ff", b"multipart/form-data; boundary*=zlib''b", b"image/png"),
    *(b"application/json, text/plain", b"message/rfc822", b"application/x-www-form-urlencoded; charset=utf-16"),
]


@pytest.mark.parametrize("kind", TYPES, ids=range(len(TYPES)))
@pytest.mark.parametrize("door", DOORS)
async def test_strange_types_are_taken_or_refused(
    house: House, caplog: pytest.LogCaptureFixture, door: str, kind: bytes
) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="word"\r\n\r\nx\r\n--b--\r\n'
    for sent in (body, b"{}", b"a=1"):
        await ask(house, caplog, door, sent, b"Content-Type: " + kind)


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


@pytest.mark.parametrize("disposition", DISPOSITIONS, ids=range(len(DISPOSITIONS)))
@pytest.mark.parametrize("door", PREDICT)
async def test_strange_parts_are_taken_or_refused(
    house: House, caplog: pytest.LogCaptureFixture, door: str, disposition: bytes
) -> None:
    body = b"--b\r\nContent-Disposition: " + disposition + b"\r\n\r\nx\r\n--b--\r\n"
    await ask(house, caplog, door, body, b"Content-Type: multipart/form-data; boundary=b")


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


@pytest.mark.parametrize("body", FRAMES, ids=range(len(FRAMES)))
@pytest.mark.parametrize("door", PREDICT)
async def test_broken_forms_are_taken_or_refused(
    house: House, caplog: pytest.LogCaptureFixture, door: str, body: bytes
) -> None:
    await ask(house, caplog, door, body, b"Content-Type: multipart/form-data; boundary=b")


FORMS = [
    *(b"a=%", b"a=%f", b"a=%ff%fe", b"%ff=1", b"a=\xff", b"&" * 1000, b"&" * 1001, b"=" * 5000, b"a", b"=", b"&=&"),
    *(b"a=1&" * 1500, b"a=%ed%a0%80", b"word=%00", b"help=1", b"oscar-files=1", b"+=+", b"a=" + b"%C3" * 1000),
]


@pytest.mark.parametrize("body", FORMS, ids=range(len(FORMS)))
@pytest.mark.parametrize("door", [*PREDICT, "job", "login"])
async def test_strange_forms_are_taken_or_refused(
    house: House, caplog: pytest.LogCaptureFixture, door: str, body: bytes
) -> None:
    await ask(house, caplog, door, body, b"Content-Type: application/x-www-form-urlencoded")


LENGTHS = [
    *((b"Content-Length: -1",), (b"Content-Length: 99999999999999999999999",), (b"Content-Length: 1e3",)),
    *((b"Content-Length: 0x10",), (b"Content-Length: \xb2",), (b"Content-Length: +2",), (b"Content-Length: 2, 2",)),
    (b"Content-Length: 2", b"Content-Length: 3"),
    (b"Content-Length: 2", b"Transfer-Encoding: chunked"),
    (b"Transfer-Encoding: chunked", b"Content-Length: 2"),
    *((b"Transfer-Encoding: gzip, chunked",), (b"Transfer-Encoding: chunked, gzip",), (b"Transfer-Encoding: \xff",)),
]


@pytest.mark.parametrize("lines", LENGTHS, ids=range(len(LENGTHS)))
@pytest.mark.parametrize("door", DOORS)
async def test_strange_lengths_are_taken_or_refused(
    house: House, caplog: pytest.LogCaptureFixture, door: str, lines: tuple[bytes, ...]
) -> None:
    answer = await ask(house, caplog, door, b"2\r\n{}\r\n0\r\n\r\n", *lines, b"Content-Type: application/json")
    assert status_of(answer) < 500


ACCEPTS = [
    *(b"", b"*", b"*/*;q=nan", b"a/b;q=inf", b"a/b;q=-1", b"a/b;q=1e9", b"a/b;q=", b"\xff", b"a/b," * 1500, b";q=1"),
    *(b"text/html;q=0", b",,,", b"application/json;q=0.5;x=y", b"*/json", b"text/*;q=\xb2"),
]


@pytest.mark.parametrize("accept", ACCEPTS, ids=range(len(ACCEPTS)))
@pytest.mark.parametrize("door", [*PREDICT, "async", "job"])
async def test_strange_accepts_are_taken_or_refused(
    house: House, caplog: pytest.LogCaptureFixture, door: str, accept: bytes
) -> None:
    await ask(house, caplog, door, b"{}", b"Content-Type: application/json", b"Accept: " + accept)
    await ask(house, caplog, door, b"{}", b"Content-Type: application/json", b"Tag: " + accept)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "query",
    [
        "?" + "&".join(f"k{number}=1" for number in range(900)),
        "?a=%ff%fe%00",
        "?%ff=%ff",
        "?format=%ff%00",
        "?a=%ud800&word=%ED%A0%80",
        "?" + "=" * 5000,
    ],
    ids=range(6),
)
async def test_strange_queries_are_taken_or_refused(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, door: str, query: str
) -> None:
    method, path = DOORS[door]
    monkeypatch.setitem(DOORS, door, (method, path + query))
    await ask(house, caplog, door, b"{}", b"Content-Type: application/json", b"Cookie: a=\xff; =; \x01=1; a")


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
]


@pytest.mark.parametrize("body", DOCUMENTS, ids=range(len(DOCUMENTS)))
@pytest.mark.parametrize("door", ["deploy", "change", "service", "bucket", "presign"])
async def test_strange_documents_are_refused(
    house: House, caplog: pytest.LogCaptureFixture, door: str, body: bytes
) -> None:
    answer = await ask(house, caplog, door, body, b"Content-Type: application/json")
    assert 400 <= status_of(answer) < 500 or status_of(answer) == 501
    assert b"n" * 10_000 not in answer


@pytest.mark.parametrize("door", ["deploy", "change", "service", "bucket", "presign"])
async def test_a_document_has_a_limit_that_is_named(house: House, caplog: pytest.LogCaptureFixture, door: str) -> None:
    for body, lines in ((b"x" * 300_000, ()), (b"493e0\r\n" + b"x" * 300_000, (b"Transfer-Encoding: chunked",))):
        answer = await ask(house, caplog, door, body, b"Content-Type: application/json", *lines)
        assert (status_of(answer), b"document_limit_bytes" in answer) in ((413, True), (404, False))


async def test_the_sign_in_form_has_a_limit_that_is_named(house: House, caplog: pytest.LogCaptureFixture) -> None:
    kind = b"Content-Type: application/x-www-form-urlencoded"
    for body, lines in ((b"x" * 100_000, ()), (b"186a0\r\n" + b"x" * 100_000, (b"Transfer-Encoding: chunked",))):
        answer = await ask(house, caplog, "login", body, kind, *lines)
        assert (status_of(answer), b"sign_in_limit_bytes" in answer) == (413, True)
