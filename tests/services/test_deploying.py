"""Deploy, call, change, undeploy: by the owner, while the server runs."""

from __future__ import annotations

import asyncio
import io
import json
import re
import tracemalloc
from datetime import UTC, datetime
from typing import Any

from modelport.contract.prediction import Call
from modelport.deployments.tail import Tail
from modelport.frontends.deployments import Records
from tests.house import templates, wait_until
from tests.services.conftest import PLAIN, OpenOwner

CPU = """
import os
def get_predict_args(): return {}
def predict(): return {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OWN")}
"""


async def test_a_module_is_deployed_called_and_gone(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy(title="Plain", description="what it is", max_workers=2, memory="2Gi")
    assert re.fullmatch(r"plain-[0-9a-f]{6}", row["name"])
    assert re.fullmatch(r"[0-9a-f]{64}", row["token"])
    assert row["endpoint"] == f"{opened.house.url}/run/{row['name']}"
    assert (row["title"], row["description"], row["max_workers"], row["memory_bytes"]) == (
        "Plain",
        "what it is",
        2,
        2 << 30,
    )
    assert row["bucket"]["bucket"] == row["name"]
    answer = await opened.call(row, text="abc")
    assert (answer.status, answer.json()["predictions"][0]) == (200, "ABC")
    shown = await opened.show(row["name"])
    assert (shown["calls"], shown["workers"], shown["status"]) == (1, 1, "ready")
    assert [each["name"] for each in (await opened.ask("GET", "/deployments")).json()] == [row["name"]]
    card = (await opened.ask("GET", f"/deployments/{row['name']}/card")).json()
    assert [argument["name"] for argument in card["predict_args"]] == ["text", "seconds"]

    assert (await opened.ask("DELETE", f"/deployments/{row['name']}")).status == 204
    assert (await opened.ask("GET", f"/deployments/{row['name']}")).status == 404
    assert (await opened.call(row)).status == 404
    assert opened.house.children() == []
    assert (await opened.ask("DELETE", f"/deployments/{row['name']}")).status == 404


async def test_it_is_described_before_anybody_calls_and_then_cold(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy()
    await opened.wait_loaded(row["name"])
    assert opened.deployment(row["name"]).state == "cold"
    assert opened.deployment(row["name"]).card is not None
    assert len(templates(name=row["name"])) == 1  # the template


async def test_several_of_one_module_are_side_by_side(owner: OpenOwner) -> None:
    opened = await owner()
    rows = [await opened.deploy(name=name) for name in ("one", "two", "three")]
    answers = await asyncio.gather(*(opened.call(row, text=row["name"]) for row in rows))
    assert [answer.json()["predictions"][0] for answer in answers] == ["ONE", "TWO", "THREE"]
    assert len({answer.json()["predictions"][1] for answer in answers}) == 3
    assert len({row["token"] for row in rows}) == 3


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"name": "Digits"}, "name", "lower-case letters, digits and hyphens"),
    ({"name": "-a"}, "name", "lower-case letters, digits and hyphens"),
    ({"name": "a\n"}, "name", "lower-case letters, digits and hyphens"),
    ({"name": "a" * 64}, "name", "at most 63 characters"),
    ({"name": "v2"}, "name", "taken by the server itself"),
    ({"name": "run"}, "name", "taken by the server itself"),
    ({"name": 7}, "name", "must be text"),
    ({"module": ""}, "module", "name the module to deploy"),
    ({"module": None}, "module", "name the module to deploy"),
    ({"python": "/nowhere/python"}, "python", "/nowhere/python is not a Python interpreter"),
    ({"python": "/tmp"}, "python", "is not a Python interpreter"),
    ({"min_workers": -1}, "min_workers", "must be from 0 to"),
    ({"max_workers": 0}, "max_workers", "must be from 1 to"),
    ({"max_workers": "two"}, "max_workers", "'two' is not a whole number"),
    ({"max_workers": True}, "max_workers", "is not a whole number"),
    ({"min_workers": 3, "max_workers": 2}, "max_workers", "2 is less than the minimum (min_workers), 3"),
    ({"idle_s": -1}, "idle_s", "must be from 0 to"),
    ({"idle_s": 1e300}, "idle_s", "must be from 0 to"),
    ({"timeout_s": "1h"}, "timeout_s", "is not a number"),
    ({"memory": "much"}, "memory", "is not an amount of memory"),
    ({"memory": 1000}, "memory", "must be from"),
    ({"cpu": 0}, "cpu", "must be from 0.001 to"),
    ({"title": 7}, "title", "must be text"),
    ({"title": "\0"}, "title", "not valid text"),
    ({"description": "x" * 60_000}, "description", "too long"),
    ({"environment": ["A=1"]}, "environment", "must be an object"),
    ({"environment": {"A B": "1"}}, "environment", "'A B' is not a valid name of a variable"),
    ({"environment": {"A": 1}}, "environment", "A must be text"),
    ({"environment": {"MODELPORT_TEMPLATE": "1"}}, "environment", "is set by the server"),
    ({"environment": {"MODELPORT_NAN": "zero"}}, "environment", "'zero' is not one of null, error"),
    ({"secrets": {"MODELPORT_BATCH_SIZE": "many"}}, "secrets", "MODELPORT_BATCH_SIZE: 'many' is not a whole number"),
    ({"colour": "red"}, "colour", "unknown; known are name, module, title"),
]


