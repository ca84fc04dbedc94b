"""POST /job/<name>, and its jobs in /system/logs (contract, sections 5 and 12)."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from modelport.frontends.oscar.journal import job_name
from tests.house import Answer, open_house, wait_until
from tests.oscar.conftest import DATA, PASSWORD, PLUGIN, OpenOscar, Oscar, returned
from tests.oscar.test_events import minio
from tests.oscar.test_system import TIME

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def accepted(answer: Answer, name: str = "svc") -> str:
    """The job's name."""
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (201, b"", "0"), answer.text
    base, _, id = answer.headers["Location"].rpartition("/")
    assert base.endswith("/jobs")
    return job_name(name, id)


async def ended(oscar: Oscar, job: str, name: str = "svc") -> tuple[str, str]:
    """(state, log) once it is final."""
    while True:
        jobs = (await oscar.system("GET", f"/logs/{name}")).json()["jobs"]
        if jobs[job]["status"] in ("Succeeded", "Failed"):
            log = await oscar.system("GET", f"/logs/{name}/{job}")
            assert (log.status, log.type) == (200, "text/plain; charset=utf-8")
            return jobs[job]["status"], log.text
        await asyncio.sleep(0.005)


async def states(oscar: Oscar, name: str) -> list[str]:
    return [each["status"] for each in (await oscar.system("GET", f"/logs/{name}")).json()["jobs"].values()]


async def done(oscar: Oscar, body: Any, **options: Any) -> tuple[str, str]:
    return await ended(oscar, await accepted(await oscar.job("svc", body, **options)))


# What becomes of a body


async def test_a_job_is_taken_at_once_and_ends_with_its_log(oscar: Oscar) -> None:
    job = await accepted(await oscar.job("svc", {"mode": "print", "number": 7}))
    assert job.startswith("svc-")
    state, log = await ended(oscar, job)
    assert state == "Succeeded"
    assert log.startswith("on stdout\non stderr\n")
    assert log.splitlines()[-1].startswith("return: {'text': None, 'number': 7,")
    document = (await oscar.system("GET", "/logs/svc")).json()["jobs"][job]
    assert set(document) == {"status", "creation_time", "start_time", "finish_time"}
    assert all(TIME.fullmatch(document[each]) for each in document if each != "status")


async def test_a_job_that_fails_is_failed_and_says_why(oscar: Oscar) -> None:
    for body, reason in (
        ({"number": 11}, "error 422 (invalid_arguments): number: Must be"),
        ({"mode": "raise"}, "the weights are gone"),
        ({"mode": "die"}, "exit"),
    ):
        state, log = await done(oscar, body)
        assert state == "Failed"
        assert reason in log
        assert "return:" not in log


async def test_a_body_that_cannot_be_a_call_is_refused_at_once(oscar: Oscar) -> None:
    for body, status in ((b"{", 400), (b"[1]", 400), ({"nope": 1}, 422), ({"oscar-files": [{}]}, 422)):
        answer = await oscar.job("svc", body)
        assert (answer.status, answer.headers["X-Modelport-Status"]) == (status, str(status))
        assert answer.text


async def test_every_body_of_run_is_one_of_job(oscar: Oscar) -> None:
    file = {"key": "image", "file_format": "png", "data": base64.b64encode(b"\x89PNG").decode()}
    form = aiohttp.FormData({"number": "3"})
    form.add_field("image", b"\x89PNG", filename="x.png", content_type="image/png")
    again = aiohttp.FormData({"number": "3"})
    again.add_field("image", b"\x89PNG", filename="x.png", content_type="image/png")
    plain = json.dumps({"text": "über  zwei\nZeilen", "floats": [1, 2.5], "flag": True}).encode()
    page = (DATA / "digits_page.png").read_bytes()
    for name, body, headers, second in (
        ("svc", plain, {}, plain),
        ("svc", base64.encodebytes(plain), {"Content-Type": "application/x-www-form-urlencoded"}, None),
        ("svc", b"text=a&number=4", {"Content-Type": "application/json"}, None),
        ("svc", json.dumps({"oscar-files": [file]}).encode(), {}, None),
        ("svc", form, {}, again),
        ("digits", page, {"Content-Type": "image/png"}, None),
    ):
        told = await oscar.run(name, body, headers=headers)
        job = await accepted(await oscar.job(name, second or body, headers=headers), name)
        assert await ended(oscar, job, name) == ("Succeeded", f"return: {returned(told)}\n")


