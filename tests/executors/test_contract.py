"""The conformance suite of executors, on ours."""

from __future__ import annotations

from types import MappingProxyType

from modelport.executors.local import LocalExecutor
from modelport.testing.batches import BatchConformance


class TestForked(BatchConformance):
    has_streams = has_keeping = True
    executor = LocalExecutor
    spec = MappingProxyType({"start_method": "fork"})


class TestSpawned(BatchConformance):
    has_streams = has_keeping = True
    executor = LocalExecutor
    spec = MappingProxyType({"start_method": "spawn"})
