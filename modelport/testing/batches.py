"""The conformance suite of executors that run calls together."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from modelport.extending import Call, Cancelled, InputFile, InvalidArguments, ModelFailed, Outcome
from modelport.testing.bench import PATIENCE_S, Bench, Heard
from modelport.testing.executors import ExecutorConformance, scenario


def answers(outcomes: list[Outcome]) -> list[object]:
    """What each was answered."""
    assert [outcome.error for outcome in outcomes] == [None] * len(outcomes)
    return [json.loads(outcome.body) for outcome in outcomes]


class BatchConformance(ExecutorConformance):
    """Subclass it instead of `ExecutorConformance` if the executor has `run_batch` (since 1.1)."""

    async def run_together(self, bench: Bench, calls: list[Call], heard: Heard | None = None) -> list[Outcome]:
        outcomes: list[Outcome] = await bench.executor.run_batch(calls, heard)
        assert len(outcomes) == len(calls)
        assert all("queue" in outcome.timings for outcome in outcomes)
        return outcomes

    @scenario()
    async def test_calls_are_run_together(self, bench: Bench) -> None:
        outcomes = await self.run_together(bench, [bench.call(value=number) for number in range(5)])
        assert answers(outcomes) == [[number, 5] for number in range(5)]
        assert answers(await self.run_together(bench, [bench.call(value="alone")])) == [["alone", 1]]

    @scenario()
    async def test_a_bad_call_fails_alone(self, bench: Bench) -> None:
        calls = [
            bench.call(value=1),
            bench.call(number="many"),
            bench.call("raise", value="no such breed"),
            bench.call(),
        ]
        first, refused, raised, last = await self.run_together(bench, calls)
        assert answers([first, last]) == [[1, 3], [None, 3]]
        assert type(refused.error) is InvalidArguments and list(refused.error.fields) == ["number"]
        assert type(raised.error) is ModelFailed and raised.error.message == "ValueError: no such breed"

    @scenario()
    async def test_a_batch_that_fails_is_run_one_by_one(self, bench: Bench) -> None:
        outcomes = await self.run_together(bench, [bench.call(value=1), bench.call("raise together", value=2)])
        assert answers(outcomes) == [1, 2]

    @scenario()
    async def test_each_call_of_a_batch_has_its_own_file(self, bench: Bench) -> None:
        calls = []
        for number in range(3):
            path = bench.folder / f"given-{number}"
            path.write_text(f"content {number}")
            calls.append(bench.call("read", files=[InputFile("file", str(path), "file", "text/plain", "letter.txt")]))
        outcomes = await self.run_together(bench, calls)
        assert answers(outcomes) == [[[f"content {number}", "letter.txt"], 3] for number in range(3)]

    @scenario(inline_limit_bytes=1000)
    async def test_large_answers_of_a_batch_are_files_in_the_folders_of_their_calls(self, bench: Bench) -> None:
        calls = [bench.call("large", number=2000, scratch=str(bench.folder / f"own-{number}")) for number in range(2)]
        for call, outcome in zip(calls, await self.run_together(bench, calls), strict=True):
            assert outcome.path is not None and os.path.dirname(outcome.path) == call.scratch
            assert json.loads(Path(outcome.path).read_text()) == ["x" * 2000, 2]

    @scenario()
    async def test_what_a_batch_says_is_heard(self, bench: Bench) -> None:
        heard = Heard()
        calls = [bench.call("print", value="one line"), bench.call("progress", value="half")]
        outcomes = await self.run_together(bench, calls, heard)
        if self.has_progress:
            assert heard.told == [(0.5, "half")]
        if self.has_log:
            assert heard.text == b"one line\n" and [outcome.log for outcome in outcomes] == [b"one line\n"] * 2

    @scenario()
    async def test_a_cancelled_batch_has_ended_when_run_batch_raises(self, bench: Bench) -> None:
        batch = asyncio.create_task(bench.executor.run_batch([bench.call("wait"), bench.call()]))
        await bench.wait(lambda counts: counts.busy == 1)
        batch.cancel()
        if not self.executor.can_stop:
            bench.release()
        done, _ = await asyncio.wait({batch}, timeout=PATIENCE_S)
        assert done and batch.cancelled()
        assert (await bench.run(value=1)).body == b"1"

    @scenario()
    async def test_stop_ends_a_batch_with_cancelled(self, bench: Bench) -> None:
        batch = asyncio.create_task(bench.executor.run_batch([bench.call("wait"), bench.call()]))
        await bench.wait(lambda counts: counts.busy == 1)
        await asyncio.wait_for(bench.executor.stop(), PATIENCE_S)
        outcomes = await asyncio.wait_for(batch, PATIENCE_S)
        assert [type(outcome.error) for outcome in outcomes] == [Cancelled] * 2
