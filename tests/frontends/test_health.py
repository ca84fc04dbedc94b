"""Health tells the truth, at once, whatever the models do (promise 9)."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import signal
from pathlib import Path

import aiohttp
import pytest

from modelport.server import Server
from modelport.settings import Settings
from modelport.store.deployments import DeploymentRow
from tests.conftest import OpenHouse
from tests.house import PATIENCE_S, SOON_S, House, wait_until, write_plugins

SOURCE = """
import time
from marshmallow import fields
def get_predict_args(): return {"seconds": fields.Float(load_default=0.0)}
def predict(seconds): time.sleep(seconds)
"""


async def test_a_server_with_warm_models_is_live_and_ready(house: OpenHouse) -> None:
    opened = await house(SOURCE, workers=2)
    answer = await opened.get("/health")
    assert (answer.status, answer.body) == (200, b"Ok")
    answer = await opened.get("/ready")
    assert (answer.status, answer.type) == (200, "application/json")
    assert answer.json() == {
        "ready": True,
        "deployments": {"x": {"ready": True, "state": "ready", "workers": 2, "busy": 0, "queued": 0}},
        "buckets": {"ready": True, "answer_s": 0.0},
    }


async def test_health_is_told_under_the_base_path(house: OpenHouse) -> None:
    opened = await house(SOURCE, base_path="/models")
    for path in ("/models/health", "/models/ready", "/models/metrics"):
        assert (await opened.get(path)).status == 200


async def test_who_has_no_token_learns_only_yes_or_no(house: OpenHouse) -> None:
    opened = await house(SOURCE, token="secret")
    assert (await opened.get("/ready")).json() == {"ready": True}
    answer = await opened.get("/ready", headers={"Authorization": "Bearer secret"})
    assert "deployments" in answer.json()
    answer = await opened.get("/metrics")
    assert (answer.status, answer.json()["error"]) == (401, "unauthorized")


async def test_health_answers_at_once_while_all_workers_are_busy(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    running = [asyncio.create_task(opened.predict({"seconds": "600"})) for _ in range(3)]
    await opened.wait_running(1)
    await opened.wait_queued(2)
    for path in ("/health", "/ready"):
        assert (await asyncio.wait_for(opened.get(path), SOON_S)).status == 200
    state = (await opened.get("/ready")).json()["deployments"]["x"]
    assert (state["busy"], state["queued"]) == (1, 2)
    for each in running:
        each.cancel()


async def test_a_model_that_is_loading_is_live_and_not_ready(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    source = f"import os, time\ndef warm():\n    while not os.path.exists({str(gate)!r}): time.sleep(0.01)\n"
    server = Server(
        Settings(listen_port=0, home=str(tmp_path / "home")), write_plugins(tmp_path / "plugins", source + SOURCE)
    )
    async with aiohttp.ClientSession() as session:
        await server.start()
        house = House(server, session, tmp_path)
        try:
            assert (await house.get("/health")).status == 200
            answer = await house.get("/ready")
            assert (answer.status, answer.json()["deployments"]["x"]) == (503, {"ready": False, "state": "loading"})
            gate.touch()
            await server.wait_loaded()
            assert (await house.get("/ready")).status == 200
        finally:
            await server.stop(0)


async def test_a_model_that_failed_is_live_and_not_ready_and_says_why(tmp_path: Path) -> None:
    server = Server(
        Settings(listen_port=0, home=str(tmp_path / "home")),
        write_plugins(tmp_path / "plugins", "raise ValueError('no weights')\n"),
    )
    async with aiohttp.ClientSession() as session:
        await server.start()
        house = House(server, session, tmp_path)
        try:
            with pytest.raises(Exception, match="no weights"):
                await server.wait_loaded()
            assert (await house.get("/health")).status == 200
            answer = await house.get("/ready")
            assert answer.status == 503
            assert "no weights" in answer.json()["deployments"]["x"]["reason"]
            assert answer.json()["deployments"]["x"]["state"] == "failed"
            answer = await house.predict()
            assert answer.status == 500 and "no weights" in answer.text
        finally:
            await server.stop(0)


async def test_a_server_whose_workers_cannot_be_replaced_is_not_ready_until_they_are(
    house: OpenHouse, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    source = f"import os\ndef warm():\n    if os.path.exists({str(broken)!r}): raise ValueError('no weights')\n"
    opened = await house(source + SOURCE)
    broken.touch()
    os.kill(opened.workers()[0], signal.SIGKILL)
    async with asyncio.timeout(PATIENCE_S):
        while (await opened.get("/ready")).status == 200:
            await asyncio.sleep(0.01)
    broken.unlink()
    await opened.wait_workers(1)
    assert (await opened.get("/ready")).status == 200


async def test_figures_of_a_service_are_not_everybodys(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    gateway = opened.server.gateway
    assert gateway is not None
    row = await gateway.services.deploy(DeploymentRow("secret", str(opened.folder / "plugins" / "plugin_0.py")))
    await opened.predict()
    bearer = {"Authorization": f"Bearer {row.token}"}
    assert (await opened.predict(name="secret", headers=bearer)).status == 200

    async def named(**headers: str) -> set[str]:
        answer = await opened.get("/metrics", headers=headers)
        assert answer.status == 200
        assert "# TYPE modelport_predictions_total counter" in answer.text
        return set(re.findall('deployment="([^"]*)"', answer.text))

    assert await named() == {"x"}
    assert await named(**bearer) == {"x", "secret"}
    assert await named(Authorization=f"Bearer {gateway.owner.token}") == {"x", "secret"}
    password = base64.b64encode(f"oscar:{gateway.owner.password}".encode()).decode()
    assert await named(Authorization=f"Basic {password}") == {"x", "secret"}


async def test_metrics_count_what_happened(house: OpenHouse) -> None:
    opened = await house(SOURCE, workers=2)
    for query in ({}, {}, {"seconds": "x"}):
        await opened.predict(query)
    os.kill(opened.workers()[0], signal.SIGKILL)
    await wait_until(lambda: opened.counts().restarts == 1)
    await opened.wait_workers(2)
    answer = await opened.get("/metrics")
    assert answer.type.startswith("text/plain")
    rows = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert rows['modelport_predictions_total{deployment="x",result="succeeded"}'] == "2.0"
    assert rows['modelport_predictions_total{deployment="x",result="invalid_arguments"}'] == "1.0"
    assert rows['modelport_worker_workers{deployment="x"}'] == "2.0"
    assert rows['modelport_worker_busy{deployment="x"}'] == "0.0"
    assert rows['modelport_worker_restarts{deployment="x"}'] == "1.0"
    assert rows['modelport_queued{deployment="x"}'] == "0.0"
    assert rows['modelport_phase_seconds_count{deployment="x",phase="predict"}'] == "2.0"
