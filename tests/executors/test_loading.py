"""How plugins are loaded and workers made: by fork where that is safe, again where it failed, never half."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any, cast

import pytest

from modelport.contract.prediction import Call
from modelport.errors import LoadFailed, ModelportError, NotImplementedByModel, Starting
from modelport.executors.local import LocalExecutor
from modelport.executors.template import Template
from tests.executors.conftest import OpenBench
from tests.house import SOON_S, alive, children, command, wait_until

BARE = "def predict(**k): return 1\n"


async def refusal(opening: Any) -> ModelportError:
    with pytest.raises(LoadFailed) as caught:
        await opening
    return caught.value


async def test_a_method_that_the_plugin_lacks_is_said_so(bench: OpenBench) -> None:
    opened = await bench("fork", "def warm(): pass\n")
    outcome = await opened.run()
    assert type(outcome.error) is NotImplementedByModel
    assert outcome.error.message == "Not implemented by underlying model (loaded 'x')"


def open_files() -> list[int]:
    numbers = os.listdir("/proc/self/fd")  # with that of the listing
    return sorted(int(number) for number in numbers if os.path.lexists(f"/proc/self/fd/{number}"))


@contextlib.contextmanager
def room_for(files: int) -> Iterator[None]:
    """So many more may be opened."""
    taken, limits = set(open_files()), resource.getrlimit(resource.RLIMIT_NOFILE)
    free = (number for number in count() if number not in taken)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next(islice(free, files, None)), limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def test_where_too_many_files_are_open_nothing_of_a_worker_is_left(bench: OpenBench) -> None:
    opened = await bench("fork", BARE, min_workers=0, queue_ahead=2)
    template = opened.executor._template  # type: ignore[attr-defined]
    makers = (template.start_worker, partial(Template, template.spec, template._output))
    for make in makers:
        before, refused = open_files(), 0
        for files in count():
            try:
                with room_for(files):
                    made = make()
                    made = await made if asyncio.iscoroutine(made) else made
                break
            except LoadFailed as error:
                assert "Too many open files" in error.message
                refused += 1
            assert open_files() == before
        assert refused > 5
        await (made.stop() if isinstance(made, Template) else opened.executor._end(made))  # type: ignore[attr-defined]
        await wait_until(lambda before=before: open_files() == before)  # type: ignore[misc]


# How workers start


def started_by(pid: int) -> str:
    """A forked worker still has its template's command line."""
    return "spawn" if " worker " in command(pid) else "fork"


async def test_an_ordinary_plugin_is_forked(bench: OpenBench) -> None:
    opened = await bench("auto", BARE)
    assert [started_by(worker) for worker in opened.workers()] == ["fork"]


async def test_a_plugin_that_starts_a_thread_is_spawned(bench: OpenBench) -> None:
    source = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n" + BARE
    opened = await bench("auto", source, workers=2)
    assert [started_by(worker) for worker in opened.workers()] == ["spawn", "spawn"]
    assert (await opened.run()).body == b"1"


async def test_a_plugin_with_numpy_is_forked_and_computes(bench: OpenBench) -> None:
    """OpenBLAS keeps threads, but ends them before a fork."""
    source = """
import numpy
matrix = numpy.random.default_rng(1).random((200, 200))
matrix @ matrix
def predict(**k): return float((matrix @ numpy.linalg.inv(matrix)).trace().round())
"""
    opened = await bench("auto", source, workers=2)
    assert [started_by(worker) for worker in opened.workers()] == ["fork", "fork"]
    answers = await asyncio.gather(*(opened.run() for _ in range(4)))
    assert [answer.body for answer in answers] == [b"200.0"] * 4


async def test_a_plugin_with_a_graphics_driver_is_spawned(bench: OpenBench, tmp_path: Path) -> None:
    """What counts is that a file of that name is mapped."""
    library = tmp_path / "libcuda.so.1"
    library.write_bytes(b"\0" * 4096)
    source = f"import mmap\nwith open({str(library)!r}, 'r+b') as f: kept = mmap.mmap(f.fileno(), 4096)\n" + BARE
    opened = await bench("auto", source)
    assert [started_by(worker) for worker in opened.workers()] == ["spawn"]


