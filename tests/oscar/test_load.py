"""Many calls at once, and large ones."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.house import peak_memory_bytes, spawned_house, workers
from tests.oscar.conftest import OWNER, PLUGIN, OpenOscar, definition, returned

LIMIT_BYTES = 64 << 20


@pytest.mark.asyncio(loop_scope="package")
async def test_64_calls_at_once_to_a_cold_service_all_succeed(oscar_with: OpenOscar) -> None:
    opened = await oscar_with(max_workers=2)
    token = await opened.deployed("cold")
    assert opened.house.workers("cold") == []
    answers = await asyncio.gather(*(opened.run("cold", {"number": n % 10}, token=token) for n in range(64)))
    assert [answer.status for answer in answers] == [200] * 64
    assert [f"'number': {n % 10}," in returned(each) for n, each in enumerate(answers)] == [True] * 64
    assert 1 <= len(opened.house.workers("cold")) <= 2


def large_body(size: int) -> Iterator[bytes]:
    """A JSON body whose file has `size` bytes, made while it is sent."""
    piece = base64.b64encode(bytes(range(256)) * 3072)  # 768 KiB, which is a multiple of 3
    yield b'{"mode": "size", "oscar-files": [{"key": "image", "file_format": "bin", "data": "'
    for _ in range(size // (256 * 3072)):
        yield piece
    yield b'"}]}'


@pytest.mark.slow
@pytest.mark.parametrize("pieces", [342, pytest.param(1366, marks=pytest.mark.thorough)])
def test_a_large_file_does_not_stay_in_memory(tmp_path: Path, pieces: int) -> None:
    size = pieces * 256 * 3072  # a quarter of a GiB, or one; the body is a third larger
    with spawned_house(tmp_path, {"plugin": PLUGIN}, password="a password", max_workers=1) as spawned:

        def ask(method: str, path: str, body: Any = None, auth: str = OWNER) -> tuple[int, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", spawned.port, timeout=300)
            connection.request(method, path, body, {"Authorization": auth}, encode_chunked=not isinstance(body, bytes))
            answer = connection.getresponse()
            found = answer.status, answer.read()
            connection.close()
            return found

        assert ask("POST", "/system/services", json.dumps(definition("big")).encode())[0] == 201
        token = json.loads(ask("GET", "/system/services/big")[1])["token"]
        auth = f"Bearer {token}"
        assert ask("POST", "/run/big", b"{}", auth)[0] == 200
        before = peak_memory_bytes(spawned.pid)
        started = time.perf_counter()
        status, text = ask("POST", "/run/big", large_body(size), auth)
        seconds = time.perf_counter() - started
        grown = peak_memory_bytes(spawned.pid) - before
        print(f"{size * 4 / 3 / seconds / 1e6:.0f} MB/s of base64, {grown >> 20} MiB more memory")
        assert (status, text) == (200, f"return: {size}\n".encode())
        assert grown < LIMIT_BYTES
        assert workers(spawned.pid, "big")
