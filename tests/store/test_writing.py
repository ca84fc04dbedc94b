"""One writer thread, commits in groups, answers after the commit, and nobody harmed by his neighbour."""

from __future__ import annotations

import asyncio
import sqlite3
import struct
import threading
from pathlib import Path
from sqlite3 import Connection, IntegrityError

import pytest

from modelport import store as store_module
from modelport.errors import Cancelled, ModelportError, NotFound, Overloaded, StorageFull
from modelport.store import Store, StoreFailed
from modelport.store.values import get_value, set_value
from tests.house import SOON_S


def pragma(connection: Connection, text: str) -> object:
    return connection.execute(f"PRAGMA {text}").fetchone()[0]


def commits_in_log(path: Path) -> int:
    """Commits in the write-ahead log: the frames that name the size of the database after them (the format's words)."""
    log = path.with_name(f"{path.name}-wal").read_bytes()
    page, salt = struct.unpack(">8xI4x8s8x", log[:32])
    sizes = [log[start + 4 : start + 8] for start in range(32, len(log), 24 + page) if log[start + 8 :][:8] == salt]
    return sum(size != b"\0\0\0\0" for size in sizes)


async def test_the_store_is_as_durable_as_sqlite_can_be(store: Store) -> None:
    assert await store.write(pragma, "synchronous") == 2  # FULL
    assert await store.write(pragma, "journal_mode") == "wal"
    assert await store.write(pragma, "foreign_keys") == 1


async def test_what_was_written_is_read_at_once_and_after_reopening(path: Path) -> None:
    async with await Store.open(path) as store:
        await store.write(set_value, "colour", "blue")
        assert await store.read(get_value, "colour") == "blue"
    async with await Store.open(path) as store:
        assert await store.read(get_value, "colour") == "blue"


async def test_writes_of_one_moment_share_a_commit_and_all_run_in_one_thread(store: Store, path: Path) -> None:
    threads = set()

    def write(connection: Connection, name: str) -> None:
        threads.add(threading.get_ident())
        set_value(connection, name, "1")

    async def one_after_the_other(writer: int) -> None:
        for number in range(20):
            await store.write(write, f"{writer}-{number}")

    before = commits_in_log(path)
    await asyncio.gather(*(one_after_the_other(writer) for writer in range(32)))
    commits = commits_in_log(path) - before
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    # 640 writes; each of the 20 rounds needs one commit, if nobody is late.
    assert 20 <= commits <= 80


async def test_a_failing_function_undoes_only_itself(store: Store) -> None:
    def half(connection: Connection) -> None:
        set_value(connection, "half", "done")
        raise NotFound("no such thing")

    def twice(connection: Connection) -> None:
        connection.execute("INSERT INTO kv VALUES ('twice', '1')")
        connection.execute("INSERT INTO kv VALUES ('twice', '2')")

    results = await asyncio.gather(
        store.write(set_value, "before", "1"),
        store.write(half),
        store.write(twice),
        store.write(set_value, "after", "1"),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), NotFound, IntegrityError, type(None)]
    kept = await store.read(lambda connection: connection.execute("SELECT name FROM kv ORDER BY name").fetchall())
    assert kept == [("after",), ("before",)]


@pytest.mark.parametrize("error", [StopIteration(), SystemExit(3), KeyboardInterrupt(), ValueError("no")])
async def test_whatever_a_function_raises_is_answered_and_the_writer_goes_on(
    store: Store, error: BaseException
) -> None:
    def fail(connection: Connection) -> None:
        raise error

    async def caught() -> BaseException | None:
        try:
            await store.write(fail)
        except Exception as error:
            return error
        return None

    found = await asyncio.wait_for(caught(), SOON_S)
    assert isinstance(found, RuntimeError if not isinstance(error, ValueError) else ValueError)
    await store.write(set_value, "still", "alive")


