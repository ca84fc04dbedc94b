"""The executor keeps the contract that every executor keeps."""

from __future__ import annotations

from typing import Any

import pytest
from modelport_ray.executor import RayExecutor

from modelport.testing.executors import ExecutorConformance


@pytest.mark.slow
@pytest.mark.thorough
class TestRay(ExecutorConformance):
    executor = RayExecutor
    has_training = False
    has_streams = True  # files are kept with ray_shared_home only

    @pytest.fixture(autouse=True)
    def _on(self, cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        options = {"ray_address": cluster.address, "ray_shared_home": False}
        monkeypatch.setattr(type(self), "spec", {"options": options}, raising=False)
