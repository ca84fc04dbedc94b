"""Bars that a model shows in a real worker, as whoever waits for its call learns of them."""

from __future__ import annotations

import asyncio
from itertools import groupby
from pathlib import Path

import pytest

from modelport.jobs.progressbars import ProgressBars, overwritten
from tests.executors.conftest import OpenBench
from tests.house import wait_until

SOURCE = """
import os, sys, time
from marshmallow import fields
from tqdm import tqdm
def get_predict_args():
    return {"mode": fields.Str(load_default="nested"), "path": fields.Str(load_default="")}
def predict(mode, path):
    globals()[mode](path)
def nested(path):
    for _ in tqdm(range(2), desc="epochs", mininterval=0):
        for _ in tqdm(range(2), desc="batches", mininterval=0, leave=False):
            pass
def plain(path):
    for _ in tqdm(range(4), ascii=True, mininterval=0, colour="green", file=sys.stdout):
        pass
def unknown(path):
    for _ in tqdm(iter(range(45)), desc="rows", mininterval=0, unit=" rows"):
        pass
def described(path):
    with tqdm(total=2, mininterval=0) as bar:
        for step in range(2):
            bar.set_description(f"größe {step}")
            bar.update()
def waits(path):
    with tqdm(total=4, desc="steps") as bar:
        bar.update(1)
        bar.refresh()
        while not os.path.exists(path):
            time.sleep(0.01)
        bar.update(3)
def cut(path):
    line = "\\r 50%|██▌  | 1/2 [00:01<00:01,  1.00it/s]".encode()
    middle = line.index("▌".encode()) + 1
    os.write(2, line[:middle])
    while not os.path.exists(path):
        time.sleep(0.01)
    os.write(2, line[middle:])
def huge(path):
    sys.stderr.write("x" * 3_000_000)
    sys.stderr.write("\\r" + "y" * 3_000_000)
    bar = tqdm(total=2)
    bar.update(1)
    bar.close()
"""


class Following:
    """A watcher that follows the bars."""

    def __init__(self) -> None:
        self.bars = ProgressBars()
        self.log = b""
        self.told: list[tuple[float | None, str]] = []

    def progress(self, fraction: float | None, message: str) -> None:
        raise AssertionError("nobody has called modelport.progress")

    def printed(self, chunk: bytes) -> None:
        self.log += chunk
        news = self.bars.feed(chunk)
        if news is not None:
            self.told.append(news)

    def value(self, body: bytes) -> None:
        raise AssertionError("nobody has asked for values")

    @property
    def last(self) -> float | None:
        return self.told[-1][0] if self.told else None

    @property
    def steps(self) -> list[float | None]:
        """The fractions, each once."""
        return [fraction for fraction, _ in groupby(self.told, key=lambda each: each[0])]


@pytest.mark.parametrize(
    ("mode", "last", "named", "log"),
    [
        ("nested", 1.0, "epochs 2/2 [", "epochs: 100%"),
        ("plain", 1.0, "4/4 [", "100%|\x1b[32m##########\x1b[0m| 4/4"),
        ("unknown", None, "rows 45 rows [", "rows: 45 rows ["),
        ("described", 1.0, "größe 1 2/2 [", "größe 1: 100%"),
        ("huge", 0.5, "1/2 [", " 50%|"),
    ],
)
async def test_bars_are_understood(bench: OpenBench, mode: str, last: float | None, named: str, log: str) -> None:
    opened, seen = await bench("fork", SOURCE), Following()
    outcome = await opened.run(mode, watcher=seen)
    assert outcome.error is None
    assert seen.told[-1][0] == last and seen.told[-1][1].startswith(named)
    steps = [step for step in seen.steps if step is not None]
    assert steps == sorted(steps)
    assert overwritten(seen.log).decode().startswith(log)


@pytest.mark.parametrize(("mode", "before", "after"), [("waits", 0.25, 1.0), ("cut", None, 0.5)])
async def test_bars_are_understood_while_the_call_runs(
    bench: OpenBench, tmp_path: Path, mode: str, before: float | None, after: float
) -> None:
    opened, seen = await bench("fork", SOURCE), Following()
    call = asyncio.create_task(opened.run(mode, path=str(tmp_path / "gate"), watcher=seen))
    await wait_until(lambda: seen.log and seen.last == before)
    (tmp_path / "gate").touch()
    assert (await call).error is None
    assert seen.last == after