async def test_a_large_body_with_blanks_and_line_breaks_arrives_as_it_is(oscar: Oscar) -> None:
    text = "two  blanks\nand a line\t" * 20_000
    state, log = await done(oscar, {"text": text})
    assert state == "Succeeded"
    assert repr(text) in log


async def test_help_is_the_log(oscar: Oscar) -> None:
    shown = await oscar.run("svc", {"help": ""})
    before = set((await oscar.system("GET", "/logs/svc")).json()["jobs"])
    answer = await oscar.job("svc", {"help": ""})
    assert (answer.status, answer.body) == (201, b"")
    jobs = (await oscar.system("GET", "/logs/svc")).json()["jobs"]
    (job,) = set(jobs) - before
    assert await ended(oscar, job) == ("Succeeded", shown.text)


async def test_a_result_that_is_no_text_is_named_in_the_log(oscar: Oscar) -> None:
    page = base64.b64encode((DATA / "digits_page.png").read_bytes()).decode()
    body = {"oscar-files": [{"key": "files", "file_format": "png", "data": page}], "accept": "image/png"}
    job = await accepted(await oscar.job("digits", body), "digits")
    state, log = await ended(oscar, job, "digits")
    assert state == "Succeeded"
    assert "The result is image/png, " in log
    assert "return:" not in log


async def test_a_second_post_with_the_same_key_is_the_same_job(oscar: Oscar) -> None:
    first = await oscar.job("svc", {"number": 1}, headers={"Idempotency-Key": "one"})
    second = await oscar.job("svc", {"number": 1}, headers={"Idempotency-Key": "one"})
    assert first.headers["Location"] == second.headers["Location"]
    assert (await oscar.job("svc", {"number": 2}, headers={"Idempotency-Key": "one"})).status == 409


# Who may


async def test_who_may_send_a_job(oscar: Oscar) -> None:
    assert (await oscar.house.post("/job/svc", json={})).status == 401
    other = await oscar.token("digits")
    basic = "Basic " + base64.b64encode(f"oscar:{PASSWORD}".encode()).decode()
    for auth in (f"Bearer {'0' * 64}", f"Bearer {other}", "Bearer x", basic):
        answer = await oscar.house.post("/job/svc", json={}, headers={"Authorization": auth})
        assert (answer.status, answer.body) == (401, b"")
    assert (await oscar.job("nobody", {}, token=other)).status == 401
    token = oscar.house.gateway.owner.token
    assert (await oscar.job("nobody", {}, token=token)).status == 404
    await accepted(await oscar.job("svc", {}, token=token))


async def test_a_store_may_ask_whether_anybody_listens(oscar: Oscar) -> None:
    assert (await oscar.house.ask("HEAD", "/job/svc")).status == 200
    assert (await oscar.house.get("/job/svc")).status == 404


async def test_a_switched_off_endpoint_takes_no_jobs(oscar_with: OpenOscar) -> None:
    opened = await oscar_with(predict_endpoint=False)
    assert (await opened.house.post("/job/plugin", json={})).status == 403


async def test_too_many_waiting_jobs_are_refused(oscar_with: OpenOscar) -> None:
    opened = await oscar_with(job_limit=1, workers=1)
    blocker = await opened.house.post("/job/plugin", json={"seconds": 600})
    assert blocker.status == 201
    await opened.house.wait_running(1, "plugin")
    assert (await opened.house.post("/job/plugin", json={})).status == 201
    answer = await opened.house.post("/job/plugin", json={})
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) >= 1


# Events


async def test_events_that_are_not_of_this_services_bucket(oscar: Oscar) -> None:
    for bucket in ("digits", "nobodys"):
        event = minio("inputs/x.json")
        event["Records"][0]["s3"]["bucket"]["name"] = bucket
        answer = await oscar.job("svc", event)
        assert (answer.status, f"the bucket {bucket} is not that of svc" in answer.text) == (403, True)
    assert (await oscar.job("svc", {"Records": [{"s3": {}}]})).status == 400