async def test_a_transaction_that_sqlite_gave_up_fails_its_group_and_no_other(store: Store) -> None:
    def give_up(connection: Connection) -> None:
        connection.execute("INSERT INTO kv VALUES ('taken', '1')")
        connection.execute("INSERT OR ROLLBACK INTO kv VALUES ('taken', '2')")

    results = await asyncio.gather(
        store.write(set_value, "before", "1"),
        store.write(give_up),
        store.write(set_value, "after", "1"),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [StoreFailed, IntegrityError, StoreFailed]
    assert await store.read(lambda connection: connection.execute("SELECT count(*) FROM kv").fetchone()) == (0,)
    await store.write(set_value, "later", "1")
    assert await store.read(get_value, "later") == "1"


async def test_a_full_store_is_an_answer_and_small_writes_go_on_when_there_is_room(store: Store) -> None:
    pages = await store.write(pragma, "page_count")
    assert isinstance(pages, int)
    await store.write(pragma, f"max_page_count={pages + 5}")
    results = await asyncio.gather(
        store.write(set_value, "before", "1"),
        store.write(set_value, "large", "x" * 100_000),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [StorageFull, StorageFull]  # SQLite gives the whole transaction up
    assert results[0] is not results[1]
    assert await store.read(get_value, "before") is None
    await store.write(set_value, "small", "1")
    await store.write(pragma, f"max_page_count={pages + 5000}")
    await store.write(set_value, "large", "x" * 100_000)
    assert await store.read(get_value, "large") == "x" * 100_000
    assert await store.read(get_value, "small") == "1"


async def test_a_cancelled_caller_withdraws_what_has_not_begun_and_breaks_nothing(store: Store) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        begun.set()
        assert go_on.wait(10)
        set_value(connection, "slow", "1")

    running = asyncio.create_task(store.write(slow))
    await asyncio.to_thread(begun.wait, 10)
    waiting = asyncio.create_task(store.write(set_value, "waiting", "1"))
    other = asyncio.create_task(store.write(set_value, "other", "1"))
    await asyncio.sleep(0)
    running.cancel()
    waiting.cancel()
    ended = await asyncio.gather(running, waiting, return_exceptions=True)
    assert [type(each) for each in ended] == [asyncio.CancelledError, asyncio.CancelledError]
    go_on.set()
    await other
    assert await store.read(get_value, "slow") == "1"  # had begun
    assert await store.read(get_value, "waiting") is None


async def test_the_event_loop_never_waits_for_the_store(store: Store) -> None:
    """Functions that wait for what only a running loop can give."""
    reading, writing = threading.Event(), threading.Event()

    tasks = [
        asyncio.create_task(store.write(lambda _: writing.wait(10))),
        asyncio.create_task(store.read(lambda _: reading.wait(10))),
    ]
    await asyncio.sleep(0)
    beats = 0
    while beats < 20:
        await asyncio.sleep(0.001)
        beats += 1
    writing.set()
    reading.set()
    assert await asyncio.gather(*tasks) == [True, True]


async def test_reads_go_on_during_a_write_and_see_one_moment(store: Store) -> None:
    await store.write(set_value, "n", "0")
    begun, go_on, first_read, committed = (threading.Event() for _ in range(4))

    def write(connection: Connection) -> None:
        set_value(connection, "n", "1")
        begun.set()
        assert go_on.wait(10)

    def read_twice(connection: Connection) -> list[str | None]:
        first = get_value(connection, "n")
        first_read.set()
        assert committed.wait(10)
        return [first, get_value(connection, "n")]

    writing = asyncio.create_task(store.write(write))
    await asyncio.to_thread(begun.wait, 10)
    reading = asyncio.create_task(store.read(read_twice))
    await asyncio.to_thread(first_read.wait, 10)
    assert await store.read(get_value, "n") == "0"  # not blocked, not dirty
    go_on.set()
    await writing
    assert await store.read(get_value, "n") == "1"
    committed.set()
    assert await reading == ["0", "0"]


async def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises(ModelportError):
        await store.read(set_value, "sneaky", "1")
    assert await store.read(get_value, "sneaky") is None


async def test_a_locked_store_says_so_and_names_no_path(store: Store, path: Path) -> None:
    await store.write(lambda connection: connection.execute("PRAGMA busy_timeout=10").close())
    # A connection of this process to a file of ours would drop our locks when closed; so it is closed last.
    shell = sqlite3.connect(path, isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreFailed, match=r"^the store is locked by another program$"):
        await store.write(set_value, "n", "1")
    shell.execute("ROLLBACK")
    await store.write(set_value, "n", "1")
    await store.close()
    shell.close()


async def test_too_many_waiting_writes_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "QUEUE_LIMIT", 3)
    results = await asyncio.gather(
        *(store.write(set_value, str(number), "1") for number in range(5)), return_exceptions=True
    )
    assert [type(result) for result in results] == [type(None)] * 3 + [Overloaded] * 2
    await store.write(set_value, "later", "1")


async def test_closing_finishes_what_waits_and_refuses_what_comes(path: Path) -> None:
    store = await Store.open(path)
    writes = [asyncio.create_task(store.write(set_value, str(number), "1")) for number in range(50)]
    reading = asyncio.create_task(store.read(get_value, "0"))
    await asyncio.sleep(0)
    await asyncio.gather(store.close(), store.close())
    assert all(write.done() and write.exception() is None for write in writes)
    assert await reading in (None, "1")
    for refused in (store.write(set_value, "late", "1"), store.read(get_value, "0")):
        with pytest.raises(Cancelled, match="the store is closed"):
            await refused
    assert sorted(each.name for each in path.parent.iterdir()) == ["store.sqlite", "store.sqlite.lock"]
    assert not [each for each in threading.enumerate() if each.name.startswith("store-")]
    async with await Store.open(path) as again:
        assert await again.read(lambda c: c.execute("SELECT count(*) FROM kv").fetchone()) == (50,)
