"""The conformance suite of executors, on ours."""

from __future__ import annotations

from types import MappingProxyType

from modelport.executors.local import LocalExecutor
from modelport.testing.executors import ExecutorConformance


class TestForked(ExecutorConformance):
    has_streams = True
    executor = LocalExecutor
    spec = MappingProxyType({"start_method": "fork"})


class TestSpawned(ExecutorConformance):
    has_streams = True
    executor = LocalExecutor
    spec = MappingProxyType({"start_method": "spawn"})
