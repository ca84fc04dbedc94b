"""The store's process: it starts when it is needed, is started again, and never outlives us."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelport.errors import Starting
from modelport.objectstore import rclone as module
from modelport.objectstore.rclone import Rclone, RcloneMissing, find_rclone
from tests.house import alive, command, descriptors, wait_until
from tests.s3.conftest import OpenBuckets, in_thread, open_buckets
from tests.s3.test_objects import Script, etag_of


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Rclone]:
    rclone = Rclone(folder / "buckets", folder / "run")
    await rclone.start()
    try:
        yield rclone
    finally:
        await rclone.stop()


async def test_it_starts_when_it_is_first_needed_and_ends_with_stop(tmp_path: Path) -> None:
    before = descriptors()
    async with running(tmp_path) as rclone:
        url = rclone.url
        assert rclone.pid is None
        await asyncio.gather(*(rclone.ready() for _ in range(5)))
        pid = rclone.pid
        assert pid is not None
        assert alive(pid)
        assert (rclone.url, rclone.answered) == (url, 1)
    assert not Path(f"/proc/{pid}").exists()
    assert descriptors() == before


async def test_its_keys_are_not_on_its_command_line(tmp_path: Path) -> None:
    async with running(tmp_path) as rclone:
        await rclone.ready()
        assert rclone.pid is not None
        for secret in (rclone.access_key, rclone.secret_key):
            assert secret not in command(rclone.pid)
            assert secret in Path(f"/proc/{rclone.pid}/environ").read_text()
    assert (rclone.access_key, rclone.secret_key) != (Rclone(tmp_path, tmp_path).access_key, "")


async def test_it_does_not_heed_the_user_s_own_settings(buckets: OpenBuckets, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"READ_ONLY": "true", "ADDR": "0.0.0.0:1", "CONFIG": "/none", "CONFIG_STORE_TYPE": "x"}.items():
        monkeypatch.setenv(f"RCLONE_{name}", value)
    script = Script(await buckets())
    await script.put("inputs/a", b"x")
    assert (await script.get("inputs/a"))["Body"] == b"x"


async def test_a_killed_one_is_started_again_on_the_same_port(tmp_path: Path) -> None:
    async with running(tmp_path) as rclone:
        await rclone.ready()
        url, pid = rclone.url, rclone.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await wait_until(lambda: rclone.pid not in (pid, None))
        await rclone.ready()
        assert (rclone.url, rclone.answered) == (url, 2)
        assert not alive(pid)


@pytest.mark.slow
async def test_a_stopped_one_is_noticed_and_started_again_and_who_asks_is_answered(buckets: OpenBuckets) -> None:
    open_ = await buckets(child_timeout_s=3.0)
    script = Script(open_)
    await script.put("inputs/a", b"x")
    pid = open_.rclone.pid
    assert pid is not None and open_.rclone.failure == ""
    os.kill(pid, signal.SIGSTOP)
    asked = [asyncio.create_task(script.get("inputs/a")), asyncio.create_task(script.put("inputs/b", b"y"))]
    await wait_until(lambda: open_.rclone.failure == "the object store does not answer" or not alive(pid))
    await wait_until(lambda: not alive(pid))
    await asyncio.wait(asked, timeout=20)
    assert all(each.done() for each in asked)
    assert asked[0].result()["Body"] == b"x"
    if (error := asked[1].exception()) is not None:  # a body cannot be sent again by us
        assert "ServiceUnavailable" in str(error)
    await wait_until(lambda: open_.rclone.failure == "")
    assert (await script.get("inputs/a"))["Body"] == b"x"


@pytest.mark.slow
async def test_who_asks_while_it_starts_again_is_served(buckets: OpenBuckets) -> None:
    open_ = await buckets()
    script = Script(open_)
    await script.put("inputs/a", b"x")
    for number in range(3):
        assert open_.rclone.pid is not None
        os.kill(open_.rclone.pid, signal.SIGKILL)
        assert (await script.get("inputs/a"))["Body"] == b"x"
        assert open_.rclone.answered >= number + 1
        await open_.rclone.ready()


async def test_one_that_cannot_start_is_said_to_be_starting(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    async with running(tmp_path) as rclone:
        rclone._program = broken
        with pytest.raises(Starting):
            await rclone.ready(timeout_s=0.5)
        assert rclone.answered == 0
        rclone._program = find_rclone()
        await rclone.ready()


@pytest.mark.thorough
@pytest.mark.slow
async def test_broken_memories_are_forgotten(tmp_path: Path) -> None:
    """What rclone remembers of checksums is a file of its own, and no more than that."""
    async with open_buckets(tmp_path) as open_:
        await Script(open_).put("inputs/a", b"x")
    memories = list((tmp_path / "buckets" / module.CACHE).rglob("*.bolt"))
    assert memories
    for each in memories:
        each.write_bytes(b"this is no database" * 1000)
    async with open_buckets(tmp_path) as open_:
        found = await Script(open_).get("inputs/a")
        assert (found["Body"], found["ETag"]) == (b"x", etag_of(b"x"))
        await Script(open_).put("inputs/b", b"y")


async def test_what_was_left_of_uploads_is_removed_at_the_start(tmp_path: Path) -> None:
    left = tmp_path / "buckets/digits/inputs/.rclone_temp_put_0"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half an object")
    async with running(tmp_path) as rclone:
        await rclone.ready()
        await wait_until(lambda: not left.exists())


OWNER = """
import asyncio, sys
from pathlib import Path
from modelport.objectstore.rclone import Rclone
async def main():
    rclone = Rclone(Path(sys.argv[1]) / "buckets", Path(sys.argv[1]) / "run")
    await rclone.start()
    await rclone.ready()
    print(rclone.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.mark.slow
async def test_it_dies_with_us(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        pid = int(await in_thread(process.stdout.readline))
        assert alive(pid)
    finally:
        process.kill()
        process.communicate()
    await wait_until(lambda: not alive(pid))


# Which one


def test_the_one_of_the_package_is_not_asked_for_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_version", lambda *_: pytest.fail("it was"))
    assert find_rclone() == Path(sys.prefix, "bin/rclone").resolve()


def fake(folder: Path, says: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "rclone"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    return program


def test_the_one_beside_python_comes_first_unless_it_is_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = fake(tmp_path / "bin", "rclone v1.75.2")
    on_path = fake(tmp_path / "path", "rclone v2.0.0-beta")
    monkeypatch.setattr(module, "_packaged", lambda: None)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(beside.parent))
    monkeypatch.setenv("PATH", str(on_path.parent), prepend=":")
    assert find_rclone() == beside
    fake(beside.parent, "rclone v1.74.9")
    module._version.cache_clear()
    assert find_rclone() == on_path
    beside.unlink()
    assert find_rclone() == on_path


def test_none_or_an_old_one_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_packaged", lambda: None)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    with pytest.raises(RcloneMissing, match=r"1\.75.*there is no rclone"):
        find_rclone()
    for says in ("rclone v1.9.0", "hello", ""):
        program = fake(tmp_path / "path", says)
        module._version.cache_clear()
        program.write_text(program.read_text().replace("#!/bin/sh", "#!/usr/bin/env -S /bin/sh"))
        with pytest.raises(RcloneMissing, match=r"1\.75.*is older"):
            find_rclone()
