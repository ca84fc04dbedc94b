"""Models that do what they should not: each is told so, and nobody else notices.

For every kind in hostile.py: the call gets an answer of its own or an error of ours in its time, another service's
calls go on beside it, the hostile service then does again what it is for, and nothing is left: no process, file,
descriptor or task. The same for modules that misbehave while they are loaded.

The kinds that take a moment each are in the default run, the others are thorough.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
import pytest_asyncio

from modelport.deployments.deployments import DeploymentRow
from modelport.errors import LoadFailed
from tests.attacks import hostile
from tests.attacks.loading import FAILING, GOOD, LOADED
from tests.house import Answer, House, descendants, descriptors, open_house, stat, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

SOURCE = Path(hostile.__file__).read_text()
NEIGHBOUR = "def get_predict_args():\n    from marshmallow import fields\n    return {'value': fields.Int()}\n"
NEIGHBOUR += "def predict(value): return value + 1\n"

# Calls that cannot end by themselves are given this time, all others as much as a busy machine may need.
SHORT_S, LONG_S = 0.7, 60.0
# Long enough for a fork on a busy machine.
CHILD_S = 4.0
# The same for modules that never end loading.
LOAD_S = 6.0

FINE, FAILED, LOST, LATE, REFUSED, FULL = "fine", "failed", "lost", "late", "refused", "full"
SURVIVED = {FINE, FAILED}
BROKEN = {FINE, FAILED, LOST}

# What may come of a kind; one that is not here is answered as if nothing were.
ENDS: dict[str, set[str]] = {
    "child_speaks_on_the_line": {FINE, LOST},
    "child_reads_the_line": {LOST},
    "thread_interrupts_later": {FINE},
    "close_all": {LOST},
    "close_line": {LOST},
    "shut_line_down": {LOST},
    "line_to_nowhere": {LOST},
    "line_to_itself": {LOST},
    "line_crossed": {LOST, LATE},
    "write_to_all": {LOST, FINE},
    "forge_an_answer": {LOST},
    "claim_a_gigabyte": {LOST},
    "flood_the_line": {LOST},
    "exit_by_sys": {FAILED},
    "exit_at_once": {LOST},
    "abort": {LOST},
    "segmentation_fault": {LOST},
    "kill_itself": {LOST},
    "stop_itself": {LATE},
    "kill_group": {LOST},
    "kill_template": {LOST},
    "end_template": {LOST},
    "stop_template": {LOST},
    "kill_template_behind_a_daemon": {LOST},
    "kill_brothers": {LOST},
    "faulthandler_exits": {LOST},
    "blocking_exit_hook": {FAILED},
    "print_forever": {LATE},
    "endless_generator": {LATE},
    "generator_that_fails": {FAILED},
    "generator_that_exits": {LOST},
    "deep_answer": {FAILED, LOST},
    "answer_in_itself": {FAILED},
    "odd_answer": SURVIVED,
    "answer_that_fails_when_looked_at": SURVIVED,
    "file_that_is_a_pipe": SURVIVED,
    "answer_becomes_a_pipe": {*BROKEN, LATE},  # it may be itself who waits at the pipe
    "finalizer_blocks": {LATE},
    "finalizer_exits": {LOST},
    "finalizer_raises": {FINE},
    "recursion": {FAILED},
    "recursion_below_python": {FAILED, LOST, LATE},
    "memory": {FAILED, LOST},
    "sleep": {LATE},
    "hold_the_lock": {LATE},
    "stubborn": {LATE},
    "alarm_in_our_code": BROKEN,
    "trace_everything": BROKEN,
    "replace_json": BROKEN,
    "replace_os": BROKEN,
    "replace_exit": SURVIVED,
    "replace_struct_and_socket": BROKEN,
    "replace_builtins": BROKEN,
    "replace_time": BROKEN,
    "replace_ours": BROKEN,
    "forget_modules": BROKEN,
    "forget_garbage": BROKEN,
    "break_logging": BROKEN,
    "remove_scratch": {FINE},
    "unreadable_scratch": {FINE},
    "working_folder_gone": {FINE},
    "temporary_folder_gone": {FINE},
    "mask": {FINE, FAILED},
    "no_descriptors": {FAILED, LOST},
    "no_file_size": {FULL, FAILED, LOST},
    "no_processes": {FINE, FAILED},
    **{name: {FAILED} for name in vars(hostile) if name.startswith("raise_")},
    "raise_refusals": {REFUSED},
}
# These take a second or more on a busy machine, and so do all that are stopped by a time limit.
LONG = {
    *("alarm_in_our_code", "deep_answer", "deep_scratch", "fill_scratch", "fork_many", "fork_returns", "huge_answer"),
    *("huge_bytes", "kill_template_behind_a_daemon", "many_threads", "memory", "raise_much", "raise_refusals"),
    *("stop_template",),
}
HELPERS = {"get_predict_args", "predict", "good", "forever", "scratch", "sockets"}
KINDS = [name for name, thing in vars(hostile).items() if isinstance(thing, FunctionType) and name not in HELPERS]
QUICK = [kind for kind in KINDS if kind not in LONG and LATE not in ENDS.get(kind, ())]


async def test_there_are_enough_kinds_and_each_end_is_of_one() -> None:
    assert len(QUICK) >= 45
    assert set(ENDS) | LONG <= set(KINDS)


@dataclass
class Neighbour:
    """Another service of the same server, called all the time."""

    house: House
    calls: int = 0
    wrong: str = ""
    slowest_s: float = 0.0

    async def call_forever(self) -> None:
        for value in count():
            begun = time.monotonic()
            answer = await self.house.post("/neighbour", json={"value": value})
            self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
            if answer.status != 200 or answer.json() != {"result": value + 1}:
                self.wrong = self.wrong or f"{value}: {answer.status} {answer.text}"
            self.calls += 1
            await asyncio.sleep(0.01)

    async def check(self) -> None:
        """Calls that begin now are answered, and so were all before."""
        before = self.calls
        await wait_until(lambda: self.calls >= before + 3)
        assert not self.wrong


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(
        tmp_path_factory.mktemp("hostile"),
        {"hostile": SOURCE, "neighbour": NEIGHBOUR},
        start_method="fork",
        buckets=False,
        child_timeout_s=CHILD_S,
        log_tail_bytes=4096,
    ) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def before(house: House, neighbour: Neighbour) -> State:
    """As it is when all is well."""
    return await settled(house)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def neighbour(house: House) -> AsyncIterator[Neighbour]:
    found = Neighbour(house)
    calling = asyncio.create_task(found.call_forever())
    yield found
    calling.cancel()
    await asyncio.wait({calling})
    print(f"{found.calls} calls of the neighbour, the slowest took {found.slowest_s:.3f} s")


def limit(house: House, seconds: float) -> None:
    house.server.deployments.get("hostile").timeout_s = seconds


async def ask(house: House, kind: str, value: Any = None) -> Answer:
    return await house.post("/hostile", json={"kind": kind, "value": value})


def end_of(answer: Answer) -> str:
    detail = "" if answer.status == 200 else str(answer.json()["detail"])
    if answer.status == 500:
        return LOST if "the worker process ended" in detail else FAILED
    return {200: FINE, 422: REFUSED, 504: LATE, 507: FULL}.get(answer.status, str(answer.status))


async def check_good(house: House) -> None:
    """It does again what it is for, soon."""
    end = time.monotonic() + LONG_S
    while True:
        answer = await ask(house, "good", "well")
        if answer.status == 200:
            assert answer.json() == {"result": "well"}
            return
        assert time.monotonic() < end, answer.text


@dataclass
class State:
    """What could be left behind."""

    processes: int
    descriptors: int
    tasks: int
    files: list[str]

    @classmethod
    def of(cls, house: House) -> State:
        files = sorted(str(path) for path in (house.home / "run").rglob("*") if path.is_file() or path.is_symlink())
        return cls(len(descendants()), descriptors(), len(asyncio.all_tasks()), files)


async def settled(house: House) -> State:
    """A worker of the hostile service that has done nothing yet, and nothing of the one before."""
    limit(house, LONG_S)
    house.printed.clear()
    workers = house.workers("hostile")
    for worker in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    await wait_until(lambda: not any(map(stat, workers)))
    await check_good(house)
    await wait_until(lambda: not house.scratch())
    return State.of(house)


async def check_settled(house: House, before: State) -> None:
    """Nothing is left. The neighbour's own call may have had a task or a connection more when it all began."""

    def cleared() -> bool:
        now = State.of(house)
        same = (now.processes, now.files) == (before.processes, before.files)
        return same and now.tasks <= before.tasks and now.descriptors <= before.descriptors

    with contextlib.suppress(TimeoutError):
        await wait_until(cleared)
    assert cleared(), (State.of(house), before)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.thorough) for kind in KINDS]
)
async def test_a_hostile_call_harms_nobody_else(
    house: House, neighbour: Neighbour, before: State, caplog: pytest.LogCaptureFixture, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "kept").write_text("kept")
    ends = ENDS.get(kind, {FINE})
    limit(house, SHORT_S if LATE in ends else LONG_S)
    begun = time.monotonic()
    value = str(tmp_path) if kind == "scratch_elsewhere" else "own"
    answer = await ask(house, kind, value)
    took = time.monotonic() - begun
    assert end_of(answer) in ends, answer.text[:500]
    assert took < LONG_S
    assert "set-cookie" not in {name.lower() for name in answer.headers}
    limit(house, LONG_S)
    try:
        await check_good(house)
        await neighbour.check()
    finally:
        await settled(house)
    await check_settled(house, before)
    assert (tmp_path / "kept").read_text() == "kept"
    ours = [record for record in caplog.records if record.levelno >= logging.ERROR and record.exc_info]
    assert not ours, ours[0].getMessage()


