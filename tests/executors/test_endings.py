"""How calls end that do not end by themselves: cancelled, too late, killed, stopped. Nothing is left behind."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from modelport.contract import descent
from modelport.contract.prediction import Call, Outcome
from modelport.errors import Cancelled, DeadlineExceeded, LoadFailed, WorkerLost
from tests.executors.conftest import Bench, OpenBench
from tests.house import SOON_S, alive, children, stat, wait_until

PTRACE_SEIZE = 0x4206

# Promise 5 and 6: a dead worker is answered within 1 s, nothing runs past its deadline + 1 s.


async def family(bench: Bench, folder: Path) -> list[int]:
    """The processes that a running call has started."""
    file = folder / "pids"
    await wait_until(file.exists)
    return [int(part) for part in file.read_text().split()]


async def asleep(bench: Bench) -> asyncio.Task[Outcome]:
    """A call at work for ten minutes. One that its worker has not read yet would only be given to the next."""
    file = bench.folder / "asleep"
    file.unlink(missing_ok=True)
    call = bench.start("sleep", value=600, path=str(file))
    await wait_until(file.exists)
    return call


async def cancel(task: asyncio.Task[object]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_means_stopped_with_all_its_processes(
    bench: OpenBench, start_method: str, tmp_path: Path
) -> None:
    opened = await bench(start_method)
    call = opened.start("family", path=str(tmp_path / "pids"))
    pids = await family(opened, tmp_path)
    worker = opened.workers()[0]
    await cancel(call)
    assert not alive(worker)
    await wait_until(lambda: not any(map(alive, pids)), SOON_S)
    assert json.loads((await opened.run("state")).body) == {"warm": 1, "calls": 1}
    assert opened.executor.counts().restarts == 1


async def test_a_call_that_minds_no_signal_is_stopped_too(bench: OpenBench, start_method: str) -> None:
    opened = await bench(start_method)
    call = opened.start("stubborn")
    await opened.wait_busy()
    await cancel(call)
    assert (await opened.run()).error is None


async def test_who_cancels_while_waiting_costs_no_worker(bench: OpenBench) -> None:
    opened = await bench()
    running = await asleep(opened)
    waiting = [opened.start("echo") for _ in range(3)]
    await wait_until(lambda: opened.executor.counts().queued == 3)
    await cancel(waiting[1])
    assert opened.executor.counts().queued == 2
    await cancel(running)
    assert [(await waiting[number]).error for number in (0, 2)] == [None, None]
    assert opened.executor.counts().restarts == 1


async def test_a_call_is_stopped_at_its_deadline(bench: OpenBench, start_method: str) -> None:
    opened = await bench(start_method)
    started = time.monotonic()
    outcome = await opened.run("sleep", timeout_s=0.3)
    took = time.monotonic() - started
    assert type(outcome.error) is DeadlineExceeded
    assert 0.3 <= took < 0.3 + SOON_S
    assert json.loads((await opened.run("state")).body) == {"warm": 1, "calls": 1}


async def test_a_deadline_holds_for_calls_that_wait(bench: OpenBench) -> None:
    opened = await bench()
    running = await asleep(opened)
    started = time.monotonic()
    outcome = await opened.run(timeout_s=0.2)
    assert type(outcome.error) is DeadlineExceeded
    assert time.monotonic() - started < 0.2 + SOON_S
    assert opened.executor.counts().queued == 0
    await cancel(running)


async def test_a_call_in_time_is_not_stopped_by_its_deadline_later(bench: OpenBench) -> None:
    opened = await bench()
    first = await opened.run(timeout_s=0.2)
    outcome = await opened.run("sleep", value=0.5)
    assert (first.worker, outcome.error) == (outcome.worker, None)


def test_a_process_that_has_gone_has_no_origin() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert (descent.origin(process.pid), descent.state(process.pid)) == (None, "")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
async def test_a_worker_killed_at_work_is_answered_at_once_and_replaced(
    bench: OpenBench, start_method: str, number: signal.Signals
) -> None:
    opened = await bench(start_method)
    call = await asleep(opened)
    killed = time.monotonic()
    os.kill(opened.workers()[0], number)
    outcome = await call
    assert time.monotonic() - killed < SOON_S
    assert type(outcome.error) is WorkerLost and number.name in outcome.error.message
    assert (await opened.run()).error is None
    assert opened.executor.counts().restarts == 1


async def test_a_killed_workers_children_end_with_it(bench: OpenBench, start_method: str, tmp_path: Path) -> None:
    opened = await bench(start_method)
    call = opened.start("family", path=str(tmp_path / "pids"))
    pids = await family(opened, tmp_path)
    os.kill(opened.workers()[0], signal.SIGKILL)
    assert type((await call).error) is WorkerLost
    await wait_until(lambda: not any(map(alive, pids)), SOON_S)


async def test_a_worker_killed_while_idle_is_replaced(bench: OpenBench, start_method: str) -> None:
    opened = await bench(start_method)
    before = opened.workers()
    os.kill(before[0], signal.SIGKILL)
    await wait_until(lambda: opened.executor.counts().restarts == 1)
    assert (await asyncio.wait_for(opened.run("state"), 10)).body == b'{"warm": 1, "calls": 1}'
    assert opened.workers() != before


async def test_a_stopped_worker_is_ended_at_the_deadline(bench: OpenBench, start_method: str) -> None:
    opened = await bench(start_method)
    call = opened.start("sleep", value=30, timeout_s=0.6)
    await opened.wait_busy()
    os.kill(opened.workers()[0], signal.SIGSTOP)
    started = time.monotonic()
    assert type((await call).error) is DeadlineExceeded
    assert time.monotonic() - started < 0.6 + SOON_S
    assert (await opened.run()).error is None


async def test_a_worker_stopped_before_it_read_the_call_is_ended_too(bench: OpenBench, start_method: str) -> None:
    opened = await bench(start_method)
    await opened.run()
    os.kill(opened.workers()[0], signal.SIGSTOP)
    assert type((await opened.run(timeout_s=0.3)).error) is DeadlineExceeded
    assert (await opened.run()).error is None


async def test_a_worker_that_had_no_time_to_read_a_call_is_left_alone(bench: OpenBench) -> None:
    opened = await bench()
    worker = opened.workers()[0]
    for _ in range(50):
        line = opened.start("sleep", value=600, timeout_s=1e-5)
        assert type((await line).error) is DeadlineExceeded
        if opened.executor.counts().restarts:  # it had read one, and so was at work on it
            break
        assert opened.workers() == [worker]


# Long enough for a fork on a busy machine.
ANSWER_S = 3.0


@pytest.mark.slow
async def test_a_stopped_template_is_noticed_when_it_should_end_a_worker(bench: OpenBench) -> None:
    opened = await bench(child_timeout_s=ANSWER_S)
    call = opened.start("sleep", value=600, timeout_s=0.3)
    await opened.wait_busy()
    template = opened.templates()[0]
    os.kill(template, signal.SIGSTOP)
    assert type((await call).error) is DeadlineExceeded
    assert (await opened.run()).error is None
    assert not stat(template)


@pytest.mark.slow
async def test_a_stopped_template_is_noticed_when_a_worker_ends_and_callers_are_served(bench: OpenBench) -> None:
    opened = await bench(child_timeout_s=ANSWER_S)
    call = await asleep(opened)
    template = opened.templates()[0]
    os.kill(template, signal.SIGSTOP)
    os.kill(opened.workers()[0], signal.SIGKILL)
    outcome = await call
    assert type(outcome.error) is WorkerLost and "child_timeout_s, 3 s" in outcome.error.message
    assert (await opened.run()).error is None
    assert not stat(template)


HANGS_WHEN_FORKED = """
import os, time
def hang():
    if os.path.exists({gate!r}):
        time.sleep(600)