async def test_what_cannot_be_is_refused_with_the_reason(owner: OpenOwner) -> None:
    opened = await owner()
    for body, field, why in REFUSED:
        answer = await opened.ask("POST", "/deployments", json={"module": "my_model", **body})
        document = answer.json()
        assert (answer.status, document["error"]) == (422, "invalid_arguments"), body
        assert list(document["fields"]) == [field], body
        assert why in document["fields"][field][0] and why in document["message"], body
    assert opened.services.list() == []


async def test_a_body_that_is_no_object_is_refused(owner: OpenOwner) -> None:
    opened = await owner()
    for body in (b"", b"{", b"[]", b"\xff", b'"x"', b"[" * 100_000):
        answer = await opened.ask("POST", "/deployments", data=body)
        assert (answer.status, answer.json()["error"]) == (400, "invalid_json"), body
    answer = await opened.ask("POST", "/deployments", data=io.BytesIO(b" " * (2 << 20)))
    assert (answer.status, answer.json()["error"]) == (413, "too_large")


async def test_a_name_is_given_once(owner: OpenOwner) -> None:
    opened = await owner()
    answers = await asyncio.gather(
        *(opened.ask("POST", "/deployments", json={"module": "my_model", "name": "one"}) for _ in range(8))
    )
    assert sorted(answer.status for answer in answers) == [201] + [409] * 7
    assert {answer.json().get("error") for answer in answers if answer.status == 409} == {"conflict"}


async def test_every_first_part_of_a_route_is_reserved(owner: OpenOwner) -> None:
    opened = await owner()
    reserved = opened.house.server.deployments.reserved.keys()
    assert {"v2", "run", "job", "jobs", "system", "health", "deployments", "modules", "swagger.json"} <= reserved
    assert opened.house.server.app is not None
    paths = [resource.canonical for resource in opened.house.server.app.router.resources()]
    firsts = {path.strip("/").partition("/")[0] for path in paths} - {""}
    assert {first for first in firsts if "{" not in first} <= reserved


async def test_a_change_keeps_the_token_and_what_runs(owner: OpenOwner) -> None:
    opened = await owner()
    go_on = opened.house.folder / "go on"
    waiting = f"while not os.path.exists({str(go_on)!r}): time.sleep(0.01)"
    row = await opened.deploy(PLAIN.replace("time.sleep(seconds)", waiting))
    running = asyncio.create_task(opened.call(row, text="old"))
    await wait_until(lambda: opened.deployment(row["name"]).counts().busy == 1)
    opened.write(PLAIN.replace("upper", "title"), "other")
    changes = {"module": str(opened.house.folder / "modules/other.py"), "title": "New"}
    answer = await opened.ask("PATCH", f"/deployments/{row['name']}", json=changes)
    assert (answer.status, answer.json()["title"], answer.json()["token"]) == (200, "New", row["token"])
    assert (await opened.call(row, text="new")).json()["predictions"][0] == "New"
    assert not running.done()
    go_on.touch()
    assert (await running).json()["predictions"][0] == "OLD"
    await wait_until(lambda: len(templates(name=row["name"])) == 1)