async def test_start_method_spawn_imports_anew_in_each_worker(bench: OpenBench) -> None:
    source = "import os\nimported = os.getpid()\ndef predict(**k): return [imported, os.getpid()]\n"
    opened = await bench("spawn", source)
    imported, worker = json.loads((await opened.run()).body)
    assert imported == worker
    opened = await bench("fork", source)
    imported, worker = json.loads((await opened.run()).body)
    assert imported != worker


async def test_forked_workers_draw_different_random_numbers(bench: OpenBench) -> None:
    source = """
import random, time
import numpy
random.seed(7); numpy.random.seed(7)
def predict(**k):
    time.sleep(0.1)
    return [random.random(), numpy.random.random()]
"""
    opened = await bench("fork", source, workers=4)
    found = [json.loads(each.body) for each in await asyncio.gather(*(opened.run() for _ in range(4)))]
    for drawn in zip(*found, strict=True):
        assert len(set(drawn)) == 4, found


async def test_workers_lead_sessions_of_their_own_and_hold_no_foreign_descriptors(bench: OpenBench) -> None:
    source = "import os\ndef predict(**k): return sorted(int(each) for each in os.listdir('/proc/self/fd'))\n"
    opened = await bench("fork", source, workers=3)
    for _ in range(3):
        held = json.loads((await opened.run()).body)
        # stdin, stdout, stderr, its three descriptors from the gateway, and the folder that is being listed
        assert len(held) == 7, held


# What goes wrong


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import nothing_here\n", "nothing_here"),
        ("raise ValueError('not today')\n", "not today"),
        ("import sys\nsys.exit('no licence')\n", "no licence"),
        ("def get_predict_args(): raise OSError('no models folder')\ndef predict(**k): pass\n", "no models folder"),
        ("import os\nos._exit(9)\n", "exit status 9"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "SIGKILL"),
        ("nothing = 1\n", "is not a plugin"),
        ("import sys\nsys.stdout = sys.stderr = None\nraise ValueError('not today')\n", "not today"),
        ("def predict(:\n", "SyntaxError"),
    ],
)
async def test_a_plugin_that_cannot_be_loaded_is_told_with_the_reason(bench: OpenBench, source: str, told: str) -> None:
    before = children(zombies=True)
    error = await refusal(bench("fork", source))
    assert told in error.message + error.detail
    await wait_until(lambda: children(zombies=True) == before)


async def test_what_a_failing_import_printed_is_kept(bench: OpenBench) -> None:
    error = await refusal(bench("fork", "import os\nprint('half way')\nos._exit(9)\n"))
    assert "half way" in error.detail


async def test_a_description_that_is_too_large_is_told_with_its_largest_part(bench: OpenBench) -> None:
    source = "def get_metadata(): return {'summary': 'x' * 5000}\n" + BARE
    error = await refusal(bench("fork", source, card_limit_bytes=4000))
    assert "most of them in metadata; at most 4000 are allowed (card_limit_bytes)" in error.message


async def test_a_plugin_that_breaks_while_it_is_described_is_told(bench: OpenBench) -> None:
    source = "class Size:\n    def __repr__(self): raise RuntimeError('no words')\n"
    source += "BATCH_SIZE = Size()\ndef predict_batch(calls): return calls\n" + BARE
    error = await refusal(bench("fork", source))
    assert error.message == "the module cannot be described: RuntimeError: no words"


NO_PROCESSES = """
import errno, os
_fork = os.fork
def fork():
    if os.path.exists({full!r}):
        raise BlockingIOError(errno.EAGAIN, "no more processes")
    return _fork()
os.fork = fork
def predict(**k): return 1
"""


