"""Prefer: whether a client waits for its prediction, or gets a job; at every door that predicts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from modelport.http.prefer import _preferences
from modelport.server import Server
from modelport.settings import Settings
from tests.conftest import OpenHouse
from tests.frontends.jobs import ASYNC, PREDICT, SOURCE, Gate, begin, ended, show, wait_status
from tests.house import House, wait_until, write_plugins

DOORS = (PREDICT, "/x", "/run/x")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("respond-async", {"respond-async": ""}),
        ("respond-async, wait=20", {"respond-async": "", "wait": "20"}),
        ("WAIT=20 , Respond-Async", {"wait": "20", "respond-async": ""}),
        ('wait = "20"; why=now, return=minimal', {"wait": "20", "return": "minimal"}),
        ("wait=1, wait=2", {"wait": "1"}),
        ("handling=lenient;x,wait=3", {"handling": "lenient", "wait": "3"}),
        (",, wait=3,", {"wait": "3"}),
        ("", {}),
        ("(=)", {}),
    ],
)
def test_the_header_is_read_as_rfc_7240_says(header: str, found: dict[str, str]) -> None:
    assert _preferences(header) == found


@pytest.mark.parametrize("path", DOORS)
async def test_a_call_that_prefers_so_is_a_job(house: OpenHouse, path: str) -> None:
    opened = await house(SOURCE)
    answer = await opened.post(path, json={"text": "a"}, headers=ASYNC)
    job = answer.json()
    assert (answer.status, answer.headers["Location"]) == (202, f"/jobs/{job['id']}")
    assert (answer.headers["Preference-Applied"], answer.headers["Retry-After"]) == ("respond-async", "1")
    document = await ended(opened, job)
    assert (document["status"], document["error"]) == ("succeeded", None)
    assert (await opened.get(document["result"]["url"])).json() == "A"


@pytest.mark.parametrize("path", DOORS)
async def test_who_waits_gets_the_answer_in_time_as_any_call_does(house: OpenHouse, path: str) -> None:
    opened = await house(SOURCE)
    usual = await opened.post(path, json={"text": "a"})
    answer = await opened.post(path, json={"text": "a"}, headers={"Prefer": "wait=30"})
    assert (answer.status, answer.body, answer.type) == (200, usual.body, usual.type)
    assert answer.headers["Preference-Applied"] == "wait=30"
    assert "Preference-Applied" not in usual.headers
    job = (await opened.get(answer.headers["Location"])).json()
    assert job["status"] == "succeeded"


@pytest.mark.parametrize("path", DOORS)
async def test_who_waits_too_long_is_given_the_job(house: OpenHouse, tmp_path: Path, path: str) -> None:
    opened = await house(SOURCE)
    gate = Gate(tmp_path / "gate")
    body = {"mode": "wait", "gate": str(gate)}
    answer = await opened.post(path, json=body, headers={"Prefer": "respond-async, wait=1"})
    assert (answer.status, answer.headers["Preference-Applied"]) == (202, "respond-async, wait=1")
    job = answer.json()
    assert job["status"] in ("queued", "running")
    gate.open()
    assert (await ended(opened, job))["status"] == "succeeded"


@pytest.mark.parametrize("path", DOORS)
async def test_what_goes_wrong_while_somebody_waits_is_told_as_in_any_call(house: OpenHouse, path: str) -> None:
    opened = await house(SOURCE)
    for body in ({"mode": "fail"}, {"count": 99}):
        usual = await opened.post(path, json=body)
        answer = await opened.post(path, json=body, headers={"Prefer": "wait=30"})
        assert (answer.status, answer.body) == (usual.status, usual.body)
        assert answer.status in (500, 422)


async def test_the_settings_limit_how_long_somebody_waits(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE, job_wait_limit_s=0)
    gate = Gate(tmp_path / "gate")
    body = {"mode": "wait", "gate": str(gate)}
    answer = await opened.post(PREDICT, json=body, headers={"Prefer": "wait=1000000"})
    assert (answer.status, answer.headers["Preference-Applied"]) == (202, "wait=0")
    gate.open()


@pytest.mark.parametrize("header", ["return=minimal", "wait=soon", "wait=-1", "wait", "x", ""])
async def test_what_is_not_understood_is_passed_over(house: OpenHouse, header: str) -> None:
    opened = await house(SOURCE)
    answer = await opened.post(PREDICT, json={}, headers={"Prefer": header})
    assert (answer.status, answer.json()["predictions"]) == (200, "HELLO")
    assert (await opened.get("/jobs")).json()["jobs"] == []


async def test_a_client_that_leaves_while_it_waits_ends_nothing(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE)
    gate = Gate(tmp_path / "gate")
    body = {"mode": "wait", "gate": str(gate)}
    leaving = asyncio.create_task(opened.post(PREDICT, json=body, headers={"Prefer": "wait=60"}))
    await gate.reached()
    leaving.cancel()
    await asyncio.wait({leaving})
    gate.open()
    (job,) = (await opened.get("/jobs")).json()["jobs"]
    assert (await ended(opened, job))["status"] == "succeeded"


async def test_files_that_came_with_a_call_are_there_when_its_turn_comes(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE)
    gate = Gate(tmp_path / "gate")
    await begin(opened, mode="wait", gate=str(gate))
    form = aiohttp.FormData()
    form.add_field("image", b"12345", filename="bear.jpg", content_type="image/jpeg")
    answer = await opened.post("/x", data=form, headers=ASYNC)
    job = answer.json()
    assert job["arguments"]["image"] == "bear.jpg"
    gate.open()
    document = await ended(opened, job)
    assert (await opened.get(document["result"]["url"])).json() == ["bear.jpg", 5]
    await wait_until(lambda: opened.scratch() == [])


async def test_a_job_is_not_refused_because_workers_are_busy(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE, queue_limit=0)
    gate = Gate(tmp_path / "gate")
    busy = asyncio.create_task(opened.post(PREDICT, json={"mode": "wait", "gate": str(gate)}))
    await gate.reached()
    assert (await opened.post(PREDICT, json={})).status == 503
    job = await begin(opened)
    assert (await show(opened, job))["status"] == "queued"
    gate.open()
    assert (await busy).status == 200
    assert (await ended(opened, job))["status"] == "succeeded"


async def test_too_many_jobs_are_refused_before_their_upload(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE, job_limit=1)
    gate = Gate(tmp_path / "gate")
    await begin(opened, mode="wait", gate=str(gate))
    await gate.reached()
    await begin(opened)
    for path in DOORS:
        answer = await opened.post(path, json={}, headers=ASYNC)
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0
    gate.open()


# The same call twice


async def submit(house: House, key: str, path: str = PREDICT, **given: Any) -> Any:
    return await house.post(path, json=given, headers={**ASYNC, "Idempotency-Key": key})


@pytest.mark.parametrize("path", DOORS)
async def test_the_same_key_and_call_are_the_same_job(house: OpenHouse, path: str) -> None:
    opened = await house(SOURCE)
    first = (await submit(opened, "a key", path, text="a")).json()
    again = (await submit(opened, '"a key"', path, text="a")).json()
    other = (await submit(opened, "another", path, text="a")).json()
    assert first["id"] == again["id"] != other["id"]
    conflict = await submit(opened, "a key", path, text="b")
    assert conflict.status == 409
    assert "idempotency key" in conflict.text


async def test_the_same_key_is_the_same_job_after_its_end(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    first = await ended(opened, (await submit(opened, "a key", text="a")).json())
    again = await submit(opened, "a key", text="a")
    assert (again.status, again.json()["id"], again.json()["status"]) == (202, first["id"], "succeeded")
    waited = await opened.post(PREDICT, json={"text": "a"}, headers={"Prefer": "wait=30", "Idempotency-Key": "a key"})
    assert (waited.status, waited.json()["predictions"]) == (200, "A")


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "a\tb", "é"])
async def test_a_key_that_is_none_is_refused(house: OpenHouse, key: str) -> None:
    opened = await house(SOURCE)
    answer = await submit(opened, key)
    assert (answer.status, "Idempotency-Key" in answer.text) == (400, True)


async def test_a_call_that_is_no_job_has_no_key(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    for text in ("a", "b"):
        answer = await opened.post(PREDICT, json={"text": text}, headers={"Idempotency-Key": "a key"})
        assert (answer.status, answer.json()["predictions"]) == (200, text.upper())


async def test_who_waits_is_given_the_job_when_the_server_stops(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE)
    gate = Gate(tmp_path / "gate")
    body = {"mode": "wait", "gate": str(gate)}
    waiting = asyncio.create_task(opened.post(PREDICT, json=body, headers={"Prefer": "wait=60"}))
    await gate.reached()
    stopping = asyncio.create_task(opened.server.stop(0))
    answer = await waiting
    assert (answer.status, answer.json()["status"]) == (202, "queued")
    await stopping


async def test_a_job_gives_way_to_who_waits_for_an_answer(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE, workers=2)
    gates = [Gate(tmp_path / f"gate{number}") for number in range(4)]
    jobs = [await begin(opened, mode="wait", gate=str(gate)) for gate in gates]
    await gates[0].reached()
    await gates[1].reached()
    # Both workers have jobs; a call that is waited for is the next.
    call = asyncio.create_task(opened.post(PREDICT, json={"text": "now"}))
    await opened.wait_queued(1)
    gates[0].open()
    assert (await call).json()["predictions"] == "NOW"
    for gate in gates:
        gate.open()
    for job in jobs:
        assert (await ended(opened, job))["status"] == "succeeded"
    await wait_until(lambda: opened.counts().busy == 0)


async def test_a_base_path_is_part_of_every_address(house: OpenHouse) -> None:
    opened = await house(SOURCE, base_path="/models")
    answer = await opened.post(f"/models{PREDICT}", json={}, headers=ASYNC)
    path = answer.headers["Location"]
    assert path == f"/models/jobs/{answer.json()['id']}"
    assert (await opened.get(path)).json()["links"]["log"] == f"{path}/log"


async def test_the_queue_is_seen(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE)
    gate = Gate(tmp_path / "gate")
    first = await begin(opened, mode="wait", gate=str(gate))
    await gate.reached()
    waiting = [await begin(opened) for _ in range(3)]
    assert [(await show(opened, each))["position"] for each in waiting] == [0, 1, 2]
    assert (await wait_status(opened, first, "running"))["position"] is None
    gate.open()
    for each in waiting:
        await ended(opened, each)


async def test_a_server_without_the_door_of_jobs_makes_none(tmp_path: Path) -> None:
    modules = write_plugins(tmp_path / "plugins", SOURCE)
    settings = Settings(listen_port=0, home=str(tmp_path / "home"))
    server = Server(settings, modules, lasting=False, frontends=("deepaas", "health"))
    async with aiohttp.ClientSession() as session:
        await server.start(warm_first=True)
        try:
            answer = await House(server, session, tmp_path).post(PREDICT, json={}, headers=ASYNC)
            assert (answer.status, answer.json()["predictions"]) == (200, "HELLO")
        finally:
            await server.stop(0)