async def test_a_change_of_the_title_touches_no_process(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy()
    before = (await opened.call(row)).json()["predictions"]
    await opened.ask("PATCH", f"/deployments/{row['name']}", json={"title": "Other", "timeout_s": 7})
    assert (await opened.call(row)).json()["predictions"] == before
    answer = await opened.ask("PATCH", f"/deployments/{row['name']}", json={"title": None, "timeout_s": None})
    assert (answer.json()["title"], answer.json()["timeout_s"]) == ("", None)
    answer = await opened.ask("PATCH", f"/deployments/{row['name']}", json={"name": "other"})
    assert (answer.status, answer.json()["fields"]) == (422, {"name": ["a service cannot be renamed"]})


async def test_a_rotated_token_is_the_only_one(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy()
    before = (await opened.call(row)).json()["predictions"]
    token = (await opened.ask("POST", f"/deployments/{row['name']}/token")).json()["token"]
    assert token != row["token"] and re.fullmatch(r"[0-9a-f]{64}", token)
    assert (await opened.call(row)).status == 401
    assert (await opened.call({**row, "token": token})).json()["predictions"] == before
    assert opened.services.get(row["name"]).token == token


async def test_calls_that_run_when_it_is_undeployed_are_told(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy()
    running = asyncio.create_task(opened.call(row, seconds="600"))
    await wait_until(lambda: opened.deployment(row["name"]).counts().busy == 1)
    await opened.services.undeploy(row["name"])
    answer = await running
    assert answer.status == 503
    assert f"{row['name']} has been undeployed" in answer.text


async def test_its_trainings_end_with_it(owner: OpenOwner) -> None:
    opened = await owner()
    source = PLAIN + "def get_train_args(): return {}\ndef train():\n    import time\n    time.sleep(600)\n"
    row = await opened.deploy(source)
    headers = {"Authorization": f"Bearer {row['token']}"}
    path = f"/v2/models/{row['name']}/train/"
    assert (await opened.house.post(path, headers=headers)).json()["status"] == "running"
    await opened.services.undeploy(row["name"])
    assert await opened.house.gateway.jobs.count([row["name"]]) == 0
    assert opened.house.children() == []


async def test_the_time_limit_is_its_own(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy(timeout_s=0.5)
    await opened.call(row)
    assert (await opened.call(row, seconds="600")).status == 504


async def test_a_cold_start_counts_as_the_calls_time(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy("import time\ntime.sleep(600)\n" + PLAIN, timeout_s=0.3)
    outcome = await opened.deployment(row["name"]).run(Call("x", timeout_s=0.3))
    assert outcome.error is not None and outcome.error.kind == "deadline_exceeded"


async def test_its_share_of_the_cores_and_its_variables_reach_the_model(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy(CPU, cpu=2.5, environment={"OWN": "value", "MKL_NUM_THREADS": "7"})
    expected = {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "7", "OWN": "value"}
    assert (await opened.call(row)).json()["predictions"] == expected
    row = await opened.deploy(CPU, cpu=0.2, secrets={"OWN": "hidden"})
    expected = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OWN": "hidden"}
    assert (await opened.call(row)).json()["predictions"] == expected
    assert row["secrets"] == ["OWN"] and "hidden" not in str(row)


PRINTS = """
from marshmallow import fields
def get_predict_args(): return {"text": fields.Str(load_default="")}
def predict(text):
    print(text, flush=True)
"""


async def test_the_log_tells_when_what_was_printed_and_for_which_job(owner: OpenOwner) -> None:
    opened = await owner()
    row = await opened.deploy(PRINTS)
    before = datetime.now(UTC)
    path = f"/deployments/{row['name']}/log"
    await opened.call(row, text="of nobody")
    asked = await opened.ask("POST", f"/{row['name']}", json={"text": "of a job"}, headers={"Prefer": "wait=60"})
    assert asked.status == 200
    answer = await opened.ask("GET", f"{path}?records=1")
    assert answer.type == "application/x-ndjson"
    records = [json.loads(line) for line in answer.text.splitlines()]
    assert "".join(record["text"] for record in records) == "of nobody\nof a job\n"
    assert (await opened.ask("GET", path)).text == "of nobody\nof a job\n"
    job = (await opened.ask("GET", "/jobs")).json()["jobs"][0]["id"]
    assert [record["job"] for record in records] == [None, job]
    times = [datetime.fromisoformat(record["time"]) for record in records]
    assert before.replace(microsecond=0) <= times[0] <= times[1] <= datetime.now(UTC)
    assert len({record["process"] for record in records}) == 1


async def test_a_version_s_log_tells_the_job_of_the_service(owner: OpenOwner) -> None:
    opened = await owner()
    for name in ("old", "new"):
        await opened.deploy(PRINTS, name=name)
        await opened.wait_loaded(name)
    assert (await opened.ask("POST", "/deployments/old/shift", json={"to": "new", "share": 100})).status == 200
    asked = await opened.ask("POST", "/old", json={"text": "of a job"}, headers={"Prefer": "wait=60"})
    assert asked.status == 200
    records = [
        json.loads(line) for line in (await opened.ask("GET", "/deployments/new/log?records=1")).text.splitlines()
    ]
    assert [(record["text"], bool(record["job"])) for record in records] == [("of a job\n", True)]


def test_a_character_that_is_cut_waits_for_its_rest() -> None:
    tail = Tail(1000)
    for number, part in ((1, "é".encode()[:1]), (2, b"other"), (1, "é".encode()[1:]), (1, b"\xff")):
        tail.add(part, number)
    written = Records().written(tail.pieces())
    texts = [json.loads(line)["text"] for line in written.splitlines()]
    assert texts == ["", "other", "é", "\ufffd"]


def test_a_piece_that_is_not_the_last_is_not_taken_for_a_job_s() -> None:
    tail = Tail(1000)
    tail.label(b"x", "a job")
    tail.add(b"x")
    tail.add(b"y")
    tail.label(b"x", "a job")
    assert [piece.job for piece in tail.pieces()] == ["", ""]


def test_small_pieces_take_no_more_memory_than_large_ones() -> None:
    tail = Tail(100_000)
    tracemalloc.start()
    try:
        for number in range(10_000):
            tail.add(b"%d" % (number % 10))
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert used < 1.5 * 100_000
    assert tail.text().endswith("789")


async def test_who_follows_gets_each_piece_once_and_misses_what_was_dropped() -> None:
    tail = Tail(1000)
    news = tail.follow()
    for numbers in (range(3), range(3, 5), range(5, 100)):
        for number in numbers:
            tail.add(b"%d" % number)
        texts = [piece.text for piece in await anext(news)]
        assert texts == [b"%d" % number for number in numbers][-len(tail.pieces()) :]
    assert len(texts) < 95
    tail.close()
    assert [pieces async for pieces in news] == []


async def test_the_log_is_told_and_followed_to_the_end(owner: OpenOwner) -> None:
    opened = await owner(event_stream_limit=1)
    row = await opened.deploy()
    await opened.wait_loaded(row["name"])
    answer = await opened.ask("GET", f"/deployments/{row['name']}/log")
    assert (answer.text, answer.type) == ("imported\n", "text/plain; charset=utf-8")
    url = f"{opened.house.url}/deployments/{row['name']}/log?follow=1"
    headers = {"Authorization": f"Bearer {opened.token}"}
    async with opened.house.session.get(url, headers=headers) as response:
        assert await response.content.readline() == b"imported\n"
        assert (await opened.ask("GET", f"/deployments/{row['name']}/log?follow=1")).status == 503
        opened.deployment(row["name"]).printed.add(b"more\n")
        assert await response.content.readline() == b"more\n"
        await opened.services.undeploy(row["name"])
        assert await response.content.read() == b""
