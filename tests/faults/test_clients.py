"""Clients that leave, crowd or dawdle."""

from __future__ import annotations

import asyncio
import io
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.faults.conftest import OpenFaulty
from tests.house import SOON_S, alive, wait_until

PREDICT = b"POST /v2/models/x/predict/ HTTP/1.1\r\nHost: localhost\r\n"


async def pids(path: Path) -> list[int]:
    await wait_until(lambda: path.exists() and path.read_text().endswith("\n"))
    return [int(part) for part in path.read_text().split()]


# Those who leave


async def test_a_client_that_leaves_stops_its_work_at_once(faulty: OpenFaulty, tmp_path: Path) -> None:
    house = await faulty()
    path = tmp_path / "pid"
    leaving = asyncio.create_task(house.predict({"mode": "family", "path": str(path)}))
    worker = (await pids(path))[0]
    leaving.cancel()
    await wait_until(lambda: not alive(worker), SOON_S)
    assert (await house.predict({"text": "x"})).status == 200


async def test_a_client_that_leaves_the_queue_is_forgotten(faulty: OpenFaulty, tmp_path: Path) -> None:
    house = await faulty()
    running = asyncio.create_task(house.predict({"mode": "sleep"}))
    await house.wait_running(1)
    path = tmp_path / "pid"
    waiting = asyncio.create_task(house.predict({"path": str(path)}))
    await house.wait_queued(1)
    waiting.cancel()
    await house.wait_queued(0)
    running.cancel()
    assert (await house.predict({"text": "x"})).status == 200
    assert not path.exists()


async def test_a_client_that_leaves_during_its_upload_leaves_nothing(faulty: OpenFaulty) -> None:
    house = await faulty()
    _, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    writer.write(PREDICT + b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000000\r\n\r\n")
    writer.write(b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"x" * 3_000_000)
    await wait_until(lambda: house.scratch() != [])
    writer.close()
    await wait_until(lambda: house.scratch() == [])
    assert (await house.predict({"text": "x"})).status == 200


async def test_a_client_that_leaves_a_large_answer_leaves_nothing(faulty: OpenFaulty) -> None:
    house = await faulty()
    _, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    writer.write(PREDICT + b"Content-Type: application/json\r\nContent-Length: 36\r\n\r\n")
    writer.write(b'{"mode": "bytes", "size": 100000000}')
    await wait_until(lambda: house.scratch() != [])
    await house.wait_running(0)
    writer.transport.abort()
    await wait_until(lambda: house.scratch() == [])


async def test_a_client_that_reads_nothing_of_a_large_answer_holds_nobody_up(faulty: OpenFaulty) -> None:
    house = await faulty()
    _, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    writer.write(PREDICT + b"Content-Type: application/json\r\nContent-Length: 36\r\n\r\n")
    writer.write(b'{"mode": "bytes", "size": 100000000}')
    await wait_until(lambda: house.scratch() != [])
    assert (await asyncio.wait_for(house.predict({"text": "x"}), SOON_S)).status == 200
    writer.close()


# Crowds


async def test_full_is_said_at_once_and_never_more_than_n_are_at_work(faulty: OpenFaulty, tmp_path: Path) -> None:
    house = await faulty(workers=2, queue_limit=3)
    crowd = [asyncio.create_task(house.predict({"mode": "sleep"})) for _ in range(5)]
    await house.wait_running(2)
    await house.wait_queued(3)
    for _ in range(20):
        answer = await asyncio.wait_for(house.predict(), SOON_S)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert (house.counts().busy, house.counts().queued) == (2, 3)
    for each in crowd:
        each.cancel()
    await house.wait_queued(0)
    await wait_until(lambda: house.server.predictions.in_flight == 0)
    assert (await house.predict()).status == 200


async def test_a_crowd_that_is_refused_stores_nothing_of_its_uploads(faulty: OpenFaulty) -> None:
    house = await faulty(queue_limit=0)
    running = asyncio.create_task(house.predict({"mode": "sleep"}))
    await house.wait_running(1)

    def form() -> aiohttp.FormData:
        form_data = aiohttp.FormData()
        form_data.add_field("file", io.BytesIO(b"x" * 200_000), filename="a")
        return form_data

    for _ in range(5):
        assert (await house.predict(data=form())).status == 503
        assert len(house.scratch()) <= 1  # the running call's
    running.cancel()


async def test_trainings_have_a_limit_too(faulty: OpenFaulty) -> None:
    house = await faulty(queue_limit=1)
    path = "/v2/models/x/train/?mode=sleep"
    answers = [await house.post(path) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 503, 503]
    assert int(answers[-1].headers["Retry-After"]) >= 1


# Those who dawdle


async def test_slow_headers_are_cut(faulty: OpenFaulty) -> None:
    house = await faulty(header_timeout_s=0.5)
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    begun = time.monotonic()
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-")
    assert await asyncio.wait_for(reader.read(), SOON_S) == b""
    assert time.monotonic() - begun > 0.4
    writer.close()


async def test_a_connection_that_says_nothing_is_cut(faulty: OpenFaulty) -> None:
    house = await faulty(header_timeout_s=0.5)
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    assert await asyncio.wait_for(reader.read(), SOON_S) == b""
    writer.close()


async def test_the_limit_for_headers_cuts_no_long_prediction(faulty: OpenFaulty) -> None:
    house = await faulty(header_timeout_s=0.3)
    assert (await house.predict({"mode": "sleep", "seconds": "1"})).status == 200


async def test_an_idle_connection_is_closed(faulty: OpenFaulty) -> None:
    house = await faulty(keepalive_timeout_s=0.5)
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), SOON_S)
    assert answer.startswith(b"HTTP/1.1 200")
    writer.close()


async def test_headers_of_a_second_request_are_cut_too(faulty: OpenFaulty) -> None:
    house = await faulty(keepalive_timeout_s=0.5, header_timeout_s=0.5)
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /health HTTP/1.1\r\nX-")
    answer = await asyncio.wait_for(reader.read(), SOON_S)
    assert answer.count(b"HTTP/1.1 ") <= 2
    writer.close()


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=b", "text/plain"])
async def test_a_slow_body_is_cut_and_a_slow_but_steady_one_is_not(faulty: OpenFaulty, kind: str) -> None:
    house = await faulty(body_rate_bytes_s=1000, body_window_s=0.5)
    head = PREDICT + f"Content-Type: {kind}\r\nContent-Length: 100000\r\n\r\n".encode()
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    writer.write(head + part)
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SOON_S)
    assert answer.startswith(b"HTTP/1.1 400"), answer
    writer.close()
    await wait_until(lambda: house.scratch() == [])

    async def steady() -> Any:
        yield b'{"text": "'
        for _ in range(15):
            yield b"x" * 2000  # twenty times what is asked for: a busy machine may be late
            await asyncio.sleep(0.1)
        yield b'"}'

    answer_two = await house.predict(data=steady(), headers={"Content-Type": "application/json"})
    assert answer_two.json()["predictions"] == "x" * 30_000


async def test_a_body_that_is_late_is_no_reason_to_wait_for_the_worker(faulty: OpenFaulty) -> None:
    """A slow client waits alone: while its body comes, it holds no worker."""
    house = await faulty()
    _, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    writer.write(PREDICT + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
    assert (await house.predict({"text": "x"})).status == 200
    assert house.counts().busy == 0
    writer.close()
