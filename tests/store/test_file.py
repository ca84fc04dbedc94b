"""The file: private, one server's at a time, brought to the newest schema, refused when it cannot be understood."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from sqlite3 import Connection

import pytest

from modelport.errors import Conflict
from modelport.store import Store, StoreFailed, StoreInUse
from modelport.store import file as file_module
from modelport.store.deployments import get_deployment
from modelport.store.schema import MIGRATIONS
from modelport.store.values import get_value, set_value

# As released; never to be changed, for such files are out there.
VERSION_1 = """
PRAGMA application_id = 1836085876;
PRAGMA user_version = 1;
CREATE TABLE deployments (
    name TEXT PRIMARY KEY NOT NULL, module TEXT NOT NULL, python TEXT, title TEXT NOT NULL, description TEXT NOT NULL,
    owner TEXT NOT NULL, enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)), min_workers INTEGER, max_workers INTEGER,
    idle_s REAL, timeout_s REAL, memory_bytes INTEGER, cpu REAL, environment TEXT NOT NULL, secrets TEXT NOT NULL,
    token TEXT NOT NULL, definition TEXT, created TEXT NOT NULL, updated TEXT NOT NULL
);
CREATE TABLE kv (name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL);
INSERT INTO deployments VALUES ('digits', 'my_model', NULL, 'Digits', '', '', 1, 0, 2, 300.0, NULL, NULL, 0.5,
    '{"A":"1"}', '{"KEY":"hush"}', 'a-token', '{"name":"digits"}', '2026-06-11T10:50:46Z', '2026-06-11T10:50:46Z');