os.register_at_fork({when}=hang)
def predict(**k): return 1
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after_in_parent"])
async def test_a_fork_hook_that_blocks_is_noticed_and_the_rest_works_meanwhile(
    bench: OpenBench, tmp_path: Path, when: str
) -> None:
    gate = tmp_path / "gate"
    source = HANGS_WHEN_FORKED.format(gate=str(gate), when=when)
    opened = await bench("fork", source, child_timeout_s=ANSWER_S)
    gate.touch()
    os.kill(opened.workers()[0], signal.SIGKILL)
    await wait_until(lambda: opened.executor.counts().starting)
    outcome = await opened.run()
    assert isinstance(outcome.error, LoadFailed) and "child_timeout_s" in outcome.error.message
    gate.unlink()
    await opened.wait_workers()
    assert (await opened.run()).body == b"1"


async def test_a_stopped_template_delays_no_end(bench: OpenBench, start_method: str) -> None:
    opened = await bench(start_method)  # it is given more time than this test takes
    call = opened.start("sleep")
    await opened.wait_busy()
    below = [*opened.templates(), *opened.workers()]
    os.kill(opened.templates()[0], signal.SIGSTOP)
    await asyncio.wait_for(opened.executor.stop(), SOON_S)
    assert type((await call).error) is Cancelled
    assert not any(map(stat, below))


