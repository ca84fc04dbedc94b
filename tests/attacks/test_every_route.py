"""Every route that may take a body gets the same hostile ones, while somebody asks whether the server is well."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.bodies import MIB, Hostile, hostile_bodies, large_json
from tests.attacks.conftest import SOURCE, TOKEN, complaints, probing
from tests.house import PATIENCE_S, Spawned, peak_memory_bytes, spawned_house, wait_until

pytestmark = pytest.mark.slow

WORST_S = 0.1
GROWTH_BYTES = 64 * MIB
# An answer that is no answer: the connection ended first. A client that sends what nobody reads may find that.
CUT = 0
WAIT_S = 60.0


async def send(port: int, method: str, path: str, body: Hostile, *, token: str = TOKEN) -> tuple[int, bytes]:
    """(status, the whole answer)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n"
    head += f"Sec-Fetch-Site: same-origin\r\nAuthorization: Bearer {token}\r\n" if token else ""
    head += f"Content-Type: {body.type}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in body.headers.items())
    chunked = body.length is None and "Content-Length" not in body.headers
    head += "Transfer-Encoding: chunked\r\n" if chunked else ""
    head += f"Content-Length: {body.length}\r\n" if body.length is not None else ""

    async def feed() -> None:
        writer.write(head.encode("latin-1") + b"\r\n")
        for chunk in filter(None, body.chunks()):
            writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
            await writer.drain()
        writer.write(b"0\r\n\r\n" if chunked else b"")
        await writer.drain()

    feeding = asyncio.create_task(feed())
    answer = b""
    try:
        async with asyncio.timeout(WAIT_S):
            with contextlib.suppress(ConnectionError):
                while chunk := await reader.read(1 << 16):
                    answer += chunk
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        writer.transport.abort()
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else CUT, answer


async def send_with_room(port: int, method: str, path: str, body: Hostile) -> tuple[int, bytes]:
    """Again while the job of an earlier body has not begun: only one may wait."""
    end = time.monotonic() + PATIENCE_S
    while True:
        status, answer = await send(port, method, path, body)
        if status != 503 or b"(job_limit)" not in answer or time.monotonic() > end:
            return status, answer


def check_log(house: Spawned) -> None:
    assert not complaints(house.log)
    assert TOKEN not in house.log.read_text(errors="replace")


async def settled(house: Spawned) -> None:
    """Nothing is left of any of it."""
    await wait_until(lambda: not list(house.home.glob("run/*/scratch/*")))


async def without_jobs(house: Spawned) -> None:
    """Some bodies are honest jobs. When these are deleted, nothing of them is left."""
    end = time.monotonic() + PATIENCE_S
    while list((house.home / "jobs").glob("*")):
        assert time.monotonic() < end
        await send(house.port, "DELETE", "/jobs?deployment=x", Hostile("", list))


def in_turn(routes: list[tuple[str, str]], bodies: list[Hostile]) -> Iterator[tuple[str, str, Hostile]]:
    """Each route with each fifth body, each body with each fifth route."""
    for number, (method, path) in enumerate(routes):
        for body in bodies[number % 5 :: 5]:
            yield method, path, body


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.thorough)], ids=["in turn", "every"])
async def test_every_route_takes_or_refuses_every_hostile_body(
    tmp_path: Path, routes: list[tuple[str, str]], every: bool
) -> None:
    bodies = hostile_bodies(4 * MIB)
    sent = [(*route, body) for route in routes for body in bodies] if every else list(in_turn(routes, bodies))
    settings = {"token": TOKEN, "client_max_size": 64 * MIB, "bucket_object_bytes": 8 * MIB, "job_limit": 1}
    with spawned_house(tmp_path, SOURCE, **settings) as house:
        for method, path in routes:  # whatever is made once is made
            await send(house.port, method, path, Hostile("", lambda: [b"{}"]))
        before = peak_memory_bytes(house.pid)
        with probing(house.port, house.pid) as probe:
            for method, path, body in sent:
                status, answer = await send_with_room(house.port, method, path, body)
                assert status < 500 or status in (501, 507), f"{method} {path}, {body.name}: {answer[:500]!r}"
        assert probe.worst_s < WORST_S
        assert probe.count > 10
        assert peak_memory_bytes(house.pid) - before < GROWTH_BYTES
        await settled(house)
        await without_jobs(house)
        check_log(house)


