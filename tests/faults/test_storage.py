"""A full disk is an answer (promise 17), and large bodies are no load on memory (promise 12)."""

from __future__ import annotations

import resource
from pathlib import Path

import aiohttp
import pytest

from tests.faults.conftest import SOURCE
from tests.house import Spawned, peak_memory_bytes, spawned_house, wait_until

LIMIT_BYTES = 10 << 20
GIB = 1 << 30


def small_files() -> None:
    """In the server, before it starts: no file may be larger. Writing more fails as on a full disk (EFBIG)."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, LIMIT_BYTES))


def sparse(folder: Path, size: int) -> Path:
    path = folder / "sparse"
    with open(path, "wb") as file:
        file.truncate(size)
    return path


async def send(server: Spawned, path: Path, **query: str) -> tuple[int, str]:
    timeout = aiohttp.ClientTimeout(300)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        with open(path, "rb") as file:
            form = aiohttp.FormData()
            form.add_field("file", file, filename="large")
            async with session.post(server.predict_url, params=query, data=form) as response:
                return response.status, await response.text()


def scratch(server: Spawned) -> list[Path]:
    return list(server.home.glob("run/*/scratch/*"))


async def test_an_upload_that_does_not_fit_the_disk_is_507_and_leaves_nothing(tmp_path: Path) -> None:
    with spawned_house(tmp_path, SOURCE, limit=small_files) as server:
        status, text = await send(server, sparse(tmp_path, 2 * LIMIT_BYTES), mode="size")
        assert (status, text.partition(":")[0]) == (507, "507")
        await wait_until(lambda: scratch(server) == [])
        assert await send(server, sparse(tmp_path, 1000), mode="size") == (
            200,
            '{"status": "OK", "predictions": 1000}',
        )


async def test_an_answer_that_does_not_fit_the_disk_is_507_and_leaves_nothing(tmp_path: Path) -> None:
    with spawned_house(tmp_path, SOURCE, limit=small_files) as server:
        async with aiohttp.ClientSession() as session:
            for mode in ("large", "bytes"):
                query = {"mode": mode, "size": str(2 * LIMIT_BYTES)}
                async with session.post(server.predict_url, params=query) as response:
                    assert response.status == 507, await response.text()
                await wait_until(lambda: scratch(server) == [])
            async with session.post(server.predict_url) as response:
                assert response.status == 200


async def test_a_home_that_cannot_be_written_is_507_for_uploads(tmp_path: Path) -> None:
    with spawned_house(tmp_path, SOURCE) as server:
        for path in server.home.glob("run/*/scratch"):
            path.rmdir()
            path.touch()
        status, _ = await send(server, sparse(tmp_path, 1000), mode="size")
        assert status == 507


@pytest.mark.slow
@pytest.mark.parametrize("size", [GIB // 4, pytest.param(GIB, marks=pytest.mark.thorough)])
async def test_a_large_upload_is_no_load_on_memory(tmp_path: Path, size: int) -> None:
    with spawned_house(tmp_path, SOURCE) as server:
        before = peak_memory_bytes(server.pid)
        assert await send(server, sparse(tmp_path, size), mode="size") == (
            200,
            f'{{"status": "OK", "predictions": {size}}}',
        )
        grown = peak_memory_bytes(server.pid) - before
        print(f"the server grew by {grown >> 20} MiB")
        assert grown < 64 << 20
        assert scratch(server) == []


@pytest.mark.slow
async def test_a_large_answer_is_sent_from_disk(tmp_path: Path) -> None:
    with spawned_house(tmp_path, SOURCE) as server:
        before = peak_memory_bytes(server.pid)
        size = 300 << 20
        async with aiohttp.ClientSession() as session:
            query = {"mode": "bytes", "size": str(size)}
            async with session.post(server.predict_url, params=query) as response:
                assert response.status == 200
                received = 0
                async for chunk in response.content.iter_any():
                    received += len(chunk)
        assert received == size
        assert peak_memory_bytes(server.pid) - before < 64 << 20
        await wait_until(lambda: scratch(server) == [])


@pytest.mark.slow
async def test_what_a_model_prints_is_no_load_on_memory(tmp_path: Path) -> None:
    with spawned_house(tmp_path, SOURCE) as server:
        before = peak_memory_bytes(server.pid)
        async with aiohttp.ClientSession() as session:
            query = {"mode": "print", "size": str(200 << 20)}
            async with session.post(server.predict_url, params=query) as response:
                assert response.status == 200
        assert peak_memory_bytes(server.pid) - before < 64 << 20
