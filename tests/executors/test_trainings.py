"""Trainings: in a process of their own, so that predictions go on, or in the pool, as deepaas has them."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from modelport.contract.prediction import Call
from modelport.errors import DeadlineExceeded, InvalidArguments, LoadFailed, WorkerLost
from tests.executors.conftest import OpenBench, Seen
from tests.house import SOON_S, alive, wait_until


async def started(file: Path) -> int:
    """The process of the call that has written its number to `file`."""
    await wait_until(lambda: file.exists() and file.read_text().endswith("\n"))
    return int(file.read_text().split()[-1])


async def test_a_training_has_a_warm_process_of_its_own_that_ends_with_it(bench: OpenBench, start_method: str) -> None:
    opened = await bench(start_method)
    outcome = await opened.run("state", method="train")
    assert json.loads(outcome.body) == {"warm": 1, "calls": 0}
    predicting = json.loads((await opened.run("pid")).body)[0]
    assert predicting != outcome.worker
    assert opened.workers() == [predicting]
    assert opened.executor.counts().restarts == 0


async def test_predictions_go_on_during_a_training_and_cancelling_it_costs_no_warm_worker(
    bench: OpenBench, tmp_path: Path
) -> None:
    opened = await bench()
    training = opened.start("sleep", method="train", path=str(tmp_path / "pid"))
    process = await started(tmp_path / "pid")
    assert json.loads((await opened.run("state")).body) == {"warm": 1, "calls": 1}
    assert opened.executor.counts().busy == 0
    training.cancel()
    with pytest.raises(asyncio.CancelledError):
        await training
    assert not alive(process)
    assert json.loads((await opened.run("state")).body) == {"warm": 1, "calls": 2}


async def test_a_training_in_the_pool_takes_a_worker(bench: OpenBench, tmp_path: Path) -> None:
    opened = await bench(train_in_pool=True)
    pid = opened.workers()[0]
    training = opened.start("sleep", method="train", path=str(tmp_path / "pid"))
    assert await started(tmp_path / "pid") == pid
    prediction = opened.start("echo")
    await wait_until(lambda: opened.executor.counts().queued == 1)
    training.cancel()
    assert (await prediction).error is None


async def test_only_to_look_at_arguments_any_idle_worker_will_do(bench: OpenBench) -> None:
    opened = await bench()
    outcome = await opened.run("echo", method="train", number="3", only_validate=True)
    assert json.loads(outcome.body) == {"mode": "echo", "number": 3, "path": ""}
    assert outcome.worker == opened.workers()[0]


async def test_arguments_are_looked_at_while_all_workers_are_busy(bench: OpenBench, start_method: str) -> None:
    opened = await bench(start_method)
    running = opened.start("sleep")
    await opened.wait_busy()
    outcome = await opened.run("echo", method="train", number="x", only_validate=True)
    assert isinstance(outcome.error, InvalidArguments)
    running.cancel()


async def test_a_training_is_stopped_at_its_time_limit_which_begins_with_its_work(
    bench: OpenBench, start_method: str
) -> None:
    opened = await bench(start_method)
    outcome = await asyncio.wait_for(opened.run("sleep", method="train", timeout_s=0.2), 20)
    assert type(outcome.error) is DeadlineExceeded
    # A limit shorter than the start of the process must not be lost on the way.
    outcome = await asyncio.wait_for(opened.run("sleep", method="train", timeout_s=0.001), 20)
    assert type(outcome.error) is DeadlineExceeded


SHORT_LIVED = """
import os, threading, time
def die():
    time.sleep(0.01)
    os._exit(3)
def warm(): threading.Thread(target=die).start()
def predict(): return 1
def train(): time.sleep(600)
"""


async def test_a_training_whose_process_ends_before_the_call_is_sent_is_told(bench: OpenBench) -> None:
    opened = await bench("fork", SHORT_LIVED, workers=0)

    async def block() -> None:
        while True:
            time.sleep(0.06)
            await asyncio.sleep(0)

    blocking = asyncio.create_task(block())
    outcome = await asyncio.wait_for(opened.executor.run(Call("call", method="train", scratch="")), SOON_S)
    assert type(outcome.error) is WorkerLost
    blocking.cancel()


async def test_a_training_whose_process_cannot_be_warmed_is_told(bench: OpenBench, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.touch()
    source = f"def warm(): open({str(weights)!r})\ndef train(**k): return 1\n"
    opened = await bench("fork", source)
    weights.unlink()
    outcome = await opened.run(method="train")
    assert type(outcome.error) is LoadFailed and "weights" in outcome.error.message


@pytest.mark.parametrize(
    ("mode", "answer"),
    [
        ("set", [1, 2, 3]),
        ("nan", {"loss": None}),
        ("open_file", "<_io.BufferedReader"),
        ("large_bytes", "b'"),
    ],
)
async def test_a_training_ends_well_whatever_it_returns(bench: OpenBench, mode: str, answer: object) -> None:
    """Hours of work do not fail because JSON cannot say what came of them: then its text is shown."""
    opened = await bench()
    outcome = await opened.run(mode, method="train", number=3)
    assert outcome.error is None and outcome.is_json
    document = json.loads(outcome.body)
    assert document == answer or (isinstance(answer, str) and document.startswith(answer))


async def test_a_training_reports_progress(bench: OpenBench) -> None:
    opened = await bench()
    seen = Seen()
    await opened.run("progress", method="train", watcher=seen)
    assert [fraction for fraction, _ in seen.told] == [0.25, 0.5, 1.0]


async def test_a_training_is_heard_while_it_runs_but_not_while_it_warms_up(bench: OpenBench, tmp_path: Path) -> None:
    source = "import time\nfrom pathlib import Path\n"
    source += "def warm(): print('warming')\ndef get_train_args(): return {}\ndef train():\n    print('begun')\n"
    source += f"    while not Path({str(tmp_path / 'gate')!r}).exists(): time.sleep(0.01)\n    print('done')\n"
    opened, seen = await bench("fork", source), Seen()
    training = asyncio.create_task(opened.run(method="train", watcher=seen))
    await wait_until(lambda: seen.text == "begun\n")
    (tmp_path / "gate").touch()
    assert (await training).error is None
    assert seen.text == "begun\ndone\n"
