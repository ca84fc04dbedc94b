"""Calls that are sent to a busy worker before it has answered the one before."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from modelport.contract.wire import MESSAGE_BYTES
from modelport.errors import Cancelled, DeadlineExceeded, WorkerLost
from modelport.executors.local import LocalExecutor
from tests.executors.conftest import Bench, OpenBench, Seen
from tests.house import wait_until

# Each call writes its name to the trace when it begins, and may wait for a file.
SOURCE = """
import os, subprocess, sys, time
from marshmallow import fields
def get_predict_args():
    texts = {name: fields.Str(load_default="") for name in ("name", "trace", "gate", "blob")}
    return {**texts, "size": fields.Int(load_default=0)}
def predict(name, trace, gate, size, blob):
    if trace:
        with open(trace, "a") as file:
            file.write(f"{name} {os.getpid()}\\n")
    while gate and not os.path.exists(gate):
        time.sleep(0.002)
    for _ in range(size):
        print("print", name)
        os.write(1, f"write {name}\\n".encode())
        print("error", name, file=sys.stderr)
    if size:
        subprocess.run(["echo", "child", name], check=True)
    return name
"""


class Line:
    """A bench of workers of which each gets calls ahead, however long they take."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench = bench
        self.trace = folder / "trace"
        self.gate = folder / "gate"

    def start(self, name: str, *, gated: bool = False, **options: Any) -> asyncio.Task[Any]:
        gate = str(self.gate) if gated else ""
        return self.bench.start("", name=name, trace=str(self.trace), gate=gate, **options)

    def begun(self) -> list[str]:
        """The calls that a worker has begun, in order."""
        lines = self.trace.read_text().splitlines() if self.trace.exists() else []
        return [line.split()[0] for line in lines]

    async def wait_begun(self, *names: str) -> None:
        await wait_until(lambda: set(names) <= set(self.begun()))

    def ahead(self) -> int:
        executor = self.bench.executor
        assert isinstance(executor, LocalExecutor)
        return sum(max(0, len(worker.runs) - 1) for worker in executor._workers)

    async def wait_ahead(self, number: int) -> None:
        await wait_until(lambda: self.ahead() == number)

    def open(self) -> None:
        self.gate.touch()


async def opened(bench: OpenBench, tmp_path: Path, start_method: str = "fork", **spec: Any) -> Line:
    spec = {"queue_ahead": 3, "queue_ahead_below_s": 3600.0, **spec}
    line = Line(await bench(start_method, SOURCE, **spec), tmp_path)
    assert (await line.bench.run("")).error is None  # from now on it is known how long a call takes
    return line


async def test_calls_wait_at_the_worker_and_are_answered_in_order(
    bench: OpenBench, tmp_path: Path, start_method: str
) -> None:
    line = await opened(bench, tmp_path, start_method)
    first = line.start("first", gated=True)
    await line.wait_begun("first")
    others = [line.start(f"call-{number}") for number in range(6)]
    await line.wait_ahead(3)
    assert line.bench.executor.counts().queued == 6
    line.open()
    assert json.loads((await first).body) == "first"
    assert [json.loads((await other).body) for other in others] == [f"call-{number}" for number in range(6)]
    assert line.begun() == ["first", *(f"call-{number}" for number in range(6))]
    assert len({other.result().worker for other in others}) == 1


async def test_a_lost_worker_costs_only_the_call_that_it_had_read(bench: OpenBench, tmp_path: Path) -> None:
    line = await opened(bench, tmp_path)
    first = line.start("first", gated=True)
    await line.wait_begun("first")
    others = [line.start(f"call-{number}") for number in range(5)]
    await line.wait_ahead(3)
    os.kill(int(line.trace.read_text().split()[1]), signal.SIGKILL)
    assert type((await first).error) is WorkerLost
    assert [json.loads((await other).body) for other in others] == [f"call-{number}" for number in range(5)]
    assert sorted(line.begun()) == sorted(["first", *(f"call-{number}" for number in range(5))])