async def test_a_machine_without_room_for_a_process_is_told_and_tried_again(bench: OpenBench, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.touch()
    opened = await bench("fork", NO_PROCESSES.format(full=str(full)), ready=False)
    error = await refusal(opened.executor.wait_ready())
    assert error.message == "no worker process can be made: [Errno 11] no more processes"
    full.unlink()
    await opened.wait_workers(1)
    assert (await opened.run()).body == b"1"


async def test_an_interpreter_that_is_none_is_told(bench: OpenBench) -> None:
    assert "/no/such/python" in (await refusal(bench("fork", BARE, python="/no/such/python"))).message


async def test_an_import_that_takes_too_long_is_ended(bench: OpenBench) -> None:
    before = children(zombies=True)
    error = await refusal(bench("fork", "import time\ntime.sleep(600)\n", load_timeout_s=0.5))
    assert "load_timeout_s, 0.5 s" in error.message
    assert children(zombies=True) == before


async def test_an_import_that_writes_nonsense_to_our_connection_is_ended(bench: OpenBench) -> None:
    source = "import os, sys\nos.write(int(sys.argv[2]), b'nonsense, and more of it')\nimport time\ntime.sleep(600)\n"
    error = await asyncio.wait_for(refusal(bench("fork", source, load_timeout_s=60)), 20)
    assert "cannot be understood" in error.message


async def test_a_plugin_may_print_anything_anywhere(bench: OpenBench) -> None:
    source = "import os, sys\nprint('x' * 300_000)\nos.write(1, b'\\xff\\0' * 1000)\n" + BARE
    opened = await bench("fork", source)
    assert (await opened.run()).log == b""
    await wait_until(lambda: len(opened.printed()) >= 300_000)


MUTE = """
import sys
sys.stderr.close()
def predict(value=None): return {"nan": float("nan"), "half": "\\ud800"}[value]
def predict_batch(calls): raise OSError("no batches today")
def get_predict_args():
    from marshmallow import fields
    return {"value": fields.Str()}
"""


async def test_a_plugin_that_has_closed_stderr_is_answered_as_ever(bench: OpenBench) -> None:
    """What would be said of a call is lost, the call is not."""
    opened = await bench("fork", MUTE)
    assert (await opened.run(value="nan")).body == b"null"
    assert (await opened.run(value="half")).body == '"\ufffd"'.encode()
    failed = await opened.run(value="other")
    assert failed.error is not None and failed.error.message == "KeyError: 'other'"
    calls = [Call(f"together-{number}", arguments={"value": "nan"}) for number in range(2)]
    together = await cast(LocalExecutor, opened.executor).run_batch(calls)
    assert [outcome.body for outcome in together] == [b"null", b"null"]


WARM_FAILS = """
import os
from pathlib import Path
tries = Path({tries!r})
def warm():
    tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
    print("looking for the weights")
    if not Path({weights!r}).exists():
        {failure}
def predict(**k): return 1
"""


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        ("raise FileNotFoundError('no weights')", "warm() failed: FileNotFoundError: no weights"),
        ("raise SystemExit(3)", "sys.exit(3)"),
        ("os._exit(4)", "exit status 4"),
    ],
)
async def test_warm_failing_is_told_and_tried_again(
    bench: OpenBench, start_method: str, tmp_path: Path, failure: str, told: str
) -> None:
    tries, weights = tmp_path / "tries", tmp_path / "weights"
    source = WARM_FAILS.format(tries=str(tries), weights=str(weights), failure=failure)
    opened = await bench(start_method, source, ready=False)
    error = await refusal(opened.executor.wait_ready())
    assert told in error.message
    await wait_until(lambda: "looking for the weights" in opened.printed())  # it comes by a pipe of its own
    # A call that comes now is told the same, at once.
    outcome = await asyncio.wait_for(opened.run(), SOON_S)
    assert outcome.error is not None and outcome.error.message == error.message
    weights.touch()
    await opened.wait_workers(1)
    assert (await opened.run()).body == b"1"


