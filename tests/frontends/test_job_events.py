"""Server-sent events: in order, complete where it counts, and no burden where nobody reads."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.conftest import OpenHouse
from tests.frontends.jobs import SOURCE, Gate, begin, ended, stream
from tests.frontends.test_jobs import Callers
from tests.house import wait_until


async def test_a_job_is_told_from_its_state_to_its_end(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE)
    first, gate = Gate(tmp_path / "first"), str(tmp_path / "gate")
    await begin(opened, mode="wait", gate=str(first))
    await first.reached()
    job = await begin(opened, mode="steps", gate=gate)
    async with stream(opened, f"/jobs/{job['id']}/events") as events:
        assert events.response.content_type == "text/event-stream"
        kind, document = await events.event()
        assert (kind, document["status"], document["position"]) == ("state", "queued", 0)
        first.open()
        assert (await events.until("state"))["status"] == "running"
        for step in (1, 2, 3):
            Path(f"{gate}{step}").touch()
        rest = await events.rest()
        assert events.ids == sorted(set(events.ids))
    kind, last = rest[-1]
    assert (kind, last["status"], last["id"]) == ("state", "succeeded", job["id"])
    assert [each for kind, each in rest if kind == "progress"] == [
        {"job": job["id"], "fraction": step / 4, "message": f"step {step}"} for step in (1, 2, 3)
    ]
    assert "".join(each["text"] for kind, each in rest if kind == "log").endswith("step 1\nstep 2\nstep 3\n")


async def test_who_comes_late_is_told_what_was(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE)
    gate = Gate(tmp_path / "gate")
    job = await begin(opened, mode="wait", gate=str(gate), text="it")
    await gate.reached()
    async with stream(opened, f"/jobs/{job['id']}/events") as events:
        assert (await events.event())[1]["status"] == "running"
        assert (await events.event()) == ("log", {"job": job["id"], "text": "working on it\n"})
        gate.open()
        assert [(kind, each["status"]) for kind, each in await events.rest()] == [("state", "succeeded")]
    async with stream(opened, f"/jobs/{job['id']}/events", Last_Event_ID="41") as events:
        (kind, log), (last_kind, document) = await events.rest()
        assert (kind, log["text"], last_kind, document["status"]) == ("log", "working on it\n", "state", "succeeded")
        assert events.ids == [42, 43]


async def test_all_jobs_are_told_in_one_stream(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house({"x": SOURCE, "y": SOURCE})
    gate = Gate(tmp_path / "gate")
    waiting = await begin(opened, mode="wait", gate=str(gate))
    await gate.reached()
    async with stream(opened, "/events") as events, stream(opened, "/events?deployment=y") as of_y:
        kind, snapshot = await events.event()
        assert (kind, snapshot["more"]) == ("jobs", False)
        assert [(job["id"], job["status"]) for job in snapshot["jobs"]] == [(waiting["id"], "running")]
        assert (await of_y.event()) == ("jobs", {"jobs": [], "more": False})
        other = await begin(opened, path="/y")
        states: list[tuple[str, str]] = []
        while not states or states[-1] != (other["id"], "succeeded"):
            document = await events.until("state")
            states.append((document["id"], document["status"]))
        assert {each for each, _ in states} == {other["id"]}
        gate.open()
        while (document := await events.until("state"))["id"] != waiting["id"]:
            pass
        assert document["status"] == "succeeded"
        assert {each["id"] for each in [await of_y.until("state")]} == {other["id"]}


async def test_nobody_is_told_of_jobs_that_are_not_his(house: OpenHouse) -> None:
    callers = await Callers.meet(await house(SOURCE))
    async with (
        stream(callers.house, "/events") as strangers,
        stream(callers.house, "/events", **callers.service) as own,
    ):
        await strangers.event()
        await own.event()
        secret = await begin(callers.house, callers.service, path="/svc")
        while (document := await own.until("state"))["id"] != secret["id"] or document["status"] != "succeeded":
            pass
        mine = await begin(callers.house)
        while (document := await strangers.until("state"))["status"] != "succeeded":
            assert document["deployment"] == "x"
        assert document["id"] == mine["id"]


async def test_a_character_that_comes_in_two_parts_is_one(house: OpenHouse, tmp_path: Path) -> None:
    source = """
import os, time
from marshmallow import fields
def get_predict_args(): return {"gate": fields.Str()}
def predict(gate):
    os.write(1, b"\\xc3"); open(gate, "w").close()
    while not os.path.exists(gate + "2"): time.sleep(0.01)
    os.write(1, b"\\xa9\\n")