async def test_an_event_where_there_are_no_buckets(oscar_with: OpenOscar) -> None:
    opened = await oscar_with(buckets=False)
    answer = await opened.house.post("/job/plugin", json=minio("inputs/x.json"))
    assert (answer.status, "has no buckets" in answer.text) == (400, True)


# Lists


async def test_states_of_jobs_that_run_and_wait_and_are_removed(oscar_with: OpenOscar) -> None:
    oscar = await oscar_with(workers=1)
    jobs = [await accepted(await oscar.house.post("/job/plugin", json={"seconds": 600}), "plugin") for _ in range(2)]
    await oscar.house.wait_running(1, "plugin")
    found = (await oscar.system("GET", "/logs/plugin")).json()["jobs"]
    assert list(found) == jobs[::-1]
    assert [found[job]["status"] for job in jobs] == ["Running", "Pending"]
    assert set(found[jobs[1]]) == {"status", "creation_time"}
    assert (await oscar.system("GET", f"/logs/plugin/{jobs[1]}")).text == ""
    assert (await oscar.system("DELETE", f"/logs/plugin/{jobs[0]}")).status == 204
    assert (await oscar.system("DELETE", f"/logs/plugin/{jobs[0]}")).status == 404
    await oscar.house.wait_running(1, "plugin")
    assert await states(oscar, "plugin") == ["Running"]
    assert (await oscar.system("DELETE", "/logs/plugin")).status == 204  # succeeded ones only
    assert await states(oscar, "plugin") == ["Running"]
    await oscar.house.post("/job/plugin", json={"seconds": 600})
    assert (await oscar.system("DELETE", "/logs/plugin?all=true")).status == 204
    assert await states(oscar, "plugin") == []
    await oscar.house.wait_running(0, "plugin")


async def test_a_cancelled_job_is_failed(oscar_with: OpenOscar) -> None:
    oscar = await oscar_with(workers=1)
    answer = await oscar.house.post("/job/plugin", json={"seconds": 600, "mode": "print"})
    job = await accepted(answer, "plugin")
    await oscar.house.wait_running(1, "plugin")
    log = ""
    while "on stdout" not in log:
        log = (await oscar.system("GET", f"/logs/plugin/{job}")).text  # so far
    await oscar.house.gateway.jobs.cancel(answer.headers["Location"].rpartition("/")[2])
    state, log = await ended(oscar, job, "plugin")
    assert state == "Failed"
    assert "cancelled" in log.splitlines()[0]
    assert "on stdout" in log


async def test_jobs_and_calls_are_listed_together_in_pages(oscar: Oscar) -> None:
    name = "a-name-of-more-than-25-letters"
    token = await oscar.deployed(name)
    for _ in range(40):
        await oscar.run(name, {"help": ""}, token=token)
    for number in range(40):
        await accepted(await oscar.job(name, {"number": number % 10}, token=token), name)
    pages: list[dict[str, Any]] = []
    page = ""
    for _ in range(2):
        document = (await oscar.system("GET", f"/logs/{name}?page={page}")).json()
        pages.append(document)
        page = document.get("next_page", "")
    assert [len(each["jobs"]) for each in pages] == [70, 10]
    assert pages[0]["remaining_jobs"] == 10
    assert set(pages[1]) == {"jobs"}
    jobs = {**pages[0]["jobs"], **pages[1]["jobs"]}
    assert len(jobs) == 80
    assert all(job.startswith(f"{name[:16]}-") for job in jobs)
    times = [job["creation_time"] for job in jobs.values()]
    assert times == sorted(times, reverse=True)
    for wrong in ("x", "1-2", "1-2-3", "-1-0-"):
        assert (await oscar.system("GET", f"/logs/{name}?page={wrong}")).status == 400
    assert (await oscar.system("DELETE", f"/logs/{name}?all=1")).status == 204
    assert (await oscar.system("GET", f"/logs/{name}")).json() == {"jobs": {}}
    await oscar.system("DELETE", f"/services/{name}")


