"""How the server ends: drained, at once, or killed. Nothing of it stays (promises 10 and 11)."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from tests.faults.conftest import SOURCE
from tests.house import PATIENCE_S, SOON_S, Spawned, alive, children, descendants, spawned_house, stat, wait_until

GRACE_S = 3.0


async def predict(server: Spawned, **query: str) -> tuple[int, str]:
    timeout = aiohttp.ClientTimeout(30)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(server.predict_url, params=query) as response,
    ):
        return response.status, await response.text()


async def started(path: Path, number: int = 1) -> list[int]:
    await wait_until(lambda: path.exists() and path.read_text().count("\n") >= number)
    return [int(part) for part in path.read_text().split()]


async def taken(server: Spawned, path: Path, number: int) -> None:
    """Until so many predictions have come to the server: they run, have run or wait."""
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{server.url}/ready") as response:
                queued = (await response.json())["deployments"]["x"]["queued"]
            if queued + path.read_text().count("\n") >= number:
                return


def runs(server: Spawned) -> list[Path]:
    return sorted((server.home / "run").iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_an_idle_server_ends_soon_with_status_0(tmp_path: Path, number: int) -> None:
    with spawned_house(tmp_path, SOURCE) as server:
        below = server.descendants()
        assert len(below) >= 2
        before = time.monotonic()
        server.signal(number)
        assert await server.wait() == 0
        assert time.monotonic() - before < SOON_S
        assert not any(map(alive, below))
        assert runs(server) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_running_prediction_is_answered_and_new_ones_are_not_taken(tmp_path: Path, number: int) -> None:
    with spawned_house(tmp_path, SOURCE, grace_s=30.0, workers=2) as server:
        path = tmp_path / "pid"
        running = asyncio.create_task(predict(server, mode="sleep", seconds="1.5", path=str(path)))
        await started(path)
        server.signal(number)
        refused = False
        while not running.done() and not refused:
            try:
                status, _ = await predict(server, text="x")
                refused = status == 503
            except aiohttp.ClientConnectionError:
                refused = True
        assert refused
        assert await running == (200, '{"status": "OK", "predictions": "slept"}')
        assert await server.wait() == 0


async def test_a_waiting_prediction_is_answered_too(tmp_path: Path) -> None:
    with spawned_house(tmp_path, SOURCE, grace_s=30.0) as server:
        path = tmp_path / "pid"
        running = [asyncio.create_task(predict(server, mode="sleep", seconds="0.7", path=str(path))) for _ in range(2)]
        await started(path)
        await taken(server, path, 2)
        server.signal(signal.SIGTERM)
        answers = await asyncio.gather(*running)
        assert [status for status, _ in answers] == [200, 200]
        assert await server.wait() == 0


async def test_what_runs_past_the_grace_is_stopped(tmp_path: Path) -> None:
    with spawned_house(tmp_path, SOURCE, grace_s=1.0) as server:
        path = tmp_path / "pid"
        running = asyncio.create_task(predict(server, mode="family", path=str(path)))
        await started(path)
        await wait_until(lambda: len(server.descendants()) >= 6)
        below = server.descendants()
        before = time.monotonic()
        server.signal(signal.SIGTERM)
        status, _ = await running
        assert await server.wait() == 0
        assert time.monotonic() - before < 1.0 + SOON_S
        assert status == 503
        assert not any(map(alive, below))
        assert runs(server) == []


async def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with spawned_house(tmp_path, SOURCE, grace_s=60.0) as server:
        path = tmp_path / "pid"
        running = asyncio.create_task(predict(server, mode="family", path=str(path)))
        await started(path)
        await wait_until(lambda: len(server.descendants()) >= 6)
        below = server.descendants()
        server.signal(signal.SIGTERM)
        await wait_until(lambda: not listening(server))
        before = time.monotonic()
        server.signal(signal.SIGTERM)
        assert await server.wait() == 1
        assert time.monotonic() - before < SOON_S
        await wait_until(lambda: not any(map(alive, below)), SOON_S)
        await asyncio.wait({running})
        assert running.exception() is not None


async def test_a_closed_terminal_says_so_twice_and_ends_nothing_at_once(tmp_path: Path) -> None:
    """The shell sends SIGHUP, and so does the kernel."""
    with spawned_house(tmp_path, SOURCE, grace_s=30.0) as server:
        path = tmp_path / "pid"
        running = asyncio.create_task(predict(server, mode="sleep", seconds="1.5", path=str(path)))
        await started(path)
        for _ in range(3):
            server.signal(signal.SIGHUP)
            await wait_until(lambda: not listening(server))
        assert await running == (200, '{"status": "OK", "predictions": "slept"}')
        assert await server.wait() == 0


async def test_under_nohup_a_closed_terminal_ends_nothing(tmp_path: Path) -> None:
    with spawned_house(tmp_path, SOURCE, limit=ignore_hangups) as server:
        server.signal(signal.SIGHUP)
        assert (await predict(server, text="x"))[0] == 200
        server.signal(signal.SIGTERM)
        assert await server.wait() == 0


def ignore_hangups() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def listening(server: Spawned) -> bool:
    """Whether the port is open."""
    wanted = f"{server.port:04X}"
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(row.split()[1].endswith(":" + wanted) and row.split()[3] == "0A" for row in rows)


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
async def test_a_killed_server_leaves_no_process_and_the_next_start_no_file(tmp_path: Path, start_method: str) -> None:
    with spawned_house(tmp_path, SOURCE, workers=2, start_method=start_method) as server:
        path = tmp_path / "pid"
        running = asyncio.create_task(predict(server, mode="family", path=str(path)))
        await started(path)
        await wait_until(lambda: len(server.descendants()) >= 7)
        below = server.descendants()
        assert len(runs(server)) == 1
        server.signal(signal.SIGKILL)
        await server.wait()
        await wait_until(lambda: not any(map(alive, below)), SOON_S)
        await asyncio.wait({running})
        assert running.exception() is not None
        stale = runs(server)
        assert len(stale) == 1
    with spawned_house(tmp_path, SOURCE) as server:
        assert len(runs(server)) == 1 and runs(server) != stale


async def test_a_server_killed_while_it_loads_leaves_no_process(tmp_path: Path) -> None:
    source = "import time\ndef warm(): time.sleep(987)\ndef predict(**k): pass\n"
    command = (
        "import sys; from tests.house import spawned_house; from pathlib import Path\n"
        "with spawned_house(Path(sys.argv[1]), sys.argv[2]): pass"
    )
    # The server itself is below a process that waits for its first line; it never comes.
    process = subprocess.Popen([sys.executable, "-c", command, str(tmp_path), source], start_new_session=True)

    def family() -> list[int]:
        """The server, what holds the plugin, and its worker."""
        found = [[child, *descendants(child)] for child in children(process.pid)]
        return max(found, key=len, default=[])

    try:
        await wait_until(lambda: len(family()) >= 3)
        below = family()
        os.kill(below[0], signal.SIGKILL)
        await wait_until(lambda: not any(map(alive, below)))
    finally:
        process.kill()
        process.wait()


async def test_zombies_of_the_models_children_are_reaped(tmp_path: Path) -> None:
    with spawned_house(tmp_path, SOURCE) as server:
        for _ in range(5):
            assert (await predict(server, mode="litter"))[0] == 200
            assert (await predict(server, mode="die"))[0] == 500
        await wait_until(lambda: zombies(server) == [])


def zombies(server: Spawned) -> list[int]:
    """Ended children of the server and its processes that nobody has reaped."""
    family = [server.pid, *server.descendants()]
    return [child for each in family for child in children(each, zombies=True) if stat(child)[:1] == ["Z"]]


async def test_a_port_that_is_taken_is_told_with_status_1_and_leaves_nothing(tmp_path: Path) -> None:
    with spawned_house(tmp_path / "first", SOURCE) as server:
        with (
            pytest.raises(AssertionError, match="cannot listen on"),
            spawned_house(tmp_path / "second", SOURCE, listen_port=server.port),
        ):
            pass
        assert list((tmp_path / "second" / "home" / "run").iterdir()) == []


async def test_a_large_answer_to_a_slow_client_is_sent_whole_before_the_end(tmp_path: Path) -> None:
    with spawned_house(tmp_path, SOURCE, grace_s=20.0) as server:
        size = 30_000_000
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 16)
        target = f"/v2/models/x/predict/?mode=bytes&size={size}"
        writer.write(f"POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        server.signal(signal.SIGTERM)
        received = 0
        for _ in range(20):  # slowly at first: longer than the sockets' goodbye
            received += len(await reader.readexactly(1 << 16))
            await asyncio.sleep(0.1)
        while chunk := await reader.read(1 << 20):
            received += len(chunk)
        assert received == size
        assert await server.wait() == 0
        writer.close()
