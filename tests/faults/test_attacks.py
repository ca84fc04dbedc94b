"""Requests that nobody should send: taken or refused, and never a failure of ours."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults.conftest import SOURCE
from tests.house import House, open_house

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "secret"
AUTHORIZED = f"Authorization: Bearer {TOKEN}\r\n".encode()
PREDICT = b"POST /v2/models/x/predict/ HTTP/1.1\r\nHost: localhost\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(
        tmp_path_factory.mktemp("attacks"), SOURCE, start_method="fork", header_timeout_s=1.0, token=TOKEN
    ) as opened:
        opened.session.headers["Authorization"] = f"Bearer {TOKEN}"
        yield opened


async def raw(house: House, data: bytes) -> bytes:
    answer = await house.raw(data)
    assert answer.startswith(b"HTTP/1."), answer
    return answer


@pytest.mark.parametrize(
    ("body", "statuses"),
    [
        (b"[" * 200_000 + b"]" * 200_000, [400]),
        (b'{"text": ' + b"[" * 250 + b"]" * 250 + b"}", [422]),
        (b'{"text": ' + b"[" * 900 + b"]" * 900 + b"}", [400]),
        (b'{"number": NaN}', [400]),
        (b'{"seconds": Infinity}', [400]),
        (b'{"text": "\\ud800"}', [400]),
        (b'{"text": "\\udcff\\ud800"}', [400]),
        (b'{"text": "\xed\xa0\x80"}', [400]),
        (b'{"number": 1e400}', [400]),
        (b'{"number": ' + b"9" * 5000 + b"}", [200, 400, 422]),
        (b'{"number": ' + b"9" * 30 + b"}", [200]),
        (b'{"text": "a", "text": "b"}', [200]),
        (b'{"text": "\\u0000"}', [200]),
        (b'{"": 1, "text": "x"}', [200]),
        (b'{"__class__": 1, "mode": "ok"}', [200]),
        (json.dumps({f"k{number}": number for number in range(10_000)}).encode(), [200]),
    ],
    ids=range(16),
)
async def test_strange_json_is_taken_or_refused_and_never_our_fault(
    house: House, body: bytes, statuses: list[int]
) -> None:
    worker = house.workers()
    answer = await house.predict(data=body, headers={"Content-Type": "application/json"})
    assert answer.status in statuses, answer.text[:300]
    answer.json()
    assert house.workers() == worker
    assert (await house.predict()).status == 200


@pytest.mark.parametrize(
    "line",
    [
        b"Accept: \xff\xfe",
        b"Cookie: a=\xff; \x00=1",
        b"Content-Type: application/json; charset=\xff",
        b"Content-Type: \xff",
        b"Content-Type: application/json;" + b"x" * 5000,
        b"Accept: " + b"a/b," * 1500,
        b"Accept: a/b;q=nan, c/d;q=inf, e/f;q=-1",
        b"Authorization: Bearer \xff",
        b"Transfer-Encoding: nonsense",
        b"Content-Length: -1",
        b"Content-Length: 99999999999999999999999",
        b"X: " + b"y" * 100_000,
        b"Content-Encoding: gzip\r\nContent-Type: application/json",
        b"Expect: nonsense",
    ],
    ids=range(14),
)
async def test_strange_headers_are_taken_or_refused_and_never_our_fault(
    house: House, caplog: pytest.LogCaptureFixture, line: bytes
) -> None:
    request = PREDICT + AUTHORIZED + line + b"\r\nConnection: close\r\n"
    if not line.startswith((b"Content-Length", b"Transfer")):
        request += b"Content-Length: 16\r\n"
    answer = await raw(house, request + b'\r\n{"text": "text"}')
    assert int(answer.split()[1]) < 500, answer[:300]
    ours = [
        record for record in caplog.records if record.name.startswith("modelport") and record.levelno >= logging.ERROR
    ]
    assert not ours
    assert (await house.predict()).status == 200


@pytest.mark.parametrize(
    "target",
    [
        b"/v2/models/x%00y/predict/",
        b"/v2/models/%ff/predict/",
        b"/v2/models/x%0d%0aInjected:%201/predict/",
        b"/v2/models/x/predict?a=%0d%0aInjected:%201",
        b"/v2/models/x/predict/?text=%00%ff%fe",
        b"/v2/models/x/predict/?" + b"&".join(b"k%d=1" % number for number in range(500)),
        b"/v2/models/x/predict/?text=%ud800",
        b"//evil.example//v2/",
        b"/v2/models/x/train/%0d%0aInjected:%201",
        b"/" + b"a" * 7000,
        b"/v2/models/../../etc/passwd",
        b"/v2/models/%2e%2e/%2e%2e/",
    ],
    ids=range(12),
)
async def test_strange_addresses_are_taken_or_refused_and_never_our_fault(house: House, target: bytes) -> None:
    for method in (b"GET", b"POST"):
        answer = await raw(
            house,
            method
            + b" "
            + target
            + b" HTTP/1.1\r\nHost: localhost\r\n"
            + AUTHORIZED
            + b"Content-Length: 0\r\nConnection: close\r\n\r\n",
        )
        head = answer.partition(b"\r\n\r\n")[0]
        assert int(head.split()[1]) < 500, head
        assert b"\nInjected" not in head
        assert b"Location: //" not in head


@pytest.mark.parametrize("number", range(3))
async def test_noise_is_answered_or_cut(house: House, number: int) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")
    for data in (os.urandom(10_000), b"\0" * 100_000, b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 5000):
        try:
            await house.raw(data)
        except ConnectionError:
            pass
    assert (await house.predict()).status == 200