async def test_a_job_is_listed_with_its_own_service_only(oscar: Oscar) -> None:
    job = await accepted(await oscar.job("svc", {}))
    await ended(oscar, job)
    assert (await oscar.system("GET", f"/logs/digits/{job.replace('svc', 'digits')}")).status == 404
    assert (await oscar.system("DELETE", f"/logs/digits/{job}")).status == 404
    for name in ("nothing", f"svc-{'0' * 8}-0000-0000-0000-{'0' * 12}", job.upper()):
        assert (await oscar.system("GET", f"/logs/svc/{name}")).status == 404


async def test_timestamps_are_put_before_each_line(oscar: Oscar) -> None:
    job = await accepted(await oscar.job("svc", {"mode": "print"}))
    _, log = await ended(oscar, job)
    stamped = (await oscar.system("GET", f"/logs/svc/{job}?timestamps=true")).text.splitlines()
    assert [line.partition(" ")[2] for line in stamped] == log.splitlines()
    assert all(TIME.fullmatch(line.partition(" ")[0]) for line in stamped)


async def test_metrics_count_jobs(oscar: Oscar) -> None:
    token = await oscar.deployed("counted")
    await ended(oscar, await accepted(await oscar.job("counted", {}, token=token), "counted"), "counted")
    totals = (await oscar.system("GET", "/metrics")).json()["totals"]
    assert totals["requests_count_async"] >= 1
    assert totals["requests_count_total"] == totals["requests_count_async"] + totals["requests_count_sync"]
    items = (await oscar.system("GET", "/metrics/breakdown")).json()["items"]
    assert next(item for item in items if item["key"] == "counted")["requests_count_async"] == 1
    metrics = (await oscar.system("GET", "/metrics/counted")).json()["metrics"]
    assert [metric["value"] for metric in metrics] == [0, 1]
    await oscar.system("DELETE", "/services/counted")


async def test_jobs_of_a_service_end_with_it(oscar: Oscar) -> None:
    token = await oscar.deployed("short-lived")
    answer = await oscar.job("short-lived", {"seconds": 600}, token=token)
    await oscar.house.wait_running(1, "short-lived")
    await oscar.system("DELETE", "/services/short-lived")
    await oscar.deployed("short-lived")
    assert await states(oscar, "short-lived") == []
    assert (await oscar.house.get(answer.headers["Location"])).status in (401, 404)
    await oscar.system("DELETE", "/services/short-lived")


async def test_jobs_and_their_logs_are_there_after_a_restart(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"password": PASSWORD, "workers": 1}
    async with open_house(tmp_path, {"plugin": PLUGIN}, **settings) as house:
        oscar = Oscar(house)
        first = await accepted(await house.post("/job/plugin", json={"mode": "print"}), "plugin")
        kept = await ended(oscar, first, "plugin")
        waiting = [await accepted(await house.post("/job/plugin", json={"number": 5}), "plugin") for _ in range(3)]
    async with open_house(tmp_path, {"plugin": PLUGIN}, **settings) as house:
        oscar = Oscar(house)
        assert await ended(oscar, first, "plugin") == kept
        for each in waiting:
            state, log = await ended(oscar, each, "plugin")
            assert (state, "'number': 5" in log) == ("Succeeded", True)
        assert len((await oscar.system("GET", "/logs/plugin")).json()["jobs"]) == 4


async def test_every_request_for_a_job_is_in_the_log_of_the_system(oscar: Oscar) -> None:
    await oscar.job("svc", {})
    last = (await oscar.system("GET", "/logs")).json()["logs"][-1]
    assert (last["status"], last["method"], last["path"], last["user"]) == ("201", "POST", "/job/svc", "service token")


async def test_a_job_of_a_service_that_is_still_loading_waits_for_its_turn(oscar_with: OpenOscar) -> None:
    oscar = await oscar_with(PLUGIN + "\ndef warm():\n    time.sleep(0.5)\n")
    token = await oscar.deployed("fresh")
    job = await accepted(await oscar.job("fresh", {"number": 2}, token=token), "fresh")
    state, log = await ended(oscar, job, "fresh")
    assert (state, "'number': 2" in log) == ("Succeeded", True)
    await wait_until(lambda: oscar.house.counts("fresh").busy == 0)
