"""Whole servers whose workers are on a cluster."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import MODULE, PATIENCE_S, new_cluster
from tests.house import House, open_house

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.thorough]


async def predicted(house: House) -> Any:
    page = (ROOT / "data" / "digits_page.png").read_bytes()
    answer = await house.post("/v2/models/x/predict/", data={"files": io.BytesIO(page)})
    assert answer.status == 200, answer.text
    return answer.json()


async def test_my_model_answers_as_on_one_machine(cluster: Any, tmp_path: Path, fitted_home: Path) -> None:
    plugin = "from my_model import get_metadata, get_predict_args, predict\n"
    answers = []
    for executor, options in (("local", {}), ("ray", {"ray_address": cluster.address})):
        async with open_house(tmp_path / executor, plugin, executor=executor, extensions=options) as house:
            answers.append(await predicted(house))
    assert answers[0] == answers[1]


async def test_no_job_is_lost_while_a_node_goes_and_another_comes(tmp_path: Path) -> None:
    other = new_cluster(2)
    try:
        source, options = MODULE.read_text(), {"ray_address": other.address}
        async with open_house(tmp_path, source, executor="ray", workers=2, extensions=options) as house:
            trace = tmp_path / "trace"
            jobs = []
            for number in range(500):
                begun = await house.post("/x/async", json={"number": number, "path": str(trace)})
                assert begun.status == 202, begun.text
                jobs.append(begun.json()["job_id"])
                if number == 100:
                    other.remove_node(next(iter(other.worker_nodes)), False)
                if number == 200:
                    other.add_node(num_cpus=1)
            states: dict[str, str] = {}
            async with asyncio.timeout(5 * PATIENCE_S):
                while len(states) < len(jobs):
                    for job in jobs:
                        if job not in states:
                            row = (await house.get(f"/jobs/{job}")).json()
                            if row["status"] in ("succeeded", "failed", "cancelled"):
                                states[job] = row["status"]
                    await asyncio.sleep(0.1)
            assert set(states.values()) == {"succeeded"}
            for number, job in enumerate(jobs):
                assert (await house.get(f"/jobs/{job}/result")).json()["number"] == number
    finally:
        other.shutdown()
