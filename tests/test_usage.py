"""Memory: what processes take, measured beside whoever asks."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterable

import pytest

from modelport.deployments import memory as usage
from modelport.deployments.memory import MemoryMeter, ServerMemory
from tests.house import stat, wait_until_now

MIB = 1 << 20
HOLDS = "import sys; held = bytearray(30 << 20); print('ready', flush=True); sys.stdin.read()"


def test_a_process_below_counts_with_the_one_above_it_until_it_ends() -> None:
    meter = MemoryMeter()
    with subprocess.Popen([sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline()
        found = meter.measure([os.getpid()])
        assert found[child.pid] > 30 * MIB
        assert found[os.getpid()] > found[child.pid]
    assert child.pid not in meter.measure([os.getpid()])


def test_what_has_not_changed_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = MemoryMeter()
    with subprocess.Popen([sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline()
        wait_until_now(lambda: stat(child.pid)[0] == "S")  # until then it may fault pages in
        before = meter.measure([child.pid])[child.pid]
        monkeypatch.setattr(usage, "_pss", lambda pid: 1)
        assert meter.measure([child.pid])[child.pid] == before


async def test_who_has_no_patience_gets_what_was_known_before(monkeypatch: pytest.MonkeyPatch) -> None:
    gauge, gate = ServerMemory(keep_s=0), asyncio.Event()
    loop = asyncio.get_running_loop()

    def held(self: MemoryMeter, roots: Iterable[int]) -> dict[int, int]:
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
        return {os.getpid(): 7}

    monkeypatch.setattr(MemoryMeter, "measure", held)
    roots = {"own": [os.getpid()]}
    assert await gauge.of(roots, patience_s=0.01) == {"own": 0}
    gate.set()
    assert await gauge.of(roots) == {"own": 7}
