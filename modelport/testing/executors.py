"""The conformance suite of executors."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from modelport.contract import descent
from modelport.extending import (
    Cancelled,
    Card,
    DeadlineExceeded,
    ExecutorSpec,
    InputFile,
    InvalidArguments,
    LoadFailed,
    ModelFailed,
    NotImplementedByModel,
)
from modelport.testing.bench import PATIENCE_S, Bench, Heard
from modelport.testing.settings import check_setting

Test = Callable[..., Awaitable[None]]

MODULE = Path(__file__).with_name("module.py")
# Modules by what is wrong with them; None: there is no file.
UNUSABLE = {
    "missing": None,
    "import": "raise RuntimeError('no weights')\n",
    "warm": "def warm():\n    raise RuntimeError('no weights')\ndef predict():\n    return 1\n",
}
# Long enough for a call that does not wait for it to have ended.
MOMENT_S = 0.3


def scenario(*, needs: str = "", ready: bool = True, **spec: Any) -> Callable[[Test], Callable[[Any, Path], None]]:
    """A test, given a `Bench` whose executor has started. spec: further fields of the `ExecutorSpec`.

    needs: skipped unless this attribute of the suite is set. ready: once the workers are warm.
    """

    def decorate(test: Test) -> Callable[[Any, Path], None]:
        def run(self: ExecutorConformance, tmp_path: Path) -> None:
            if needs and not getattr(self, needs):
                pytest.skip(f"{needs} is not set")
            asyncio.run(self.play(test, tmp_path, spec, ready=ready))

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run

    return decorate


class ExecutorConformance:
    """Subclass it, and name the executor.

    executor: the class. spec: fields of the `ExecutorSpec` for all tests.
    has_log, has_progress: whether it can tell what one call prints, and how far a call is. Threads cannot.
    has_training: whether it runs trainings.
    has_streams: whether it tells a generator's values as they come (since 1.1).
    has_keeping: whether it tells what a job reports and gives away beside its answer (since 1.1).
    """

    executor: ClassVar[Any]
    spec: ClassVar[Mapping[str, Any]] = {}
    has_log: ClassVar[bool] = True
    has_progress: ClassVar[bool] = True
    has_training: ClassVar[bool] = True
    has_streams: ClassVar[bool] = False
    has_keeping: ClassVar[bool] = False

    async def play(self, test: Test, folder: Path, spec: Mapping[str, Any], *, ready: bool = True) -> None:
        bench = self.bench(folder, **spec)
        try:
            async with asyncio.timeout(3 * PATIENCE_S):
                bench.card = await bench.executor.start()
                if ready:
                    await bench.executor.wait_ready()
                await test(self, bench)
        finally:
            bench.release()  # a thread would go on for ever
            await bench.executor.stop()

    def bench(self, folder: Path, **spec: Any) -> Bench:
        own = {"module": str(MODULE), "name": "conforming", "folder": str(folder), **self.spec, **spec}
        return Bench(self.executor(ExecutorSpec(**own), lambda pid, chunk: None), folder)

    def test_its_settings_have_help_and_unit(self) -> None:
        for setting in self.executor.settings:
            check_setting(setting)

    # Start

    @scenario()
    async def test_the_start_describes_the_module(self, bench: Bench) -> None:
        card = bench.card
        assert isinstance(card, Card)
        assert {"mode", "value", "file"} <= {argument.name for argument in card.predict_args}
        assert card.metadata["summary"] == "for conformance suites"
        assert {"predict", "train", "warm"} <= set(card.capabilities)

    @scenario(workers=2)
    async def test_all_workers_are_warm_when_it_is_ready(self, bench: Bench) -> None:
        counts = bench.executor.counts()
        assert (counts.workers, counts.busy, counts.queued, counts.loaded) == (2, 0, 0, True)

    @scenario(ready=False)
    async def test_a_call_need_not_wait_until_it_is_ready(self, bench: Bench) -> None:
        assert (await bench.run(value=1)).body == b"1"

    @pytest.mark.parametrize("source", UNUSABLE.values(), ids=list(UNUSABLE))
    def test_a_module_that_cannot_be_used_is_told_at_the_start(self, tmp_path: Path, source: str | None) -> None:
        if source is not None:
            (tmp_path / "broken.py").write_text(source)

        async def nothing(self: ExecutorConformance, bench: Bench) -> None:
            """Not called."""

        with pytest.raises(LoadFailed):
            asyncio.run(self.play(nothing, tmp_path, {"module": str(tmp_path / "broken.py")}))

    # Answers

    @scenario()
    async def test_a_call_is_answered_with_json(self, bench: Bench) -> None:
        outcome = await bench.run(value={"a": [1, 2.5, None, "é"]})
        assert outcome.error is None
        assert json.loads(outcome.body) == {"a": [1, 2.5, None, "é"]}
        assert (outcome.media_type, outcome.path, outcome.text) == ("application/json", None, None)
        assert {"queue", "validate", "predict", "encode"} <= set(outcome.timings)

    @scenario(inline_limit_bytes=1000)
    async def test_a_large_answer_is_a_file_in_the_calls_folder(self, bench: Bench) -> None:
        outcome = await bench.run("large", number=2000, scratch=str(bench.folder / "own"))
        assert outcome.error is None and outcome.path is not None and outcome.body == b""
        assert os.path.dirname(outcome.path) == str(bench.folder / "own")
        assert json.loads(Path(outcome.path).read_text()) == "x" * 2000

    @scenario()
    async def test_a_file_reaches_the_module(self, bench: Bench) -> None:
        (bench.folder / "given").write_text("content")
        file = InputFile("file", str(bench.folder / "given"), "file", "text/plain", "letter.txt")
        outcome = await bench.run("read", files=[file])
        assert outcome.error is None and json.loads(outcome.body) == ["content", "letter.txt"]

    @scenario()
    async def test_the_text_of_an_answer_comes_along_where_it_is_asked_for(self, bench: Bench) -> None:
        outcome = await bench.run(value={"a": True}, text=True)
        assert (outcome.text, json.loads(outcome.body)) == ("{'a': True}", {"a": True})

    @scenario()
    async def test_arguments_that_are_only_to_be_looked_at_run_nothing(self, bench: Bench) -> None:
        outcome = await bench.run(value="seen", trace=str(bench.folder / "trace"), only_validate=True)
        assert json.loads(outcome.body)["value"] == "seen"
        assert not (bench.folder / "trace").exists()

    @scenario(needs="has_training")
    async def test_a_training_is_run(self, bench: Bench) -> None:
        outcome = await bench.run(method="train", arguments={"number": 3})
        assert outcome.error is None and json.loads(outcome.body) == {"trained": 3}

    # Failures

    @scenario()
    async def test_refused_arguments_are_named_and_the_function_is_not_called(self, bench: Bench) -> None:
        outcome = await bench.run(number="many", trace=str(bench.folder / "trace"))
        assert type(outcome.error) is InvalidArguments and list(outcome.error.fields) == ["number"]
        assert not (bench.folder / "trace").exists()

    @scenario()
    async def test_what_the_module_raises_is_in_the_outcome_and_the_next_call_is_answered(self, bench: Bench) -> None:
        outcome = await bench.run("raise", value="no such breed")
        assert type(outcome.error) is ModelFailed and outcome.error.message == "ValueError: no such breed"
        assert (await bench.run(value=1)).body == b"1"

    def test_a_function_that_the_module_lacks_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "plain.py").write_text("def predict():\n    return 1\n")

        async def train(self: ExecutorConformance, bench: Bench) -> None:
            outcome = await bench.run(method="train", arguments={})
            assert type(outcome.error) is NotImplementedByModel

        asyncio.run(self.play(train, tmp_path, {"module": str(tmp_path / "plain.py")}))

    # What a call says

    @scenario(needs="has_log")
    async def test_the_log_has_what_the_call_printed_and_no_other(self, bench: Bench) -> None:
        heard = Heard()
        outcome = await bench.run("print", value="one line", watcher=heard)
        assert (outcome.log, heard.text) == (b"one line\n", b"one line\n")
        assert (await bench.run()).log == b""

    @scenario(needs="has_progress")
    async def test_progress_is_told_before_the_outcome(self, bench: Bench) -> None:
        heard = Heard()
        await bench.run("progress", value="half", watcher=heard)
        assert heard.told == [(0.5, "half")]

    @scenario(needs="has_keeping")
    async def test_what_a_job_reports_and_gives_away_is_told_before_the_outcome(self, bench: Bench) -> None:
        heard = Heard()
        outcome = await bench.run("keep", value="content", attempt=1, watcher=heard)
        assert outcome.error is None
        assert (heard.numbers, heard.files) == ([{"epoch": 1, "loss": 0.5}], {"kept.txt": b"content"})

    @scenario()
    async def test_a_call_that_is_no_job_gives_nothing_away(self, bench: Bench) -> None:
        heard = Heard()
        outcome = await bench.run("keep", value="content", watcher=heard)
        assert outcome.error is None and heard.files == {}

    # Values of a generator

    @scenario(needs="has_streams")
    async def test_a_generators_values_are_told_as_they_come(self, bench: Bench) -> None:
        heard = Heard()
        call = bench.start("values", number=3, stream="values", watcher=heard)
        await bench.wait(lambda _: heard.values == [b'{"number": 0}'])  # the module waits before the others
        assert not call.done()
        bench.release()
        outcome = await call
        assert outcome.error is None and outcome.body == b"" and outcome.values == 3
        assert [json.loads(value) for value in heard.values] == [{"number": number} for number in range(3)]

    @scenario()
    async def test_a_generators_list_is_the_same_whether_or_not_its_values_are_told(self, bench: Bench) -> None:
        bench.release()
        untold = await bench.run("values", number=3)
        assert (json.loads(untold.body), untold.values) == ([{"number": number} for number in range(3)], None)
        if self.has_streams:
            told = await bench.run("values", number=3, stream="both", watcher=Heard())
            assert (told.body, told.values) == (untold.body, 3)
            assert (await bench.run("values", stream="both", watcher=Heard())).body == b"[]"

    @scenario()
    async def test_an_answer_that_is_not_a_generators_comes_whole(self, bench: Bench) -> None:
        heard = Heard()
        outcome = await bench.run(value=[1, 2], stream="values", watcher=heard)
        assert (json.loads(outcome.body), outcome.values, heard.values) == ([1, 2], None, [])

    @scenario(needs="has_streams")
    async def test_what_a_generator_raises_comes_after_its_values(self, bench: Bench) -> None:
        heard = Heard()
        bench.release()
        outcome = await bench.run("values", number=2, value="no such breed", stream="values", watcher=heard)
        assert type(outcome.error) is ModelFailed and outcome.error.message == "ValueError: no such breed"
        assert len(heard.values) == 2
        assert (await bench.run(value=1)).body == b"1"

    @scenario(needs="has_streams")
    async def test_a_generator_waits_for_who_takes_its_values(self, bench: Bench) -> None:
        heard = Heard()
        heard.more = more = asyncio.get_running_loop().create_future()
        bench.release()
        call = bench.start("values", number=50_000, stream="values", watcher=heard)
        await bench.wait(lambda _: bool(heard.values))
        await asyncio.wait({call}, timeout=MOMENT_S)
        assert len(heard.values) < 50_000 and not call.done()
        heard.more = None
        more.set_result(None)
        assert (await call).values == len(heard.values) == 50_000

    @scenario(needs="has_streams")
    async def test_a_cancelled_generator_is_closed(self, bench: Bench) -> None:
        heard, trace = Heard(), bench.folder / "trace"
        bench.release()
        call = bench.start("values", number=-1, trace=str(trace), stream="values", watcher=heard)
        await bench.wait(lambda _: len(heard.values) > 10)
        call.cancel()
        done, _ = await asyncio.wait({call}, timeout=PATIENCE_S)
        assert done and call.cancelled()
        assert trace.read_text().split() == ["None", "closed"]
        assert (await bench.run(value=1)).body == b"1"

    # Many calls

    @scenario(workers=2)
    async def test_as_many_calls_run_at_once_as_there_are_workers(self, bench: Bench) -> None:
        calls = [bench.start(value=number) for number in range(5)]
        await bench.wait(lambda counts: counts.busy == 2 and counts.queued == 3)
        bench.release()
        assert [json.loads((await call).body) for call in calls] == [0, 1, 2, 3, 4]
        await bench.wait(lambda counts: counts.busy == counts.queued == 0)

    @scenario()
    async def test_a_call_that_is_cancelled_while_it_waits_never_runs(self, bench: Bench) -> None:
        trace = bench.folder / "trace"
        running = bench.start(value="running", trace=str(trace))
        await bench.wait(lambda counts: counts.busy == 1)
        waiting = bench.start(value="waiting", trace=str(trace))
        await bench.wait(lambda counts: counts.queued == 1)
        waiting.cancel()
        assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], asyncio.CancelledError)
        bench.release()
        assert (await running).error is None
        assert (await bench.run(value="next", trace=str(trace))).error is None
        assert trace.read_text().split() == ["running", "next"]

    # Endings

    @scenario()
    async def test_a_cancelled_call_has_ended_when_run_raises(self, bench: Bench) -> None:
        call = bench.start()
        await bench.wait(lambda counts: counts.busy == 1)
        call.cancel()
        if not self.executor.can_stop:
            await asyncio.wait({call}, timeout=MOMENT_S)
            assert not call.done(), "run() has returned, and the work goes on"
            assert bench.executor.counts().busy == 1
            bench.release()
        done, _ = await asyncio.wait({call}, timeout=PATIENCE_S)
        assert done and call.cancelled()
        assert (await bench.run(value=1)).body == b"1"

    @scenario()
    async def test_a_late_call_has_ended_when_run_returns(self, bench: Bench) -> None:
        call = bench.start(timeout_s=MOMENT_S)
        if self.executor.can_stop:
            assert type((await asyncio.wait_for(call, PATIENCE_S)).error) is DeadlineExceeded
        else:
            await asyncio.wait({call}, timeout=2 * MOMENT_S)
            assert not call.done(), "run() has returned, and the work goes on"
            bench.release()
            await asyncio.wait_for(call, PATIENCE_S)
        assert (await bench.run(value=1)).body == b"1"

    @scenario()
    async def test_stop_ends_what_runs_and_what_waits_with_cancelled(self, bench: Bench) -> None:
        calls = [bench.start(), bench.start()]
        await bench.wait(lambda counts: counts.busy == 1 and counts.queued == 1)
        await asyncio.wait_for(bench.executor.stop(), PATIENCE_S)
        outcomes = await asyncio.wait_for(asyncio.gather(*calls), PATIENCE_S)
        assert [type(outcome.error) for outcome in outcomes] == [Cancelled, Cancelled]

    @scenario()
    async def test_no_process_is_left_after_stop(self, bench: Bench) -> None:
        processes = bench.executor.processes()
        await bench.executor.stop()
        assert {descent.state(pid) for pid in processes if pid != os.getpid()} <= {"", "Z", "X"}

    @scenario(workers=2, min_workers=0)
    async def test_shrink_says_how_many_workers_it_has_ended_and_the_next_call_is_answered(self, bench: Bench) -> None:
        assert (await bench.run(value=1)).error is None
        before, ended = bench.executor.counts().workers, await bench.executor.shrink()
        assert bench.executor.counts().workers == before - ended
        assert (await bench.run(value=2)).body == b"2"