# Modules that misbehave while they are loaded


# Loading them takes as long as it may, so that they are loaded at once.
ENDLESS = [kind for kind, (_, told) in FAILING.items() if "timeout_s" in told]


async def deploy(house: House, tmp_path: Path, name: str, source: str, load_s: float = LONG_S) -> None:
    """A service of its own. Raises LoadFailed."""
    file = tmp_path / f"{name}.py"
    file.write_text(source + GOOD)
    deployment = house.server.deployments.add(DeploymentRow(name, str(file), min_workers=1))
    deployment.settings = replace(deployment.settings, load_timeout_s=load_s)
    await deployment.start()
    await deployment.wait_ready()


async def check_fails(house: House, tmp_path: Path, name: str, kind: str, load_s: float = LONG_S) -> None:
    source, told = FAILING[kind]
    try:
        with pytest.raises(LoadFailed, match=told):
            await deploy(house, tmp_path, name, source, load_s)
        answer = await house.post(f"/{name}", json={})
        assert answer.status == 500 and answer.json()["detail"]
    finally:
        await house.server.deployments.remove(name).stop()


@pytest.mark.thorough
@pytest.mark.parametrize("kind", [kind for kind in FAILING if kind not in ENDLESS])
async def test_a_module_that_misbehaves_when_it_is_loaded_harms_nobody_else(
    house: House, neighbour: Neighbour, before: State, tmp_path: Path, kind: str
) -> None:
    await check_fails(house, tmp_path, "misloaded", kind)
    await neighbour.check()
    await check_settled(house, before)


@pytest.mark.thorough
async def test_modules_that_never_end_loading_harm_nobody_else(
    house: House, neighbour: Neighbour, before: State, tmp_path: Path
) -> None:
    loading = [check_fails(house, tmp_path, f"endless{n}", kind, LOAD_S) for n, kind in enumerate(ENDLESS)]
    await asyncio.gather(neighbour.check(), *loading)
    await neighbour.check()
    await check_settled(house, before)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", LOADED)
async def test_an_odd_module_that_loads_does_what_it_is_for(
    house: House, neighbour: Neighbour, before: State, tmp_path: Path, kind: str
) -> None:
    try:
        await deploy(house, tmp_path, "odd", LOADED[kind])
        for _ in range(5):
            assert (await house.post("/odd", json={})).json() == {"result": 1}
        await neighbour.check()
        for path in ("/openapi.json", "/v2/models/", "/swagger.json"):
            assert (await house.get(path)).status == 200
    finally:
        await house.server.deployments.remove("odd").stop()
    await check_settled(house, before)