async def test_a_killed_template_takes_all_its_processes_along_and_is_replaced(
    bench: OpenBench, start_method: str, tmp_path: Path
) -> None:
    opened = await bench(start_method, workers=2)
    call = opened.start("family", path=str(tmp_path / "pids"))
    pids = await family(opened, tmp_path)
    both = opened.workers()
    template = opened.templates()[0]
    os.kill(template, signal.SIGKILL)
    outcome = await asyncio.wait_for(call, SOON_S + 1)
    assert type(outcome.error) is WorkerLost
    assert not any(map(alive, [*pids, *both, template]))
    assert not any(stat(pid) for pid in [*pids, *both, template]), "zombies"
    assert json.loads((await asyncio.wait_for(opened.run("state"), 20)).body) == {"warm": 1, "calls": 1}
    await opened.wait_workers(2)


async def test_calls_that_wait_when_the_template_is_killed_are_served(bench: OpenBench) -> None:
    opened = await bench()
    running = await asleep(opened)
    waiting = [opened.start("echo", value=number) for number in range(3)]
    await wait_until(lambda: opened.executor.counts().queued == 3)
    os.kill(opened.templates()[0], signal.SIGKILL)
    assert type((await running).error) is WorkerLost
    assert [(await each).body for each in waiting] == [b"0", b"1", b"2"]


# How a process that a call has forked gets away from it, and how many there are then.
ESCAPES = {
    "session": ("os.setsid()", 1),
    "daemon": ("os.setsid(); os.fork() and os._exit(0); os.setsid()", 1),
    "environment": (
        "os.setsid(); os.fork() and os._exit(0); write(); os.execve(sys.executable, ['x', '-c', WAIT], {})",
        1,
    ),
    "limits": ("os.setsid(); resource.setrlimit(resource.RLIMIT_RTTIME, (1, 1))", 1),
    "generations": ("os.setsid(); [os.fork() or os.setsid() for _ in range(3)]", 8),
    "hidden": ("os.setsid(); os.fork() and os._exit(0); sys.stdout.close(); os.closerange(0, 64)", 1),
}
ESCAPING = """
import os, resource, sys, time
from marshmallow import fields
WAIT = "import time\\nwhile True: time.sleep(600)"
def get_predict_args():
    return {name: fields.Str() for name in ("script", "path", "then")}
def predict(script, path, then):
    def write():
        written = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.write(written, f"{os.getpid()}\\n".encode())
        os.close(written)
    if os.fork() == 0:
        exec(script)
        write()
        while True:
            time.sleep(600)
    exec(then)
"""


def end(opened: Bench, what: str) -> None:
    worker, template = opened.workers()[0], opened.templates()[0]
    for pid in {"worker": [worker], "template": [template], "both": [template, worker]}[what]:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("how", ["worker", "template", "both", "cancelled", "stopped"])
@pytest.mark.parametrize("escape", ESCAPES)
async def test_whatever_a_call_has_started_ends_with_its_worker(
    bench: OpenBench, tmp_path: Path, escape: str, how: str
) -> None:
    opened = await bench("fork", ESCAPING)
    path, (script, number) = tmp_path / "pids", ESCAPES[escape]
    call = asyncio.create_task(opened.executor.run(escaping(script, path, "time.sleep(600)")))
    await wait_until(lambda: path.exists() and path.read_text().count("\n") == number)
    pids = [int(line) for line in path.read_text().split()]
    assert all(map(alive, pids))
    if how == "cancelled":
        await cancel(call)
    elif how == "stopped":
        await opened.executor.stop()
    else:
        end(opened, how)
    await wait_until(lambda: not any(map(stat, pids)), SOON_S)
    if how not in ("cancelled", "stopped"):
        assert type((await call).error) is WorkerLost


@pytest.mark.parametrize("escape", ESCAPES)
async def test_what_a_call_has_left_behind_ends_with_its_worker(bench: OpenBench, tmp_path: Path, escape: str) -> None:
    """Also where another worker of the template lives on, and where the template is killed before."""
    opened = await bench("fork", ESCAPING, workers=2)
    path, (script, number) = tmp_path / "pids", ESCAPES[escape]
    left = await opened.executor.run(escaping(script, path, "time.sleep(0.01)"))
    await wait_until(lambda: path.exists() and path.read_text().count("\n") == number)
    pids = [int(line) for line in path.read_text().split()]
    other = next(pid for pid in opened.workers() if pid != left.worker)
    os.kill(other, signal.SIGKILL)
    await wait_until(lambda: not stat(other))
    await opened.wait_workers(2)
    assert all(map(alive, pids))
    os.kill(left.worker, signal.SIGKILL)
    await wait_until(lambda: not any(map(stat, pids)), SOON_S)