INSERT INTO kv VALUES ('password', 'kept');
"""


def make(path: Path, script: str) -> None:
    path.parent.mkdir(exist_ok=True)
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()


def add_notes(connection: Connection) -> None:
    connection.execute("ALTER TABLE kv ADD COLUMN note TEXT NOT NULL DEFAULT 'none'")


def add_pictures(connection: Connection) -> None:
    connection.execute("CREATE TABLE pictures (name TEXT PRIMARY KEY, deployment REFERENCES deployments (name))")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def version(store: Store) -> int:
    return int((await store.read(lambda connection: connection.execute("PRAGMA user_version").fetchone()))[0])


# Private


async def test_all_its_files_are_their_owners_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        async with await Store.open(path) as store:
            await store.write(set_value, "a", "1")
            files = {each.name: mode(each) for each in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert files == {f"store.sqlite{end}": 0o600 for end in ("", "-wal", "-shm", ".lock")}
    assert mode(path.parent) == 0o700


async def test_a_file_that_others_may_read_is_made_private(path: Path) -> None:
    make(path, VERSION_1)
    path.chmod(0o644)
    async with await Store.open(path):
        assert mode(path) == 0o600


# One server


async def test_a_second_opener_in_this_process_is_refused(store: Store, path: Path, tmp_path: Path) -> None:
    other_name = tmp_path / "link.sqlite"
    other_name.symlink_to(path)
    for each in (path, other_name, path.parent / ".." / "home" / path.name):
        with pytest.raises(StoreInUse, match=rf"{path} is in use by another server, process {os.getpid()};") as refusal:
            await Store.open(each)
    assert isinstance(refusal.value, Conflict)
    assert refusal.value.kind == "store_in_use"
    await store.write(set_value, "still", "ours")
    await store.close()
    await (await Store.open(path)).close()


async def test_a_killed_servers_store_is_free_and_a_living_ones_is_not(path: Path) -> None:
    command = [sys.executable, "-m", "tests.store.scripts", "hold", str(path), ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            assert await asyncio.to_thread(server.stdout.readline) == b"open\n"
            with pytest.raises(StoreInUse, match=f"process {server.pid};"):
                await Store.open(path)
        finally:
            server.kill()
    async with await Store.open(path) as store:
        await store.write(set_value, "mine", "now")


async def test_an_opening_that_is_cancelled_leaves_the_file_free(path: Path) -> None:
    opening = asyncio.create_task(Store.open(path))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await (await Store.open(path)).close()


# Versions


async def test_a_file_of_version_1_opens(path: Path) -> None:
    make(path, VERSION_1)
    async with await Store.open(path) as store:
        assert await version(store) == len(MIGRATIONS)
        row = await store.read(get_deployment, "digits")
        assert (row.module, row.max_workers, row.cpu, row.enabled) == ("my_model", 2, 0.5, True)
        assert row.executor is None
        assert (row.environment, row.secrets, row.token) == ({"A": "1"}, {"KEY": "hush"}, "a-token")
        assert row.definition == {"name": "digits"}
        assert await store.read(get_value, "password") == "kept"


async def test_the_schema_of_version_1_is_still_made_as_it_was_released(path: Path, tmp_path: Path) -> None:
    make(tmp_path / "by_hand.sqlite", VERSION_1)
    async with await Store.open(path, migrations=MIGRATIONS[:1]):
        pass
    shapes = []
    for each in (path, tmp_path / "by_hand.sqlite"):
        connection = sqlite3.connect(each)
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master ORDER BY name")]
        shapes.append({name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in tables})
        connection.close()
    assert shapes[0] == shapes[1]


async def test_an_older_file_is_migrated_and_a_copy_of_it_kept(path: Path) -> None:
    make(path, VERSION_1)
    newer = (*MIGRATIONS[:1], add_notes, add_pictures)
    async with await Store.open(path, migrations=newer) as store:
        assert await version(store) == 3
        assert await store.read(lambda c: c.execute("SELECT * FROM kv").fetchall()) == [("password", "kept", "none")]
        assert len(await store.read(lambda c: c.execute("SELECT name FROM deployments").fetchall())) == 1
    copy = path.with_name("store.sqlite.version-1")
    assert mode(copy) == 0o600
    assert sorted(each.name for each in path.parent.iterdir()) == [
        *("store.sqlite", "store.sqlite.lock", "store.sqlite.version-1")
    ]
    copy.rename(path)  # the way back
    async with await Store.open(path, migrations=MIGRATIONS[:1]) as store:
        assert await store.read(get_value, "password") == "kept"


async def test_what_a_killed_server_left_in_the_log_is_in_the_copy_too(path: Path) -> None:
    command = [sys.executable, "-m", "tests.store.scripts", "write_for_ever", str(path), "n"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        acknowledged = (await asyncio.to_thread(server.stdout.readline)).decode().strip()
        server.kill()
        server.stdout.read()
    assert path.with_name("store.sqlite-wal").stat().st_size
    async with await Store.open(path, migrations=(*MIGRATIONS, add_notes)):
        pass
    async with await Store.open(path.with_name(f"store.sqlite.version-{len(MIGRATIONS)}")) as copy:
        assert await copy.read(get_value, acknowledged) == "first"


async def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    make(path, VERSION_1)

    def fail(connection: Connection) -> None:
        connection.execute("INSERT INTO nowhere VALUES (1)")

    def orphan(connection: Connection) -> None:
        connection.execute("INSERT INTO pictures VALUES ('cat.png', 'nobody')")

    for wrong, reason in ((fail, "no such table: nowhere"), (orphan, "a row of pictures would refer to nothing")):
        with pytest.raises(StoreFailed, match=rf"from version 1 to 4, and is as it was: {reason}"):
            await Store.open(path, migrations=(*MIGRATIONS[:1], add_notes, add_pictures, wrong))
    async with await Store.open(path, migrations=MIGRATIONS[:1]) as store:
        assert await version(store) == 1
        assert await store.read(lambda c: c.execute("SELECT * FROM kv").fetchall()) == [("password", "kept")]


async def test_a_newer_file_is_refused_and_untouched(path: Path) -> None:
    make(path, VERSION_1 + "PRAGMA user_version = 99;")
    before = path.read_bytes()
    with pytest.raises(StoreFailed, match=r"newer modelport: its schema has version 99, .* versions up to"):
        await Store.open(path)
    assert path.read_bytes() == before


# Not ours, not sound


async def test_a_foreign_database_is_refused_and_untouched(path: Path) -> None:
    make(path, "CREATE TABLE recipes (name TEXT);")
    before = path.read_bytes()
    with pytest.raises(StoreFailed, match="is an SQLite file of another program"):
        await Store.open(path)
    assert path.read_bytes() == before


async def test_a_damaged_file_is_refused_and_the_message_says_what_to_do(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is a text file, and no store at all\n" * 200)
    with pytest.raises(StoreFailed, match=r"store\.sqlite is damaged, or no store; move it away"):
        await Store.open(path)


async def test_a_damaged_page_is_found_at_the_start(path: Path) -> None:
    async with await Store.open(path) as store:
        for number in range(200):
            await store.write(set_value, f"name {number}", "value " * 50)
    with path.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(os.urandom(4096))
    with pytest.raises(StoreFailed, match="is damaged"):
        await Store.open(path)
    # … and the refused file can be moved away.
    path.rename(path.with_name("damaged"))
    await (await Store.open(path)).close()


async def test_damage_found_later_is_answered(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_module, "CHECKED_LIMIT_BYTES", 0)
    async with await Store.open(path) as store:
        for number in range(200):
            await store.write(set_value, f"name {number}", "value " * 50)
    content = path.read_bytes()
    path.write_bytes(content[: -5 * 4096] + b"\xff" * 5 * 4096)  # in what came last: the values
    async with await Store.open(path) as store:
        with pytest.raises(StoreFailed, match=r"^the store's file is damaged$"):
            await store.read(lambda connection: connection.execute("SELECT * FROM kv").fetchall())


async def test_a_place_where_no_file_can_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for wrong in (tmp_path / "file" / "store.sqlite", tmp_path / "folder"):
        with pytest.raises(StoreFailed, match="cannot be opened"):
            await Store.open(wrong)


async def test_an_empty_file_and_one_of_odd_name_become_stores(tmp_path: Path) -> None:
    odd = tmp_path / "100% über?mode=ro#1.sqlite"
    odd.write_bytes(b"")
    async with await Store.open(odd) as store:
        await store.write(set_value, "a", "1")
        assert await store.read(get_value, "a") == "1"