async def test_who_leaves_while_its_call_waits_at_the_worker_costs_nothing(bench: OpenBench, tmp_path: Path) -> None:
    line = await opened(bench, tmp_path)
    first = line.start("first", gated=True)
    await line.wait_begun("first")
    others = [line.start(f"call-{number}") for number in range(3)]
    await line.wait_ahead(3)
    others[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await others[1]
    assert line.ahead() == 2
    line.open()
    assert json.loads((await first).body) == "first"
    assert [json.loads((await others[number]).body) for number in (0, 2)] == ["call-0", "call-2"]
    assert line.begun() == ["first", "call-0", "call-2"]
    assert line.bench.executor.counts().restarts == 0


async def test_who_leaves_while_its_call_is_at_work_ends_it_and_the_others_go_on(
    bench: OpenBench, tmp_path: Path
) -> None:
    line = await opened(bench, tmp_path)
    first = line.start("first", gated=True)
    await line.wait_begun("first")
    others = [line.start(f"call-{number}") for number in range(3)]
    await line.wait_ahead(3)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert [json.loads((await other).body) for other in others] == ["call-0", "call-1", "call-2"]
    assert line.begun() == ["first", "call-0", "call-1", "call-2"]


async def test_a_call_whose_time_passes_at_the_worker_is_never_begun(bench: OpenBench, tmp_path: Path) -> None:
    line = await opened(bench, tmp_path)
    first = line.start("first", gated=True)
    await line.wait_begun("first")
    late, patient = line.start("late", timeout_s=0.05), line.start("patient")
    outcome = await late
    assert type(outcome.error) is DeadlineExceeded and "no worker was free" in outcome.error.message
    line.open()
    assert json.loads((await first).body) == "first"
    assert json.loads((await patient).body) == "patient"
    assert line.begun() == ["first", "patient"]
    assert line.bench.executor.counts().restarts == 0


async def test_a_call_at_work_that_is_late_takes_no_other_along(bench: OpenBench, tmp_path: Path) -> None:
    line = await opened(bench, tmp_path)
    late = line.start("late", gated=True, timeout_s=0.3)
    await line.wait_begun("late")
    others = [line.start(f"call-{number}", timeout_s=60) for number in range(3)]
    outcome = await late
    assert type(outcome.error) is DeadlineExceeded and "stopped at its time limit" in outcome.error.message
    assert [json.loads((await other).body) for other in others] == ["call-0", "call-1", "call-2"]


async def test_no_call_waits_behind_a_slow_one_while_another_worker_is_free(bench: OpenBench, tmp_path: Path) -> None:
    line = await opened(bench, tmp_path, workers=2)
    await line.bench.wait_workers(2)
    slow = line.start("slow", gated=True)
    await line.wait_begun("slow")
    others = [line.start(f"call-{number}", timeout_s=60) for number in range(8)]
    assert [json.loads((await other).body) for other in others] == [f"call-{number}" for number in range(8)]
    assert not slow.done()
    line.open()
    assert json.loads((await slow).body) == "slow"


async def test_calls_wait_for_workers_that_may_still_start(bench: OpenBench, tmp_path: Path) -> None:
    line = await opened(bench, tmp_path, workers=2, min_workers=0)
    slow = line.start("slow", gated=True)
    await line.wait_begun("slow")
    other = line.start("other")
    assert json.loads((await other).body) == "other"
    assert not slow.done() and other.result().worker != int(line.trace.read_text().split()[1])
    line.open()
    await slow


async def test_what_calls_print_does_not_meet(bench: OpenBench, tmp_path: Path, start_method: str) -> None:
    line = await opened(bench, tmp_path, start_method)
    first = line.start("first", gated=True, size=50)
    await line.wait_begun("first")
    watchers = [Seen() for _ in range(8)]
    others = [line.start(f"call-{n}", size=20, watcher=watcher) for n, watcher in enumerate(watchers)]
    await line.wait_ahead(3)
    line.open()
    for number, (task, watcher) in enumerate(zip([first, *others], [None, *watchers], strict=True)):
        name = "first" if number == 0 else f"call-{number - 1}"
        log = (await task).log.decode()
        assert {text.split()[-1] for text in log.splitlines()} == {name}
        assert len(log.splitlines()) == (151 if number == 0 else 61)
        assert watcher is None or watcher.text == log


async def test_a_call_too_large_for_a_message_waits_its_turn(bench: OpenBench, tmp_path: Path) -> None:
    line = await opened(bench, tmp_path)
    first = line.start("first", gated=True)
    await line.wait_begun("first")
    large = line.start("large", blob="x" * (3 * MESSAGE_BYTES))
    others = [line.start(f"call-{number}", blob="y" * (MESSAGE_BYTES - 1000)) for number in range(4)]
    await asyncio.sleep(0)
    line.open()
    for name, task in {"first": first, "large": large, **{f"call-{n}": task for n, task in enumerate(others)}}.items():
        assert json.loads((await task).body) == name
    assert line.begun()[:2] == ["first", "large"]


async def test_the_end_of_the_executor_is_told_to_all(bench: OpenBench, tmp_path: Path) -> None:
    line = await opened(bench, tmp_path)
    tasks = [line.start("first", gated=True)]
    await line.wait_begun("first")
    tasks += [line.start(f"call-{number}") for number in range(6)]
    await line.wait_ahead(3)
    await line.bench.executor.stop()
    assert [type((await task).error) for task in tasks] == [Cancelled] * 7
    assert line.begun() == ["first"]


async def test_a_slow_model_gets_none(bench: OpenBench, tmp_path: Path) -> None:
    line = await opened(bench, tmp_path, queue_ahead_below_s=0.0)
    first = line.start("first", gated=True)
    await line.wait_begun("first")
    other = line.start("other")
    await wait_until(lambda: line.bench.executor.counts().queued == 1)
    assert line.ahead() == 0
    line.open()
    assert json.loads((await first).body) == "first" and json.loads((await other).body) == "other"


async def test_many_calls_of_all_kinds_at_once_each_get_their_own_answer(bench: OpenBench, tmp_path: Path) -> None:
    """Cancelled, late, large, and workers that are killed meanwhile: nothing is lost and nothing runs twice."""
    line = await opened(bench, tmp_path, workers=2)
    names = deque(f"call-{number}" for number in range(400))
    lost: list[str] = []

    async def client() -> None:
        while names:
            name = names.popleft()
            number = int(name[5:])
            task = line.start(name, blob="x" * (number % 7 * 10_000), timeout_s=60)
            if number % 5 == 0:
                await asyncio.sleep(0.0003 * (number % 4))
                task.cancel()
                await asyncio.wait({task})
                continue
            outcome = await task
            if outcome.error is not None:
                assert type(outcome.error) is WorkerLost
                lost.append(name)
            else:
                assert json.loads(outcome.body) == name

    async def killer() -> None:
        for _ in range(5):
            await asyncio.sleep(0.03)
            executor = line.bench.executor
            assert isinstance(executor, LocalExecutor)
            with contextlib.suppress(IndexError, ProcessLookupError):
                os.kill(executor._workers[0].pid, signal.SIGKILL)

    await asyncio.gather(killer(), *(client() for _ in range(16)))
    await line.bench.wait_workers(2)
    assert len(lost) <= 5
    begun = line.begun()
    assert len(begun) == len(set(begun))
    counts = line.bench.executor.counts()
    assert (counts.busy, counts.queued) == (0, 0)


async def test_nothing_is_sent_ahead_behind_a_large_call(bench: OpenBench, tmp_path: Path) -> None:
    """It could not be taken back, and whoever left would end the worker."""
    line = await opened(bench, tmp_path)
    pid = line.bench.workers()[0]
    os.kill(pid, signal.SIGSTOP)
    large = line.start("large", blob="x" * 2 * MESSAGE_BYTES)
    others = [line.start(f"other {number}") for number in range(3)]
    await wait_until(lambda: line.bench.executor.counts().queued == 3)
    others[1].cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await others[1]
    os.kill(pid, signal.SIGCONT)
    assert [(await call).error for call in (large, others[0], others[2])] == [None] * 3
    assert line.bench.workers() == [pid]
    assert "other 1" not in line.begun()


async def test_a_worker_that_is_ended_because_it_read_nothing_takes_no_other_call_with_it(
    bench: OpenBench, tmp_path: Path
) -> None:
    """On a busy machine it may go on just when it is ended."""
    line = await opened(bench, tmp_path)
    for number in range(20):
        pid = line.bench.workers()[0]
        os.kill(pid, signal.SIGSTOP)
        late = line.start(f"late {number}", timeout_s=0.05)
        others = [line.start(f"other {number} {other}") for other in range(2)]
        assert type((await late).error) is DeadlineExceeded
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        assert [(await other).error for other in others] == [None, None]
