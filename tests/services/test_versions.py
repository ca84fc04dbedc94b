"""Versions of a service: a share of its calls goes to another one, at every endpoint alike, and comes back."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from modelport.store import Store
from modelport.store.jobs import get_job
from modelport.store.schema import MIGRATIONS
from tests.house import PATIENCE_S, POLL_S, wait_until
from tests.services.conftest import OpenOwner, Owner

pytestmark = pytest.mark.slow

HEADER = "X-Modelport-Version"
# It says which one it is, and takes an argument of its own.
SOURCE = """
import time
from marshmallow import fields
def get_metadata(): return {{"name": "{name}", "openai": "chat"}}
def get_predict_args():
    return {{
        "{name}_only": fields.Int(load_default=0),
        "messages": fields.List(fields.Dict(), load_default=[]),
        "seconds": fields.Float(load_default=0.0),
    }}
def predict(seconds, messages, **rest):
    time.sleep(seconds)
    return "{name}"
"""


async def deploy(opened: Owner, *names: str, **options: Any) -> dict[str, Any]:
    """Services whose answers are their names; the token of the first."""
    rows = {}
    for name in names:
        module = opened.write(SOURCE.format(name=name), name)
        rows[name] = await opened.deploy(name=name, module=str(module), **options)
        await wait_until(partial(getattr, opened.deployment(name), "card"))
    return {"Authorization": f"Bearer {rows[names[0]]['token']}"}


async def shift(opened: Owner, name: str, to: str, share: int = 100) -> Any:
    answer = await opened.ask("POST", f"/deployments/{name}/shift", json={"to": to, "share": share})
    assert answer.status == 200, answer.text
    return answer.json()


async def back(opened: Owner, name: str) -> None:
    assert (await opened.ask("DELETE", f"/deployments/{name}/shift")).status == 200


def is_busy(opened: Owner, name: str) -> bool:
    return opened.deployment(name).counts().busy == 1


def message(name: str) -> dict[str, Any]:
    params = {"name": name, "arguments": {}}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


# Path, and the body of a call.
ENDPOINTS: list[tuple[str, Any]] = [
    ("/old", {}),
    ("/v2/models/old/predict/", {}),
    ("/run/old", {}),
    ("/v2/models/old/infer", {"inputs": []}),
    ("/kserve/v2/models/old/infer", {"inputs": []}),
    ("/v1/chat/completions", {"model": "old", "messages": [{"role": "user", "content": "hello"}]}),
    ("/mcp/old", message("old")),
    ("/mcp", message("old")),
]


async def test_every_endpoint_splits_its_calls_exactly(owner: OpenOwner) -> None:
    opened = await owner()
    token = await deploy(opened, "old", "new")

    async def answers(path: str, body: Any, number: int) -> list[str | None]:
        """Which version each has come from, by the header."""
        versions = []
        headers = {**token, "Accept": "application/json, text/event-stream"} if "mcp" in path else token
        for _ in range(number):
            answer = await opened.house.post(path, json=body, headers=headers)
            assert answer.status == 200, answer.text
            version = answer.headers.get(HEADER)
            # Some answers have the name of the model that was asked, which is `old`.
            assert version != "new" or "new" in answer.text
            assert version == "new" or "new" not in answer.text
            versions.append(version)
        return versions

    for path, body in ENDPOINTS:
        await shift(opened, "old", "new", 30)
        assert Counter(await answers(path, body, 10)) == {"old": 7, "new": 3}, path
        await back(opened, "old")
        assert await answers(path, body, 1) == [None], path


async def wait_job(opened: Owner, location: str) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        while (job := (await opened.ask("GET", location)).json())["status"] in ("queued", "running"):
            await asyncio.sleep(POLL_S)
    return job


async def test_jobs_of_all_kinds_are_the_services_and_say_which_version_ran_them(owner: OpenOwner) -> None:
    opened = await owner()
    token = await deploy(opened, "old", "new")
    await shift(opened, "old", "new", 50)
    ways = [("/old", "Location"), ("/v2/models/old/predict/", "Location"), ("/run/old", "Location")]
    ways += [("/job/old", "Location"), ("/old/async", "Location")]
    for path, header in ways:
        versions = []
        for _ in range(2):
            answer = await opened.house.post(path, json={}, headers={**token, "Prefer": "respond-async"})
            location = answer.headers[header].replace("/status/", "/jobs/")
            job = await wait_job(opened, location)
            assert (job["deployment"], job["status"]) == ("old", "succeeded")
            result = await opened.house.get(f"{location}/result", headers=token)  # by the token of `old`
            assert json.loads(result.body) == job["version"]
            versions.append(job["version"])
        assert sorted(versions) == ["new", "old"], path
    listed = (await opened.house.get("/jobs", headers=token)).json()["jobs"]
    assert len(listed) == 2 * len(ways)
    assert (await opened.ask("GET", "/jobs?deployment=new")).json()["jobs"] == []


async def test_uploads_to_the_bucket_are_split(owner: OpenOwner) -> None:
    opened = await owner()
    await deploy(opened, "old", "new")
    await shift(opened, "old", "new", 50)
    for key in "abcd":
        answer = await opened.ask("PUT", f"/files/old/inputs/{key}.json", data=b"{}")
        assert answer.status in (200, 201), answer.text
    async with asyncio.timeout(PATIENCE_S):
        while len(jobs := (await opened.ask("GET", "/jobs?status=succeeded")).json()["jobs"]) < 4:
            await asyncio.sleep(POLL_S)
    assert Counter(job["version"] for job in jobs) == {"old": 2, "new": 2}
    assert {job["deployment"] for job in jobs} == {"old"}


async def test_a_key_is_one_job_whichever_version_has_its_turn(owner: OpenOwner) -> None:
    opened = await owner()
    token = await deploy(opened, "old", "new")
    await shift(opened, "old", "new", 50)
    headers = {**token, "Prefer": "respond-async", "Idempotency-Key": "once"}
    ids = {(await opened.house.post("/old", json={}, headers=headers)).json()["id"] for _ in range(4)}
    assert len(ids) == 1


async def test_a_waiting_job_stays_with_its_version_over_a_restart(owner: OpenOwner) -> None:
    opened = await owner(job_workers=1)
    token = await deploy(opened, "old", "new", max_workers=1)
    await shift(opened, "old", "new")
    headers = {**token, "Prefer": "respond-async"}
    running = await opened.house.post("/old", json={"seconds": 600}, headers=headers)
    await wait_until(lambda: opened.deployment("new").counts().busy == 1)
    ids = [(await opened.house.post("/old", json={}, headers=headers)).json()["id"] for _ in range(3)]
    await back(opened, "old")
    opened = await owner(job_workers=1)
    assert (await opened.show("old"))["shift"] is None
    await opened.ask("POST", f"/jobs/{running.json()['id']}/cancel")
    for id in ids:
        assert (await wait_job(opened, f"/jobs/{id}"))["version"] == "new"
    answer = await opened.house.post("/old", json={}, headers=headers)
    assert (await wait_job(opened, answer.headers["Location"]))["version"] == "old"


async def test_a_job_whose_version_has_gone_fails_with_a_sentence(owner: OpenOwner) -> None:
    opened = await owner()
    token = await deploy(opened, "old", "new", max_workers=1)
    await shift(opened, "old", "new")
    headers = {**token, "Prefer": "respond-async"}
    running = await opened.house.post("/old", json={"seconds": 600}, headers=headers)
    await wait_until(lambda: opened.deployment("new").counts().busy == 1)
    await back(opened, "old")
    assert (await opened.ask("DELETE", "/deployments/new")).status == 204
    job = await wait_job(opened, f"/jobs/{running.json()['id']}")
    assert (job["status"], job["error"]["kind"]) == ("failed", "not_found")
    assert "has been undeployed: new" in job["error"]["message"]


async def test_a_waiting_job_is_not_for_a_later_version_of_the_same_name(owner: OpenOwner) -> None:
    opened = await owner(job_workers=1)
    token = await deploy(opened, "old", "new", max_workers=1)
    headers = {**token, "Prefer": "respond-async"}
    running = await opened.house.post("/old", json={"seconds": 600}, headers=headers)
    direct = asyncio.create_task(opened.ask("POST", "/new", json={"seconds": 600}))  # neither has a worker to spare
    for name in ("old", "new"):
        await wait_until(partial(is_busy, opened, name))
    await shift(opened, "old", "new")
    await opened.house.post("/old", json={"seconds": 600}, headers=headers)
    await wait_until(lambda: opened.deployment("new").counts().busy == 1)
    waiting = await opened.house.post("/old", json={}, headers=headers)
    await back(opened, "old")
    assert (await opened.ask("DELETE", "/deployments/new")).status == 204
    await direct
    await opened.deploy(name="new")
    await opened.ask("POST", f"/jobs/{running.json()['id']}/cancel")
    job = await wait_job(opened, f"/jobs/{waiting.json()['id']}")
    assert (job["status"], job["version"]) == ("failed", "new (undeployed)")


async def test_a_shift_outlives_the_server_and_is_seen_everywhere(owner: OpenOwner) -> None:
    opened = await owner()
    token = await deploy(opened, "old", "new")
    await shift(opened, "old", "new", 25)
    opened = await owner()
    for _ in range(4):
        assert (await opened.house.post("/old", json={}, headers=token)).status == 200
    assert (await opened.house.post("/old", json={"seconds": "x"}, headers=token)).status == 422
    shown = await opened.show("old")
    assert shown["shift"] == {"to": "new", "share": 25}
    figures = {row["name"]: (row["share"], row["calls"], row["failures"]) for row in shown["versions"]}
    assert figures == {"old": (75, 4, 1), "new": (25, 1, 0)}
    assert all(row["p50_s"] > 0 for row in shown["versions"])
    assert ((await opened.show("new"))["version_of"], (await opened.show("new"))["versions"]) == ("old", [])
    metrics = (await opened.ask("GET", "/metrics")).text
    assert 'modelport_shifted_percent{deployment="old",version="new"} 25.0' in metrics


async def test_the_version_that_answers_checks_the_arguments(owner: OpenOwner) -> None:
    opened = await owner()
    token = await deploy(opened, "old", "new")
    await shift(opened, "old", "new")
    for arguments, status in (({"new_only": 1}, 200), ({"new_only": "x"}, 422), ({"old_only": 1}, 422)):
        answer = await opened.house.post("/old", data=arguments, headers=token)  # a form, whose texts get their types
        assert (answer.status, answer.headers[HEADER]) == (status, "new"), answer.text
    await back(opened, "old")
    assert (await opened.house.post("/old", data={"old_only": 1}, headers=token)).status == 200


async def test_a_version_that_does_not_load_leaves_its_calls_to_the_other(owner: OpenOwner) -> None:
    opened = await owner()
    token = await deploy(opened, "old", "new")
    await shift(opened, "old", "new")
    opened.write("import nothing_of_the_kind", "new")
    assert (await opened.ask("PATCH", "/deployments/new", json={"environment": {"A": "1"}})).status == 200
    await opened.wait_state("new", "failed")
    answer = await opened.house.post("/old", json={}, headers=token)
    assert (answer.status, answer.headers[HEADER]) == (200, "old")
    refused = await opened.ask("POST", "/deployments/old/shift", json={"to": "new", "share": 5})
    assert (refused.status, "new does not load" in refused.text) == (409, True)
    # After a restart, too, no call fails, and the version comes back by itself.
    opened = await owner()
    assert opened.deployment("new").failure is not None
    answer = await opened.house.post("/old", json={}, headers=token)
    assert (answer.status, answer.headers[HEADER]) == (200, "old")
    opened.write(SOURCE.format(name="new"), "new")
    await wait_until(lambda: opened.deployment("new").failure is None)
    answer = await opened.house.post("/old", json={}, headers=token)
    assert (answer.status, answer.headers[HEADER]) == (200, "new")


async def test_what_cannot_be_shifted_is_said(owner: OpenOwner) -> None:
    opened = await owner()
    await deploy(opened, "old", "new", "newer")
    trial = await opened.deploy(module=str(opened.write(SOURCE.format(name="trial"), "trial")), temporary=True)
    await shift(opened, "old", "new", 10)

    async def refused(name: str, status: int, said: str, **sent: Any) -> None:
        answer = await opened.ask("POST", f"/deployments/{name}/shift", json=sent)
        assert (answer.status, said in answer.text) == (status, True), answer.text

    await refused("old", 422, "another service", to="old")
    await refused("old", 404, "deploy the new version first", to="nowhere")
    await refused("nowhere", 404, "no service", to="new")
    await refused("old", 409, "not kept", to=trial["name"])
    await refused("new", 409, "a version has no versions", to="newer")
    await refused("newer", 409, "a version has no versions", to="old")
    for share in (0, 101, "all"):
        await refused("old", 422, "share", to="new", share=share)
    deleted = await opened.ask("DELETE", "/deployments/new")
    assert (deleted.status, "modelport shift old --back" in deleted.text) == (409, True)
    for name in ("old", "new"):
        answer = await opened.ask("PATCH", f"/deployments/{name}", json={"price": {"credits": 1}})
        assert (answer.status, "price" in answer.text) == (409, True), answer.text
    # Another version, without a way back in between; and the service itself may go.
    await shift(opened, "old", "newer", 20)
    assert (await opened.ask("DELETE", "/deployments/new")).status == 204
    assert (await opened.ask("DELETE", "/deployments/old")).status == 204
    assert (await opened.show("newer"))["version_of"] is None


async def test_a_link_calls_whichever_version_answers(owner: OpenOwner) -> None:
    opened = await owner()
    await deploy(opened, "old", "new")
    await shift(opened, "old", "new")
    token = (await opened.ask("POST", "/deployments/old/links", json={})).json()["token"]
    headers = {"Authorization": f"Bearer {token}", "Prefer": "respond-async"}
    answer = await opened.house.post("/old", json={}, headers=headers)
    assert answer.status == 202
    assert (await opened.house.get(answer.headers["Location"], headers=headers)).json()["version"] == "new"
    assert (await opened.house.post("/new", json={}, headers=headers)).status == 401


async def test_a_store_from_before_there_were_versions_opens(tmp_path: Path) -> None:
    path = tmp_path / "home" / "store.sqlite"
    path.parent.mkdir(exist_ok=True)
    async with await Store.open(path, migrations=MIGRATIONS[:6]) as store:
        columns = "id, deployment, method, status, source, owner, created, text, webhook, deliver, key, number"
        values = (
            "'00000000000001' || printf('%018d', 0), 'old', 'predict', 'queued', 'plain', '', 1.0, 0, '', '', '', 1"
        )
        await store.write(lambda c: c.execute(f"INSERT INTO jobs ({columns}) VALUES ({values})") and None)
    async with await Store.open(path) as store:
        row = await store.read(get_job, f"{1:014x}{0:018d}")
        assert (row.job.version, row.job.runs_on) == ("", "old")
