"""Requests that are no HTTP, at both ports: answered in the port's shape, and nothing of them in the log."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from xml.etree import ElementTree

import pytest
import pytest_asyncio

from tests.house import PATIENCE_S, House, open_house

pytestmark = pytest.mark.asyncio(loop_scope="module")

MARK = b"t0ken-in-the-clear"
PORTS = ("main", "S3")
HEAD = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer " + MARK + b"\r\n"

# Each with the statuses that it may have, where it is read after all 0.
CASES: dict[str, tuple[bytes, tuple[int, ...]]] = {
    "a token file with CR LF": (HEAD.replace(b"clear\r\n", b"clear\r\r\n") + b"\r\n", (400,)),
    "a token with a line feed": (HEAD.replace(MARK, MARK + b"\nX") + b"\r\n", (400,)),
    "a token with a NUL": (HEAD.replace(MARK, MARK + b"\0") + b"\r\n", (400,)),
    "a name with a blank": (HEAD + b"X Y: " + MARK + b"\r\n\r\n", (400,)),
    "a blank before the colon": (HEAD + b"Cookie : " + MARK + b"\r\n\r\n", (400,)),
    "a line without a colon": (HEAD + MARK + b"\r\n\r\n", (400,)),
    "no name": (HEAD + b": " + MARK + b"\r\n\r\n", (400,)),
    "a folded line": (HEAD + b"X: a\r\n " + MARK + b"\r\n\r\n", (400, 0)),
    "a name that is not ASCII": (HEAD + b"X\xff: " + MARK + b"\r\n\r\n", (400,)),
    "two lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n" + MARK, (400,)),
    "two hosts": (HEAD + b"Host: " + MARK + b"\r\n\r\n", (400, 0)),
    "a negative length": (HEAD + b"Content-Length: -1\r\n\r\n" + MARK, (400,)),
    "a signed length": (HEAD + b"Content-Length: +1\r\n\r\n" + MARK, (400,)),
    "a hexadecimal length": (HEAD + b"Content-Length: 0x10\r\n\r\n" + MARK, (400,)),
    "a length that is a word": (HEAD + b"Content-Length: " + MARK + b"\r\n\r\n", (400,)),
    "an endless length": (HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n" + MARK, (400,)),
    "a length and chunks": (
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + MARK,
        (400,),
    ),
    "an unknown transfer": (HEAD + b"Transfer-Encoding: " + MARK + b"\r\n\r\n", (400,)),
    "chunks that are none": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + MARK + b"\r\n", (400, 0)),
    "a chunk of a negative size": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n" + MARK + b"\r\n", (400, 0)),
    "a method of bytes": (b"\xff\xfe " + HEAD[5:] + b"\r\n", (400,)),
    "a method with a blank": (b"PO ST" + HEAD[4:] + b"\r\n", (400,)),
    "a method that nobody has": (MARK.upper() + HEAD[4:] + b"\r\n", (400, 0)),
    "no version": (b"GET /" + MARK + b"\r\n\r\n", (400, 0)),
    "an odd version": (HEAD.replace(b"HTTP/1.1", b"HTTP/9.9") + b"\r\n", (400,)),
    "no protocol": (HEAD.replace(b"HTTP/1.1", MARK) + b"\r\n", (400,)),
    "no host": (HEAD.replace(b"Host: localhost\r\n", b"") + b"\r\n", (400, 0)),
    "another protocol": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + MARK + b"\0" * 50, (400,)),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + MARK, (400, 0)),
    "a mail": (b"EHLO " + MARK + b"\r\n\r\n", (400,)),
    "an address with a blank": (HEAD.replace(b"/jobs", b"/jobs/ " + MARK) + b"\r\n", (400,)),
    "an address with bytes": (HEAD.replace(b"/jobs", b"/jobs/\xff" + MARK) + b"\r\n", (400, 0)),
    "an address with a NUL": (HEAD.replace(b"/jobs", b"/jobs/\0" + MARK) + b"\r\n", (400, 0)),
    "an address in brackets": (HEAD.replace(b"/jobs", b"http://[" + MARK) + b"\r\n", (400, 0)),
    "a port that is none": (HEAD.replace(b"/jobs", b"http://a:99999999/" + MARK) + b"\r\n", (400, 0)),
    "a long address": (HEAD.replace(b"/jobs", b"/jobs?token=" + MARK * 2000) + b"\r\n", (414,)),
    "a long header": (HEAD + b"X: " + MARK * 1000 + b"\r\n\r\n", (431,)),
    "a long name": (HEAD + MARK * 1000 + b": 1\r\n\r\n", (431,)),
    "a long cookie": (HEAD + b"Cookie: a=" + MARK * 1000 + b"\r\n\r\n", (431,)),
    "many headers": (HEAD + b"".join(b"X%d: %s\r\n" % (n, MARK) for n in range(500)) + b"\r\n", (431,)),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(
        tmp_path_factory.mktemp("unreadable"), "def predict(**k): return 1\n", header_timeout_s=1.0
    ) as house:
        yield house


def port_of(house: House, port: str) -> int:
    assert house.gateway.bucket_jobs is not None
    access = house.gateway.bucket_jobs.bucket_keys.access("x")
    assert access is not None
    return house.server.port if port == "main" else int(access.endpoint.rpartition(":")[2])


async def send(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(PATIENCE_S):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("case", CASES)
async def test_it_is_answered_in_the_ports_shape_and_not_repeated(
    opened: House, port: str, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    data, statuses = CASES[case]
    answer = await send(port_of(opened, port), data)
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1]) if head else 0
    assert status in statuses or (0 in statuses and status < 500), answer[:500]
    if (head and status in (414, 431)) or (status == 400 and 0 not in statuses and body):
        if port == "main":
            assert json.loads(body)["error"] == "invalid_request"
        else:
            assert ElementTree.fromstring(body).findtext("Code")
        assert MARK.lower() not in answer.lower()
    assert MARK.decode().lower() not in caplog.text.lower()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_many_of_them_are_one_line(opened: House, caplog: pytest.LogCaptureFixture) -> None:
    opened.server._connections._tally.close()
    caplog.clear()
    for _ in range(25):
        await send(opened.server.port, CASES["a token file with CR LF"][0])
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    opened.server._connections._tally.close()
    assert [message for message in caplog.messages if "could not be read" in message] == [
        "25 requests from 127.0.0.1 could not be read, within 60 s"
    ]


async def test_the_limits_of_a_head_are_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    limits = {"request_line_bytes": 300, "header_bytes": 300, "header_limit": 10}
    async with open_house(tmp_path_factory.mktemp("limits"), "def predict(**k): return 1\n", **limits) as house:
        for port in PORTS:
            for line, headers, status in (
                (250, [b"X: 1"], 0),
                (350, [b"X: 1"], 414),
                (1, [b"X: " + b"y" * 350], 431),
                (1, [b"X%d: 1" % number for number in range(20)], 431),
            ):
                head = b"GET /%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" % (b"a" * line)
                answer = await send(port_of(house, port), head + b"\r\n".join(headers) + b"\r\n\r\n")
                told = int(answer.split()[1])
                assert told == status or (not status and told in (401, 403, 404)), (port, line, answer[:300])
