"""A module that does not load: said with its log, tried again, and no harm to others."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from modelport.deployments import deployment
from tests.house import PATIENCE_S, wait_until
from tests.services.conftest import PLAIN, OpenOwner

BROKEN = "print('looking for the weights', flush=True)\nraise FileNotFoundError('no weights')\n"


# It looks at no arguments before it has been looked at for an hour.
HANGING = """
import time
from marshmallow import fields
class Slow(fields.Str):
    def deserialize(self, *args, **kwargs):
        time.sleep(3600)
def get_predict_args(): return {"text": Slow()}
get_train_args = get_predict_args
def predict(text): return text
train = predict
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment, "BACKOFF_FIRST_S", 0.2)


async def test_it_is_failed_with_its_log_and_recovers_when_mended(owner: OpenOwner) -> None:
    opened = await owner()
    good = await opened.deploy()
    row = await opened.deploy(module=str(opened.write(BROKEN, "broken")))
    await opened.wait_state(row["name"], "failed")
    shown = await opened.show(row["name"])
    assert shown["status"] == "failed"
    assert shown["failure"]["error"] == "load_failed"
    assert "no weights" in shown["failure"]["message"]
    assert "broken.py" in shown["failure"]["log"]
    assert "looking for the weights" in (await opened.ask("GET", f"/deployments/{row['name']}/log")).text
    answer = await opened.call(row)
    assert (answer.status, "no weights" in answer.text) == (500, True)
    # The others, and the server, are as well as ever.
    assert (await opened.call(good)).status == 200
    assert (await opened.house.get("/ready")).status == 200
    models = (await opened.ask("GET", "/v2/models/")).json()["models"]
    assert {model["links"][0]["href"] for model in models} == {f"/v2/models/{each['name']}" for each in (row, good)}
    opened.write(PLAIN, "broken")
    await opened.wait_loaded(row["name"])
    assert (await opened.call(row, text="mended")).json()["predictions"][0] == "MENDED"
    assert (await opened.show(row["name"]))["failure"] is None


async def test_a_warm_that_fails_is_tried_again_too(owner: OpenOwner, tmp_path: Path) -> None:
    opened = await owner()
    gate = tmp_path / "gate"
    row = await opened.deploy(f"import os\ndef warm(): os.stat({str(gate)!r})\n" + PLAIN)
    await opened.wait_loaded(row["name"])
    assert (await opened.call(row)).status == 500
    assert opened.deployment(row["name"]).state == "failed"
    gate.touch()
    await opened.wait_state(row["name"], "ready")
    assert (await opened.call(row)).status == 200


async def test_a_module_that_is_not_there_is_failed(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy(module="no_such_module_anywhere")
    await opened.wait_state(row["name"], "failed")
    assert (await opened.show(row["name"]))["failure"]["error"] == "no_such_plugin"
    answer = await opened.ask("GET", f"/deployments/{row['name']}/card")
    assert answer.json()["error"] == "no_such_plugin"


async def test_one_that_fails_can_be_changed_and_undeployed_at_once(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy(BROKEN)
    await opened.wait_state(row["name"], "failed")
    path = str(opened.write(PLAIN, "good"))
    assert (await opened.ask("PATCH", f"/deployments/{row['name']}", json={"module": path})).status == 200
    assert (await opened.call(row)).status == 200
    row = await opened.deploy("import time\ntime.sleep(600)\n", name="hangs")
    before = opened.requests
    waiting = asyncio.create_task(opened.call(row))
    await wait_until(lambda: opened.requests > before and opened.deployment("hangs").state == "loading")
    await opened.services.undeploy("hangs")
    assert (await waiting).status == 503


async def test_it_stays_failed_after_a_restart_until_it_is_tried_again(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy(BROKEN)
    name = row["name"]
    await opened.wait_state(name, "failed")
    before = (await opened.show(name))["failure"]
    opened = await owner()
    shown = await opened.show(name)
    assert (shown["status"], shown["failure"]) == ("failed", before)
    answer = await opened.ask("POST", f"/deployments/{name}/load")
    assert (answer.status, "no weights" in answer.text) == (500, True)
    opened.write(PLAIN)
    answer = await opened.ask("POST", f"/deployments/{name}/load")
    assert (answer.status, answer.json()["failure"]) == (200, None)
    assert (await opened.call(row, text="mended")).json()["predictions"][0] == "MENDED"
    opened = await owner()
    assert ((await opened.show(name))["status"], (await opened.show(name))["failure"]) == ("cold", None)


async def test_it_comes_back_after_a_restart_though_nobody_calls(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy(BROKEN)
    await opened.wait_state(row["name"], "failed")
    opened = await owner()
    assert opened.deployment(row["name"]).state == "failed"
    opened.write(PLAIN)
    await wait_until(lambda: opened.deployment(row["name"]).is_ready)


async def test_a_warm_that_fails_is_tried_after_a_restart_though_nobody_calls(owner: OpenOwner, tmp_path: Path) -> None:
    opened = await owner()
    gate, trace = tmp_path / "gate", tmp_path / "trace"
    warm = f"import os\ndef warm():\n    open({str(trace)!r}, 'a').write('+')\n    os.stat({str(gate)!r})\n"
    row = await opened.deploy(warm + PLAIN)
    await opened.wait_loaded(row["name"])
    assert (await opened.call(row)).status == 500
    opened = await owner()
    trace.unlink()
    await wait_until(trace.exists)
    await opened.wait_state(row["name"], "failed")  # it was loaded, and no worker of it could be used
    gate.touch()
    await opened.wait_state(row["name"], "ready")
    assert (await opened.call(row)).status == 200
    opened = await owner()
    assert opened.deployment(row["name"]).state == "cold"


async def test_what_was_deleted_takes_its_failure_along(owner: OpenOwner) -> None:
    opened = await owner()
    await opened.deploy(BROKEN, name="again")
    await opened.wait_state("again", "failed")
    await opened.services.undeploy("again")
    await opened.deploy(name="again")
    await opened.wait_loaded("again")
    opened = await owner()
    assert opened.deployment("again").state == "cold"


async def test_it_is_tried_again_after_a_restart_too(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy(BROKEN, min_workers=1)
    await opened.wait_state(row["name"], "failed")
    opened = await owner()
    await opened.wait_state(row["name"], "failed")
    opened.write(PLAIN)
    await opened.wait_state(row["name"], "ready")
    assert (await opened.call(row)).status == 200


@pytest.mark.slow
async def test_a_module_that_hangs_at_arguments_is_not_waited_for(owner: OpenOwner) -> None:
    opened = await owner(load_timeout_s=3.0, predict_timeout_s=1.0)
    row = await opened.deploy(module=str(opened.write(BROKEN, "hanging")))
    await opened.wait_state(row["name"], "failed")
    opened.write(HANGING, "hanging")
    await asyncio.wait_for(opened.deployment(row["name"]).try_again(), PATIENCE_S)
    headers = {"Authorization": f"Bearer {row['token']}"}
    answer = await opened.house.post(f"/v2/models/{row['name']}/train/", data={"text": "x"}, headers=headers)
    assert answer.status == 504, answer.text
