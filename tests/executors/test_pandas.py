"""Plugins with the real pandas and pyarrow, each in an environment of its own."""

from __future__ import annotations

import json

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