def escaping(script: str, path: Path, then: str) -> Call:
    return Call("escaping", arguments={"script": script, "path": str(path), "then": then})


HELPER = """
import subprocess
subprocess.run(["sh", "-c", "sleep 987 >/dev/null & echo $! >> $1", "sh", {path!r}], check=True)
def predict(**k): return 1
"""


async def test_what_the_import_has_started_lives_as_long_as_the_template(
    bench: OpenBench, start_method: str, tmp_path: Path
) -> None:
    opened = await bench(start_method, HELPER.format(path=str(tmp_path / "helper")))
    helper = int((tmp_path / "helper").read_text().split()[0])  # where workers are spawned, each has one of its own
    os.kill(opened.workers()[0], signal.SIGKILL)
    await wait_until(lambda: opened.executor.counts().restarts == 1)
    assert (await opened.run()).error is None
    assert alive(helper)
    os.kill(opened.templates()[0], signal.SIGKILL)
    await wait_until(lambda: not stat(helper), SOON_S)


BLOCKS = """
import os, signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
def predict(**k):
    print("at work", flush=True)
    time.sleep(600)
"""


async def test_a_module_that_blocks_signals_keeps_no_worker_from_ending(
    bench: OpenBench, start_method: str, caplog: pytest.LogCaptureFixture
) -> None:
    opened = await bench(start_method, BLOCKS)
    for _ in range(2):
        await opened.wait_workers()
        worker = opened.workers()[0]
        begun = time.monotonic()
        call = opened.start()
        # One that has not been read is taken back, and its worker stays.
        await wait_until(partial(opened.output.__contains__, (worker, b"at work\n")))
        await cancel(call)
        assert not stat(worker)
        assert time.monotonic() - begun < SOON_S
    begun = time.monotonic()
    await opened.executor.stop()
    assert time.monotonic() - begun < SOON_S
    assert "does not end" not in caplog.text


async def test_a_killed_worker_that_is_only_late_is_waited_for(
    bench: OpenBench, caplog: pytest.LogCaptureFixture
) -> None:
    """As on a busy machine. A tracer keeps what it traces from its parent, until it has seen the end itself."""
    opened = await bench(child_timeout_s=0.5)
    call = await asleep(opened)
    worker = opened.workers()[0]
    if ctypes.CDLL(None).ptrace(PTRACE_SEIZE, worker, 0, 0):
        pytest.skip("nothing may be traced here")
    call.cancel()
    await wait_until(lambda: stat(worker)[0] == "Z")
    await asyncio.wait({call}, timeout=1.5)
    assert not call.done()
    os.waitpid(worker, 0)
    await asyncio.wait({call})
    assert not stat(worker)
    assert "does not end" not in caplog.text
    assert (await opened.run()).error is None


HOLDING = """
import ctypes, os, sys, time
pid = int(sys.argv[1])
if ctypes.CDLL(None).ptrace(0x4206, pid, 0, 0):
    sys.exit("nothing may be traced here")
print("held", flush=True)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
time.sleep(1)  # longer than stop waits for each of its two signals
os.waitpid(pid, 0)
"""


@asynccontextmanager
async def held(pid: int) -> AsyncIterator[None]:
    """Killed meanwhile, the process takes a second to end, as on a busy machine."""
    with subprocess.Popen([sys.executable, "-c", HOLDING, str(pid)], stdout=subprocess.PIPE) as tracer:
        assert tracer.stdout is not None
        if await asyncio.to_thread(tracer.stdout.readline) != b"held\n":
            pytest.skip("nothing may be traced here")
        yield