@pytest.mark.parametrize("path", ["/v2/models/x/predict/", "/x", "/run/x", "/job/x", "/x/async"])
@pytest.mark.parametrize("body", large_json(60 * MIB), ids=lambda body: body.name)
@pytest.mark.thorough
async def test_sixty_megabytes_of_json_stop_and_fill_nothing(tmp_path: Path, path: str, body: Hostile) -> None:
    await sixty_megabytes(tmp_path, path, body)


async def test_sixty_megabytes_of_json_in_some_shapes(tmp_path: Path) -> None:
    await sixty_megabytes(tmp_path, "/x", *large_json(60 * MIB)[::3])


async def sixty_megabytes(folder: Path, path: str, *bodies: Hostile) -> None:
    with spawned_house(folder, SOURCE, token=TOKEN, buckets=False) as house:
        await send(house.port, "POST", path, Hostile("", lambda: [b'{"a": 1}']))
        before = peak_memory_bytes(house.pid)
        with probing(house.port, house.pid) as probe:
            for body in bodies:
                status, answer = await send(house.port, "POST", path, body)
                assert status in (200, 201, 202, 400, 413, 422), f"{body.name}: {answer[:500]!r}"
        assert probe.worst_s < WORST_S
        assert peak_memory_bytes(house.pid) - before < GROWTH_BYTES
        await settled(house)
        check_log(house)


async def test_a_slow_body_ends_at_every_route(tmp_path: Path, routes: list[tuple[str, str]]) -> None:
    """All at once."""
    body = Hostile("slow", lambda: [b'{"a'], length=1000)
    multipart = Hostile("slow", lambda: [b"--b\r\n"], length=1000, type="multipart/form-data; boundary=b")
    form = Hostile("slow", lambda: [b"a="], length=1000, type="application/x-www-form-urlencoded")
    with spawned_house(tmp_path, SOURCE, token=TOKEN, body_window_s=2) as house:
        asked = [(method, path, each) for method, path in routes for each in (body, multipart, form)]
        answers = await asyncio.gather(*(send(house.port, *each) for each in asked))
        for (method, path, each), (status, answer) in zip(asked, answers, strict=True):
            assert 200 <= status < 500 or status == 501, f"{method} {path} {each.type}: {answer[:300]!r}"
        slow = [answer for _, answer in answers if b"body_rate_bytes_s" in answer]
        assert len(slow) >= 15
        await settled(house)
        check_log(house)


async def test_a_refused_body_is_not_swallowed(tmp_path: Path) -> None:
    sent = 0

    def endless() -> object:
        nonlocal sent
        while True:
            sent += MIB
            yield b"x" * MIB

    with spawned_house(tmp_path, SOURCE, token=TOKEN, client_max_size=MIB) as house:
        for path in ("/v2/models/x/predict/", "/x", "/run/x", "/ui/login", "/deployments", "/nowhere/at/all"):
            sent = 0
            status, _ = await send(house.port, "POST", path, Hostile("", endless, length=1 << 40))  # type: ignore[arg-type]
            assert status in (CUT, 400, 404, 413), path
            assert sent < 32 * MIB, path  # what the sockets hold, and a little


async def test_the_word_to_go_on_comes_only_after_the_token_was_good(tmp_path: Path) -> None:
    with spawned_house(tmp_path, SOURCE, token=TOKEN) as house:
        for path in ("/v2/models/x/predict/", "/x", "/run/x", "/deployments", "/files/x/other/a.bin"):
            method = "PUT" if path.startswith("/files") else "POST"
            for token, first in (("wrong", b"HTTP/1.1 401"), (TOKEN, b"HTTP/1.1 100 Continue")):
                reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
                head = (
                    f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nExpect: 100-continue\r\n"
                )
                writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n".encode())
                async with asyncio.timeout(WAIT_S):
                    assert (await reader.readline()).startswith(first), path
                    if token == TOKEN:
                        writer.write(b"{}")
                        await reader.readline()
                        assert int((await reader.readline()).split()[1]) in (200, 201, 400, 409, 422), path
                writer.close()


async def test_a_document_that_is_refused_repeats_no_secret(tmp_path: Path) -> None:
    with spawned_house(tmp_path, SOURCE, token=TOKEN) as house:
        body = json.dumps({"name": "y", "module": "x", "secrets": {"KEY": "very-secret"}, "environment": "x"}).encode()
        status, answer = await send(house.port, "POST", "/deployments", Hostile("", lambda: [body]))
        assert status == 422
        assert b"very-secret" not in answer
        assert "very-secret" not in house.log.read_text()