async def test_tries_become_rarer(bench: OpenBench, tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    source = WARM_FAILS.format(tries=str(tries), weights="/no/such/file", failure="raise OSError('no')")
    opened = await bench("fork", source, ready=False)
    await refusal(opened.executor.wait_ready())
    started = time.monotonic()
    await wait_until(lambda: len(tries.read_text()) >= 3)
    assert time.monotonic() - started >= 1.4  # 0.5 s, then 1 s


async def test_warm_that_takes_too_long_is_ended(bench: OpenBench, start_method: str) -> None:
    source = "import time\ndef warm(): time.sleep(600)\n" + BARE
    opened = await bench(start_method, source, ready=False, load_timeout_s=3.0)  # of which the import may take most
    before = time.monotonic()
    error = await refusal(opened.executor.wait_ready())
    assert "warm() took longer than load_timeout_s, 3 s" in error.message
    assert time.monotonic() - before < SOON_S


async def test_calls_wait_for_the_first_worker_and_lose_patience(bench: OpenBench) -> None:
    source = "import time\ndef warm(): time.sleep(1)\n" + BARE
    opened = await bench("fork", source, ready=False)
    assert (await opened.run()).body == b"1"
    source = "import time\ndef warm(): time.sleep(600)\n" + BARE
    opened = await bench("fork", source, ready=False, start_wait_s=0.2)
    outcome = await asyncio.wait_for(opened.run(), 10)
    assert type(outcome.error) is Starting and outcome.error.retry_after_s


async def test_without_warm_it_is_not_called(bench: OpenBench, start_method: str) -> None:
    opened = await bench(start_method, warm=False)
    assert json.loads((await opened.run("state")).body)["warm"] == 0


async def test_a_template_that_cannot_be_loaded_again_is_told_and_tried_again(bench: OpenBench, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    source = f"import os\nif os.path.exists({str(broken)!r}): raise OSError('disk gone')\n" + BARE
    opened = await bench("fork", source)
    broken.touch()
    os.kill(opened.templates()[0], signal.SIGKILL)
    with pytest.raises(LoadFailed, match="disk gone"):
        await wait_until(lambda: opened.executor.counts().workers == 0)
        while (outcome := await asyncio.wait_for(opened.run(), 10)).error is None:
            pass
        raise outcome.error
    broken.unlink()
    await opened.wait_workers(1)
    assert (await opened.run()).body == b"1"


async def test_stop_while_warming_leaves_nothing(bench: OpenBench, start_method: str) -> None:
    before = children(zombies=True)
    opened = await bench(start_method, "import time\ndef warm(): time.sleep(600)\n" + BARE, ready=False, workers=2)
    await wait_until(lambda: opened.executor.counts().starting == 2)
    await asyncio.wait_for(opened.executor.stop(), 10)
    assert children(zombies=True) == before


async def test_state_of_an_object_is_kept(bench: OpenBench, start_method: str, tmp_path: Path) -> None:
    source = """
class Model:
    n = 0
    def warm(self): self.n = 1
    def predict(self, **k):
        self.n += 1
        return self.n
obj = Model()
"""
    (tmp_path / "objects.py").write_text(source)
    opened = await bench(start_method, tmp_path / "objects.py:obj")
    assert [(await opened.run()).body for _ in range(3)] == [b"2", b"3", b"4"]


async def test_the_template_is_alive_while_workers_are(bench: OpenBench) -> None:
    opened = await bench("fork", BARE, workers=2)
    assert len(opened.templates()) == 1 and len(opened.workers()) == 2
    assert all(map(alive, opened.workers()))
    assert sys.executable in command(opened.templates()[0])


async def test_stop_at_any_moment_of_a_failing_start_ends(bench: OpenBench) -> None:
    """A slot that was just ending its failed worker used to miss that it was cancelled, and stop waited for ever."""
    before = children(zombies=True)
    source = "def warm(): raise OSError('no weights')\n" + BARE
    for step in range(12):
        opened = await bench("fork", source, ready=False, workers=2)
        await asyncio.sleep(step * 0.002)
        await asyncio.wait_for(opened.executor.stop(), 10)
    assert children(zombies=True) == before
