"""Where workers cannot be forked, one that has imported the plugin waits to be the next."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from modelport.errors import DeadlineExceeded
from tests.executors.conftest import Bench, OpenBench
from tests.house import alive, wait_until

# Each import waits until the test lets it, then leaves a line: one that the next call needed would keep it for ever.
SOURCE = """
import os, subprocess, threading, time
from marshmallow import fields
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
folder = os.path.dirname(os.path.abspath(__file__))
while not os.path.exists(folder + "/open"): time.sleep(0.005)
with open(folder + "/imports", "a") as imports: imports.write(f"{os.getpid()}\\n")
warmed = []
def warm():
    warmed.append(os.getcwd())
def get_predict_args(): return {"mode": fields.Str()}
get_train_args = get_predict_args
def predict(mode):
    if mode == "child": return subprocess.Popen(["sleep", "600"], start_new_session=True).pid
    if mode == "sleep": open(folder + "/asleep", "w").close()
    while mode == "sleep": time.sleep(0.01)
    return [os.getpid(), warmed]
def train(mode):
    return os.getpid()
"""


def imported(bench: Bench) -> list[int]:
    """The processes that have imported the plugin, by their ids."""
    file = bench.folder / "imports"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


async def open_with_spare(bench: OpenBench, tmp_path: Path, **spec: object) -> tuple[Bench, int]:
    """The bench, and the spare worker, which has imported the plugin."""
    folder = tmp_path / "bench-0"
    folder.mkdir(exist_ok=True)
    (folder / "open").touch()
    opened = await bench("auto", SOURCE, spare_worker=True, **spec)
    await wait_until(lambda: len(opened.workers()) == 2 and len(imported(opened)) == 3)
    [spare] = set(opened.workers()) - {json.loads((await opened.run()).body)[0]}
    return opened, spare


async def test_the_call_after_a_client_has_left_waits_for_no_import(bench: OpenBench, tmp_path: Path) -> None:
    opened, spare = await open_with_spare(bench, tmp_path, work=str(tmp_path / "work"))
    (opened.folder / "open").unlink()
    call = opened.start()
    await wait_until((opened.folder / "asleep").exists)  # a call that no worker has read costs none
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    pid, warmed = json.loads((await opened.run()).body)
    assert pid == spare
    # Warmed only now, and in the working folder that has become free.
    assert warmed == [str(tmp_path / "work" / "1")]
    await wait_until(lambda: len(opened.workers()) == 2)  # the next spare one is on its way
    (opened.folder / "open").touch()


async def test_the_spare_is_no_worker_that_counts(bench: OpenBench, tmp_path: Path) -> None:
    opened, _ = await open_with_spare(bench, tmp_path, workers=2, min_workers=1)
    counts = opened.executor.counts()
    assert (counts.workers, counts.starting, counts.restarts) == (1, 0, 0)


async def test_a_spare_that_has_died_is_missed_by_nobody(bench: OpenBench, tmp_path: Path) -> None:
    opened, spare = await open_with_spare(bench, tmp_path)
    os.kill(spare, signal.SIGKILL)
    await wait_until(lambda: not alive(spare))
    call = opened.start()
    await opened.wait_busy()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await opened.run()).error is None


async def test_a_spare_that_is_chosen_before_its_end_is_heard_of_is_missed_by_nobody(
    bench: OpenBench, tmp_path: Path
) -> None:
    opened, spare = await open_with_spare(bench, tmp_path)
    [template] = opened.templates()
    os.kill(template, signal.SIGSTOP)  # it hears of the end, and tells of it
    os.kill(spare, signal.SIGKILL)
    training = opened.start(method="train")
    await asyncio.sleep(0)  # the spare has been told to go on
    os.kill(template, signal.SIGCONT)
    outcome = await training
    assert outcome.error is None
    assert json.loads(outcome.body) != spare


async def test_a_training_takes_the_spare(bench: OpenBench, tmp_path: Path) -> None:
    opened, spare = await open_with_spare(bench, tmp_path)
    assert json.loads((await opened.run(method="train")).body) == spare
    await wait_until(lambda: len(opened.workers()) == 2 and len(imported(opened)) == 4)  # there is another


async def test_where_memory_is_short_the_spare_goes_first(bench: OpenBench, tmp_path: Path) -> None:
    opened, spare = await open_with_spare(bench, tmp_path)
    assert await opened.executor.shrink() == 0
    assert not alive(spare)
    assert (await opened.run()).error is None


async def test_for_a_command_the_process_that_has_imported_the_plugin_is_the_worker(
    bench: OpenBench, tmp_path: Path
) -> None:
    (tmp_path / "bench-0").mkdir()
    (tmp_path / "bench-0" / "open").touch()
    opened = await bench("once", SOURCE, train_in_pool=True)
    assert json.loads((await opened.run()).body)[0] == opened.templates()[0]
    assert (await opened.run(method="train")).error is None
    assert len(imported(opened)) == 1
    late = await opened.run("sleep", timeout_s=0.2)
    assert isinstance(late.error, DeadlineExceeded)
    assert (await opened.run()).error is None  # by another
    call = opened.start("sleep")
    await opened.wait_busy()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    child = json.loads((await opened.run("child")).body)
    [worker] = opened.templates()
    await opened.executor.stop()
    assert not alive(worker) and not alive(child)


async def test_for_a_command_too_workers_are_forked_where_they_can_be(bench: OpenBench) -> None:
    opened = await bench("once", "import os\ndef predict(**k): return os.getpid()\n")
    assert json.loads((await opened.run()).body) not in opened.templates()


async def test_where_workers_are_forked_there_is_none(bench: OpenBench) -> None:
    opened = await bench("auto", "def predict(**k): return 1\n", spare_worker=True)
    assert (await opened.run()).error is None
    assert len(opened.workers()) == 1


async def test_all_end_with_the_executor(bench: OpenBench, tmp_path: Path) -> None:
    opened, spare = await open_with_spare(bench, tmp_path)
    await opened.executor.stop()
    assert not alive(spare)