async def test_a_killed_template_that_is_only_late_is_waited_for(
    bench: OpenBench, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is left of an executor that has been stopped, however busy the machine was."""
    opened = await bench(child_timeout_s=0.3)
    template = opened.executor.processes()[0]
    async with held(template):
        await opened.executor.stop()
        assert not stat(template)
        assert "does not end" not in caplog.text


async def test_a_training_that_waits_for_another_template_is_refused_when_all_is_stopped(bench: OpenBench) -> None:
    opened = await bench(min_workers=0, child_timeout_s=0.3)
    template = opened.executor.processes()[0]
    async with held(template):
        opened.executor._template.kill("a test")  # type: ignore[attr-defined]
        training = opened.start("echo", method="train")
        await asyncio.sleep(0)  # it waits until the killed one has gone
        await opened.executor.stop()
        assert type((await training).error) is Cancelled
        assert opened.executor.processes() == []


async def test_what_a_killed_template_leaves_is_waited_for_however_late_it_ends(
    bench: OpenBench, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    opened = await bench(child_timeout_s=0.3)
    assert (await opened.run("leave_child", path=str(tmp_path / "pids"))).error is None
    left = (await family(opened, tmp_path))[0]
    async with held(left):
        os.kill(opened.executor.processes()[0], signal.SIGKILL)
        await opened.executor.stop()
        assert not stat(left)
        assert "do not end" not in caplog.text


async def test_other_children_of_the_gateway_survive_the_death_of_a_template(bench: OpenBench) -> None:
    others = [subprocess.Popen(["sleep", "987"], start_new_session=own) for own in (True, False)]
    try:
        opened, second = await bench(), await bench("fork", "def predict(**k): return 2\n")
        after = subprocess.Popen(["sleep", "987"], start_new_session=True)
        others.append(after)
        kept = second.executor.processes()
        os.kill(opened.executor.processes()[0], signal.SIGKILL)
        await wait_until(lambda: opened.executor.counts().restarts == 1)
        assert (await opened.run()).error is None
        assert all(alive(each.pid) for each in others)
        assert second.executor.processes() == kept and alive(kept[0])
    finally:
        for each in others:
            each.kill()
            each.wait()


async def test_a_child_that_outlives_its_call_ends_with_the_executor(bench: OpenBench, tmp_path: Path) -> None:
    opened = await bench()
    assert (await opened.run("leave_child", path=str(tmp_path / "pids"))).error is None
    pids = await family(opened, tmp_path)
    assert all(map(alive, pids))
    await opened.executor.stop()
    assert not any(stat(pid) for pid in pids)


async def test_stop_ends_every_process_and_tells_every_call(
    bench: OpenBench, start_method: str, tmp_path: Path
) -> None:
    before = children(zombies=True)
    opened = await bench(start_method, workers=2)
    calls = [opened.start("family", path=str(tmp_path / "pids")), opened.start("sleep"), opened.start("echo")]
    pids = await family(opened, tmp_path)
    await opened.wait_busy(2)
    await wait_until(lambda: opened.executor.counts().queued == 1)
    await opened.executor.stop()
    assert [type((await call).error) for call in calls] == [Cancelled] * 3
    assert not any(map(alive, pids))
    assert children(zombies=True) == before
    assert type((await opened.run()).error) is Cancelled


async def test_waiting_calls_are_served_in_order(bench: OpenBench) -> None:
    opened = await bench()
    order: list[int] = []

    async def call(number: int) -> None:
        await opened.run("sleep", value=0.01)
        order.append(number)

    await asyncio.gather(*(call(number) for number in range(10)))
    assert order == list(range(10))


async def test_a_hundred_calls_ended_at_random_moments_leave_one_warm_worker(bench: OpenBench) -> None:
    """Cancelled in the queue, at the start, at work and at the end: no place is lost, none is counted twice."""
    opened = await bench(workers=2)
    before = len(asyncio.all_tasks())

    async def one(number: int) -> None:
        task = opened.start("sleep", value=0.01)
        await asyncio.sleep(0.0007 * number)
        task.cancel()
        await asyncio.wait({task})

    await asyncio.gather(*(one(number) for number in range(100)))
    await opened.wait_workers(2)
    counts = opened.executor.counts()
    assert (counts.busy, counts.queued, counts.starting) == (0, 0, 0)
    assert len(asyncio.all_tasks()) == before
    assert len(opened.workers()) == 2
    assert [(await opened.run(value=number)).body for number in range(4)] == [b"0", b"1", b"2", b"3"]


async def test_an_answer_that_comes_just_at_its_deadline_costs_the_next_call_nothing(bench: OpenBench) -> None:
    """A worker that was told to end, but has answered and is not gone yet, used to be given the next call."""
    opened = await bench(workers=2)
    seen: set[str] = set()
    for step in range(60):
        both = [opened.start("sleep", value=0.05, timeout_s=0.0505 + 0.0001 * (step % 20)), opened.start("echo")]
        both += [opened.start("echo") for _ in range(4)]
        outcomes = [await each for each in both]
        seen.add("late" if outcomes[0].error else "in time")
        assert [outcome.error for outcome in outcomes[1:]] == [None] * 5
        assert outcomes[0].error is None or type(outcomes[0].error) is DeadlineExceeded
    print(seen)
