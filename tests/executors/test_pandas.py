"""Plugins with the real pandas and pyarrow, each in an environment of its own."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from tests.environments import environment
from tests.executors.conftest import OpenBench

pytestmark = pytest.mark.slow

MISSING = """
import pandas
def predict(**k):
    frame = pandas.DataFrame({"when": [pandas.Timestamp("2026-01-31"), pandas.NaT], "x": [1.5, None]})
    return {"frame": frame, "series": frame["x"], "na": pandas.NA, "table": frame.to_dict("records")}
"""


async def test_missing_values_are_null(bench: OpenBench) -> None:
    opened = await bench("fork", MISSING, python=str(environment("3.10", ["pandas==2.2.*", "marshmallow<4"])))
    outcome = await opened.run()
    assert json.loads(outcome.body) == {
        "frame": {"when": {"0": "2026-01-31T00:00:00", "1": None}, "x": {"0": 1.5, "1": None}},
        "series": [1.5, None],
        "na": None,
        "table": [{"when": "2026-01-31T00:00:00", "x": 1.5}, {"when": None, "x": None}],
    }
    assert b"6 values of the answer sent as null: answer['frame']['when'][1] (NaT), " in outcome.log


ARROW = """
import pandas, pyarrow
def predict(**k):
    frame = pandas.DataFrame({"word": pandas.Series(["a", "b"] * 1000, dtype="string[pyarrow]"), "x": range(2000)})
    table = pyarrow.Table.from_pandas(frame)
    return [table.group_by("word").aggregate([("x", "sum")]).to_pydict()["x_sum"], open("/proc/self/comm").read()]
"""


@pytest.mark.parametrize("python_and_packages", [("3.10", "pyarrow==15.*", "numpy<2"), ("3.13", "pyarrow")])
async def test_with_pyarrow_workers_are_forked_all_the_same(
    bench: OpenBench, python_and_packages: tuple[str, ...]
) -> None:
    """jemalloc's thread stays after the import, in old pyarrows and in those whose own allocator is mimalloc."""
    python, *packages = python_and_packages
    interpreter = str(environment(python, ["pandas", "marshmallow<4", *packages]))
    opened = await bench("auto", ARROW, python=interpreter, workers=4)
    template = opened.executor._template  # type: ignore[attr-defined]
    assert (template.start_method, template.spawn_reason) == ("fork", "")
    for outcome in await asyncio.gather(*(opened.run() for _ in range(40))):
        assert json.loads(outcome.body)[0] == [999000, 1000000]


async def test_why_workers_are_spawned_names_the_threads(bench: OpenBench, caplog: pytest.LogCaptureFixture) -> None:
    source = """
import ctypes, threading
PR_SET_NAME = 15
def wait():
    ctypes.CDLL(None).prctl(PR_SET_NAME, b"reads-ahead", 0, 0, 0)
    named.set()
    threading.Event().wait()
named = threading.Event()
for _ in range(2):
    threading.Thread(target=wait, daemon=True).start()
    named.wait()
    named.clear()
def predict(): return 1
"""
    caplog.set_level(logging.INFO)
    await bench("auto", source)
    assert "workers are spawned, not forked: it runs other threads: reads-ahead (2 times)" in caplog.text
