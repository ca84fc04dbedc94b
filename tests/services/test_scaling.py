"""Nothing of a service runs but what is needed: it wakes when it is called, and gives its memory back."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from modelport.contract.card import Card
from modelport.contract.prediction import Call
from modelport.deployments import budget
from modelport.deployments.memory import MemoryMeter
from modelport.executors.local import LocalExecutor
from tests.environments import environment
from tests.faults.test_loop import blocks_nobody
from tests.house import PATIENCE_S, Answer, alive, templates, wait_until, workers
from tests.services.conftest import PLAIN, OpenOwner, Owner

# 64 MiB that are its own, for each process that has imported it.
HEAVY = "ballast = bytearray(b'x') * (64 << 20)\n" + PLAIN
MIB = 1 << 20


def memory_of(roots: Iterable[int]) -> dict[int, int]:
    memory = MemoryMeter().measure(roots := list(roots))
    return {root: memory.get(root, 0) for root in roots}


async def test_it_wakes_is_idle_sleeps_and_wakes(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy(idle_s=0.2)
    assert (await opened.call(row, text="one")).json()["predictions"][0] == "ONE"
    await opened.wait_state(row["name"], "cold")
    assert workers(name=row["name"]) == [] and len(templates(name=row["name"])) == 1
    assert (await opened.call(row, text="two")).json()["predictions"][0] == "TWO"


async def test_a_server_that_stops_while_a_service_is_unloaded_leaves_nothing(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy()
    assert (await opened.call(row)).status == 200
    deployment = opened.deployment(row["name"])
    processes = [*workers(name=row["name"]), *deployment.processes()]
    unloading = asyncio.create_task(deployment.unload())
    await asyncio.sleep(0)  # it has begun
    unloading.cancel()
    await asyncio.wait({unloading})
    assert not any(map(alive, processes))


async def test_a_service_that_is_stopped_when_it_has_just_been_loaded_leaves_nothing(
    owner: OpenOwner, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = asyncio.Event(), asyncio.get_running_loop().create_future()
    processes: list[int] = []

    class Gated(LocalExecutor):
        async def start(self) -> Card:
            card = await super().start()
            processes.extend(self.processes())
            begun.set()
            await go_on
            return card

    opened = await owner()
    monkeypatch.setattr("modelport.deployments.deployment.executor_class", lambda name: Gated)
    row = await opened.deploy()
    await begun.wait()
    go_on.set_result(None)
    await opened.deployment(row["name"]).stop()
    assert processes and not any(map(alive, processes))


async def test_without_a_kept_template_nothing_is_left(owner: OpenOwner) -> None:
    opened = await owner(keep_template=False)
    row = await opened.deploy(idle_s=0.2)
    for _ in range(2):
        await wait_until(lambda: opened.deployment(row["name"]).card)
        await wait_until(lambda: templates(name=row["name"]) == [])
        assert opened.deployment(row["name"]).state == "cold"
        assert (await opened.call(row, text="one")).json()["predictions"][0] == "ONE"


async def test_the_least_are_there_before_anybody_calls(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy(min_workers=2)
    await wait_until(lambda: opened.deployment(row["name"]).counts().workers == 2)
    assert (await opened.show(row["name"]))["status"] == "ready"


@pytest.mark.slow
async def test_64_first_calls_at_once_are_all_answered(owner: OpenOwner) -> None:
    opened = await owner()
    source = "import time\ntime.sleep(0.3)\nimported = time.time_ns()\n" + PLAIN.replace("os.getpid()", "imported")
    row = await opened.deploy(source, max_workers=2, idle_s=60)

    async def call() -> list[Answer]:
        return await asyncio.gather(*(opened.call(row, text=str(number)) for number in range(64)))

    answers = await blocks_nobody(call)
    assert {answer.status for answer in answers} == {200}
    assert [answer.json()["predictions"][0] for answer in answers] == [str(each) for each in range(64)]
    assert len({answer.json()["predictions"][1] for answer in answers}) == 1  # one import for all
    assert opened.deployment(row["name"]).calls in (64, 128, 192)


@pytest.mark.slow
async def test_it_runs_in_the_modules_own_interpreter(owner: OpenOwner) -> None:
    opened = await owner()
    source = PLAIN.replace("os.getpid()", "__import__('sys').version_info[:2]")
    python = environment("3.8", ["marshmallow==3.14.1", "webargs==5.5.3"])
    old = await opened.deploy(source, python=str(python))
    new = await opened.deploy(source)
    answers = await asyncio.gather(opened.call(old), opened.call(new))
    assert answers[0].json()["predictions"] == ["HELLO", [3, 8]]
    assert answers[1].json()["predictions"] == ["HELLO", list(sys.version_info[:2])]


async def test_a_worker_has_no_more_memory_than_it_may(owner: OpenOwner) -> None:
    opened = await owner()
    source = "def get_predict_args(): return {}\ndef predict(): return len(bytearray(1 << 30))\n"
    row = await opened.deploy(source, memory="512Mi")
    answer = await opened.call(row)
    assert (answer.status, "MemoryError" in answer.text) == (500, True)


async def heavy(opened: Owner, name: str) -> object:
    row = await opened.deploy(HEAVY, name=name)
    await opened.wait_loaded(name)
    return row


@pytest.mark.slow
async def test_over_the_budget_the_one_not_used_the_longest_goes_first(
    owner: OpenOwner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "LOOK_S", 0.2)
    opened = await owner(memory_budget_bytes=300 * MIB)
    rows = [await heavy(opened, name) for name in ("one", "two")]
    for row in (*rows, rows[0]):
        assert (await opened.call(row)).status == 200
    assert len(templates()) == 2
    third = await heavy(opened, "three")
    fourth = await heavy(opened, "four")
    for each in (third, fourth):
        assert (await opened.call(each)).status == 200
    await wait_until(lambda: templates(name="two") == [])
    assert opened.deployment("two").state == "cold" and opened.deployment("two").card is not None
    assert len(templates(name="four")) == 1
    used = await asyncio.to_thread(memory_of, templates())
    assert sum(used.values()) <= 300 * MIB
    # It costs it no more than a cold start.
    assert (await opened.call(rows[1], text="back")).json()["predictions"][0] == "BACK"


@pytest.mark.slow
async def test_one_at_work_is_not_unloaded(owner: OpenOwner) -> None:
    opened = await owner(memory_budget_bytes=100 * MIB)
    row = await opened.deploy(HEAVY, name="one")
    running = asyncio.create_task(opened.call(row, text="one", seconds="2"))
    await wait_until(lambda: opened.deployment("one").counts().busy == 1)
    other = await opened.deploy(HEAVY, name="two")
    assert (await opened.call(other)).status == 200
    assert (await running).json()["predictions"][0] == "ONE"


def test_memory_counts_a_process_and_all_below_it(tmp_path: Path) -> None:
    own = memory_of([os.getpid()])[os.getpid()]
    assert own > 20 * MIB
    assert memory_of([2**22 + 1]) == {2**22 + 1: 0}


async def test_calls_do_not_wait_longer_than_they_may_for_a_model_that_loads(owner: OpenOwner, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    opened = await owner(start_wait_s=0.2)
    source = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\n" + PLAIN
    row = await opened.deploy(source)
    assert (await opened.show(row["name"]))["status"] == "loading"
    answer = await opened.call(row)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    outcome = await opened.deployment(row["name"]).run(Call("x"))
    assert outcome.error is not None and outcome.error.kind == "starting"
    gate.touch()
    await opened.wait_loaded(row["name"])
    # A worker of a busy machine may take longer than a call may wait, and is there for one that comes later.
    async with asyncio.timeout(PATIENCE_S):
        while (answer := await opened.call(row)).status == 503:
            assert answer.headers["Retry-After"] == "5"
    assert answer.status == 200