"""
    opened = await house(source)
    gate = tmp_path / "gate"
    job = await begin(opened, gate=str(gate))
    async with stream(opened, f"/jobs/{job['id']}/events") as events:
        await wait_until(gate.exists)
        gate.with_name("gate2").touch()
        text = "".join(each["text"] for kind, each in await events.rest() if kind == "log")
    assert text == "é\n"


async def test_a_silent_stream_is_kept_alive(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE, heartbeat_s=0.01)
    gate = Gate(tmp_path / "gate")
    job = await begin(opened, mode="wait", gate=str(gate))
    await gate.reached()
    async with stream(opened, f"/jobs/{job['id']}/events") as events:
        for _ in range(3):
            while await events.response.content.readline() != b":\n":
                pass
        gate.open()
        await events.response.content.readuntil(b'"succeeded"')


@pytest.mark.slow
async def test_who_reads_nothing_misses_lines_and_never_the_end(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE)
    gate = Gate(tmp_path / "gate")
    job = await begin(opened, mode="chatter", gate=str(gate))
    await gate.reached()
    async with (
        stream(opened, f"/jobs/{job['id']}/events") as slow,
        stream(opened, f"/jobs/{job['id']}/events") as quick,
    ):
        assert (await slow.event())[0] == "state"
        gate.open()
        assert (await quick.rest())[-1][1]["status"] == "succeeded"
        rest = await slow.rest()
    assert (rest[-1][0], rest[-1][1]["status"]) == ("state", "succeeded")
    missed = sum(each["events"] for kind, each in rest if kind == "missed")
    told = sum(len(each["text"]) for kind, each in rest if kind == "log")
    assert missed > 0
    assert told < 200_000 * 201


@pytest.mark.slow
async def test_who_follows_a_log_too_slowly_is_told_that_parts_are_missing(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE)
    gate = Gate(tmp_path / "gate")
    job = await begin(opened, mode="chatter", gate=str(gate))
    await gate.reached()
    url = f"http://127.0.0.1:{opened.server.port}/jobs/{job['id']}/log?follow=1"
    async with opened.session.get(url, read_bufsize=1 << 12) as response:
        await response.content.readuntil(b"working on hello\n")
        gate.open()
        await ended(opened, job)
        text = await response.text()
    assert "parts of the log are missing here" in text
    assert len(text) < 200_000 * 201


@pytest.mark.slow
async def test_a_client_that_takes_nothing_is_let_go(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE, event_stream_limit=1, stall_timeout_s=0.1)
    gate = Gate(tmp_path / "gate")
    job = await begin(opened, mode="chatter", gate=str(gate))
    await gate.reached()
    reader, writer = await asyncio.open_connection("127.0.0.1", opened.server.port, limit=1 << 12)
    writer.write(f"GET /jobs/{job['id']}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await reader.readuntil(b"event: state")
    assert (await opened.get("/events")).status == 503
    gate.open()
    await ended(opened, job)
    async with asyncio.timeout(30):
        while (await opened.get(f"/jobs/{job['id']}/events")).status == 503:
            await asyncio.sleep(0.01)
    writer.close()


async def test_streams_have_a_limit_and_give_their_place_back(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE, event_stream_limit=1)
    gate = Gate(tmp_path / "gate")
    job = await begin(opened, mode="wait", gate=str(gate))
    await gate.reached()
    async with stream(opened, f"/jobs/{job['id']}/events") as events:
        await events.event()
        for path in ("/events", f"/jobs/{job['id']}/events", f"/jobs/{job['id']}/log?follow=1"):
            answer = await opened.get(path)
            assert (answer.status, answer.json()["error"], answer.headers["Retry-After"]) == (503, "overloaded", "5")
        events.response.close()
    async with asyncio.timeout(30):
        while (await opened.get(f"/jobs/{job['id']}/log")).status != 200:
            await asyncio.sleep(0.01)
        while True:
            url = f"http://127.0.0.1:{opened.server.port}/events"
            async with opened.session.get(url) as response:
                if response.status == 200:
                    break
    gate.open()


async def test_streams_end_with_the_server_and_do_not_hold_it_up(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE)
    gate = Gate(tmp_path / "gate")
    training = (await opened.post("/v2/models/x/train/", json={"gate": str(gate)})).json()["uuid"]
    await gate.reached()
    async with stream(opened, f"/jobs/{training}/events") as one, stream(opened, "/events") as all:
        await one.event()
        await all.event()
        loop = asyncio.get_running_loop()
        started = loop.time()
        await opened.server.stop(60)
        assert loop.time() - started < 5
        assert (await one.rest())[-1][1]["error"]["kind"] == "interrupted"
        assert (await all.rest())[-1][1]["status"] == "failed"


async def test_a_stream_ends_when_its_token_opens_nothing_any_more(house: OpenHouse, tmp_path: Path) -> None:
    callers = await Callers.meet(await house(SOURCE, heartbeat_s=0.01))
    opened, gate = callers.house, Gate(tmp_path / "gate")
    job = await begin(opened, callers.service, path="/svc", mode="wait", gate=str(gate))
    await gate.reached()
    path = f"/jobs/{job['id']}"
    log = f"http://127.0.0.1:{opened.server.port}{path}/log?follow=1"
    async with (
        stream(opened, f"{path}/events", **callers.service) as one,
        stream(opened, "/events?deployment=svc", **callers.service) as all,
        opened.session.get(log, headers=callers.service) as followed,
    ):
        await one.event()
        await all.event()
        await opened.post("/deployments/svc/token", headers=callers.owner)
        assert "succeeded" not in str([await one.rest(), await all.rest(), await followed.text()])
    gate.open()
