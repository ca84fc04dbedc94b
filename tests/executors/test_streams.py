"""Streams of a local worker, beyond what holds for every executor (`modelport/testing/executors.py`)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from modelport.contract.prediction import VALUES
from modelport.contract.wire import MESSAGE_BYTES
from modelport.errors import Cancelled
from tests.executors.conftest import Bench, Seen, open_bench
from tests.house import wait_until

LINGERING = """
import os, time
from marshmallow import fields
def get_predict_args():
    return {"mode": fields.Str(), "gate": fields.Str(load_default=""), "words": fields.Str(load_default="")}
def predict(mode, gate, words):
    return len(words) if mode == "length" else values(gate)
def values(gate):
    yield 1
    while gate and not os.path.exists(gate):  # it hears of nothing here, and ends by itself
        time.sleep(0.002)
"""
LARGE = "x" * (3 * MESSAGE_BYTES)


class Counting(Seen):
    """Counts values."""

    def __init__(self) -> None:
        super().__init__()
        self.values = 0

    def value(self, body: bytes) -> None:
        self.values += 1


async def leave_too_late(bench: Bench, gate: Path) -> None:
    """Withdraw from a generator that has told its last value, and ends without having heard of it."""
    seen = Counting()
    call = bench.start("values", gate=str(gate), stream=VALUES, watcher=seen)
    await wait_until(lambda: seen.values == 1)
    call.cancel()
    await asyncio.sleep(0)  # the word to stop is on its way
    gate.touch()
    with pytest.raises(asyncio.CancelledError):
        await call


@pytest.mark.parametrize("between", ["nothing", "another that leaves", "a stream", "a small call"])
async def test_a_word_to_stop_that_comes_too_late_is_no_part_of_the_next_call(tmp_path: Path, between: str) -> None:
    async with open_bench(tmp_path, "fork", LINGERING, stream_close_s=30.0) as bench:
        worker = bench.workers()
        await leave_too_late(bench, tmp_path / "gate")
        if between == "another that leaves":
            await leave_too_late(bench, tmp_path / "another")
        elif between == "a stream":
            assert (await bench.run("values", stream=VALUES, watcher=Counting())).values == 1
        elif between == "a small call":
            assert (await bench.run("length")).body == b"0"
        for _ in range(2):
            assert (await bench.run("length", words=LARGE)).body == b"%d" % len(LARGE)
        assert bench.workers() == worker


async def test_a_model_that_tells_values_which_nobody_has_asked_for_is_stopped(tmp_path: Path) -> None:
    source = """
import gc, json, os, socket, struct
from marshmallow import fields
def get_predict_args():
    return {"mode": fields.Str()}
def predict(mode):
    connection = next(each for each in gc.get_objects() if isinstance(each, socket.socket) and each.fileno() >= 0
                      and each.type == socket.SOCK_STREAM)
    head = json.dumps({"is": "value", "id": "call-0"}).encode()
    connection.sendall(struct.pack("!II", len(head), 1) + head + b"1")
    return 1
"""
    async with open_bench(tmp_path, "fork", source) as bench:
        outcome = await bench.run(watcher=Seen())
        assert outcome.error is not None and "a value that nobody awaits of it" in outcome.error.message


async def test_a_stream_that_is_withdrawn_while_the_server_stops_ends(tmp_path: Path) -> None:
    async with open_bench(tmp_path, "fork", LINGERING) as bench:
        seen = Counting()
        call = bench.start("values", gate=str(tmp_path / "never"), stream=VALUES, watcher=seen)
        await wait_until(lambda: seen.values == 1)
        await bench.executor.stop()
        assert isinstance((await call).error, Cancelled)
