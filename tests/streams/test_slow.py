"""Clients that read slowly or not at all: a server in its own process holds little for them, and serves others."""

from __future__ import annotations

import socket
from pathlib import Path

import aiohttp
import pytest

from tests.house import PATIENCE_S, peak_memory_bytes, spawned_house, wait_until, workers

SOURCE = Path(__file__).with_name("plugin.py").read_text()
VALUE_BYTES = 10_000
# What the buffers of the sockets take, ours and the kernel's, is some megabytes.
HELD_BYTES = 40 << 20


def reading_slowly(port: int, query: str) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(f"GET /x?{query} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode())
    return client


@pytest.mark.slow
async def test_an_endless_generator_waits_for_a_client_that_does_not_read(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with spawned_house(tmp_path, SOURCE, workers=2) as server:
        async with aiohttp.ClientSession() as session:
            for _ in range(20):
                async with session.get(f"{server.url}/x") as response:
                    assert response.status == 200
            before = peak_memory_bytes(server.pid)
            with reading_slowly(server.port, f"mode=endless&size={VALUE_BYTES}&trace={trace}") as client:
                await wait_until(lambda: trace.exists() and trace.stat().st_size)
                made, before_that = 1, 0
                while made != before_that:  # others are served meanwhile, until it has come to its wait
                    for _ in range(50):
                        async with session.get(f"{server.url}/x", params={"number": 1}) as response:
                            assert response.status == 200
                    made, before_that = trace.read_bytes().count(b"\n"), made
                    assert made * VALUE_BYTES < HELD_BYTES
                assert peak_memory_bytes(server.pid) < before + HELD_BYTES
                # It goes on as soon as it is read, and nothing is missing.
                client.settimeout(PATIENCE_S)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
                said = bytearray()
                while len(said) < (made + 100) * VALUE_BYTES:
                    said += client.recv(1 << 20)
                ids = [int(line[4:]) for line in said.split(b"\n")[:-1] if line.startswith(b"id: ")]
                assert ids == list(range(1, len(ids) + 1)) and len(ids) > made
            await wait_until(lambda: trace.read_text().endswith("closed\n"))


@pytest.mark.slow
async def test_a_client_that_takes_nothing_is_disconnected_in_time(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with spawned_house(tmp_path, SOURCE, stall_timeout_s=1) as server:
        with reading_slowly(server.port, f"mode=endless&size={VALUE_BYTES}&trace={trace}"):
            await wait_until(lambda: trace.exists() and trace.read_text().endswith("closed\n"))
        async with aiohttp.ClientSession() as session, session.get(f"{server.url}/x") as response:
            assert response.status == 200


@pytest.mark.slow
async def test_a_deadline_ends_a_stream_that_nobody_reads(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with spawned_house(tmp_path, SOURCE, predict_timeout_s=1) as server:
        before = workers(server.pid)
        with reading_slowly(server.port, f"mode=endless&size={VALUE_BYTES}&trace={trace}"):
            await wait_until(lambda: workers(server.pid) not in ([], before))
