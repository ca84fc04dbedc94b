"""The store: commits one by one and in groups, beside what the disk's own sync costs.

    python benchmarks/store.py [--folder .] [--rounds 5] [--seconds 1]

Rounds are interleaved and medians compared, since machines are shared and noisy. `fsync` overwrites 4 KiB of a file and
syncs it (fdatasync, as SQLite does): nothing durable can be faster, one at a time. `sqlite` is the same change by bare
sqlite3 in one thread, with a commit each: what a store without a writer thread and groups could reach.
"""

import argparse
import asyncio
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from modelport.store import Store
from modelport.store.values import set_value

GROUPS = (1, 8, 32, 256)
PADDING = "x" * 500  # a small job's arguments


def value() -> str:
    """Never the same twice: SQLite writes nothing where nothing changes."""
    return f"{time.perf_counter_ns()} {PADDING}"


def fsync(folder: Path, seconds: float) -> list[float]:
    """Seconds of each sync."""
    took = []
    file = os.open(folder / "probe", os.O_CREAT | os.O_RDWR)
    for number in range(256):
        os.pwrite(file, b"x" * 4096, number * 4096)
    os.fsync(file)
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        os.pwrite(file, os.urandom(4096), len(took) % 256 * 4096)
        os.fdatasync(file)
        took.append(time.perf_counter() - start)
    os.close(file)
    return took


def bare_sqlite(folder: Path, seconds: float) -> list[float]:
    """Seconds of each change, commit included."""
    connection = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS kv (name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL)")
    took: list[float] = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        connection.execute("BEGIN IMMEDIATE")
        set_value(connection, f"{len(took)}", value())
        connection.execute("COMMIT")
        took.append(time.perf_counter() - start)
    connection.close()
    return took


async def writers(store: Store, count: int, seconds: float) -> list[float]:
    """Seconds that each write's caller waited."""
    took: list[float] = []
    end = time.perf_counter() + seconds

    async def keep_writing(writer: int) -> None:
        number = 0
        while (start := time.perf_counter()) < end:
            await store.write(set_value, f"{writer}-{number}", value())
            took.append(time.perf_counter() - start)
            number += 1

    await asyncio.gather(*(keep_writing(writer) for writer in range(count)))
    return took


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", default=".", help="on the disk to measure")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="store-benchmark-") as name:
        folder = Path(name)
        async with await Store.open(folder / "store.sqlite") as store:
            measured: dict[str, Callable[[], Awaitable[list[float]]]] = {
                "fsync": lambda: asyncio.to_thread(fsync, folder, options.seconds),
                "sqlite, a commit each": lambda: asyncio.to_thread(bare_sqlite, folder, options.seconds),
            }
            for count in GROUPS:
                measured[f"store, {count} writers"] = lambda count=count: writers(store, count, options.seconds)
            rates: dict[str, list[float]] = {each: [] for each in measured}
            p50s: dict[str, list[float]] = {each: [] for each in measured}
            p99s: dict[str, list[float]] = {each: [] for each in measured}
            for _ in range(options.rounds):
                for each, measure in measured.items():
                    start = time.perf_counter()
                    took = await measure()
                    rates[each].append(len(took) / (time.perf_counter() - start))
                    p50s[each].append(statistics.median(took))
                    p99s[each].append(statistics.quantiles(took, n=100)[-1])
    base = statistics.median(p50s["fsync"])
    print(f"{'':24}{'per second':>12}{'p50 ms':>10}{'p99 ms':>10}{'p50 / fsync':>14}")
    for each in measured:
        p50 = statistics.median(p50s[each])
        print(
            f"{each:24}{statistics.median(rates[each]):12.0f}{p50 * 1e3:10.3f}"
            f"{statistics.median(p99s[each]) * 1e3:10.2f}{p50 / base:14.1f}"
        )


if __name__ == "__main__":
    asyncio.run(main())
