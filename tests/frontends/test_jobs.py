"""The door of jobs: what is said of one, its answer, its log; cancelling, removing, running again; who may see what."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import FormData

from modelport.contract.card import Argument, Card
from modelport.contract.job import Job, JobFile
from modelport.contract.prediction import Status
from modelport.http.job_documents import HIDDEN, arguments, moment, shown, tail
from modelport.http.json_answers import encoded
from modelport.store.deployments import DeploymentRow
from tests.conftest import OpenHouse
from tests.frontends.jobs import ASYNC, SOURCE, Gate, begin, ended, facts, wait_status
from tests.house import House, alive, wait_until

# What is said


def test_a_moment_is_written_in_utc_with_milliseconds() -> None:
    assert moment(1_769_860_800.1239) == "2026-01-31T12:00:00.123Z"
    assert moment(None) is None


def test_of_arguments_people_see_what_they_know_the_job_by() -> None:
    card = Card("x", predict_args=[Argument("pin", "string", format="password"), Argument("text", "string")])
    files = (JobFile("image", "0-a", "image", filename="bear.jpg"), *(JobFile("pages", "1-b", "p1"),) * 2)
    given = {"pin": "1234", "text": "x" * 300, "table": {"a": "y" * 3000}, "list": [1, 2]}
    job = Job("0" * 32, "x", "predict", Status.QUEUED, "plain", 0.0, arguments=given, files=files)
    found = arguments(job, card)
    assert found["pin"] == "1234"  # what is hidden of a prediction was hidden when it was accepted
    assert arguments(replace(job, method="train"), replace(card, train_args=card.predict_args))["pin"] == HIDDEN
    assert found["text"] == "x" * 200 + "…"
    assert (found["table"], found["list"]) == ("… 1 members", [1, 2])
    assert (found["image"], found["pages"]) == ("bear.jpg", ["p1", "p1"])
    assert arguments(replace(job, method="train"), None)["text"] == HIDDEN


def test_what_no_utf8_can_say_is_said_otherwise() -> None:
    assert encoded({"a": "\ud800b", "n": float("nan")}) != b""
    assert encoded({"a": "\ud800"}) == b'{"a":"?"}'
    assert shown("é") == "é"


def test_the_tail_begins_with_a_whole_line() -> None:
    assert tail(b"short\n") == "short\n"
    assert tail(b"x" * 5000 + b"\nlast\n") == "last\n"
    assert tail(b"x" * 5000) == "x" * 4000
    assert tail(b"x" * 5000 + b"\n") == "x" * 3999 + "\n"


async def test_a_job_is_described_from_its_beginning_to_its_end(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE)
    gate = Gate(tmp_path / "gate")
    job = await begin(opened, mode="wait", gate=str(gate), pin="1234")
    await gate.reached()
    document = await wait_status(opened, job, "running")
    path = f"/jobs/{job['id']}"
    assert document["arguments"] == {
        "mode": "wait",
        "gate": str(gate),
        "pin": HIDDEN,
        "accept": "application/json",
    }
    assert (document["deployment"], document["method"], document["source"]) == ("x", "predict", "deepaas")
    assert (document["attempt"], document["losses"], document["attempts"]) == (1, 0, 3)
    assert (document["result"], document["error"], document["finished"], document["duration_s"]) == (None,) * 4
    assert document["log"] == {"url": f"{path}/log", "tail": "working on hello\n"}
    assert document["links"] == {
        "self": path,
        "result": f"{path}/result",
        "log": f"{path}/log",
        "events": f"{path}/events",
        "metrics": f"{path}/metrics",
    }
    assert (document["metrics"], document["artifacts"], document["use"]) == ({}, [], {})
    gate.open()
    document = await ended(opened, job)
    times = [datetime.fromisoformat(document[name]) for name in ("created", "started", "finished")]
    assert times == sorted(times)
    assert document["duration_s"] >= 0
    assert document["result"] == {
        "url": f"{path}/result",
        "media_type": "application/json",
        "size_bytes": 7,
        "filename": None,
    }


async def test_a_failure_is_told_without_what_is_the_servers(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    failed = await ended(opened, await begin(opened, mode="fail"))
    assert (failed["status"], failed["error"]["kind"]) == ("failed", "model_failed")
    assert "I cannot" in failed["error"]["message"]
    assert "Traceback" not in failed["error"]["message"]
    answer = await opened.get(f"/jobs/{failed['id']}/result")
    assert (answer.status, answer.json()["error"]) == (500, "model_failed")
    refused = await ended(opened, await begin(opened, count=99))
    assert refused["error"]["kind"] == "invalid_arguments"
    answer = await opened.get(f"/jobs/{refused['id']}/result")
    assert (answer.status, list(answer.json()["fields"])) == (422, ["count"])


# Lists


async def test_jobs_are_listed_by_pages_the_newest_first(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    ids = [(await begin(opened, text=str(number)))["id"] for number in range(5)]
    found: list[str] = []
    path: str | None = "/jobs?limit=2&deployment=x"
    while path:
        page = (await opened.get(path)).json()
        assert len(page["jobs"]) <= 2
        found += [job["id"] for job in page["jobs"]]
        path = page["next"]
        assert (path is None) == (page["after"] is None)
    assert found == ids[::-1]


async def test_a_list_has_what_is_asked_for(house: OpenHouse) -> None:
    opened = await house({"x": SOURCE, "y": SOURCE})
    good = await ended(opened, await begin(opened))
    bad = await ended(opened, await begin(opened, mode="fail", path="/y"))
    training = (await opened.post("/v2/models/x/train/", json={})).json()["uuid"]

    async def listed(query: str) -> set[str]:
        answer = await opened.get(f"/jobs?{query}")
        assert answer.status == 200, answer.text
        return {job["id"] for job in answer.json()["jobs"]}

    assert await listed("") == {good["id"], bad["id"], training}
    assert await listed("deployment=y") == {bad["id"]}
    assert await listed("status=failed") == {bad["id"]}
    assert await listed("status=failed,succeeded&method=predict") == {good["id"], bad["id"]}
    assert await listed("status=failed&status=succeeded&method=predict") == {good["id"], bad["id"]}
    assert await listed("source=plain") == {bad["id"]}
    assert await listed("method=train") == {training}


@pytest.mark.parametrize("query", ["status=done", "method=warm", "limit=0", "limit=1001", "limit=x", "state=failed"])
async def test_a_list_by_what_there_is_not_is_refused(house: OpenHouse, query: str) -> None:
    opened = await house(SOURCE)
    answer = await opened.get(f"/jobs?{query}")
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
    assert query.partition("=")[0] in answer.json()["message"]


async def test_a_list_of_a_model_that_is_not_there_is_none(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    answer = await opened.get("/jobs?deployment=z")
    assert (answer.status, answer.json()["error"]) == (404, "not_found")


# The answer


async def test_an_answer_comes_as_the_model_gave_it(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    job = await ended(opened, await begin(opened, {"Accept": "application/pdf"}))
    answer = await opened.get(job["result"]["url"])
    assert (answer.body, answer.type) == (b"%PDF-1.7 small", "application/pdf")
    assert answer.headers["Content-Disposition"] == 'inline; filename="result.pdf"'
    look = await opened.ask("HEAD", job["result"]["url"])
    assert facts(look, "Content-Type", "Content-Length") == (200, "application/pdf", "14")
    assert look.body == b""


async def test_a_page_that_a_model_made_may_not_act_as_this_server(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    job = await ended(opened, await begin(opened, {"Accept": "text/html"}))
    answer = await opened.get(job["result"]["url"])
    assert answer.headers["Content-Security-Policy"] == "sandbox"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_large_answer_comes_in_parts_where_that_is_asked_for(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    job = await ended(opened, await begin(opened, {"Accept": "image/png"}))
    url, whole = job["result"]["url"], bytes(range(256)) * 8192
    assert job["result"]["size_bytes"] == len(whole)
    answer = await opened.get(url)
    assert (answer.body == whole, answer.type) == (True, "image/png")
    part = await opened.get(url, headers={"Range": "bytes=10-13"})
    assert (part.status, part.body) == (206, whole[10:14])
    for asked in ("lines=0-5", "bytes", "bytes=x-y", "bytes=-", "bytes=0-1,5-6"):  # other units, none, several
        other = await opened.get(url, headers={"Range": asked})
        assert (other.status, other.body == whole) == (200, True), asked
    beyond = await opened.get(url, headers={"Range": f"bytes={len(whole)}-"})
    assert facts(beyond, "Content-Range") == (416, f"bytes */{len(whole)}")
    look = await opened.ask("HEAD", url)
    assert facts(look, "Content-Length", "Accept-Ranges") == (200, str(len(whole)), "bytes")
    again = await opened.get(url, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304


async def test_an_answer_that_is_not_there_yet_says_so(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE)
    gate = Gate(tmp_path / "gate")
    job = await begin(opened, mode="wait", gate=str(gate))
    answer = await opened.get(f"/jobs/{job['id']}/result")
    assert facts(answer, "Retry-After") == (409, "1")
    assert answer.json()["error"] == "conflict"
    gate.open()


# The log


async def test_a_log_is_read_while_it_is_written(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE)
    gate = Gate(tmp_path / "gate")
    job = await begin(opened, mode="steps", gate=str(gate))
    path = f"/jobs/{job['id']}/log"
    url = f"http://127.0.0.1:{opened.server.port}{path}"
    async with opened.session.get(url, params={"follow": "1"}) as response:
        assert response.content_type == "text/plain"
        for step in (1, 2, 3):
            await response.content.readuntil(f"step {step}\n".encode())
            (tmp_path / f"gate{step}").touch()
        assert await response.content.read() == b""
    answer = await opened.get(path)
    assert answer.text == "working on hello\nstep 1\nstep 2\nstep 3\n"
    assert (await opened.get(path, params={"follow": "1"})).text == answer.text


# Ending, and again


async def test_a_running_job_is_cancelled_for_real(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE)
    gate = Gate(tmp_path / "gate")
    job = await begin(opened, mode="wait", gate=str(gate))
    worker = await gate.reached()
    answer = await opened.ask("DELETE", f"/jobs/{job['id']}")
    assert (answer.status, answer.json()["status"], answer.json()["error"]["kind"]) == (200, "cancelled", "cancelled")
    assert not alive(worker)
    result = await opened.get(f"/jobs/{job['id']}/result")
    assert (result.status, result.json()["error"]) == (410, "cancelled")
    assert (await opened.predict({"text": "next"})).status == 200


async def test_a_job_that_waits_is_cancelled_and_never_runs(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE)
    first, second = Gate(tmp_path / "first"), Gate(tmp_path / "second")
    running = await begin(opened, mode="wait", gate=str(first))
    await first.reached()
    waiting = await begin(opened, mode="wait", gate=str(second))
    answer = await opened.ask("DELETE", f"/jobs/{waiting['id']}")
    assert (answer.json()["status"], answer.json()["attempt"]) == ("cancelled", 0)
    first.open()
    await ended(opened, running)
    await ended(opened, await begin(opened))
    assert not (tmp_path / "second.pid").exists()


async def test_cancelling_removes_nothing(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE)
    done = await ended(opened, await begin(opened))
    answer = await opened.post(f"/jobs/{done['id']}/cancel")
    assert (answer.status, answer.json()) == (200, done)
    running = await begin(opened, mode="wait", gate=str(tmp_path / "never"))
    assert (await opened.post(f"/jobs/{running['id']}/cancel")).json()["status"] == "cancelled"
    assert (await opened.post(f"/jobs/{running['id']}/cancel")).json()["status"] == "cancelled"
    assert (await opened.post("/jobs/" + "0" * 32 + "/cancel")).status == 404


async def test_what_has_ended_is_removed(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    job = await ended(opened, await begin(opened, {"Accept": "image/png"}))
    folder = opened.home / "jobs" / job["id"]
    assert folder.exists()
    answer = await opened.ask("DELETE", f"/jobs/{job['id']}")
    assert (answer.status, answer.body) == (204, b"")
    for path in ("", "/result", "/log", "/events"):
        answer = await opened.get(f"/jobs/{job['id']}{path}")
        assert (answer.status, answer.json()["error"]) == (404, "not_found")
    await wait_until(lambda: not folder.exists())


async def test_what_has_ended_of_a_model_is_removed_at_once(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE)
    done = [await ended(opened, await begin(opened)) for _ in range(2)]
    running = await begin(opened, mode="wait", gate=str(tmp_path / "never"))
    for query in ("", "?status=failed", "?deployment=x&status=running", "?deployment=x&limit=3"):
        assert (await opened.ask("DELETE", f"/jobs{query}")).status == 400, query
    answer = await opened.ask("DELETE", "/jobs?deployment=x&status=failed")
    assert (answer.status, answer.json()) == (200, {"removed": 0})
    assert (await opened.ask("DELETE", "/jobs?deployment=x")).json() == {"removed": len(done)}
    assert [job["id"] for job in (await opened.get("/jobs")).json()["jobs"]] == [running["id"]]


async def test_a_job_is_run_again_with_the_same_files(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    form = FormData()
    form.add_field("image", b"12345", filename="bear.jpg")
    first = await ended(opened, (await opened.post("/x", data=form, headers=ASYNC)).json())
    answer = await opened.post(f"/jobs/{first['id']}/run-again")
    again = answer.json()
    assert facts(answer, "Location") == (202, f"/jobs/{again['id']}")
    assert (again["id"] != first["id"], again["arguments"]) == (True, first["arguments"])
    again = await ended(opened, again)
    assert (await opened.get(again["result"]["url"])).json() == ["bear.jpg", 5]


async def test_trainings_are_jobs_too(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE)
    uuid = (await opened.post("/v2/models/x/train/", json={"steps": 3})).json()["uuid"]
    job = await ended(opened, {"id": uuid})
    assert (job["method"], job["status"], job["log"]["tail"]) == ("train", "succeeded", "training\n")
    assert (await opened.get(job["result"]["url"])).json() == {"steps": 3}
    gate = Gate(tmp_path / "gate")
    uuid = (await opened.post("/v2/models/x/train/", json={"gate": str(gate)})).json()["uuid"]
    worker = await gate.reached()
    answer = await opened.ask("DELETE", f"/jobs/{uuid}")
    assert (answer.json()["status"], alive(worker)) == ("cancelled", False)


# Who may


class Callers:
    """A house with x for everybody, and a service `svc` with a token; both have a job."""

    def __init__(self, house: House, token: str, jobs: dict[str, Any]) -> None:
        self.house = house
        assert house.server.gateway is not None
        self.service = {"Authorization": f"Bearer {token}"}
        self.owner = {"Authorization": f"Bearer {house.server.gateway.owner.token}"}
        self.jobs = jobs

    @classmethod
    async def meet(cls, house: House) -> Callers:
        assert house.server.gateway is not None
        module = str(house.folder / "plugins" / "plugin_0.py")
        row = await house.server.gateway.services.deploy(DeploymentRow("svc", module))
        found = cls(house, row.token, {})
        found.jobs["x"] = await begin(house, found.owner)
        found.jobs["svc"] = await begin(house, found.service, path="/svc")
        return found

    async def listed(self, **headers: Any) -> set[str]:
        answer = await self.house.get("/jobs", headers=headers)
        assert answer.status == 200, answer.text
        return {job["deployment"] for job in answer.json()["jobs"]}


async def test_who_may_call_a_model_sees_its_jobs_and_no_other(house: OpenHouse) -> None:
    callers = await Callers.meet(await house(SOURCE))
    assert await callers.listed() == {"x"}
    assert await callers.listed(**callers.service) == {"x", "svc"}
    assert await callers.listed(**callers.owner) == {"x", "svc"}
    path = f"/jobs/{callers.jobs['svc']['id']}"
    for method, end in (
        *(("GET", each) for each in ("", "/result", "/log", "/events")),
        *(("DELETE", ""), ("POST", "/cancel"), ("POST", "/run-again")),
    ):
        answer = await callers.house.ask(method, path + end)
        assert (answer.status, answer.json()["error"]) == (401, "unauthorized"), (method, end)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert (await callers.house.get("/jobs?deployment=svc")).status == 401
    assert (await callers.house.get("/events?deployment=svc")).status == 401
    assert (await callers.house.get(path, headers=callers.service)).status == 200


async def test_strangers_cannot_tell_what_is_there(house: OpenHouse) -> None:
    callers = await Callers.meet(await house(SOURCE))
    there = await callers.house.get(f"/jobs/{callers.jobs['svc']['id']}")
    for name in ("0" * 32, "x", "0" * 31):
        answer = await callers.house.get(f"/jobs/{name}")
        assert (answer.status, answer.body) == (401, there.body)
        for known in (callers.service, callers.owner):
            answer = await callers.house.get(f"/jobs/{name}", headers=known)
            assert (answer.status, answer.json()["error"]) == (404, "not_found")


async def test_where_the_server_has_a_token_nothing_is_shown_without(house: OpenHouse) -> None:
    opened = await house(SOURCE, token="secret")
    for path in ("/jobs", "/events", f"/jobs/{'0' * 32}"):
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            assert (await opened.get(path, headers=headers)).status == 401
    bearer = {"Authorization": "Bearer secret"}
    job = await begin(opened, bearer)
    assert (await ended(opened, job, headers=bearer))["status"] == "succeeded"


async def test_an_open_server_says_that_there_is_none(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    answer = await opened.get(f"/jobs/{'0' * 32}")
    assert (answer.status, answer.json()["error"]) == (404, "not_found")


async def test_pages_of_other_origins_may_ask_where_the_settings_say_so(house: OpenHouse) -> None:
    origin = {"Origin": "https://a.example"}
    opened = await house(SOURCE, cors_origins="https://a.example")
    job = await begin(opened)
    for path in ("/jobs", f"/jobs/{job['id']}", f"/jobs/{'0' * 32}"):
        answer = await opened.get(path, headers=origin)
        assert answer.headers["Access-Control-Allow-Origin"] == "https://a.example"
        assert "Location" in answer.headers["Access-Control-Expose-Headers"]
    asked = {"Access-Control-Request-Headers": "prefer"}
    answer = await opened.ask("OPTIONS", f"/jobs/{job['id']}", headers=origin | asked)
    assert facts(answer, "Access-Control-Allow-Methods") == (204, "GET, HEAD, DELETE, OPTIONS")
    assert answer.headers["Access-Control-Allow-Headers"] == "prefer"
    anyone = await house(SOURCE)  # what needs no token is not any page's to read
    refused = await anyone.get("/jobs", headers=origin)
    assert (refused.status, "Access-Control-Allow-Origin" in refused.headers) == (403, False)


async def test_a_document_of_all_this_is_in_openapi(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    document = (await opened.get("/openapi.json")).json()
    paths = document["paths"]
    assert set(paths) >= {
        *("/jobs", "/jobs/{id}", "/jobs/{id}/result", "/jobs/{id}/log", "/jobs/{id}/events", "/jobs/{id}/run-again"),
        *("/jobs/{id}/cancel", "/events", "/x/async", "/status/{id}", "/results/{id}"),
    }
    assert {"Prefer", "Idempotency-Key", "X-Webhook-URL"} <= {
        parameter["name"] for parameter in paths["/x"]["post"]["parameters"]
    }
    shape = paths["/jobs/{id}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert shape == {"$ref": "#/components/schemas/JobDocument"}
    described = await ended(opened, await begin(opened))
    assert set(described) == set(document["components"]["schemas"]["JobDocument"]["properties"])
    ids = [each["operationId"] for path in paths.values() for each in path.values() if "operationId" in each]
    assert len(ids) == len(set(ids))


async def test_many_ask_for_one_job_at_once(house: OpenHouse, tmp_path: Path) -> None:
    opened = await house(SOURCE)
    gate = Gate(tmp_path / "gate")
    job = await begin(opened, mode="wait", gate=str(gate))
    await gate.reached()
    answers = await asyncio.gather(*(opened.ask("DELETE", f"/jobs/{job['id']}") for _ in range(10)))
    assert {answer.status for answer in answers} <= {200, 204, 404}
    assert sum(answer.status == 204 for answer in answers) <= 1


async def test_a_file_whose_type_no_header_can_hold_can_be_fetched_all_the_same(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    disposition = b'Content-Disposition: form-data; name="image"; filename="a"'
    body = b"--b\r\n%b\r\nContent-Type: text/plain\nX-Evil: 1\r\n\r\nx\r\n--b--\r\n" % disposition
    headers = {**ASYNC, "Content-Type": "multipart/form-data; boundary=b"}
    job = await ended(opened, (await opened.post("/v2/models/x/predict/", data=body, headers=headers)).json())
    got = await opened.get(f"/jobs/{job['id']}/files/0")
    assert (got.status, got.headers["Content-Type"], got.body) == (200, "application/octet-stream", b"x")
    assert "X-Evil" not in got.headers


async def test_the_files_of_a_job_can_be_fetched_and_are_saved_not_shown(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    form = FormData()
    form.add_field("image", b"<script>1</script>", filename="page.html")
    begun = await opened.post("/v2/models/x/predict/", data=form, headers=ASYNC)
    job = await ended(opened, begun.json())
    got = await opened.get(f"/jobs/{job['id']}/files/0")
    assert (got.status, got.body) == (200, b"<script>1</script>")
    assert got.headers["Content-Disposition"] == 'attachment; filename="page.html"'
    assert "sandbox" in got.headers["Content-Security-Policy"]
    for number in ("1", "-1", "x", "99999999999"):
        assert (await opened.get(f"/jobs/{job['id']}/files/{number}")).status == 404
